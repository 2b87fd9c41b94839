"""``alexnet-raw prepare``: pictures once decoded and scaled, for training at full speed."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from alexnet_raw.cli import options

HELP = "decode and scale a large set of pictures once, ImageNet for one"
DESCRIPTION = """\
Prepares pictures as the paper did (shorter side to 256, central 256 x 256) and writes them to a
folder that 'alexnet-raw train --data DEST' reads at full speed, with their mean image and colour
components. A run that was killed goes on where it stopped, by the same command. Pictures that cannot
be read are named, left out, and listed in DEST/broken.txt.

SRC is a folder with ILSVRC's files as they are published (ILSVRC2012_img_train.tar,
ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz; nothing is unpacked), a folder
train/CLASS/*.jpg and val/CLASS/*.jpg (or CLASS/*.jpg), or a tar of such a folder.
"""
EPILOG = """\
examples:
  alexnet-raw prepare downloads imagenet            1.3 million pictures, 262 GB
  alexnet-raw prepare photos photos-256 --threads 8
  alexnet-raw prepare cifar10.tar.gz cifar-36 --size 36    for nets that see 32 x 32
  alexnet-raw prepare --verify imagenet             are all checksums right?
  alexnet-raw prepare downloads imagenet --verify   ... and make damaged shards anew
"""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "src", metavar="SRC", type=Path, help="pictures; with --verify alone: the store"
    )
    command.add_argument("dest", metavar="DEST", type=Path, nargs="?", help="folder of the store")
    command.add_argument(
        "--size",
        metavar="N",
        type=options.integer(1),
        default=256,
        help="width and height of the prepared pictures, 8/7 of what the net sees (default: 256)",
    )
    command.add_argument(
        "--threads",
        metavar="N",
        type=options.integer(1),
        help="CPU threads (default: all cores). The store does not depend on it",
    )
    command.add_argument(
        "--verify",
        action="store_true",
        help="check all that is there; with SRC, make damaged shards anew",
    )
    command.add_argument(
        "--shard-pictures",
        metavar="N",
        type=options.integer(1),
        help="pictures per file (default: 1 GiB of them); a killed run loses at most so many",
    )


def run(args: argparse.Namespace) -> int:
    if args.dest is None and not args.verify:
        raise ValueError(
            "DEST is missing: name the folder to write, as in alexnet-raw prepare SRC DEST"
        )
    return _prepare(args) if args.dest else _verify(args.src)


def _verify(root: Path) -> int:
    from alexnet_raw.data import store
    from alexnet_raw.run_report import progress_bar

    shards = [s for split in store.read_manifest(root)["splits"].values() for s in split]
    pictures = sum(shard["pictures"] for shard in shards)
    with progress_bar(pictures, "verify") as bar:
        damage = list(store.check(root, bar.update))
    if damage:
        raise ValueError(f"{root}: {len(damage)} damaged: {'; '.join(damage)}")
    print(f"{root}: {pictures:,} pictures in {len(shards)} shards, all checksums are right")
    return 0


def _prepare(args: argparse.Namespace) -> int:
    from tqdm import tqdm

    from alexnet_raw.data import preparing, store
    from alexnet_raw.run_report import progress_bar

    with tqdm(desc="list pictures", unit=" classes", delay=2, leave=False) as bar:

        def tick(done: int, of: int) -> None:
            bar.total = of
            bar.update()

        pictures = preparing.open_pictures(args.src, tick)
    preparation = preparing.Preparation(
        pictures,
        args.dest,
        args.size,
        threads=args.threads,
        shard_pictures=args.shard_pictures,
        verify=args.verify,
    )
    if preparation.complete:
        print(f"{args.dest} is already complete, from the {preparation.total:,} pictures of {args.src}")
        return 0
    size = tqdm.format_sizeof(preparation.total * args.size**2 * 3, "B")
    goes_on = f", {preparation.done:,} of them done before" if preparation.done else ""
    print(
        f"{args.src}: {preparation.total:,} pictures of {len(pictures.classes)} classes{goes_on}; "
        f"{args.dest} will take {size}",
        flush=True,
    )
    began = time.perf_counter()
    with progress_bar(preparation.total, "prepare", preparation.done) as bar:
        try:
            counts = preparation.run(bar.update)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped", file=sys.stderr)
            raise
    seconds = time.perf_counter() - began
    made = " and ".join(f"{count:,} {split}" for split, count in counts.items())
    rate = (preparation.total - preparation.done) / max(seconds, 1e-9)
    print(f"prepared {made} pictures in {args.dest}: {seconds:,.0f} s, {rate:,.0f} images/s")
    if broken := preparation.total - sum(counts.values()):
        print(
            f"{broken:,} pictures could not be read and were left out: see {args.dest / store.BROKEN}"
        )
    return 0
