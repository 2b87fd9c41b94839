"""Checks a whole net's gradients against differences of its cost, for `alexnet-raw check-grads`.

A probe moves a few entries of one array together by +h and by -h, each entry along the sign of its
gradient, so that nothing cancels: the cost should change by 2h * sum of |gradient|. (An entry whose
gradient is 0 moves at random: if 0 is wrong, it shows.) The cost has kinks at every ReLU and every
pooling window, so h is small: just enough for a change of the cost that float32 resolves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from alexnet_raw.device import Array, Device
from alexnet_raw.layers import Shape
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network

PIXEL = 60.0  # standard deviation of the random pictures, as of photographs less their mean
CHANGE = 1e-5  # of the cost, relative, that a probe aims at; float32's noise is about 2e-8


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
    pixel: float = PIXEL,
    **settings: float,
) -> Report:
    """Make the net with fresh weights and check it on random pictures with values of N(0, pixel), or
    fainter ones where the net would be certain of its answers.

    input_shape as in `Network`, settings as in `check_net`.
    """
    net = Network(spec, devices, batch_size, seed, input_shape, input_gradient=True)
    rng = np.random.default_rng(seed)
    shape = net.shapes[spec.pictures.name]
    images = rng.normal(0, pixel, (*shape, batch_size)).astype(np.float32)
    labels = rng.integers(0, spec.classes or 1, batch_size, np.int32)
    while _is_certain(net, images, labels) and pixel > 1e-3:
        images, pixel = images / 4, pixel / 4
    return check_net(net, images, labels, seed=seed, **settings)


def _is_certain(net: Network, images: np.ndarray, labels: np.ndarray) -> bool:
    """Whether fresh weights already decide: log losses are then at their ceiling, and flat."""
    if not (classes := net.spec.classes):
        return False
    net.forward(net.input_device.upload(images), net.input_device.upload(labels), train=True)
    cost = net.costs()[net.spec.main_cost]
    return not np.isnan(cost.top1) and cost.loss > 2 * np.log(classes)


def check_net(
    net: Network,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    probes: int = 4,
    entries: int = 8,
    tolerance: float = 0.05,
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
    arrays = {
        name: (p.value, p.gradient.numpy().astype(np.float64)) for name, p in net.parameters.items()
    }
    if net.spec.pictures.name in net.wants_gradient:
        arrays[net.spec.pictures.name] = (pictures, net.input_gradient().astype(np.float64))
    rows = []
    for name, (array, gradient) in arrays.items():
        directions = [_direction(gradient, entries, rng) for _ in range(probes)]
        slope = entries * float(np.sqrt(np.mean(gradient**2)))  # of a usual probe
        step = CHANGE * abs(base) / (2 * slope) if slope else np.inf
        step = min(step, _largest_step(array.numpy()))
        error = _error(cost, array, gradient, directions, step, base)
        if error > tolerance:  # over a kink? Then a smaller step, if less well resolved, agrees.
            error = min(error, _error(cost, array, gradient, directions, step / 4, base))
        moved, largest = probes * min(entries, array.size), float(np.abs(gradient).max())
        rows.append(Row(name, array.shape, moved, largest, error))
    return Report(rows, tolerance)


def _error(
    cost: Callable[[], float],
    array: Array,
    gradient: np.ndarray,
    directions: list[np.ndarray],
    step: float,
    base: float,
) -> float:
    """How far the changes of the cost, `base`, are from those that `gradient` predicts."""
    values = array.numpy()
    found, expected = [], []
    for direction in directions:
        above, below = values + np.float32(step) * direction, values - np.float32(step) * direction
        array.copy_from(above)
        change = cost()
        array.copy_from(below)
        found.append(change - cost())
        expected.append(np.vdot(gradient, above.astype(np.float64) - below))  # as float32 moved it
    array.copy_from(values)
    floor = CHANGE * abs(base) * np.sqrt(len(directions))
    size = max(np.linalg.norm(found), np.linalg.norm(expected), floor)
    return float(np.linalg.norm(np.subtract(found, expected)) / size)


def _direction(gradient: np.ndarray, entries: int, rng: np.random.Generator) -> np.ndarray:
    """Signs of the gradient at random entries, random signs where it is 0; 0 elsewhere."""
    chosen = rng.choice(gradient.size, min(entries, gradient.size), replace=False)
    signs = np.sign(gradient.flat[chosen])
    direction = np.zeros(gradient.shape, np.float32)
    direction.flat[chosen] = np.where(signs == 0, rng.choice([-1, 1], len(chosen)), signs)
    return direction


def _largest_step(values: np.ndarray) -> float:
    """The most to move: a tenth of the values' own size."""
    return 0.1 * max(float(np.sqrt(np.mean(np.square(values, dtype=np.float64)))), 0.1)
