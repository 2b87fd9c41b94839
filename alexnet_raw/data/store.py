"""A prepared store: a folder of pictures that need no decoding, as `alexnet-raw prepare` writes it.

    store.json         written last: format, size, classes, and of each shard its pictures and checksum
    train-00000.npy    (N, size, size, 3) uint8, a shard of the pictures; val-00000.npy ...
    train-00000.npz    its labels, names, broken pictures, and sums for the statistics
    statistics.npz     mean image, channel means and colour components of all training pictures
    broken.txt         pictures that could not be read, with the reason; only if there are any

Every file is written whole or not at all, and depends on the source and the size only.
"""

from __future__ import annotations

import io
import json
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import atomic

from .augmentation import Augmentation
from .errors import DataError, NoValidationPictures, some
from .pixel_statistics import Statistics

FORMAT = "alexnet-raw pictures 1"
MANIFEST, STATISTICS, BROKEN = "store.json", "statistics.npz", "broken.txt"
PLAN = "preparing.json"  # there until the store is complete: what is being prepared
_AGAIN = "remove the folder and prepare it again"
_REPAIR = "prepare it again with --verify, which makes damaged shards anew"
_BLOCK = 1 << 24  # bytes read at once to be checked


class PreparedStore:
    """One split of a prepared store, memory-mapped; a Source.

    statistics: of all training pictures, for the training split; else None.
    words: label -> what a person calls the class (the classes' names where nothing else is known).
    """

    augmentation = Augmentation(noise="eigenvalues")

    def __init__(
        self, root: str | Path, split: str, *, size: int, classes: Sequence[str] | None = None
    ):
        self.root = Path(root)
        manifest = read_manifest(self.root)
        if manifest["size"] != size:
            raise DataError(
                f"{self.root} holds pictures of size {manifest['size']}, this net wants size {size}: "
                f"prepare them with --size {size}"
            )
        if split not in manifest["splits"]:
            raise NoValidationPictures(f"{self.root}: prepared without validation pictures")
        self.picture_shape = (size, size, 3)
        self.content_size = size
        self.broken: dict[str, str] = {}
        self.classes = list(manifest["classes"] if classes is None else classes)
        words = dict(zip(manifest["classes"], manifest["words"], strict=True))
        self.words = [words.get(name, name) for name in self.classes]
        self._shards = [shard["file"] for shard in manifest["splits"][split] if shard["pictures"]]
        self._pictures = [_map_shard(self.root / f"{name}.npy", size) for name in self._shards]
        self._first = np.cumsum([0] + [len(pictures) for pictures in self._pictures])
        labels = [read_record(self.root, name)["labels"] for name in self._shards]
        if [len(a) for a in labels] != [len(a) for a in self._pictures]:
            raise DataError(f"{self.root}: labels and pictures differ in number; {_REPAIR}")
        self._labels = self._numbered(np.concatenate(labels), manifest["classes"])
        self._names: dict[int, np.ndarray] = {}  # of the shards that were asked for
        self.statistics = _read_statistics(self.root) if split == "train" else None

    def _numbered(self, labels: np.ndarray, stored: list[str]) -> np.ndarray:
        """The labels in the numbers of self.classes."""
        if stored == self.classes:
            return labels
        if unknown := [stored[i] for i in np.unique(labels) if stored[i] not in self.classes]:
            raise DataError(
                f"{self.root}: it has pictures of {some(unknown)}; the training classes are "
                f"{some(self.classes)}"
            )
        numbers = {name: label for label, name in enumerate(self.classes)}
        return np.array([numbers.get(name, -1) for name in stored], np.int32)[labels]

    def __len__(self) -> int:
        return len(self._labels)

    def name(self, index: int) -> str:
        shard, row = self._place(index)
        if shard not in self._names:
            self._names[shard] = read_record(self.root, self._shards[shard])["names"]
        return os.fsdecode(self._names[shard][row])

    def load(self, indices: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N, size, size, 3) uint8 pictures and (N,) int32 labels."""
        if out is None:
            out = np.empty((len(indices), *self.picture_shape), np.uint8)
        for picture, index in zip(out, indices, strict=True):
            shard, row = self._place(index)
            picture[...] = self._pictures[shard][row]
        return out, self._labels[indices]

    def _place(self, index: int) -> tuple[int, int]:
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        return shard, int(index - self._first[shard])


def is_store(folder: Path) -> bool:
    """Whether a folder is a prepared store, or will be one."""
    return (folder / MANIFEST).exists() or (folder / PLAN).exists()


def read_manifest(root: Path) -> dict[str, Any]:
    """What store.json says. Raises DataError."""
    if not (root / MANIFEST).exists() and (root / PLAN).exists():
        raise DataError(f"{root} is only partly prepared: run the same 'alexnet-raw prepare' again")
    try:
        manifest = json.loads((root / MANIFEST).read_text())
        found = manifest["format"]
    except OSError as error:
        raise DataError(f"{root / MANIFEST}: {error.strerror}: it is no prepared store") from error
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{root / MANIFEST} is damaged; {_AGAIN}") from error
    if found != FORMAT:
        raise DataError(
            f"{root} has format {found!r}, this version reads {FORMAT!r}: prepare the pictures again, "
            "or use the version that wrote it"
        )
    if not _is_whole(manifest):
        raise DataError(f"{root / MANIFEST} is damaged; {_AGAIN}")
    return manifest


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether a manifest has all that is read of it."""
    try:
        shards = [shard for split in manifest["splits"].values() for shard in split]
        numbers = [
            manifest["size"],
            *(shard[key] for shard in shards for key in ("pictures", "checksum")),
        ]
        return (
            all(isinstance(number, int) for number in numbers)
            and all(isinstance(shard["file"], str) for shard in shards)
            and len(manifest["classes"]) == len(manifest["words"])
        )
    except (TypeError, KeyError, AttributeError):
        return False


