"""What is drawn at random for each picture of an epoch: the order, crops, mirrors, colour noise.

Paper, section 4.1. The draws of a whole epoch are made at once, before its first batch, from
NumPy's Philox generator with key (seed, what is drawn) and counter (0, 0, 0, epoch). So they
depend on the seed and the epoch alone: not on threads, not on the batch size, not on where a
resumed run begins. Draw i belongs to the i-th picture of the epoch's order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .loader import Batch
    from .pixel_statistics import Statistics


NOISES = ("none", "eigenvalues", "deviations")


@dataclass(frozen=True)
class Augmentation:
    """How training pictures are varied.

    Crop and mirror are drawn once for `shared_crops` pictures that follow each other; the authors
    ran 32.

    Colour noise adds sum_i a_i * s_i * e_i to every pixel of a picture, with a_i drawn from
    N(0, noise_std) (0.1 in the paper) and e_i the principal components of the pixels. In the paper's
    text s_i are the eigenvalues, which suits pixels in 0..1: noise="eigenvalues" counts so, and adds
    255 times that. The authors ran noise="deviations": s_i are the standard deviations of pixels in
    0..255, and the sum of picture and noise is divided by 1 + noise_std, so that its contrast is
    about that of test pictures. From epoch `noise_epochs` on (None: never) there is no noise.
    """

    random_crop: bool = True
    flip: bool = True
    noise: str = "none"
    noise_std: float = 0.1
    noise_epochs: int | None = None
    shared_crops: int = 1

    def __post_init__(self) -> None:
        if self.noise not in NOISES:
            raise ValueError(f"noise={self.noise!r}: must be one of {', '.join(NOISES)}")
        if not self.noise_std >= 0:
            raise ValueError(f"noise_std={self.noise_std}: must be 0 or more")
        if self.shared_crops < 1:
            raise ValueError(f"shared_crops={self.shared_crops}: must be 1 or more")

    def has_noise(self, epoch: int) -> bool:
        """Whether the pictures of that epoch (from 0) get colour noise."""
        past = self.noise_epochs is not None and epoch >= self.noise_epochs
        return self.noise != "none" and self.noise_std > 0 and not past


NO_AUGMENTATION = Augmentation(random_crop=False, flip=False)


class _Draw(IntEnum):
    ORDER = 1
    CROP = 2
    FLIP = 3
    NOISE = 4


@dataclass(frozen=True)
class EpochDraws:
    """Position i of an epoch: which picture, and what happens to it."""

    order: np.ndarray  # (N,) int64, picture indices
    offsets: np.ndarray  # (N, 2) int32, top and left of the crop
    flips: np.ndarray  # (N,) uint8, 1 = mirrored
    noise: np.ndarray  # (N, C) float32, added per channel, in pixel units (0..255)
    scale: float  # that pictures are multiplied by, then


def draw_epoch(
    pictures: int,
    picture_shape: tuple[int, int, int],
    crop: int,
    augmentation: Augmentation,
    statistics: Statistics | None,
    *,
    shuffle: bool,
    seed: int,
    epoch: int,
) -> EpochDraws:
    """All draws of one epoch over `pictures` pictures of shape (H, W, C)."""
    height, width, channels = picture_shape

    def generator(draw: _Draw) -> np.random.Generator:
        key = np.array([seed, draw], np.uint64)
        counter = np.array([0, 0, 0, epoch], np.uint64)
        return np.random.Generator(np.random.Philox(key=key, counter=counter))

    groups = -(-pictures // augmentation.shared_crops)
    order = np.arange(pictures)
    if shuffle:
        order = generator(_Draw.ORDER).permutation(pictures)
    if augmentation.random_crop:
        free = [height - crop + 1, width - crop + 1]
        offsets = generator(_Draw.CROP).integers(0, free, (groups, 2), np.int32)
        offsets = np.repeat(offsets, augmentation.shared_crops, axis=0)[:pictures]
    else:
        offsets = np.tile(centre_offset(picture_shape, crop), (pictures, 1))
    flips = np.zeros(pictures, np.uint8)
    if augmentation.flip:
        flips = generator(_Draw.FLIP).integers(0, 2, groups, np.uint8)
        flips = np.repeat(flips, augmentation.shared_crops)[:pictures]
    noise, scale = np.zeros((pictures, channels), np.float32), 1.0
    if augmentation.has_noise(epoch):
        alphas = generator(_Draw.NOISE).standard_normal((pictures, channels), np.float32)
        strengths = statistics.std_devs
        if augmentation.noise == "eigenvalues":
            strengths = strengths**2 / 255
        else:
            scale = 1 / (1 + augmentation.noise_std)
        alphas *= np.float32(augmentation.noise_std)
        noise = colour_noise(alphas, strengths, statistics.eigenvectors)
    return EpochDraws(order, offsets, flips, noise, scale)


def colour_noise(alphas: np.ndarray, strengths: np.ndarray, eigenvectors: np.ndarray) -> np.ndarray:
    """(N, C) random factors to (N, C) additions: alphas times strengths, along the components.

    Written as a sum of columns, not a matrix product, whose rounding may vary with N.
    """
    noise = np.zeros_like(alphas)
    for i, strength in enumerate(strengths):
        noise += alphas[:, i, None] * (strength * eigenvectors[:, i])
    return noise


def centre_offset(picture_shape: tuple[int, int, int], crop: int) -> np.ndarray:
    """(2,) int32: top and left of the central crop."""
    height, width, _ = picture_shape
    return np.array([(height - crop) // 2, (width - crop) // 2], np.int32)


def ten_views(batch: Batch, crop: int) -> Iterator[Batch]:
    """The paper's ten test views of a batch: four corners and the centre, then their mirror images.

    Each view shares the batch's pictures and labels; average the ten predictions.
    """
    _, height, width, channels = batch.pictures.shape
    bottom, right = height - crop, width - crop
    centre = tuple(centre_offset((height, width, channels), crop))
    for flip in (0, 1):
        for offset in ((0, 0), (0, right), (bottom, 0), (bottom, right), centre):
            yield replace(
                batch,
                offsets=np.tile(np.array(offset, np.int32), (len(batch), 1)),
                flips=np.full(len(batch), flip, np.uint8),
                noise=np.zeros((len(batch), channels), np.float32),
            )
