"""Time decoding, preparing and loading of pictures, beside Pillow alone and PyTorch's DataLoader.

    python tools/bench_data.py --output benchmarks/data.md

All start from the same 500 x 375 JPEGs (generated: noise with the spectrum of photographs, quality 90),
or from the JPEGs below --pictures, and end with the same 256 x 256 squares, in batches of 128. Files
are in the page cache. Rates are per core: those of two workers or threads are halved.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import simplejpeg
from benchmarking import Report, about, by_turns, has_torch, start, torch
from PIL import Image

from alexnet_raw import data
from alexnet_raw.data import preparing
from alexnet_raw.data.parallel import default_threads

SIZE, CROP, BATCH = 256, 224, 128
HEIGHT, WIDTH, QUALITY = 375, 500, 90


def photograph(rng: np.random.Generator) -> bytes:
    """A JPEG of noise whose amplitude falls with the frequency, as that of photographs does."""
    pixels = np.full((HEIGHT, WIDTH, 3), 128.0)
    for octave in range(1, 10):
        shape = (3 * 2**octave // 4 + 1, 2**octave + 1)
        for channel in range(3):
            noise = Image.fromarray(rng.standard_normal(shape, np.float32))
            layer = np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC))
            pixels[..., channel] += layer * 60 / 1.35**octave
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def with_pillow(content: bytes) -> np.ndarray:
    """Shorter side to 256, central square: what torchvision's transforms do with Pillow."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    scale = SIZE / min(image.size)
    width, height = (round(side * scale) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - SIZE) // 2, (height - SIZE) // 2
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE)))


class JpegFiles:
    """A PyTorch dataset that decodes with Pillow."""

    def __init__(self, files: list[Path]):
        self._files = files

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int):
        return torch.from_numpy(with_pillow(self._files[index].read_bytes()).copy()), index % 2


class StoredPictures:
    """A PyTorch dataset of a store's shards."""

    def __init__(self, shards: list[Path]):
        self._shards = [np.load(shard, mmap_mode="r") for shard in shards]
        self._first = np.cumsum([0] + [len(shard) for shard in self._shards])

    def __len__(self) -> int:
        return int(self._first[-1])

    def __getitem__(self, index: int):
        shard = int(np.searchsorted(self._first, index, side="right")) - 1
        return torch.from_numpy(self._shards[shard][index - self._first[shard]].copy()), index % 2


def torch_epochs(dataset, workers: int) -> Callable[[], None]:
    loader = torch.utils.data.DataLoader(
        dataset,
        BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context="fork" if workers else None,
    )

    def run() -> None:
        for _ in loader:
            pass

    return run


def our_epochs(source: data.Source, threads: int) -> Callable[[], None]:
    statistics = data.statistics(source, limit=64)
    loader = data.Loader(source, BATCH, CROP, seed=1, statistics=statistics, threads=threads)

    def run() -> None:
        for _ in loader.epoch(0):
            pass

    return run


def write_folder(folder: Path, contents: list[bytes]) -> None:
    for i, content in enumerate(contents):
        name = folder / f"class {i % 2}"
        name.mkdir(parents=True, exist_ok=True)
        (name / f"{i}.jpg").write_bytes(content)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--pictures", type=Path, help="a folder of JPEGs (default: generated ones)")
    p.add_argument("--count", type=int, default=384, help="JPEGs decoded in one pass")
    p.add_argument("--stored", type=int, default=2048, help="pictures in the store")
    p.add_argument("--repeats", type=int, default=5, help="passes of each side, by turns")
    p.add_argument("--no-torch", action="store_true", help="measure ours and Pillow alone")
    p.add_argument("--output", type=Path, help="also write what is printed to this file")
    arguments = p.parse_args()
    arguments.device, arguments.threads, arguments.precision = "cpu", 0, "fp32"
    device, report, cores = start(arguments), Report(arguments.output), default_threads()
    report(f"# Decoding, preparing and loading pictures, {cores} cores\n")
    for line in about(arguments, device):
        report(line)

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if arguments.pictures:
            files = sorted(
                f for f in arguments.pictures.rglob("*") if f.suffix.lower() in (".jpg", ".jpeg")
            )
            contents, what = [file.read_bytes() for file in files[: arguments.count]], "given JPEGs"
        else:
            rng = np.random.default_rng(0)
            contents = [photograph(rng) for _ in range(arguments.count)]
            what = f"{WIDTH} x {HEIGHT} JPEGs, generated, quality {QUALITY}"
        count, stored = len(contents), arguments.stored
        kilobytes = sum(map(len, contents)) / count / 1e3
        report(f"- pictures: {count} {what}, {kilobytes:.0f} KB each; {stored} in the store")
        report(f"- medians of {arguments.repeats} passes, by turns; files in the page cache\n")
        write_folder(folder / "jpeg", contents)
        write_folder(folder / "many", [contents[i % count] for i in range(stored)])
        pictures = preparing.open_pictures(folder / "many")
        preparing.Preparation(pictures, folder / "store", SIZE).run()

        def prepare_all() -> None:
            made = folder / "made"
            shutil.rmtree(made, ignore_errors=True)
            preparing.Preparation(pictures, made, SIZE).run()

        def each(function: Callable[[bytes], object]) -> None:
            for content in contents:
                function(content)

        out = np.empty((SIZE, SIZE, 3), np.uint8)
        lazy = partial(data.PictureFolder, folder / "jpeg", size=SIZE, cache_bytes=0)
        store = data.open(folder / "store", size=SIZE)
        # name -> a pass, its pictures, the cores that it uses
        decoding = {
            "libjpeg-turbo (simplejpeg), to full size only": (
                partial(each, partial(simplejpeg.decode_jpeg, colorspace="RGB")), count, 1),
            "ours, one thread": (partial(each, lambda c: data.prepare(c, SIZE, out)), count, 1),
            "Pillow: open, convert, resize, crop": (partial(each, with_pillow), count, 1),
            f"`alexnet-raw prepare`, {cores} threads, to the disk": (prepare_all, stored, cores),
        }  # fmt: skip
        loading = {
            "ours, store, 1 thread": (our_epochs(store, 1), stored, 1),
            f"ours, store, {cores} threads": (our_epochs(store, cores), stored, cores),
            "ours, JPEG, 1 thread": (our_epochs(lazy(), 1), count, 1),
            f"ours, JPEG, {cores} threads": (our_epochs(lazy(), cores), count, cores),
        }
        if has_torch(arguments):
            torch.set_num_threads(1)
            jpegs = JpegFiles(sorted((folder / "jpeg").rglob("*.jpg")))
            shards = StoredPictures(sorted((folder / "store").glob("train-*.npy")))
            for workers in (0, 2):
                used = min(max(workers, 1), cores)
                name = f"PyTorch DataLoader, {{}}, {workers} workers"
                loading[name.format("store")] = (torch_epochs(shards, workers), stored, used)
                loading[name.format("JPEG, Pillow")] = (torch_epochs(jpegs, workers), count, used)
        table(report, "decode, scale, crop", decoding, device, arguments.repeats)
        table(report, "batches of 128 in random order", loading, device, arguments.repeats)


def table(report: Report, title: str, rows: dict, device, repeats: int) -> None:
    seconds = by_turns({name: run for name, (run, _, _) in rows.items()}, device, repeats)
    report(f"| {title} | images/s per core | µs per image and core |\n|---|---:|---:|")
    for name, (_, pictures, cores) in rows.items():
        rate = pictures / seconds[name] / cores
        report(f"| {name} | {rate:,.0f} | {1e6 / rate:,.0f} |")
    report()


if __name__ == "__main__":
    main()
