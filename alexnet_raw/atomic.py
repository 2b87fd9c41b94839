"""Files that appear whole or not at all, and folders that one process writes to at a time."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends.

    Then it is safe on the disk. If the block fails, what was at ``path`` stays and the temporary file
    goes; an OSError names ``path``. Makes the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        _flush_to_disk(temporary)
        temporary.replace(path)
        _flush_to_disk(path.parent)
    except OSError as error:
        if error.filename is None or str(error.filename) == str(temporary):
            error.filename = str(path)
        raise
    finally:  # there after a failure, and where both were names of the same file
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """An OSError of the block names ``path``, if it names no file: a write to an open file does not."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


def write_text(path: str | Path, text: str) -> None:
    """A text file in UTF-8; what that cannot express is written as an escape."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def held(folder: Path, busy: Exception) -> Iterator[None]:
    """Holds a folder that is there, until the block ends; the system lets it go with the process.

    Raises ``busy`` where another process holds it.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield
    finally:
        os.close(handle)


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def check_name(flag: str, path: str | Path, suffixes: Sequence[str]) -> Path:
    """The path, if it can be that of a file with one of these endings; else ValueError.

    For flags: before hours of work are spent on what cannot be written then.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{flag} {path}: give a file name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"{flag} {path}: that is a folder; give a file name")
    check_folder(flag, path, path.parent)
    return path


def check_folder(flag: str, value: str | Path, folder: Path) -> None:
    """Refuses, for a flag and its value, a folder that cannot be made or written to. ValueError."""
    places = (folder.absolute(), *folder.absolute().parents)
    existing = next(place for place in places if os.path.lexists(place))
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"{flag} {value}: {existing} is not a folder that can be written to")
