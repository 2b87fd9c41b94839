"""The tar files of ILSVRC, as they are published: read in place, never unpacked.

    ILSVRC2012_img_train.tar        one tar per class inside, n01440764.tar ... (or these, unpacked)
    ILSVRC2012_img_val.tar          50,000 JPEGs in no folders
    ILSVRC2012_devkit_t12.tar.gz    data/meta.mat and data/ILSVRC2012_validation_ground_truth.txt

The files of 2010 (ILSVRC2010_images_train.tar ..., ILSVRC2010_devkit-1.0.tar.gz) are the same inside.
Classes are numbered in the order of their WordNet ids, as is usual; the devkit has another order.
"""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .errors import DataError, some
from .parallel import default_threads, ordered_map
from .picture_files import Member, PictureSet, TarFiles, tar_members

_TRAIN = re.compile(r"ILSVRC20\d\d_(img|images)_train\.tar$")
_VAL = re.compile(r"ILSVRC20\d\d_(img|images)_val\.tar$")
_DEVKIT = re.compile(r"ILSVRC20\d\d_devkit.*$")
_SYNSET = re.compile(r"(n\d{8})\.tar$")


def is_ilsvrc(folder: Path) -> bool:
    """Whether there are training pictures as ILSVRC publishes them."""
    return _train_tar(folder) is not None or bool(_synset_tars(folder))


def open_ilsvrc(folder: Path, tick=lambda classes, of: None) -> PictureSet:
    """tick is called with the classes listed so far and their number: it takes a minute or two."""
    train = _train_tar(folder)
    synsets = (
        _inside(train) if train else {k: (v, 0, v.stat().st_size) for k, v in _synset_tars(folder)}
    )
    wnids = sorted(synsets)
    if len(wnids) < 2:
        raise DataError(
            f"{folder}: {len(wnids)} class tars (n01440764.tar ...); there must be 2 or more"
        )
    members: list[Member] = []
    labels: list[int] = []
    archives: list[Path] = []
    listings = ordered_map(
        lambda wnid: _pictures(*synsets[wnid], wnid), wnids, threads=default_threads(), ahead=16
    )
    for label, found in enumerate(listings):
        members += found
        labels += [label] * len(found)
        archives += [synsets[wnids[label]][0]] * len(found)
        tick(label + 1, len(wnids))
    splits = {"train": TarFiles(members, labels, archives)}
    devkit, val = _find(folder, _DEVKIT), _find(folder, _VAL)
    kit = _read_devkit(devkit) if devkit else None
    if val:
        if kit is None:
            raise DataError(
                f"{val} needs its labels: put ILSVRC2012_devkit_t12.tar.gz beside it, or move it "
                "away to prepare the training pictures alone"
            )
        splits["val"] = _validation(val, wnids, kit)
    return PictureSet(wnids, [kit.words.get(w, w) for w in wnids] if kit else wnids, splits)


def _train_tar(folder: Path) -> Path | None:
    return _find(folder, _TRAIN)


def _find(folder: Path, pattern: re.Pattern) -> Path | None:
    return next((path for path in sorted(folder.iterdir()) if pattern.match(path.name)), None)


def _synset_tars(folder: Path) -> list[tuple[str, Path]]:
    """WordNet id and tar of each class, where the training tar was unpacked: here or in a folder."""
    for place in (folder, folder / "train", *sorted(folder.glob("ILSVRC20*_train"))):
        if place.is_dir():
            found = [
                (m[1], path) for path in sorted(place.iterdir()) if (m := _SYNSET.match(path.name))
            ]
            if found:
                return found
    return []


def _inside(train: Path) -> dict[str, tuple[Path, int, int]]:
    """WordNet id -> archive, begin and end of each tar in the training tar."""
    found = {}
    with train.open("rb") as file:
        for member in tar_members(file, train.name, 0, train.stat().st_size):
            if match := _SYNSET.search(member.name):
                found[match[1]] = (train, member.offset, member.offset + member.size)
    return found


def _pictures(archive: Path, begin: int, end: int, wnid: str) -> list[Member]:
    with archive.open("rb") as file:
        name = f"{archive.name}: {wnid}.tar" if begin else archive.name
        return [
            Member(f"{wnid}/{m.name}", m.offset, m.size, m.reason)
            for m in tar_members(file, name, begin, end)
        ]


@dataclass(frozen=True)
class Devkit:
    wnids: dict[int, str]  # by the number that ILSVRC gave a class, from 1
    words: dict[str, str]  # by WordNet id
    ground_truth: list[int]  # class numbers of the validation pictures


def _read_devkit(path: Path) -> Devkit:
    def read(ending: str) -> bytes:
        try:
            if path.is_dir():
                return next(path.rglob(ending)).read_bytes()
            with tarfile.open(path) as kit:
                name = next(name for name in kit.getnames() if re.search(f"data/.*{ending[1:]}$", name))
                return kit.extractfile(name).read()
        except (StopIteration, tarfile.TarError, EOFError, OSError) as error:
            raise DataError(
                f"{path}: {ending} cannot be read ({error}): fetch the devkit again"
            ) from None

    try:
        import scipy.io
    except ImportError:
        raise DataError(
            f"{path}: SciPy is needed to read its meta.mat: pip install 'alexnet-raw[imagenet]'"
        ) from None
    wnids, words = {}, {}
    try:
        synsets = np.ravel(scipy.io.loadmat(io.BytesIO(read("*meta.mat")), squeeze_me=True)["synsets"])
        number = next(name for name in synsets.dtype.names if name.endswith("_ID"))
        for synset in synsets:
            words[str(synset["WNID"])] = str(synset["words"])
            wnids[int(synset[number])] = str(synset["WNID"])
        truth = [int(line) for line in read("*validation_ground_truth.txt").split()]
    except DataError:
        raise
    except Exception as error:  # a damaged MATLAB file raises nearly anything
        raise DataError(
            f"{path}: its tables cannot be read ({error}): fetch the devkit again"
        ) from error
    return Devkit(wnids, words, truth)


def _validation(val: Path, classes: list[str], kit: Devkit) -> TarFiles:
    """The validation pictures of the classes that there are training pictures of."""
    with val.open("rb") as file:
        members = sorted(tar_members(file, val.name, 0, val.stat().st_size), key=lambda m: m.name)
    numbers = {wnid: label for label, wnid in enumerate(classes)}
    kept, labels = [], []
    for member in members:
        match = re.search(r"_val_(\d+)\.JPEG$", member.name)
        if not match:
            continue
        place = int(match[1])
        if not 1 <= place <= len(kit.ground_truth):
            raise DataError(
                f"{val}: the devkit has labels of {len(kit.ground_truth)} pictures, none of "
                f"{member.name}: do both belong to the same year?"
            )
        wnid = kit.wnids.get(kit.ground_truth[place - 1])
        if wnid in numbers:
            kept.append(member)
            labels.append(numbers[wnid])
    if not kept:
        raise DataError(
            f"{val}: no validation picture of the training classes {some(classes)}: do training tar, "
            "validation tar and devkit belong together?"
        )
    return TarFiles(kept, labels, [val] * len(kept))
