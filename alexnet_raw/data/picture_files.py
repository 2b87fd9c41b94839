"""The files of pictures that `prepare` reads: in class folders, or inside a tar of class folders.

Archives are never unpacked: they are listed once, then each picture is read from its place.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from .errors import DataError, NoValidationPictures, PictureError, shown, some
from .picture import SUFFIXES
from .picture_folder import TRAIN_NAMES, VAL_NAMES, PictureFolder, split_folders, training_classes

_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open, b"\xfd7": lzma.open}
_DAMAGED = (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, OSError)


class PictureFiles(Protocol):
    """Encoded pictures with labels, in a fixed order."""

    names: Sequence[str]  # relative to the source
    labels: np.ndarray  # (N,) int32
    sizes: np.ndarray  # (N,) int64, bytes; -1: cannot be read
    sequential: bool  # to be read in order, by one thread

    def read(self, index: int) -> bytes:
        """The bytes of one file. Raises PictureError."""


@dataclass(frozen=True)
class PictureSet:
    """What `prepare` prepares."""

    classes: list[str]  # label -> name
    words: list[str]  # label -> what a person calls it
    splits: dict[str, PictureFiles]  # "train", and "val" where there is one

    def fingerprint(self) -> str:
        """The same for the same classes and the same files: names, sizes and labels, in order."""
        digest = hashlib.blake2b(repr((self.classes, self.words)).encode(), digest_size=16)
        for split, files in self.splits.items():
            digest.update(split.encode() + b"\0")
            digest.update(b"\0".join(map(os.fsencode, files.names)))
            digest.update(np.ascontiguousarray(files.labels, "<i4"))
            digest.update(np.ascontiguousarray(files.sizes, "<i8"))
        return digest.hexdigest()


class FolderFiles:
    """Of a PictureFolder."""

    sequential = False

    def __init__(self, root: Path, folder: PictureFolder):
        self._root = root
        self.names = [os.path.relpath(file, root) for file in folder.files]
        self.labels = folder.labels
        self.sizes = np.array([_size(file) for file in folder.files], np.int64)

    def read(self, index: int) -> bytes:
        try:
            return (self._root / self.names[index]).read_bytes()
        except OSError as error:
            raise PictureError(error.strerror or str(error)) from error


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:
        return -1


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive."""

    name: str
    offset: int
    size: int
    reason: str = ""  # why it cannot be read


class TarFiles:
    """Members of uncompressed archives; `archives` tells for each which file it is in."""

    sequential = False

    def __init__(self, members: Sequence[Member], labels: Sequence[int], archives: Sequence[Path]):
        self.names = [member.name for member in members]
        self.labels = np.array(labels, np.int32)
        self.sizes = np.array([-1 if m.reason else m.size for m in members], np.int64)
        self._reasons = {i: member.reason for i, member in enumerate(members) if member.reason}
        self._offsets = np.array([member.offset for member in members], np.int64)
        self._files = {path: path.open("rb", buffering=0) for path in dict.fromkeys(archives)}
        numbers = {path: number for number, path in enumerate(self._files)}
        self._archives = np.array([numbers[path] for path in archives], np.int32)
        self._descriptors = [file.fileno() for file in self._files.values()]

    def read(self, index: int) -> bytes:
        if index in self._reasons:
            raise PictureError(self._reasons[index])
        offset, size = int(self._offsets[index]), int(self.sizes[index])
        return os.pread(self._descriptors[self._archives[index]], size, offset)


class CompressedTarFiles(TarFiles):
    """The same of one compressed archive, which is unpacked again while they are read in order."""

    sequential = True

    def __init__(self, members: Sequence[Member], labels: Sequence[int], archives: Sequence[Path]):
        super().__init__(members, labels, archives)
        self._unpacked = _opener(archives[0])(archives[0], "rb")

    def read(self, index: int) -> bytes:
        if index in self._reasons:
            raise PictureError(self._reasons[index])
        self._unpacked.seek(int(self._offsets[index]))
        return self._unpacked.read(int(self.sizes[index]))


def open_folder(root: Path) -> PictureSet:
    """Folders train/CLASS and val/CLASS, or CLASS."""
    train, _ = split_folders(root, "train")
    classes = training_classes(train)
    splits = {}
    for split in ("train", "val"):
        try:
            _, folder = split_folders(root, split)
        except NoValidationPictures:
            continue
        pictures = PictureFolder(folder, size=1, classes=classes, cache_bytes=-1)
        splits[split] = FolderFiles(root, pictures)
    return PictureSet(classes, classes, splits)


