"""Targets of a data set's pictures that are not their labels, as of costs like cost.crossent2.

They are numbers for each output of the net (a tag is there: 1, or not: 0), in two files of the data
set's folder for each part:

    targets-train.npy   (pictures, outputs), any numbers
    targets-train.txt   a line for each row: the picture, as train/CLASS/picture.jpg

and targets-val. Without the .txt the rows are in the order of the source: sorted by class and name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DataError
from .sources import Source, open_source


class Targets:
    """Rows of a table, which stays on disk, for the pictures of a source."""

    def __init__(self, values: np.ndarray, rows: np.ndarray):
        self._values, self._rows = values, rows
        self.outputs = values.shape[1]

    def load(self, indices: np.ndarray) -> np.ndarray:
        """(N,) indices of the source to (N, outputs) float32."""
        return np.asarray(self._values[self._rows[indices]], np.float32)


def open_with_targets(path: str | Path | None = None, split: str = "train", **settings: Any) -> Source:
    """`open_source`, and what targets there are in `source.targets` (None: labels only)."""
    source = open_source(path, split, **settings)
    source.targets = None if path is None else find(Path(path).expanduser(), split, source)
    return source


def find(root: Path, split: str, source: Source) -> Targets | None:
    """The targets of a part of the data set in `root`, if it has any. Raises DataError."""
    file = root / f"targets-{split}.npy"
    if not file.exists():
        return None
    try:
        values = np.load(file, mmap_mode="r")
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: {error}") from error
    if values.ndim != 2 or values.dtype.kind not in "fbiu" or not values.size:
        raise DataError(
            f"{file}: {values.dtype} of shape {values.shape}; targets are numbers (pictures, outputs)"
        )
    names = file.with_suffix(".txt")
    if names.exists():
        return Targets(values, _rows(names, root, len(values), source))
    if len(values) != len(source) or source.broken:
        raise DataError(
            f"{file}: {len(values)} rows for {len(source)} readable pictures: write {names.name} "
            "beside it, with the picture of each row in a line"
        )
    return Targets(values, np.arange(len(source)))


def _rows(names: Path, root: Path, count: int, source: Source) -> np.ndarray:
    """The row of each picture of the source, by its name."""
    lines = names.read_text(encoding="utf-8").splitlines()
    if len(lines) != count:
        raise DataError(f"{names}: {len(lines)} lines for {count} rows of targets")
    row = {line.strip(): i for i, line in enumerate(lines)}
    rows = np.empty(len(source), np.int64)
    for i in range(len(source)):
        name = source.name(i).removeprefix(f"{root}{os.sep}").replace(os.sep, "/")
        if name not in row:
            raise DataError(f"{names}: it does not name the picture {name}")
        rows[i] = row[name]
    return rows
