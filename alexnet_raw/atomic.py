"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path to write to, which becomes ``path`` when the block ends.

    If the block fails, what was at ``path`` stays and the temporary file goes. Makes the folder.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def check_name(flag: str, path: str | Path, suffixes: Sequence[str]) -> Path:
    """The path, if it can be that of a file with one of these endings; else ValueError.

    For flags: before hours of work are spent on what cannot be written then.
    """
    path = Path(path)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{flag} {path}: give a file name that ends in {' or '.join(suffixes)}")
    if path.is_dir():
        raise ValueError(f"{flag} {path}: that is a folder; give a file name")
    existing = next(parent for parent in path.absolute().parents if parent.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise ValueError(f"{flag} {path}: {existing} is not a folder that can be written to")
    return path
