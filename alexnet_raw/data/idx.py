"""IDX files: the format of MNIST and its successors.

Two zero bytes, a byte for the type, a byte for the number of dimensions, each dimension as a
big-endian 32-bit number, then the values. Often compressed with gzip.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from .errors import DataError

_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MAX_DIMENSIONS = 4


def read(path: str | Path) -> np.ndarray:
    """The array in an IDX file, gzipped or not. Raises DataError naming the file."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            zipped = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if zipped else path.open("rb") as file:
            return _parse(file, path)
    except EOFError as error:
        raise DataError(f"{path}: the gzip data are truncated; fetch the file again") from error
    except (OSError, zlib.error) as error:
        raise DataError(f"{path}: {error}") from error


def _parse(file, path: Path) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in _DTYPES:
        raise DataError(f"{path}: not an IDX file: it begins with {magic.hex(' ') or 'nothing'}")
    dtype, dimensions = np.dtype(_DTYPES[magic[2]]), magic[3]
    if not 1 <= dimensions <= _MAX_DIMENSIONS:
        raise DataError(f"{path}: {dimensions} dimensions; expected 1 to {_MAX_DIMENSIONS}")
    sizes = file.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(f"{path}: truncated in its header")
    shape = struct.unpack(f">{dimensions}I", sizes)
    expected = math.prod(shape) * dtype.itemsize
    values = file.read()
    if len(values) != expected:
        what = "truncated" if len(values) < expected else "too long"
        raise DataError(
            f"{path}: {what}: shape {shape} needs {expected} bytes of values, found {len(values)}"
        )
    return np.frombuffer(values, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def write(path: str | Path, array: np.ndarray) -> None:
    """Write an IDX file; with gzip, and the same bytes every time, if the name ends in .gz."""
    types = {np.dtype(name).newbyteorder("="): code for code, name in _DTYPES.items()}
    header = struct.pack(f">HBB{array.ndim}I", 0, types[array.dtype], array.ndim, *array.shape)
    data = header + array.astype(_DTYPES[types[array.dtype]]).tobytes()
    if str(path).endswith(".gz"):
        data = gzip.compress(data, 9, mtime=0)
    Path(path).write_bytes(data)
