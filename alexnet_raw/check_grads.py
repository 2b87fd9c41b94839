"""Checks a whole net's gradients against differences of its cost, for `alexnet-raw check-grads`.

A probe moves a few entries of one array together by +h and by -h, each entry along the sign of its
gradient, so that nothing cancels: the cost should change by 2h * sum of |gradient|. (An entry whose
gradient is 0 moves at random: if 0 is wrong, it shows.) The arithmetic is float32 and the cost has
kinks at every ReLU and pooling window, so no single h suits all: each probe tries a ladder of steps
and believes the neighbours that agree best, without looking at the gradient under test.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alexnet_raw.device import Device
from alexnet_raw.layers import Shape
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network

CHANGES = (3e-2, 1e-2, 3e-3, 1e-3, 3e-4)  # changes of the cost that the ladder of steps aims at
PIXEL = 60.0  # standard deviation of the random pictures, as of photographs less their mean
RESOLUTION = 3e-5  # smaller changes than this share of the cost are float32 noise


@dataclass(frozen=True)
class Row:
    """One array: how many entries were moved, and the relative error over all its probes."""

    name: str
    shape: tuple[int, ...]
    entries: int
    largest: float  # gradient
    error: float


@dataclass(frozen=True)
class Report:
    """The result for a net."""

    rows: list[Row]
    tolerance: float

    @property
    def error(self) -> float:
        """The largest relative error of an array."""
        return max(row.error for row in self.rows)

    @property
    def passed(self) -> bool:
        return self.error <= self.tolerance

    def __str__(self) -> str:
        width = max(len(row.name) for row in self.rows)
        lines = [f"{'array':{width}}  {'shape':>16}  entries  largest gradient  relative error"]
        for row in self.rows:
            shape = "x".join(map(str, row.shape))
            verdict = "" if row.error <= self.tolerance else "  <- wrong"
            lines.append(
                f"{row.name:{width}}  {shape:>16}  {row.entries:7}  {row.largest:16.3g}"
                f"  {row.error:14.2e}{verdict}"
            )
        verdict = "passed" if self.passed else "FAILED"
        lines.append(f"{verdict}: largest relative error {self.error:.2e}, allowed {self.tolerance:g}")
        return "\n".join(lines)


def check(
    spec: NetSpec,
    devices: list[Device],
    batch_size: int,
    seed: int = 0,
    input_shape: Shape | None = None,
    **settings: float,
) -> Report:
    """Make the net with fresh weights and check it on random pictures; settings as `check_net`."""
    net = Network(spec, devices, batch_size, seed, input_shape, input_gradient=True)
    rng = np.random.default_rng(seed)
    shape = net.shapes[spec.pictures.name]
    images = rng.normal(0, PIXEL, (*shape, batch_size)).astype(np.float32)
    labels = rng.integers(0, spec.classes or 1, batch_size, np.int32)
    return check_net(net, images, labels, seed=seed, **settings)


def check_net(
    net: Network,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    probes: int = 4,
    entries: int = 8,
    tolerance: float = 0.02,
    seed: int = 0,
) -> Report:
    """Compare gradients and differences for every parameter, and for the pictures if `net` was
    made with input_gradient=True.

    images: (channels, height, width, N) float32, labels: (N,) int32. Each array is probed `probes`
    times with `entries` random entries. Dropout masks are on, the same in every pass.
    """
    rng = np.random.default_rng(seed)
    pictures, answers = net.input_device.upload(images), net.input_device.upload(labels)

    def cost() -> float:
        net.forward(pictures, answers, train=True)
        return sum(net.spec[name].coeff * cost.loss for name, cost in net.costs().items())

    base = cost()
    net.backward()
    arrays = {name: (p.value, p.gradient.numpy()) for name, p in net.parameters.items()}
    if net.spec.pictures.name in net.wants_gradient:
        arrays[net.spec.pictures.name] = (pictures, net.input_gradient())
    rows = []
    for name, (array, gradient) in arrays.items():
        values, moved = array.numpy(), min(entries, array.size)
        changes = []
        for _ in range(probes):
            chosen = rng.choice(array.size, moved, replace=False)
            direction = np.zeros(array.shape, np.float32)
            direction.flat[chosen] = np.sign(gradient.flat[chosen])
            still = chosen[direction.flat[chosen] == 0]
            direction.flat[still] = rng.choice([-1, 1], len(still))

            def difference(h: float, along: np.ndarray = direction) -> float:
                array.copy_from(values + np.float32(h) * along)  # noqa: B023 (called at once)
                above = cost()
                array.copy_from(values - np.float32(h) * along)  # noqa: B023
                return above - cost()

            slope = float(np.vdot(gradient.astype(np.float64), direction))
            changes.append(_believe(difference, slope, _scale(values), base))
        array.copy_from(values)
        found, expected = np.array(changes).T
        size = max(np.linalg.norm(found), np.linalg.norm(expected), RESOLUTION * abs(base))
        error = float(np.linalg.norm(found - expected) / size)
        rows.append(Row(name, array.shape, probes * moved, float(np.abs(gradient).max()), error))
    return Report(rows, tolerance)


def _believe(
    difference: Callable[[float], float], slope: float, scale: float, base: float
) -> tuple[float, float]:
    """(found, expected) change of the cost, at the step where found slopes agree best."""
    steps = [min(abs(base) * c / (2 * slope) if slope else scale, scale) for c in CHANGES]
    found = [difference(h) for h in steps]
    slopes = [change / (2 * h) for change, h in zip(found, steps, strict=True)]
    apart = [abs(a - b) for a, b in zip(slopes, slopes[1:], strict=False)]
    best = int(np.argmin(apart))
    return found[best], 2 * steps[best] * slope


def _scale(values: np.ndarray) -> float:
    """The largest step to try: a tenth of the values' own size."""
    return 0.1 * max(float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))), 0.1)
