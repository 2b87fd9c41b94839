"""What can go wrong with data, so that callers can tell it from their own mistakes."""

from __future__ import annotations

from collections.abc import Sequence


class DataError(ValueError):
    """The data set cannot be used as given; the message names the file or folder and the remedy."""


class PictureError(DataError):
    """One picture cannot be used; the message is the reason, without the file's name."""


class NoValidationPictures(DataError):
    """The data set is fine but has no validation part."""


def shown(name: str) -> str:
    """A file's name for a message: on one line, and printable where it is not."""
    return name if name.isprintable() else ascii(name)


def some(names: Sequence[str], limit: int = 10) -> str:
    """The first names, for a message."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(shown, names[:limit])) + more
