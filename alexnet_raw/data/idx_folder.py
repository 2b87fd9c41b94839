"""A folder of IDX files, as MNIST and Fashion-MNIST are published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from . import idx
from .augmentation import Augmentation
from .errors import DataError, NoValidationPictures, some
from .picture import FILTER

_PREFIXES = {"train": ("train",), "val": ("t10k", "test", "val")}


class IdxFolder:
    """Pictures and labels in IDX files, a Source.

    The files are named as MNIST's: train-images-idx3-ubyte, train-labels-idx1-ubyte, and t10k-... or
    test-... for validation, each also with .gz. A file classes.txt, one name a line, names the
    classes. Grey pictures get three equal channels.

    Such pictures fill their frame, so they are centred on a black border that the random crops can
    eat: as they are if they are between 2/3 of `size` and `size` (28 in 36: 4 pixels each side),
    else scaled to 7/9 of it. Mirror images are off unless `flip`: these may be digits. No colour
    noise: most are grey.
    """

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        *,
        size: int,
        classes: Sequence[str] | None = None,
        flip: bool = False,
    ):
        self.folder = Path(folder)
        self.split = split
        self.picture_shape = (size, size, 3)
        self.augmentation = Augmentation(flip=flip)
        self.broken: dict[str, str] = {}
        images_file = _find(self.folder, split, "images")
        if images_file is None:
            if split == "val":
                raise NoValidationPictures(f"{self.folder}: no t10k-images or test-images IDX file")
            raise DataError(f"{self.folder}: no train-images IDX file")
        self._images = _read_images(images_file)
        self._labels = _read_labels(self.folder, split)
        if len(self._images) != len(self._labels):
            raise DataError(
                f"{images_file}: {len(self._images)} pictures but {len(self._labels)} labels"
            )
        named = _named_classes(self.folder)
        if classes is not None and named is not None and list(classes) != named:
            raise DataError(
                f"{self.folder}: its classes are {some(named)}; the training classes are "
                f"{some(classes)}"
            )
        self.classes = list(classes or named or _numbered_classes(self.folder))
        if self._labels.max() >= len(self.classes):
            raise DataError(
                f"{self.folder}: {split} label {self._labels.max()}, but there are only "
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


def is_idx_folder(folder: Path) -> bool:
    """Whether there are IDX pictures for any split."""
    return any(_find(folder, split, "images") for split in _PREFIXES)


def _find(folder: Path, split: str, what: str) -> Path | None:
    pattern = re.compile(rf"({'|'.join(_PREFIXES[split])})-{what}[-.]idx\d-ubyte(\.gz)?$")
    return next((path for path in sorted(folder.iterdir()) if pattern.match(path.name)), None)


def _read_images(file: Path) -> np.ndarray:
    """(N, H, W, 1 or 3) uint8."""
    images = idx.read(file)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise DataError(
            f"{file}: {images.dtype} values of shape {images.shape}; pictures are uint8 "
            "(N, H, W) or (N, H, W, 3)"
        )
    if images.size == 0:
        raise DataError(f"{file}: no pictures in it: shape {images.shape}")
    return images


def _read_labels(folder: Path, split: str) -> np.ndarray:
    file = _find(folder, split, "labels")
    if file is None:
        raise DataError(f"{folder}: no labels IDX file for the {split} pictures")
    labels = idx.read(file)
    if labels.ndim != 1 or labels.dtype.kind not in "ui":
        raise DataError(f"{file}: {labels.dtype} of shape {labels.shape}; labels are whole numbers")
    if labels.size and labels.min() < 0:
        raise DataError(f"{file}: label {labels.min()} is negative")
    return labels.astype(np.int32)


def _named_classes(folder: Path) -> list[str] | None:
    names = folder / "classes.txt"
    return names.read_text(encoding="utf-8").splitlines() if names.exists() else None


def _numbered_classes(folder: Path) -> list[str]:
    split = "train" if _find(folder, "train", "labels") else "val"
    return [str(label) for label in range(_read_labels(folder, split).max(initial=0) + 1)]


def _scale(image: np.ndarray, scale: float) -> np.ndarray:
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    pixels = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    return np.asarray(pixels.resize((width, height), FILTER)).reshape(height, width, -1)
