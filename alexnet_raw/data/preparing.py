"""From encoded pictures to a prepared store (see store.py), in parallel, to be interrupted anywhere.

A shard is made from a fixed run of the source's pictures, in their order, which leaves broken ones out.
So whatever the number of threads, and however often it was killed, the store gets the same bytes.
The order is the source's: tars are read from front to back; training reads at random, which solid-state
disks do well.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from alexnet_raw import atomic

from . import cifar, idx_folder, ilsvrc, picture_files, store
from .errors import DataError, PictureError, shown
from .parallel import default_threads, ordered_map
from .picture import prepare
from .picture_files import PictureSet
from .pixel_statistics import PixelSums

log = logging.getLogger(__name__)

_SHARD_BYTES = 1 << 30
_MOST_SHARDS = 200  # of a split: each is an open file while the store is read
_CHUNK = 16  # pictures per job


def open_pictures(path: Path, tick=lambda classes, of: None) -> PictureSet:
    """The pictures in ILSVRC's tars, in a picture folder, or in a tar of one. Raises DataError."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file():
        return picture_files.open_tar(path)
    if store.is_store(path):
        raise DataError(f"{path} is a prepared store already: train with --data {path}")
    if idx_folder.is_idx_folder(path):
        raise DataError(f"{path}: IDX files need no preparing: train with --data {path}")
    if cifar.is_cifar_folder(path):
        raise DataError(f"{path}: CIFAR's files need no preparing: train with --data {path}")
    return ilsvrc.open_ilsvrc(path, tick) if ilsvrc.is_ilsvrc(path) else picture_files.open_folder(path)


@dataclass(frozen=True)
class Shard:
    split: str
    number: int
    pictures: range  # of the split's files

    @property
    def name(self) -> str:
        return f"{self.split}-{self.number:05}"

    def chunks(self) -> list[range]:
        return [self.pictures[i : i + _CHUNK] for i in range(0, len(self.pictures), _CHUNK)]


@dataclass(frozen=True)
class _Chunk:
    pictures: np.ndarray  # (N, size, size, 3) uint8, the readable ones
    kept: list[int]
    broken: dict[int, str]
    sums: PixelSums


