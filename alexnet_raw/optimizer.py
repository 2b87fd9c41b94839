"""Stochastic gradient descent with momentum and weight decay (paper §5).

v <- momentum * v - eps * decay * w - eps * gradient of the mean cost;  w <- w + v
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.parameters import Parameter


def step(parameters: Iterable[Parameter], progress: float, scale: float = 1.0) -> None:
    """Move every parameter along its gradient, at its own rate times `scale`.

    progress: 0 at the start of the run, 1 at its end; the schedules follow it. A parameter
    whose rate is 0 is frozen: neither gradient nor decay nor old velocity moves it.
    """
    for p in parameters:
        rate = p.rate.eps * p.rate.schedule.factor_at(progress) * scale
        if rate != 0:
            for arrays, share in _rows(p):
                ops.sgd_step(
                    *arrays,
                    rate=rate * share,
                    momentum=p.rate.momentum,
                    decay=p.rate.decay * share,
                )
            for limit in p.limits:
                for bank in _banks(p.value):
                    ops.limit_norms(bank, **asdict(limit))


def _rows(p: Parameter) -> list[tuple[tuple[Array, Array, Array], float]]:
    """Value, velocity and gradient with their share of the rate: whole, or each row with its own."""
    arrays = (p.value, p.velocity, p.gradient)
    if not p.shares:
        return [(arrays, 1.0)]
    rows = (tuple(Array(a.data[i], a.device) for a in arrays) for i in range(len(p.shares)))
    return list(zip(rows, p.shares, strict=True))


def _banks(weights: Array) -> list[Array]:
    """The filters as columns (rows, filters); of a `local` layer those of each pixel."""
    filters, pixels = weights.shape[-1], weights.shape[0] if len(weights.shape) == 5 else 1
    banks = weights.data.reshape(pixels, weights.size // (pixels * filters), filters)
    return [Array(banks[i], weights.device) for i in range(pixels)]
