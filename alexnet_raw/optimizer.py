"""Stochastic gradient descent with momentum and weight decay (paper §5).

v <- momentum * v - eps * decay * w - eps * gradient of the mean cost;  w <- w + v
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable
from dataclasses import asdict

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.device_numbers import DeviceNumbers
from alexnet_raw.parameters import Parameter

LARGE = 2**20  # elements of a parameter whose step is worth a launch of its own


class Optimizer:
    """Moves the parameters of a net along their gradients.

    Large ones move in a launch of their own, which need not wait for the gradients of others; those
    others of a device in one together.
    """

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], list[_Group]] = {}  # by the parameters that move
        self._due: list[_Group] = []  # of the step at hand

    def step(self, parameters: Iterable[Parameter], progress: float, scale: float = 1.0) -> None:
        """Move every parameter along its gradient, at its own rate times `scale`.

        progress: 0 at the start of the run, 1 at its end; the schedules follow it. A parameter
        whose rate is 0 is frozen: neither gradient nor decay nor old velocity moves it.
        """
        self.begin(self.set_rates(parameters, progress, scale))
        self.step_due()

    def set_rates(
        self, parameters: Iterable[Parameter], progress: float, scale: float = 1.0
    ) -> tuple[str, ...]:
        """Let the devices know the rates of the step that follows; returns who moves."""
        rates = {p: p.rate.eps * p.rate.schedule.factor_at(progress) * scale for p in parameters}
        moving = [p for p, rate in rates.items() if rate != 0]
        names = tuple(p.name for p in moving)
        if names not in self._groups:
            together: dict[Hashable, list[Parameter]] = {}
            for p in moving:
                together.setdefault(p if p.value.size >= LARGE else p.value.device, []).append(p)
            self._groups[names] = [_Group(group) for group in together.values()]
        for group in self._groups[names]:
            group.set_rates(rates)
        return names

    def begin(self, moving: tuple[str, ...]) -> None:
        """Begin a step of those whom `set_rates` returned."""
        self._due = [*self._groups[moving]]

    def step_early(self, finished: Collection[Parameter]) -> None:
        """Move those of the finished gradients that move alone, beside what their devices do next."""
        for group in [g for g in self._due if len(g.parameters) == 1 and g.parameters[0] in finished]:
            with group.device.beside():
                group.step()
            self._due.remove(group)

    def step_due(self) -> None:
        """Move all that have not moved yet."""
        for group in self._due:
            group.step()
        self._due = []


class _Group:
    """Parameters of one device that move together."""

    def __init__(self, parameters: list[Parameter]):
        self.parameters, self.device = parameters, parameters[0].value.device
        self.rows = [row for p in parameters for row in _rows(p)]
        self.settings = DeviceNumbers(self.device, (len(self.rows), 3))

    def set_rates(self, rates: dict[Parameter, float]) -> None:
        own = [
            (rates[p] * share, p.rate.momentum, p.rate.decay * share)
            for p in self.parameters
            for share in p.shares or (1.0,)
        ]
        self.settings.set(np.array(own, np.float32))

    def step(self) -> None:
        for bucket in dict.fromkeys(p.bucket for p in self.parameters):
            if bucket is not None:
                bucket.wait()
        weights, velocities, gradients, rounded = zip(*self.rows, strict=True)
        ops.sgd_step(weights, velocities, gradients, self.settings.array, rounded)
        for p in self.parameters:
            for limit in p.limits:
                for bank in _banks(p.value):
                    ops.limit_norms(bank, **asdict(limit))
            if p.limits:
                p.round()


def _rows(p: Parameter) -> list[tuple[Array | None, ...]]:
    """Value, velocity, gradient and rounded value: whole, or row by row where each has its own share of
    the rate."""
    arrays = (p.value, p.velocity, p.gradient, p.rounded)
    if not p.shares:
        return [arrays]
    return [tuple(a and Array(a.data[i], a.device) for a in arrays) for i in range(len(p.shares))]


def _banks(weights: Array) -> list[Array]:
    """The filters as columns (rows, filters); of a `local` layer those of each pixel."""
    filters, pixels = weights.shape[-1], weights.shape[0] if len(weights.shape) == 5 else 1
    banks = weights.data.reshape(pixels, weights.size // (pixels * filters), filters)
    return [Array(banks[i], weights.device) for i in range(pixels)]
