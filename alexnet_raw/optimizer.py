"""Stochastic gradient descent with momentum and weight decay (paper §5).

v <- momentum * v - eps * decay * w - eps * gradient of the mean cost;  w <- w + v
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Array, Device
from alexnet_raw.device_numbers import DeviceNumbers
from alexnet_raw.parameters import Parameter


class Optimizer:
    """Moves the parameters of a net along their gradients, those of a device in one launch."""

    def __init__(self) -> None:
        self._groups: dict[tuple[str, ...], list[_Group]] = {}  # by the parameters that move

    def step(self, parameters: Iterable[Parameter], progress: float, scale: float = 1.0) -> None:
        """Move every parameter along its gradient, at its own rate times `scale`.

        progress: 0 at the start of the run, 1 at its end; the schedules follow it. A parameter
        whose rate is 0 is frozen: neither gradient nor decay nor old velocity moves it.
        """
        for group in self._groups[self.set_rates(parameters, progress, scale)]:
            group.step()

    def set_rates(
        self, parameters: Iterable[Parameter], progress: float, scale: float = 1.0
    ) -> tuple[str, ...]:
        """Let the devices know the rates of the step that follows; returns who moves."""
        rates = {p: p.rate.eps * p.rate.schedule.factor_at(progress) * scale for p in parameters}
        moving = [p for p, rate in rates.items() if rate != 0]
        names = tuple(p.name for p in moving)
        if names not in self._groups:
            devices = dict.fromkeys(p.value.device for p in moving)
            self._groups[names] = [
                _Group(d, [p for p in moving if p.value.device is d]) for d in devices
            ]
        for group in self._groups[names]:
            group.set_rates(rates)
        return names


class _Group:
    """The parameters of one device that move."""

    def __init__(self, device: Device, parameters: list[Parameter]):
        self.parameters = parameters
        self.rows = [row for p in parameters for row in _rows(p)]
        self.settings = DeviceNumbers(device, (len(self.rows), 3))

    def set_rates(self, rates: dict[Parameter, float]) -> None:
        own = [
            (rates[p] * share, p.rate.momentum, p.rate.decay * share)
            for p in self.parameters
            for share in p.shares or (1.0,)
        ]
        self.settings.set(np.array(own, np.float32))

    def step(self) -> None:
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
