"""A folder of pictures, one folder per class: CLASS/*.jpg, alone or below train/ and val/."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from alexnet_raw.parallel import ALONE, Ranks

from .augmentation import Augmentation
from .errors import DataError, NoValidationPictures, PictureError, shown, some
from .parallel import default_threads, ordered_map
from .picture import SUFFIXES, prepare_file

log = logging.getLogger(__name__)

UNREADABLE = -1  # the label of a picture that cannot be read

TRAIN_NAMES = ("train", "training")
VAL_NAMES = ("val", "valid", "validation", "test")
_MAX_NAMED = 20  # broken pictures named in the log; all are in PictureFolder.broken
_CHUNK = 32  # pictures per job when preparing


class PictureFolder:
    """Pictures in class folders (searched to any depth), a Source.

    Pictures are prepared as in `picture.prepare`. If all of them fit into cache_bytes they are
    prepared now and kept in memory (several ranks prepare a part each, and keep all); otherwise each
    is decoded whenever it is asked for. A picture that cannot be read is left out: named in the log
    with the reason, and counted at the end. Hidden files and folders are ignored.
    """

    augmentation = Augmentation(noise="eigenvalues")

    def __init__(
        self,
        folder: str | Path,
        *,
        size: int,
        classes: Sequence[str] | None = None,
        cache_bytes: int = 2 << 30,
        threads: int | None = None,
        progress: bool = True,
        ranks: Ranks = ALONE,
    ):
        self.folder = Path(folder)
        self.picture_shape = (size, size, 3)
        self.content_size = size
        self.broken: dict[str, str] = {}
        self._lock = threading.Lock()
        found = class_names(self.folder)
        self.classes = training_classes(self.folder) if classes is None else list(classes)
        _check_known(self.folder, found, self.classes)
        self.files, self.labels = self._list(found)
        self._cache: np.ndarray | None = None
        if len(self.files) * size * size * 3 <= cache_bytes:
            self._fill_cache(threads or default_threads(), progress, ranks)

    def __len__(self) -> int:
        return len(self.files)

    def name(self, index: int) -> str:
        return self.files[index]

    def load(self, indices: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """(N, size, size, 3) uint8 pictures and (N,) int32 labels, UNREADABLE for broken ones."""
        labels = self.labels[indices]
        pictures = np.empty((len(labels), *self.picture_shape), np.uint8) if out is None else out
        if self._cache is not None:
            for row, index in enumerate(indices):
                pictures[row] = self._cache[index]
            return pictures, labels
        for row, index in enumerate(indices):
            if not self._prepare(self.files[index], pictures[row]):
                labels[row] = UNREADABLE
        return pictures, labels

    def _list(self, class_folders: list[str]) -> tuple[list[str], np.ndarray]:
        files: list[str] = []
        labels: list[int] = []
        for name in class_folders:
            of_class = list(_pictures_below(self.folder / name))
            if not of_class:
                raise DataError(
                    f"{self.folder / name}: no pictures in this class folder; add some "
                    f"({' '.join(SUFFIXES)}) or remove the folder"
                )
            files += of_class
            labels += [self.classes.index(name)] * len(of_class)
        return files, np.array(labels, np.int32)

    def _fill_cache(self, threads: int, progress: bool, ranks: Ranks) -> None:
        count = len(self.files)
        self._cache = np.zeros((count, *self.picture_shape), np.uint8)
        readable = np.ones(count, bool)

        def prepare(chunk: slice) -> tuple[slice, np.ndarray, np.ndarray]:
            for i in range(chunk.start, chunk.stop):
                readable[i] = self._prepare(self.files[i], self._cache[i])
            return chunk, self._cache[chunk], readable[chunk]

        chunks = [slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK)]
        own = ordered_map(prepare, chunks[ranks.rank :: ranks.size], threads=threads, ahead=4 * threads)
        bar = tqdm(
            total=count,
            desc=f"preparing {self.folder.name}",
            unit=" pictures",
            delay=2,  # only where it takes a while
            leave=False,
            disable=None if progress else True,
        )
        with bar:
            for prepared in ranks.rounds(own):
                for chunk, pictures, good in prepared:
                    self._cache[chunk], readable[chunk] = pictures, good
                    bar.update(len(good))
        for broken in ranks.gather(self.broken):
            self.broken |= broken
        if not readable.all():
            self._keep(readable, tell=ranks.is_first)

    def _keep(self, readable: np.ndarray, tell: bool) -> None:
        """Forget the broken pictures, once all have been tried."""
        if not readable.any():
            name, reason = next(iter(self.broken.items()))
            raise DataError(
                f"{self.folder}: none of the {len(self)} pictures can be read; {name}: {reason}"
            )
        if tell:
            log.warning(broken_summary(self))
        good = np.flatnonzero(readable)
        for row, index in enumerate(good):  # in place: rows only move forward
            self._cache[row] = self._cache[index]
        self._cache = self._cache[: len(good)]
        self.labels = self.labels[good]
        self.files = [self.files[i] for i in good]
        for label in sorted(set(range(len(self.classes))) - set(self.labels.tolist())):
            if tell:
                log.warning("%s: no readable picture of class %s", self.folder, self.classes[label])

    def _prepare(self, file: str, out: np.ndarray) -> bool:
        """Prepare one picture into `out`; False if it is broken."""
        if file in self.broken:
            return False
        try:
            prepare_file(file, out.shape[0], out)
            return True
        except PictureError as error:
            self._note_broken(file, str(error))
            return False
        except Exception as error:
            raise RuntimeError(f"{shown(file)}: {type(error).__name__}: {error}") from error

    def _note_broken(self, file: str, reason: str) -> None:
        with self._lock:
            if file in self.broken:
                return
            self.broken[file] = reason
            if len(self.broken) <= _MAX_NAMED:
                log.warning("%s: left out: %s", shown(file), reason)
            elif len(self.broken) == _MAX_NAMED + 1:
                log.warning("more broken pictures are left out without being named")


def broken_summary(source) -> str:
    """One sentence for the end of a pass over a source."""
    return f"{len(source.broken)} of {len(source)} pictures could not be read and are left out"


def split_folders(root: Path, split: str) -> tuple[Path | None, Path]:
    """The folders of training pictures (None if there is none) and of the wanted split."""
    folders = {name.lower(): root / name for name in _subfolders(root)}
    train = next((folders[name] for name in TRAIN_NAMES if name in folders), None)
    val = next((folders[name] for name in VAL_NAMES if name in folders), None)
    if train is None and (val is None or set(folders) - set(VAL_NAMES)):
        train, val = root, None  # class folders, no splits
    if split == "train":
        if train is None:
            raise DataError(f"{root}: no train folder in it, only {', '.join(sorted(folders))}")
        return train, train
    if val is None:
        raise NoValidationPictures(
            f"{root}: no validation pictures: there is no folder {' or '.join(VAL_NAMES)} beside "
            "a folder train; put pictures in train/CLASS/ and val/CLASS/, or do without"
        )
    return train, val


def class_names(folder: Path) -> list[str]:
    """The class folders in a folder, sorted by name. Raises DataError if there is none."""
    names = _subfolders(folder)
    if not names:
        raise DataError(
            f"{folder}: no class folders in it; put the pictures of each class in a folder of "
            f"its own, named as the class: {folder / 'CLASS' / 'picture.jpg'}"
        )
    return names


def training_classes(folder: Path) -> list[str]:
    """As class_names, for a folder that defines the classes: there must be two or more."""
    names = class_names(folder)
    if len(names) == 1:
        raise DataError(
            f"{folder}: only one class folder, {names[0]}; is this the right folder? "
            "There must be two classes or more"
        )
    return names


def _check_known(folder: Path, found: list[str], classes: list[str]) -> None:
    unknown = sorted(set(found) - set(classes))
    if unknown:
        raise DataError(
            f"{folder}: unknown class folders {some(unknown)}; the training classes are {some(classes)}"
        )


def _subfolders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: {error.strerror}") from error


def _pictures_below(folder: str | Path) -> Iterator[str]:
    """The paths of the picture files in a folder and its subfolders, sorted within each."""
    with os.scandir(folder) as entries:
        visible = sorted((e for e in entries if not e.name.startswith(".")), key=lambda e: e.name)
    for entry in visible:
        named = entry.name.lower().endswith(SUFFIXES)
        if entry.is_dir(follow_symlinks=False):
            inside = list(_pictures_below(entry.path))
            yield from inside or ([entry.path] if named else [])  # to be reported as unreadable
        elif named and (entry.is_file() or entry.is_symlink()):
            yield entry.path  # no pipes; a dangling link will be reported as unreadable
