"""Make the packaged part of Fashion-MNIST from the whole set.

    python tools/make_fashion_mnist_subset.py FOLDER [OUTPUT]

FOLDER holds the four published files (train-images-idx3-ubyte.gz and so on), as Debian's package
dataset-fashion-mnist installs them in /usr/share/datasets/fashion-mnist. Of each class the first
1,000 training and the first 200 test pictures are kept, in their published order. The result is the
same to the byte with the same zlib.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from alexnet_raw.data import idx

PER_CLASS = {"train": 1000, "t10k": 200}
PACKAGED = Path(__file__).resolve().parents[1] / "alexnet_raw" / "data" / "fashion_mnist"


def first_of_each_class(labels: np.ndarray, count: int) -> np.ndarray:
    """Indices, ascending, of the first `count` members of each class."""
    firsts = [np.flatnonzero(labels == label)[:count] for label in np.unique(labels)]
    return np.sort(np.concatenate(firsts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of the whole set's four .gz files")
    parser.add_argument("output", type=Path, nargs="?", default=PACKAGED)
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for split, count in PER_CLASS.items():
        names = [f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"]
        images, labels = (idx.read(arguments.folder / name) for name in names)
        kept = first_of_each_class(labels, count)
        for name, array in zip(names, (images, labels), strict=True):
            idx.write(arguments.output / name, array[kept])
        print(f"{split}: kept {len(kept):,} of {len(labels):,} pictures")


if __name__ == "__main__":
    main()