def read_record(root: Path, name: str) -> dict[str, np.ndarray]:
    """What belongs to a shard besides its pictures. Raises DataError."""
    path = root / f"{name}.npz"
    try:
        with np.load(path) as record:
            return dict(record)
    except Exception as error:  # zip files and what is in them can be damaged in many ways
        raise DataError(f"{path} is damaged or missing ({error}); {_REPAIR}") from error


def check(root: Path, tick: Callable[[int], Any] = lambda pictures: None) -> Iterator[str]:
    """Reads everything in a complete store; yields a line for each damaged file."""
    manifest = read_manifest(root)
    for shard in (shard for shards in manifest["splits"].values() for shard in shards):
        if reason := shard_damage(root, shard["file"], manifest["size"], shard["checksum"]):
            yield reason
        tick(shard["pictures"])
    if reason := statistics_damage(root):
        yield reason


def statistics_damage(root: Path) -> str | None:
    """Why the statistics must be computed anew; None if they can be read."""
    try:
        _read_statistics(root)
    except DataError as error:
        return str(error)
    return None


def shard_damage(root: Path, name: str, size: int, checksum: int | None = None) -> str | None:
    """Why a shard must be made anew; None if it is whole. checksum: what the manifest says."""
    path = root / f"{name}.npy"
    try:
        record = read_record(root, name)
        stored, found = int(record["checksum"]), 0
        with path.open("rb") as file:
            header = shard_header(len(record["labels"]), size)
            if file.read(len(header)) != header:
                return f"{path} is damaged: it does not begin as a shard"
            while block := file.read(_BLOCK):
                found = zlib.crc32(block, found)
    except OSError as error:
        return f"{path}: {error.strerror}"
    except (KeyError, DataError) as error:
        return str(error)
    if found != stored or checksum not in (None, stored):
        return f"{path} is damaged: its checksum is {found:08x}, not {checksum or stored:08x}"
    return None


def shard_header(pictures: int, size: int) -> bytes:
    """What a .npy file of so many pictures begins with: always as many bytes."""
    file = io.BytesIO()
    shape = (pictures, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def write_statistics(root: Path, statistics: Statistics) -> None:
    with atomic.replacing(root / STATISTICS) as temporary, temporary.open("wb") as file:
        np.savez(file, **{f.name: np.asarray(getattr(statistics, f.name)) for f in fields(Statistics)})


def _read_statistics(root: Path) -> Statistics:
    values = read_record(root, STATISTICS.removesuffix(".npz"))
    try:
        return Statistics(**{**values, "pictures": int(values["pictures"])})
    except (TypeError, KeyError) as error:
        raise DataError(f"{root / STATISTICS} is damaged; {_REPAIR}") from error


def _map_shard(path: Path, size: int) -> np.ndarray:
    try:
        pictures = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"{path} is cut short or damaged ({reason}); {_REPAIR}") from error
    if pictures.dtype != np.uint8 or pictures.shape[1:] != (size, size, 3):
        raise DataError(f"{path} holds {pictures.dtype} {pictures.shape}, no shard; {_REPAIR}")
    return pictures.view(np.ndarray)  # of a plain array rows cost less
