"""Stochastic gradient descent with momentum and weight decay (paper §5).

v <- momentum * v - eps * decay * w - eps * gradient of the mean cost;  w <- w + v
"""

from __future__ import annotations

from collections.abc import Iterable

from alexnet_raw import ops
from alexnet_raw.parameters import Parameter


def step(parameters: Iterable[Parameter], progress: float, scale: float = 1.0) -> None:
    """Move every parameter along its gradient, at its own rate times `scale`.

    progress: 0 at the start of the run, 1 at its end; the schedules follow it. A parameter
    whose rate is 0 is frozen: neither gradient nor decay nor old velocity moves it.
    """
    for p in parameters:
        rate = p.rate.eps * p.rate.schedule.factor_at(progress) * scale
        if rate != 0:
            ops.sgd_step(
                p.value,
                p.velocity,
                p.gradient,
                rate=rate,
                momentum=p.rate.momentum,
                decay=p.rate.decay,
            )
            if any(p.norms):
                filters = p.value.shape[-1]
                matrix = p.value.reshape(p.value.size // filters, filters)
                ops.limit_norms(matrix, least=p.norms[0], most=p.norms[1])
