"""Small pictures that come as arrays, whole in memory: MNIST, Fashion-MNIST, CIFAR."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from .augmentation import Augmentation
from .errors import DataError, some
from .picture import FILTER


class PictureArrays:
    """Arrays of pictures and labels, a Source.

    Such pictures fill their frame, so they are centred on a black border that the random crops can
    eat: as they are if they are between 2/3 of `size` and `size` (28 in 36: 4 pixels each side),
    else scaled to 7/9 of it. No colour noise.

    Args:
        images: (N, H, W, 1 or 3) uint8.
        labels: (N,) int32, of the classes `named`.
        classes: those of the training pictures, if they are known; they must be the same.
        flip: mirror half of the pictures in training.
    """

    def __init__(
        self,
        folder: Path,
        split: str,
        images: np.ndarray,
        labels: np.ndarray,
        named: Sequence[str],
        classes: Sequence[str] | None,
        *,
        size: int,
        flip: bool,
    ):
        self.folder, self.split = folder, split
        self.picture_shape = (size, size, 3)
        self.augmentation = Augmentation(flip=flip)
        self.broken: dict[str, str] = {}
        self._images, self._labels = images, labels
        if classes is not None and list(classes) != list(named):
            raise DataError(
                f"{folder}: its classes are {some(named)}; the training classes are {some(classes)}"
            )
        self.classes = list(named)
        if labels.max() >= len(self.classes):
            raise DataError(
                f"{folder}: {split} label {labels.max()}, but there are only "
                f"{len(self.classes)} classes"
            )

    @property
    def content_size(self) -> int:
        """The longer side of the pictures as they are put into the frame."""
        size, longer = self.picture_shape[0], max(self._images.shape[1:3])
        return longer if 2 * size <= 3 * longer <= 3 * size else max(1, size * 7 // 9)

    def __len__(self) -> int:
        return len(self._labels)

    def name(self, index: int) -> str:
        return f"{self.split} picture {index}"

    def load(self, indices: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N, size, size, 3) uint8 pictures and (N,) int32 labels."""
        images, size = self._images[indices], self.picture_shape[0]
        scale = self.content_size / max(images.shape[1:3])
        if scale != 1 and len(images):
            images = np.stack([_scale(image, scale) for image in images])
        count, height, width, _ = images.shape
        top, left = (size - height) // 2, (size - width) // 2
        pictures = np.empty((count, *self.picture_shape), np.uint8) if out is None else out
        pictures[...] = 0
        pictures[:, top : top + height, left : left + width] = images  # grey: copied to 3 channels
        return pictures, self._labels[indices]


def _scale(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    pixels = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(pixels.resize((width, height), FILTER)).reshape(height, width, -1)
