"""Probabilities of a set of pictures, saved to be averaged or looked at later.

A safetensors file (row_file.py): probabilities (pictures, outputs) float32, labels (pictures,) int32,
names, and in the header what made them: classes (and their names for people), checkpoint (file,
SHA-256, net), views, split.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import data, row_file
from alexnet_raw.data.errors import shown
from alexnet_raw.evaluation import Visitor, outputs
from alexnet_raw.model import Model
from alexnet_raw.row_file import RowFile

KIND = "probabilities"
SUFFIXES = (".safetensors",)
CHUNK = 1024  # pictures at a time


@contextlib.contextmanager
def saving(
    path: str | Path, model: Model, checkpoint: Path, source: data.Source, **about: Any
) -> Iterator[Visitor]:
    """A visitor for `evaluation.evaluate` that writes the file, whole or not at all.

    about: what else to note in the header, such as views and split.
    """
    names = {"classes": model.classes, "names": model.names}
    metadata = {**names, "checkpoint": made_by(model, checkpoint), **about}
    with row_file.create(path, KIND, outputs(model), metadata) as out:
        yield lambda batch, rows: out.add(rows, batch.labels, picture_names(source, batch.indices))


def load(path: str | Path) -> RowFile:
    """Opens such a file; ValueError naming it where it is none, or broken."""
    return RowFile(path, KIND)


def is_saved(path: str | Path) -> bool:
    """Whether a file is one that `load` opens, and not for instance a checkpoint."""
    try:
        load(path)
    except ValueError:
        return False
    return True


def chunks(count: int) -> Iterator[slice]:
    """The slices that so many pictures are handled in."""
    return (slice(i, min(i + CHUNK, count)) for i in range(0, count, CHUNK))


def picture_names(source: data.Source, indices: Sequence[int] | np.ndarray) -> list[str]:
    """What the source calls its pictures, without the folder that it is in; each on one line."""
    folder = f"{getattr(source, 'folder', '')}/"
    return [shown(source.name(int(i)).removeprefix(folder)) for i in indices]


def made_by(model: Model, checkpoint: Path) -> dict[str, str]:
    """Which checkpoint something was computed with, for a file's header."""
    file = str(checkpoint.absolute())
    return {"file": file, "sha256": sha256(checkpoint), "net": model.spec.name}


def sha256(path: str | Path) -> str:
    """Of a file, in hexadecimal: which checkpoint it was, whatever its name."""
    digest, block = hashlib.sha256(), bytearray(1 << 20)
    with open(path, "rb") as file:
        while count := file.readinto(block):
            digest.update(memoryview(block)[:count])
    return digest.hexdigest()
