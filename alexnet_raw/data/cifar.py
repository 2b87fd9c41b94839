"""CIFAR-10 and CIFAR-100 in their binary version, as their authors publish them.

A record is the label (CIFAR-100: the coarse one, then the fine one, which counts), a byte each, then
3072 bytes: a plane of 32 x 32 for red, green and blue.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .errors import DataError, NoValidationPictures
from .picture_arrays import PictureArrays

# Of CIFAR-10 and -100: training files, test file, names of the classes, bytes of labels.
_SETS = (
    ([f"data_batch_{i}.bin" for i in range(1, 6)], "test_batch.bin", "batches.meta.txt", 1),
    (["train.bin"], "test.bin", "fine_label_names.txt", 2),
)
_PIXELS = 3 * 32 * 32


class CifarFolder(PictureArrays):
    """The files of cifar-10-binary.tar.gz or cifar-100-binary.tar.gz, unpacked."""

    def __init__(
        self,
        folder: str | Path,
        split: str = "train",
        *,
        size: int,
        classes: Sequence[str] | None = None,
    ):
        folder = Path(folder)
        train, test, names, label_bytes = next(s for s in _SETS if _is_there(folder, s))
        files = [folder / name for name in (train if split == "train" else [test])]
        if split == "val" and not files[0].exists():
            raise NoValidationPictures(f"{folder}: no {test}")
        records = np.concatenate([_read(file, label_bytes + _PIXELS) for file in files])
        labels = records[:, label_bytes - 1].astype(np.int32)
        images = records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        named = [str(label) for label in range(10**label_bytes)]
        if (folder / names).exists():
            named = (folder / names).read_text(encoding="utf-8").split()
        images = np.ascontiguousarray(images)
        super().__init__(folder, split, images, labels, named, classes, size=size, flip=True)


def is_cifar_folder(folder: Path) -> bool:
    """Whether the binary files of CIFAR are there."""
    return any(_is_there(folder, files) for files in _SETS)


def _is_there(folder: Path, files: tuple) -> bool:
    return any((folder / name).exists() for name in (*files[0], files[1]))


def _read(file: Path, record: int) -> np.ndarray:
    """(N, record) uint8."""
    try:
        values = np.fromfile(file, np.uint8)
    except OSError as error:
        raise DataError(f"{file}: {error.strerror}: unpack all files of the archive") from error
    if len(values) == 0 or len(values) % record:
        raise DataError(
            f"{file}: {len(values):,} bytes are no whole records of {record:,}: unpack it again"
        )
    return values.reshape(-1, record)
