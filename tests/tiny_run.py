"""A two-tower net and pictures so small that a whole training run takes a moment."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet_raw.data import idx

TRAIN, VAL, CLASSES, SIZE = 45, 20, 3, 12
BATCH = 10

DEFINITION = """
[data]
type=data
dataIdx=0
crop=12

[labels]
type=data
dataIdx=1

[conv1a]
type=conv
inputs=data
channels=3
filters=4
filterSize=3
padding=1
initW=0.1
neuron=relu
gpu=0

[conv1b]
type=conv
inputs=data
channels=3
filters=4
filterSize=3
padding=1
initW=0.1
neuron=relu
gpu=1

[pool1a]
type=pool
pool=max
inputs=conv1a
channels=4
sizeX=3
stride=2

[pool1b]
type=pool
pool=max
inputs=conv1b
channels=4
sizeX=3
stride=2

[fc2a]
type=fc
inputs=pool1a,pool1b
outputs=8
initW=0.1,0.1
neuron=relu
gpu=0

[local2b]
type=local
inputs=pool1b
channels=4
filters=2
groups=2
filterSize=3
initW=0.1
randSparse=1

[fc2b]
type=fc
inputs=pool1a,local2b
outputs=8
initW=0.1,0.1
neuron=relu
gpu=1

[drop2a]
type=hs
inputs=fc2a
keep=0.5

[drop2b]
type=hs
inputs=fc2b
keep=0.5

[fc3]
type=fc
inputs=drop2a,drop2b
outputs=3
initW=0.1,0.1
gpu=0

[probs]
type=softmax
inputs=fc3

[logprob]
type=cost.logreg
inputs=labels,probs
"""
WEIGHTED = {"conv1a": 1, "conv1b": 1, "local2b": 1, "fc2a": 2, "fc2b": 2, "fc3": 2}  # layer -> inputs
RATES = "epsW={w}\nepsB=0.002\nmomW={m}\nmomB=0.9\nwc={d}\nschedW=exp[tgtFactor=5]\n"


def parameters() -> str:
    def rates(count: int) -> str:
        w, m, d = (",".join([value] * count) for value in ("0.001", "0.9", "0.0005"))
        return RATES.format(w=w, m=m, d=d)

    sections = [f"[{name}]\n{rates(count)}" for name, count in WEIGHTED.items()]
    return "\n".join([*sections, "[drop2a]\nenable=1\n[drop2b]\nenable=1\n"]) + (
        "[logprob]\ncoeff=1\ntopk=2\n"
    )


def write_net(folder: Path, definition: str = DEFINITION) -> tuple[str, str]:
    """The net's two files; returns their paths, for --net and --params."""
    files = folder / "tiny.layers.cfg", folder / "tiny.params.cfg"
    for file, text in zip(files, (definition, parameters()), strict=True):
        file.write_text(text)
    return str(files[0]), str(files[1])


def write_pictures(folder: Path, validation: bool = True) -> str:
    """IDX files of bright squares in one of three corners, in noise; returns the folder."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    for split, count in (("train", TRAIN), ("t10k", VAL if validation else 0)):
        if not count:
            continue
        labels = (np.arange(count) % CLASSES).astype(np.uint8)
        pictures = rng.integers(0, 80, (count, SIZE, SIZE)).astype(np.uint8)
        for picture, label in zip(pictures, labels, strict=True):
            top, left = divmod(int(label), 2)
            picture[6 * top : 6 * top + 6, 6 * left : 6 * left + 6] += 150
        idx.write(folder / f"{split}-images-idx3-ubyte", pictures)
        idx.write(folder / f"{split}-labels-idx1-ubyte", labels)
    return str(folder)
