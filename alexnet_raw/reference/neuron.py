"""Neurons (paper, section 3.1)."""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import Neuron


def forward(inp: np.ndarray, neuron: Neuron) -> np.ndarray:
    """f(inp): max(0, x) for relu, a tanh(b x) for tanh."""
    x = np.asarray(inp, np.float64)
    if neuron.kind == "relu":
        return np.maximum(x, 0)
    if neuron.kind == "tanh":
        return neuron.a * np.tanh(neuron.b * x)
    return x


def backward(dout: np.ndarray, out: np.ndarray, neuron: Neuron) -> np.ndarray:
    """dout f'(x), with f'(x) expressed through out = f(x)."""
    dy, y = np.asarray(dout, np.float64), np.asarray(out, np.float64)
    if neuron.kind == "relu":
        return dy * (y > 0)
    if neuron.kind == "tanh":
        return dy * neuron.b / neuron.a * (neuron.a**2 - y**2)
    return dy
