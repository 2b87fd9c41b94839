"""Kill `alexnet-raw prepare` at random moments, go on, and compare every byte with an undisturbed run.

    python tools/kill_prepare.py --kills 20

Works in a temporary folder, on generated pictures of which some are broken. tests/test_prepare_kill.py
does the same with a few kills.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image


def write_pictures(folder: Path, count: int, seed: int) -> None:
    """Folders train and val with two classes of noisy JPEGs; every 25th is cut short."""
    rng = np.random.default_rng(seed)
    for i in range(count):
        name = (
            folder / ("val" if i % 10 == 0 else "train") / f"class {i % 2 if i % 10 else i // 10 % 2}"
        )
        name.mkdir(parents=True, exist_ok=True)
        rough = rng.integers(0, 256, (12, 16, 3), np.uint8)
        file = name / f"{i:05}.jpg"
        Image.fromarray(rough).resize((320, 240), Image.Resampling.BICUBIC).save(file, quality=90)
        if i % 25 == 3:
            file.write_bytes(file.read_bytes()[:900])


def command(source: Path, store: Path) -> list[str]:
    options = ["--size", "128", "--shard-pictures", "30"]
    return [sys.executable, "-m", "alexnet_raw", "prepare", str(source), str(store), *options]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def undisturbed(source: Path, store: Path) -> float:
    """Makes a store at once; returns the seconds it took."""
    began = time.monotonic()
    subprocess.run(command(source, store), check=True, capture_output=True)
    return time.monotonic() - began


def killed(source: Path, store: Path, seconds: float) -> tuple[bool, int]:
    """Runs for so long, then kill -9: whether it was killed before its end, and the shards it left."""
    process = subprocess.Popen(
        command(source, store), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    code = process.wait()
    if code not in (0, -9):
        raise RuntimeError(f"prepare ended with {code}")
    return code == -9, len(list(store.glob("*.npz")))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    p.add_argument("--kills", type=int, default=20)
    p.add_argument("--pictures", type=int, default=600)
    p.add_argument("--seed", type=int, default=1)
    arguments = p.parse_args()
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_pictures(folder / "source", arguments.pictures, arguments.seed)
        seconds = undisturbed(folder / "source", folder / "whole")
        whole = contents(folder / "whole")
        kills = stores = 0
        while kills < arguments.kills:
            stores += 1
            store = folder / f"store {stores}"
            moments = []
            while True:
                moment = draw.uniform(0.2, 1.0) * seconds
                was_killed, shards = killed(folder / "source", store, moment)
                if not was_killed:
                    break
                kills += 1
                moments.append(f"{moment:.2f} s ({shards} shards)")
                if kills == arguments.kills:
                    undisturbed(folder / "source", store)
                    break
            if contents(store) != whole:
                raise SystemExit(f"store {stores}, killed at {', '.join(moments)}: the bytes differ")
            print(f"store {stores}: killed at {', '.join(moments) or 'no time'}; every byte is equal")
    print(f"{kills} kills, {stores} stores of {len(whole)} files: all equal to the undisturbed run's")


if __name__ == "__main__":
    main()
