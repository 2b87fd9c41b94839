"""Where pictures come from: a prepared store, a folder of pictures or IDX files, the packaged set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from alexnet_raw.parallel import ALONE, Ranks

from . import cifar, idx_folder, picture_folder
from .augmentation import Augmentation
from .cifar import CifarFolder
from .errors import DataError
from .idx_folder import IdxFolder
from .picture_folder import PictureFolder
from .store import PreparedStore, is_store

_FASHION_MNIST = Path(__file__).parent / "fashion_mnist"


class Source(Protocol):
    """Labelled pictures, prepared to one size. `load` may be called from several threads."""

    classes: list[str]  # label -> name
    picture_shape: tuple[int, int, int]  # (H, W, C)
    content_size: int  # the longer side of what a picture shows; around it, it is black
    augmentation: Augmentation  # what suits these pictures in training
    broken: Mapping[str, str]  # pictures found unreadable so far: name -> reason

    def __len__(self) -> int: ...

    def load(self, indices: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N,) indices to (N, H, W, C) uint8 pictures and (N,) int32 labels.

        out: the array of pictures to fill and return. The label of a picture that cannot be read is
        UNREADABLE (-1); the loader leaves it out.
        """

    def name(self, index: int) -> str:
        """What a person would call this picture: its file, or its place in a file."""


def picture_size(crop: int) -> int:
    """The side of the prepared pictures for a net that sees crop x crop: 256 for 224, 36 for 32."""
    return crop * 8 // 7


def open_source(
    path: str | Path | None = None,
    split: str = "train",
    *,
    size: int,
    classes: Sequence[str] | None = None,
    progress: bool = True,
    ranks: Ranks = ALONE,
) -> Source:
    """Open the "train" or "val" part of a data set, its pictures prepared to size x size.

    path is a store that `alexnet-raw prepare` wrote, a folder of pictures (train/CLASS/*.jpg and
    val/CLASS/*.jpg, or CLASS/*.jpg, which is all training), a folder of IDX files or of CIFAR's
    binary files, or None for the packaged part of Fashion-MNIST. classes fixes the labels, as when a
    trained net is evaluated; otherwise the training part's class folders, sorted by name, do, for
    "val" too. ranks: who open it together. Raises NoValidationPictures where there is no validation
    part, DataError for anything else that is not as it should be.
    """
    if split not in ("train", "val"):
        raise ValueError(f'split="{split}": must be "train" or "val"')
    if size < 1:
        raise ValueError(f"size={size}: must be 1 or more")
    if path is None:
        return IdxFolder(_FASHION_MNIST, split, size=size, classes=classes, flip=True)
    root = Path(path).expanduser()
    if not root.exists():
        raise DataError(f"{root}: no such folder")
    if not root.is_dir():
        raise DataError(f"{root}: not a folder; unpack an archive, or prepare it: alexnet-raw prepare")
    if is_store(root):
        return PreparedStore(root, split, size=size, classes=classes)
    if idx_folder.is_idx_folder(root):
        return IdxFolder(root, split, size=size, classes=classes)
    if cifar.is_cifar_folder(root):
        return CifarFolder(root, split, size=size, classes=classes)
    train, folder = picture_folder.split_folders(root, split)
    if classes is None and train is not None:
        classes = picture_folder.training_classes(train)
    return PictureFolder(folder, size=size, classes=classes, progress=progress, ranks=ranks)