def open_tar(archive: Path) -> PictureSet:
    """An archive of such a folder, compressed or not; pictures keep their order in it."""
    opener = _opener(archive)
    length = archive.stat().st_size if opener is open else None
    with opener(archive, "rb") as file:
        found = _by_split(_pictures(list(tar_members(file, archive.name, 0, length))), archive)
    classes = sorted({name for name, _ in found["train"]})
    if len(classes) < 2:
        raise DataError(f"{archive}: there must be two classes (folders) or more, not {len(classes)}")
    numbers = {name: label for label, name in enumerate(classes)}
    splits = {}
    for split, pictures in found.items():
        if unknown := {name for name, _ in pictures} - set(classes):
            raise DataError(
                f"{archive}: unknown class {shown(min(unknown))} among its {split} pictures; the "
                f"training classes are {some(classes)}"
            )
        labels = [numbers[name] for name, _ in pictures]
        kind = TarFiles if opener is open else CompressedTarFiles
        splits[split] = kind([member for _, member in pictures], labels, [archive] * len(labels))
    return PictureSet(classes, classes, splits)


def _opener(archive: Path) -> Callable[..., BinaryIO]:
    with archive.open("rb") as file:
        return _COMPRESSED.get(file.read(2), open)


def tar_members(file: BinaryIO, name: str, begin: int, end: int | None) -> Iterator[Member]:
    """Files and links in the tar that lies at begin..end (None: to its end) of an open file.

    Raises DataError naming the archive and the member where it is cut short.
    """
    last = ""
    try:
        file.seek(begin)
        with tarfile.open(fileobj=file, mode="r:", errorlevel=0) as archive:
            while (info := archive.next()) is not None and (end is None or info.offset < end):
                archive.members.clear()  # or a million of them stay in memory
                last = info.name
                if end is not None and info.offset_data + info.size > end:
                    raise DataError(f"{name} is cut short inside {shown(last)}: fetch it again")
                if info.isdir():
                    yield Member(info.name + "/", info.offset_data, 0, "it is a folder")
                elif info.isreg() and not info.issparse():
                    yield Member(info.name, info.offset_data, info.size)
                else:
                    yield Member(info.name, info.offset_data, 0, "it is a link, not a file")
            if info is None:  # tarfile takes whatever is no header for the end
                file.seek(archive.offset)
                if file.read(tarfile.BLOCKSIZE).strip(b"\0"):
                    raise tarfile.ReadError("no header")
    except _DAMAGED as error:
        behind = f" behind {shown(last)}" if last else ""
        raise DataError(f"{name} is damaged or cut short{behind} ({error}): fetch it again") from error


def _pictures(members: list[Member]) -> Iterator[tuple[tuple[str, ...], Member]]:
    """The members that should be pictures, with the parts of their names."""
    parents = {parent for m in members for parent in _parents(m.name)}
    for member in members:
        parts = tuple(part for part in member.name.split("/") if part not in ("", "."))
        hidden = any(part.startswith(".") for part in parts)
        picture = member.name.rstrip("/").lower().endswith(SUFFIXES)
        if picture and not hidden and (not member.name.endswith("/") or member.name not in parents):
            yield parts, member


def _parents(name: str) -> Iterator[str]:
    place = name.find("/")
    while 0 <= place < len(name) - 1:
        yield name[: place + 1]
        place = name.find("/", place + 1)


def _by_split(pictures, archive: Path) -> dict[str, list[tuple[str, Member]]]:
    """Class and member, by split."""
    pictures = list(pictures)
    # One folder around all is no class, if there are folders in it.
    while pictures and len({p[0] for p, _ in pictures}) == 1 and min(len(p) for p, _ in pictures) > 2:
        pictures = [(parts[1:], member) for parts, member in pictures]
    tops = {parts[0].lower() for parts, _ in pictures}
    train = next((name for name in TRAIN_NAMES if name in tops), None)
    val = next((name for name in VAL_NAMES if name in tops), None) if train else None
    found: dict[str, list[tuple[str, Member]]] = {"train": []}
    for parts, member in pictures:
        top = parts[0].lower()
        split = {train: "train", val: "val"}.get(top) if train else "train"
        depth = 1 if train else 0
        if split and len(parts) > depth + 1:
            found.setdefault(split, []).append((parts[depth], member))
    if not found["train"]:
        raise DataError(
            f"{archive}: no training pictures in it: it should hold train/CLASS/picture.jpg and "
            "val/CLASS/picture.jpg, or CLASS/picture.jpg"
        )
    return found
