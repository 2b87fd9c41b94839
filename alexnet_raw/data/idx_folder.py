"""A folder of IDX files, as MNIST and Fashion-MNIST are published."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import idx
from .errors import DataError, NoValidationPictures
from .picture_arrays import PictureArrays

_PREFIXES = {"train": ("train",), "val": ("t10k", "test", "val")}


class IdxFolder(PictureArrays):
    """Pictures and labels in IDX files.

    The files are named as MNIST's: train-images-idx3-ubyte, train-labels-idx1-ubyte, and t10k-... or
    test-... for validation, each also with .gz. A file classes.txt, one name a line, names the
    classes. Grey pictures get three equal channels. Mirror images are off unless `flip`: these may
    be digits.
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
        folder = Path(folder)
        file = _find(folder, split, "images")
        if file is None:
            if split == "val":
                raise NoValidationPictures(f"{folder}: no t10k-images or test-images IDX file")
            raise DataError(f"{folder}: no train-images IDX file")
        images, labels = _read_images(file), _read_labels(folder, split)
        if len(images) != len(labels):
            raise DataError(f"{file}: {len(images)} pictures but {len(labels)} labels")
        named = _named_classes(folder)
        known = named or list(classes or _numbered_classes(folder))
        super().__init__(folder, split, images, labels, known, classes, size=size, flip=flip)


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
