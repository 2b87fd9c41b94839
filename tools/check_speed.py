"""Fails where a kernel or a step has become slow: not by its time, by its ratio to PyTorch's beside it.

    python tools/check_speed.py

A row that falls below its least ratio is measured up to three times, and the best counts: what else
the machine does can hide our speed, but hardly lend us some. Under a minute on two cores.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import train_sides
from bench_inference import Nets
from benchmarking import by_turns, set_threads, torch
from kernel_cases import Maker
from train_sides import EAGER, OURS

from alexnet_raw import layer_file
from alexnet_raw.device import Device

# The least that PyTorch's time / ours may be: some three quarters of what two AVX2 cores showed, and
# above what they show without Winograd's algorithm, say. Raise a row that became faster for good.
KERNELS = {  # of alexnet, one tower
    "conv1a forward + bias": 0.9,
    "conv1a weight gradient": 1.2,
    "conv2a forward + bias": 1.5,
    "conv2a weight gradient": 1.2,
    "conv2a data gradient": 1.1,
    "conv3a forward + bias": 1.3,
    "conv3a weight gradient": 1.3,
    "conv3a data gradient": 1.1,
    "norm1a forward": 20,
    "norm1a gradient": 20,
    "pool1a forward": 10,
    "fc6a forward + bias": 0.8,
}
STEPS = {"alexnet-mini": 1.6, "cifar10": 1.15}  # whole training steps
INFERENCE = {1: 1.1, 32: 2.0}  # of alexnet, by the number of images
BATCH = 64
TRIES, REPEATS = 3, 5
ADVICE = """\
Run it again when the machine does nothing else. If it stays: `tools/bench_kernels.py --only ROW` or
`tools/bench_train.py --profile`, here and at the commit before, show what changed. If the loss is
meant, or PyTorch became faster, lower the row in tools/check_speed.py and say why. The least ratios
are those of AVX2: on a machine with other vectors compare with the commit before instead."""


@dataclass(frozen=True)
class Verdict:
    """A row, what was asked of it, and the ratios of its tries."""

    row: str
    least: float
    ratios: tuple[float, ...]

    @property
    def holds(self) -> bool:
        return max(self.ratios) >= self.least

    def __str__(self) -> str:
        tries = ", ".join(f"{ratio:.2f}" for ratio in self.ratios)
        return f"{'ok' if self.holds else 'SLOW':4}  {self.row:32} at least {self.least:5.2f}: {tries}"


def judge(row: str, least: float, measure: Callable[[], float], tries: int = TRIES) -> Verdict:
    """Measures until the ratio suffices, at most `tries` times."""
    ratios: list[float] = []
    while len(ratios) < tries and (not ratios or max(ratios) < least):
        ratios.append(measure())
    return Verdict(row, least, tuple(ratios))


def conclusion(verdicts: list[Verdict]) -> tuple[int, str]:
    """The exit status, and what to tell and to do."""
    slow = [verdict for verdict in verdicts if not verdict.holds]
    if not slow:
        return 0, f"all {len(verdicts)} rows hold"
    told = [
        f"{v.row}: PyTorch's time / ours is {max(v.ratios):.2f}, the best of {len(v.ratios)} tries, "
        f"but must be {v.least:.2f}"
        for v in slow
    ]
    return 1, "\n".join([*told, ADVICE])


def rows(device: Device) -> Iterator[tuple[str, float, Callable[[], float]]]:
    """Each row with its least ratio and its measurement."""
    spec = layer_file.load_packaged("alexnet")
    shapes, maker = spec.shapes(), Maker(device, BATCH, spec, True, False)
    wanted = dict(KERNELS)
    for layer in spec:
        if not any(row.startswith(f"{layer.name} ") for row in wanted):
            continue
        for case in maker.cases(layer, [shapes[name] for name in layer.inputs], shapes[layer.name]):
            if least := wanted.pop(row := f"{layer.name} {case.name}", None):
                yield row, least, partial(_ratio, {OURS: case.ours, EAGER: case.peer}, device)
    if wanted:
        raise SystemExit(f"check_speed.py asks for rows that do not exist: {', '.join(wanted)}")
    for net, least in STEPS.items():
        sides, _ = train_sides.make(layer_file.load_packaged(net), BATCH, device, [OURS, EAGER])
        yield f"{net} step", least, partial(_ratio, sides, device)
    nets = Nets(spec, device, max(INFERENCE), with_torch=True, with_onnx=False)
    for images, least in INFERENCE.items():
        ours, peer = nets.sides(np.ones((images, *spec.input_shape()), np.float32)).values()
        measure = partial(_ratio, {OURS: ours, EAGER: peer}, device)
        yield f"alexnet inference, batch {images}", least, measure


def _ratio(sides: dict[str, Callable[[], object]], device: Device) -> float:
    """Of the shortest times, which other load disturbs least."""
    seconds = by_turns(sides, device, REPEATS, typical=min)
    return seconds[EAGER] / seconds[OURS]


def main() -> int:
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    if torch is None:
        raise SystemExit("check_speed.py compares with PyTorch: pip install 'alexnet-raw[torch]'")
    device = Device("cpu")
    set_threads(device, os.cpu_count())
    verdicts = []
    for row, least, measure in rows(device):
        verdicts.append(judge(row, least, measure))
        print(verdicts[-1], flush=True)
    status, text = conclusion(verdicts)
    print(text)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