class Preparation:
    """One store in the making.

    complete: there is nothing left to do.
    done: how many of its `total` pictures earlier runs have finished.
    """

    def __init__(
        self,
        pictures: PictureSet,
        dest: Path,
        size: int,
        *,
        threads: int | None = None,
        shard_pictures: int | None = None,
        verify: bool = False,
    ):
        """verify: read what there is, and make damaged shards anew. Raises DataError."""
        self.pictures, self.dest, self.size = pictures, dest, size
        self.threads = threads or default_threads()
        self._plan = {
            "format": store.FORMAT,
            "size": size,
            "shard_pictures": shard_pictures or self._suitable(),
            "source": pictures.fingerprint(),
        }
        self._check_dest()
        self.shards = list(self._all_shards())
        self.missing = [shard for shard in self.shards if not self._finished(shard, verify)]
        self.complete = not self.missing and (dest / store.MANIFEST).exists()
        if verify and self.complete and store.statistics_damage(dest):
            log.warning("%s is damaged or missing: made anew", dest / store.STATISTICS)
            self.complete = False
        self.total = sum(len(shard.pictures) for shard in self.shards)
        self.done = self.total - sum(len(shard.pictures) for shard in self.missing)

    def _suitable(self) -> int:
        most = max(len(files.names) for files in self.pictures.splits.values())
        return max(1, _SHARD_BYTES // self._bytes(1), -(-most // _MOST_SHARDS))

    def _bytes(self, pictures: int) -> int:
        return pictures * self.size * self.size * 3

    def _all_shards(self) -> Iterator[Shard]:
        step = self._plan["shard_pictures"]
        for split, files in self.pictures.splits.items():
            every = range(len(files.names))
            for number, first in enumerate(range(0, len(every), step)):
                yield Shard(split, number, every[first : first + step])

    def _check_dest(self) -> None:
        """Refuses a folder that holds something else than this store, whole or partly made."""
        if not self.dest.exists():
            return
        if not self.dest.is_dir():
            raise DataError(f"{self.dest} is a file; name a new or empty folder")
        if (self.dest / store.MANIFEST).exists():
            found = store.read_manifest(self.dest).get("plan")
        elif (self.dest / store.PLAN).exists():
            found = _read_plan(self.dest / store.PLAN)
        elif any(self.dest.iterdir()):
            raise DataError(f"{self.dest} holds other files; name a new or empty folder")
        else:
            return
        found = found if isinstance(found, dict) else {}
        for key, what in (("size", "--size"), ("shard_pictures", "--shard-pictures")):
            if found.get("source") == self._plan["source"] and found.get(key) != self._plan[key]:
                raise DataError(
                    f"{self.dest} was begun with {what} {found.get(key)}, not {self._plan[key]}: give "
                    "that, or another folder, or remove this one"
                )
        if found != self._plan:
            raise DataError(
                f"{self.dest} was prepared from other pictures (or from these before they changed): "
                "name another folder, or remove this one"
            )

    def _finished(self, shard: Shard, verify: bool) -> bool:
        if not (self.dest / f"{shard.name}.npz").exists():
            return False
        if not verify:
            return (self.dest / f"{shard.name}.npy").exists()
        damage = store.shard_damage(self.dest, shard.name, self.size)
        if damage:
            log.warning("%s: made anew", damage)
        return damage is None

    def run(self, tick: Callable[[int], object] = lambda pictures: None) -> dict[str, int]:
        """Makes what is missing; returns how many pictures of each split the store has.

        tick is called with the number of pictures just done. Raises DataError, also for a full disk:
        what is finished then stays, and another run goes on from there.
        """
        self._check_space()
        busy = DataError(f"{self.dest}: another 'alexnet-raw prepare' is at work there")
        try:
            self.dest.mkdir(parents=True, exist_ok=True)
            with atomic.held(self.dest, busy):
                for left in self.dest.glob(".*.tmp"):
                    left.unlink()
                if not (self.dest / store.MANIFEST).exists():
                    atomic.write_text(self.dest / store.PLAN, json.dumps(self._plan, indent=1))
                self._make_missing(tick)
                return self._finish()
        except OSError as error:
            size = tqdm.format_sizeof(self._bytes(self.total), "B")
            raise DataError(
                f"{self.dest}: {error.strerror or error}: put that right (it takes {size} in all) and "
                "run the same command again; it goes on where it stopped"
            ) from error

    def _check_space(self) -> None:
        wanted = self._bytes(sum(len(shard.pictures) for shard in self.missing))
        place = next(path for path in (self.dest, *self.dest.absolute().parents) if path.exists())
        free = shutil.disk_usage(place).free
        if wanted > free:
            sizes = (self._bytes(self.total), wanted, free)
            whole, left, space = (tqdm.format_sizeof(size, "B") for size in sizes)
            raise DataError(
                f"{self.dest}: {self.total:,} pictures of {self.size} x {self.size} take {whole}, of "
                f"which {left} are still to be written, but only {space} are free: choose another "
                "disk, or a smaller --size"
            )

    def _make_missing(self, tick: Callable[[int], object]) -> None:
        jobs = (self._job(shard, chunk) for shard in self.missing for chunk in shard.chunks())
        chunks = ordered_map(self._prepare, jobs, threads=self.threads, ahead=4 * self.threads)
        try:
            for shard in self.missing:
                self._make(shard, chunks, tick)
        finally:
            chunks.close()

    def _job(self, shard: Shard, chunk: range):
        """A chunk with what reads its files: at once, here, from a source that is read in order."""
        files = self.pictures.splits[shard.split]
        if not files.sequential:
            return shard.split, chunk, files.read
        contents = {}
        for index in chunk:
            try:
                contents[index] = files.read(index)
            except PictureError as error:
                contents[index] = error
        return shard.split, chunk, contents.__getitem__

    def _prepare(self, job) -> _Chunk:
        split, chunk, read = job
        pictures = np.empty((len(chunk), self.size, self.size, 3), np.uint8)
        kept: list[int] = []
        broken: dict[int, str] = {}
        for index in chunk:
            try:
                content = read(index)
                if isinstance(content, PictureError):
                    raise content
                prepare(content, self.size, pictures[len(kept)])
                kept.append(index)
            except PictureError as error:
                broken[index] = str(error)
                log.warning("%s: left out: %s", shown(self.pictures.splits[split].names[index]), error)
        pictures = pictures[: len(kept)]
        sums = PixelSums.of(pictures) if split == "train" else PixelSums.zero(pictures.shape[1:])
        return _Chunk(pictures, kept, broken, sums)

    def _make(self, shard: Shard, chunks: Iterator[_Chunk], tick: Callable[[int], object]) -> None:
        files = self.pictures.splits[shard.split]
        sums = PixelSums.zero((self.size, self.size, 3))
        kept: list[int] = []
        broken: dict[int, str] = {}
        checksum = 0
        path = self.dest / shard.name
        with atomic.replacing(path.with_suffix(".npy")) as temporary, temporary.open("wb") as file:
            file.write(store.shard_header(0, self.size))
            for _ in shard.chunks():
                chunk = next(chunks)
                file.write(chunk.pictures)
                checksum = zlib.crc32(chunk.pictures, checksum)
                kept += chunk.kept
                broken |= chunk.broken
                sums.add(chunk.sums)
                tick(len(chunk.kept) + len(chunk.broken))
            file.seek(0)
            file.write(store.shard_header(len(kept), self.size))
        with atomic.replacing(path.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
            np.savez(
                file,
                labels=files.labels[kept],
                names=np.array([os.fsencode(files.names[i]) for i in kept], np.bytes_),
                broken=np.array([os.fsencode(files.names[i]) for i in broken], np.bytes_),
                reasons=np.array([reason.encode() for reason in broken.values()], np.bytes_),
                checksum=np.uint32(checksum),
                total=sums.total,
                products=sums.products,
            )

    def _finish(self) -> dict[str, int]:
        """From the records of all shards: the statistics, the list of broken pictures, the manifest."""
        sums = PixelSums.zero((self.size, self.size, 3))
        splits = {split: [] for split in self.pictures.splits}
        broken = []
        seen = {split: set() for split in splits}
        for shard in self.shards:
            record = store.read_record(self.dest, shard.name)
            count = len(record["labels"])
            if shard.split == "train":
                sums.add(PixelSums(record["total"], record["products"], count))
            splits[shard.split].append(
                {"file": shard.name, "pictures": count, "checksum": int(record["checksum"])}
            )
            seen[shard.split].update(record["labels"].tolist())
            names = [shown(os.fsdecode(name)) for name in record["broken"]]
            reasons = [reason.decode() for reason in record["reasons"]]
            broken += [f"{n}\t{' '.join(r.split())}" for n, r in zip(names, reasons, strict=True)]
        for split, shards in splits.items():
            if not any(shard["pictures"] for shard in shards):
                raise DataError(f"{self.dest}: none of the {split} pictures can be read, see above")
        for label in sorted(set(range(len(self.pictures.classes))) - seen["train"]):
            name = shown(self.pictures.classes[label])
            log.warning("no training picture of class %s could be read", name)
        store.write_statistics(self.dest, sums.statistics())
        if broken:
            atomic.write_text(self.dest / store.BROKEN, "".join(line + "\n" for line in broken))
        manifest = {
            "format": store.FORMAT,
            "size": self.size,
            "plan": self._plan,
            "classes": self.pictures.classes,
            "words": self.pictures.words,
            "splits": splits,
        }
        atomic.write_text(self.dest / store.MANIFEST, json.dumps(manifest, indent=1))
        (self.dest / store.PLAN).unlink(missing_ok=True)
        return {split: sum(shard["pictures"] for shard in shards) for split, shards in splits.items()}


def _read_plan(path: Path) -> object:
    try:
        return json.loads(path.read_text())
    except ValueError:
        raise DataError(f"{path} is damaged: remove the folder, or prepare elsewhere") from None
