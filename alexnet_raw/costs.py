"""What a batch cost, on the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from alexnet_raw.device import read_later
from alexnet_raw.layers import Site


@dataclass(frozen=True)
class Cost:
    """Means over a batch: the loss (log loss in nats), and errors between 0 and 1 where it has them."""

    loss: float
    top1: float = math.nan
    topk: float = math.nan


def read_costs(sites: Iterable[Site]) -> Callable[[], dict[str, Cost]]:
    """The costs of cost layers that work has been given for, by name, once called: as `read_later`."""
    readings = {}
    for site in sites:
        names = [name for name in Cost.__annotations__ if name in site.scratch]
        readings[site.layer.name] = names, read_later([site.scratch[name] for name in names])
    return lambda: {
        layer: Cost(**{name: _mean(values) for name, values in zip(names, read(), strict=True)})
        for layer, (names, read) in readings.items()
    }


def _mean(values: np.ndarray) -> float:
    return float(values.mean(dtype=np.float64))
