"""The mean image and the principal components of the colours (paper, sections 2 and 4.1).

Everything is summed in whole numbers, exactly, so the result is the same to the bit for any number
of threads and any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from alexnet_raw.device import Device
from alexnet_raw.parallel import ALONE, Ranks

from .errors import DataError
from .parallel import default_threads, ordered_map
from .picture_folder import UNREADABLE

_CHUNK = 32  # pictures per job


@dataclass(frozen=True)
class Statistics:
    """Of pictures with pixel values 0..255."""

    mean_image: np.ndarray  # (C, H, W) float32
    channel_means: np.ndarray  # (C,) float32
    std_devs: np.ndarray  # (C,) float32, along each principal component, ascending
    eigenvectors: np.ndarray  # (C, C) float32, column i is component i, its largest entry positive
    pictures: int  # how many were looked at


class PixelSums:
    """Sums over pictures of one size, to be added up in any order."""

    def __init__(self, total: np.ndarray, products: np.ndarray, pictures: int):
        self.total = total  # (H, W, 3) int64
        self.products = products  # (3, 3) int64, of colour i times colour j over all pixels
        self.pictures = pictures

    @classmethod
    def zero(cls, picture_shape: tuple[int, int, int]) -> PixelSums:
        return cls(np.zeros(picture_shape, np.int64), np.zeros((3, 3), np.int64), 0)

    @classmethod
    def of(cls, pictures: np.ndarray) -> PixelSums:
        """Of (N, H, W, 3) uint8 pictures."""
        total = np.zeros(pictures.shape[1:], np.int32)
        products = np.zeros((3, 3), np.int64)
        if len(pictures):
            products += Device("cpu").module.picture_sums(total, np.ascontiguousarray(pictures))
        return cls(total.astype(np.int64), products, len(pictures))

    def add(self, other: PixelSums) -> None:
        self.total += other.total
        self.products += other.products
        self.pictures += other.pictures

    def statistics(self) -> Statistics:
        pixels = self.pictures * self.total[..., 0].size
        means = self.total.sum(axis=(0, 1)) / pixels
        std_devs, eigenvectors = principal_components(self.products / pixels - np.outer(means, means))
        return Statistics(
            mean_image=(self.total / self.pictures).transpose(2, 0, 1).astype(np.float32),
            channel_means=means.astype(np.float32),
            std_devs=std_devs.astype(np.float32),
            eigenvectors=eigenvectors.astype(np.float32),
            pictures=self.pictures,
        )


def statistics(
    source,
    *,
    limit: int | None = 20_000,
    threads: int | None = None,
    progress: bool = True,
    ranks: Ranks = ALONE,
) -> Statistics:
    """Statistics of a source, from at most `limit` pictures spread evenly over it (None: from all).

    20,000 pictures give the mean image to about half a grey level. A prepared store has them already,
    of all its training pictures. Unreadable pictures are left out. Raises DataError if none can be
    read. Several ranks each look at a part of the pictures, and all get the same.
    """
    stored = getattr(source, "statistics", None)
    if stored is not None:
        return stored
    used = len(source) if limit is None else min(len(source), max(limit, 1))
    indices = np.linspace(0, len(source) - 1, used).round().astype(np.int64)
    chunks = np.array_split(indices, -(-used // _CHUNK))[ranks.rank :: ranks.size]
    threads = threads or default_threads()

    def sums(chunk: np.ndarray) -> PixelSums:
        pictures, labels = source.load(chunk)
        return PixelSums.of(pictures[labels != UNREADABLE])

    own = PixelSums.zero(source.picture_shape)
    results = ordered_map(sums, chunks, threads=threads, ahead=2 * threads)
    disable = None if progress else True
    total = sum(map(len, chunks))
    bar = tqdm(total=total, desc="mean image", unit=" pictures", delay=2, leave=False, disable=disable)
    with bar:
        for part in results:
            own.add(part)
            bar.update(part.pictures)
    whole = PixelSums.zero(source.picture_shape)
    for part in ranks.gather(own):
        whole.add(part)
    if whole.pictures == 0:
        raise DataError("no picture can be read, so there is no mean image")
    return whole.statistics()


def principal_components(covariance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations, ascending, and eigenvectors as columns, their sign made definite."""
    variances, vectors = np.linalg.eigh(covariance)
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.sign(vectors[largest, np.arange(len(vectors))])
    return np.sqrt(variances.clip(min=0)), vectors
