"""Batches of pictures, prepared on background threads while the net is busy."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from alexnet_raw.parallel import ALONE, Ranks

from .augmentation import NO_AUGMENTATION, Augmentation, EpochDraws, draw_epoch
from .buffers import Buffers
from .errors import DataError
from .parallel import default_threads, ordered_map
from .picture_folder import UNREADABLE, broken_summary
from .pixel_statistics import Statistics
from .sources import Source

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Batch:
    """N pictures with their labels and draws, for `ops.augment`."""

    number: int  # within the epoch
    pictures: np.ndarray  # (N, H, W, C) uint8
    labels: np.ndarray  # (N,) int32
    offsets: np.ndarray  # (N, 2) int32, top and left of the crop
    flips: np.ndarray  # (N,) uint8, 1 = mirrored
    noise: np.ndarray  # (N, C) float32, to add, in pixel units
    indices: np.ndarray  # (N,) int64, in the source
    scale: float = 1.0  # to multiply the pictures by, after adding
    targets: np.ndarray | None = None  # (N, outputs) float32, where the source has some

    def __len__(self) -> int:
        return len(self.labels)


class Loader:
    """Batches of a source, epoch by epoch.

    For training the pictures come in a new order every epoch, with the source's augmentation
    unless another is given; otherwise in the source's order, centre crop, unaltered. The last
    batch is smaller where the batch size does not divide the number of pictures; so is a batch
    in which pictures turn out to be broken. Everything is determined by the seed and the epoch:
    see augmentation.py.

    Where several ranks train, each loads its share of every batch, some of which may be empty; where
    they evaluate, every so many-th batch, whole.

    stall_seconds: how long the caller has waited for batches in the current epoch.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        crop: int,
        *,
        train: bool = True,
        seed: int = 0,
        augmentation: Augmentation | None = None,
        statistics: Statistics | None = None,
        threads: int | None = None,
        ahead: int | None = None,
        allocate: Callable[..., np.ndarray] = np.empty,
        ranks: Ranks = ALONE,
    ):
        """allocate(shape, dtype) gives memory for a batch's pictures, `Device.pinned` for a GPU."""
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be 1 or more")
        height, width, _ = source.picture_shape
        if not 1 <= crop <= min(height, width):
            raise ValueError(f"crop={crop}: pictures are {height} x {width}; open them larger")
        if not 0 <= seed < 2**64:
            raise ValueError(f"seed={seed}: must be in 0 .. 2^64 - 1")
        if threads is not None and threads < 1:
            raise ValueError(f"threads={threads}: must be 1 or more")
        if augmentation is None:
            augmentation = source.augmentation if train else NO_AUGMENTATION
        if augmentation.has_noise(epoch=0) and statistics is None:
            raise ValueError("colour noise needs statistics=data.statistics(source)")
        self.source = source
        self.batch_size = batch_size
        self.crop = crop
        self.train = train
        self.seed = seed
        self.augmentation = augmentation
        self.statistics = statistics
        self.threads = threads or default_threads()
        self.ahead = ahead or self.threads + 1
        self.ranks = ranks
        self.stall_seconds = 0.0
        most = ranks.largest_share(batch_size) if train else batch_size
        self._buffers = Buffers((most, *source.picture_shape), self.ahead + 1, allocate)

    def __len__(self) -> int:
        """Batches per epoch."""
        return -(-len(self.source) // self.batch_size)

    def epoch(self, number: int, start_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from start_batch on, the same as in a whole epoch.

        Raises DataError at the end of a whole epoch in which no picture could be read.
        """
        draws = draw_epoch(
            len(self.source),
            self.source.picture_shape,
            self.crop,
            self.augmentation,
            self.statistics,
            shuffle=self.train,
            seed=self.seed,
            epoch=number,
        )
        self.stall_seconds = 0.0
        known_broken = len(self.source.broken)
        results = ordered_map(
            lambda batch: self._load(draws, batch),
            range(start_batch, len(self)) if self.train else self._turns(start_batch),
            threads=self.threads,
            ahead=self.ahead,
        )
        pictures = batches = 0
        with closing(results):
            while (batch := self._next(results)) is not None:
                pictures, batches = pictures + len(batch), batches + 1
                if len(batch) or (self.train and self.ranks.size > 1):
                    yield batch
        if pictures == 0 and batches and start_batch == 0:
            raise DataError(f"none of the {len(self.source)} pictures can be read")
        if len(self.source.broken) > known_broken:
            log.warning(broken_summary(self.source))

    def _turns(self, start_batch: int) -> range:
        """The batches that this rank evaluates."""
        return range(start_batch + self.ranks.rank, len(self), self.ranks.size)

    def _next(self, results: Iterator[Batch]) -> Batch | None:
        before = time.perf_counter()
        batch = next(results, None)
        self.stall_seconds += time.perf_counter() - before
        return batch

    def _load(self, draws: EpochDraws, number: int) -> Batch:
        begin = number * self.batch_size
        here = slice(begin, min(begin + self.batch_size, len(self.source)))
        if self.train:
            own = self.ranks.share(here.stop - begin)
            here = slice(begin + own.start, begin + own.stop)
        indices = draws.order[here]
        pictures, labels = self.source.load(indices, self._buffers.take(len(indices)))
        targets = getattr(self.source, "targets", None)  # data.open sets them: see targets.py
        batch = Batch(
            number,
            pictures,
            labels,
            draws.offsets[here],
            draws.flips[here],
            draws.noise[here],
            indices,
            draws.scale,
            targets and targets.load(indices),
        )
        readable = labels != UNREADABLE
        return batch if readable.all() else _select(batch, readable)


def _select(batch: Batch, keep: np.ndarray) -> Batch:
    return Batch(
        batch.number,
        batch.pictures[keep],
        batch.labels[keep],
        batch.offsets[keep],
        batch.flips[keep],
        batch.noise[keep],
        batch.indices[keep],
        batch.scale,
        None if batch.targets is None else batch.targets[keep],
    )
