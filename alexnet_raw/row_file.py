"""Rows of numbers for many pictures, written as they come: features, probabilities.

Neither the rows nor their number need be known in advance, and never more than a batch is in memory.
Two formats:

    .safetensors  a matrix (pictures, width) float32 of the given name, labels (pictures,) int32, and
                  names: the pictures' names, UTF-8 bytes, a line each. JSON in the header, under the
                  key of our checkpoints, tells what made it.
    .npy          the matrix alone; labels in NAME.labels.npy and names in NAME.names.txt beside it.

Both have a header before the rows that tells their number. Room is left for it and filled at the end.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from alexnet_raw import atomic
from alexnet_raw.checkpoint import KEY, CheckpointError, load_metadata

SUFFIXES = (".safetensors", ".npy")
NPY_HEADER = 128  # bytes; NumPy's own are padded to multiples of 64 too
ROOM = 1024  # bytes for the names, sizes and offsets of a safetensors header


def check_name(flag: str, path: str | Path, suffixes: Sequence[str] = SUFFIXES) -> Path:
    """As `atomic.check_name`; refuses also to write over a checkpoint, which has the same ending."""
    path = atomic.check_name(flag, path, suffixes)
    with contextlib.suppress(CheckpointError):
        load_metadata(path)
        raise ValueError(f"{flag} {path}: that is a checkpoint; give another file name")
    return path


class RowWriter:
    """What `create` gives: `add` rows to it."""

    def __init__(self, file: io.BufferedWriter, width: int, room: int):
        self._file, self._width = file, width
        self.labels: list[np.ndarray] = []
        self.names: list[str] = []
        file.write(b" " * room)

    def add(self, rows: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> None:
        """rows (n, width), labels (n,), n names: of the next n pictures."""
        if rows.shape != (len(labels), self._width) or len(names) != len(labels):
            raise ValueError(f"rows {rows.shape}, {len(labels)} labels and {len(names)} names")
        self._file.write(np.ascontiguousarray(rows, "<f4").data)
        self.labels.append(np.asarray(labels, "<i4"))
        self.names += [name.replace("\n", " ") for name in names]


@contextlib.contextmanager
def create(path: str | Path, name: str, width: int, metadata: dict[str, Any]) -> Iterator[RowWriter]:
    """Writes a file of rows, whole or not at all.

    name: of the matrix; width: of its rows; metadata: what JSON can express (.npy drops it).
    """
    path = check_name("file", path)
    header = {KEY: json.dumps({"format": f"alexnet-raw {name} 1", **metadata}, allow_nan=False)}
    as_npy = path.suffix.lower() == ".npy"
    room = NPY_HEADER if as_npy else 8 + _padded(len(json.dumps(header)) + ROOM)
    with atomic.replacing(path) as temporary, temporary.open("wb") as file:
        writer = RowWriter(file, width, room)
        yield writer
        labels = np.concatenate([np.zeros(0, "<i4"), *writer.labels])
        names = "\n".join(writer.names).encode()
        if as_npy:
            _save_beside(path, labels, names)
            start = _npy_header((len(labels), width))
        else:
            file.write(labels.tobytes() + names)
            start = _safetensors_header(name, (len(labels), width), len(names), header, room)
        file.seek(0)
        file.write(start)
        file.flush()


class RowFile:
    """A safetensors file that `create` wrote. Rows are read when they are asked for."""

    def __init__(self, path: str | Path, name: str):
        """Raises ValueError naming the file when it is not whole, or does not hold ``name``."""
        self.path = Path(path)
        try:
            self._file = safe_open(self.path, framework="numpy")
            self.metadata: dict[str, Any] = json.loads((self._file.metadata() or {}).get(KEY, "{}"))
        except (OSError, SafetensorError, ValueError) as error:
            raise ValueError(f"{path} is not a whole safetensors file: {error}") from error
        if self.metadata.get("format") != f"alexnet-raw {name} 1":
            raise ValueError(f"{path} holds no {name} that alexnet-raw saved")
        self._rows = self._file.get_slice(name)
        self.shape: tuple[int, int] = tuple(self._rows.get_shape())
        self.labels: np.ndarray = self._file.get_tensor("labels")
        self.names: list[str] = self._file.get_tensor("names").tobytes().decode().split("\n")

    def __len__(self) -> int:
        return self.shape[0]

    def rows(self, start: int, stop: int) -> np.ndarray:
        """(stop - start, width) float32."""
        return self._rows[start:stop]


def _save_beside(path: Path, labels: np.ndarray, names: bytes) -> None:
    with atomic.replacing(path.with_suffix(".labels.npy")) as file, file.open("wb") as out:
        np.save(out, labels)
    with atomic.replacing(path.with_suffix(".names.txt")) as file:
        file.write_bytes(names + b"\n")


def _npy_header(shape: tuple[int, int]) -> bytes:
    """NumPy's format, version 1.0: magic, version, length of the text, text ending in a newline."""
    text = repr({"descr": "<f4", "fortran_order": False, "shape": shape}).encode()
    text = text.ljust(NPY_HEADER - 11) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def _safetensors_header(
    name: str, shape: tuple[int, int], name_bytes: int, metadata: dict[str, str], room: int
) -> bytes:
    """The length of the JSON in 8 bytes, then the JSON; spaces may follow it."""
    sizes = {
        name: ("F32", list(shape), 4 * shape[0] * shape[1]),
        "labels": ("I32", [shape[0]], 4 * shape[0]),
        "names": ("U8", [name_bytes], name_bytes),
    }
    header: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    for tensor, (dtype, dims, size) in sizes.items():
        header[tensor] = {"dtype": dtype, "shape": dims, "data_offsets": [offset, offset + size]}
        offset += size
    return (room - 8).to_bytes(8, "little") + json.dumps(header).encode().ljust(room - 8)


def _padded(size: int) -> int:
    return -(-size // 8) * 8
