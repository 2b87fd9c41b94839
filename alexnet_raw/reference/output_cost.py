"""Costs that are sums over outputs, some against targets: cuda-convnet's, not the paper's."""

from __future__ import annotations

import numpy as np

from alexnet_raw.reference.logloss import SMALLEST


def _log(x: np.ndarray) -> np.ndarray:
    return np.log(np.maximum(x, SMALLEST))


COSTS = {
    "crossent": lambda t, y: -t * _log(y),
    "crossent2": lambda t, y: -t * _log(y) - (1 - t) * _log(1 - y),
    "rflickr": lambda t, y: np.log(1 + (y - t) ** 2),
    "sum2": lambda t, y: y**2,
    "gsum2": lambda t, y: t * y**2,
}
SLOPES = {
    "crossent": lambda t, y: -t / np.maximum(y, SMALLEST),
    "crossent2": lambda t, y: (y - t) / np.maximum(y * (1 - y), SMALLEST),
    "rflickr": lambda t, y: 2 * (y - t) / (1 + (y - t) ** 2),
    "sum2": lambda t, y: 2 * y,
    "gsum2": lambda t, y: 2 * t * y,
}


def one_hot(labels: np.ndarray, classes: int) -> np.ndarray:
    """labels (N,) to (classes, N): 1 at the label of each picture, else 0."""
    return (np.arange(classes)[:, None] == labels).astype(np.float64)


def forward(targets: np.ndarray | None, out: np.ndarray, kind: str) -> np.ndarray:
    """The cost of each picture, (N,); out (features, N), targets the same, for gsum2 (1, N)."""
    return COSTS[kind](targets, np.asarray(out, np.float64)).sum(axis=0)


def backward(targets: np.ndarray | None, out: np.ndarray, kind: str, coeff: float) -> np.ndarray:
    """d(coeff * mean cost) / dout."""
    y = np.asarray(out, np.float64)
    return coeff / y.shape[1] * SLOPES[kind](targets, y)
