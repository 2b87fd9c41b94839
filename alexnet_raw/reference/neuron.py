"""Neurons (paper, section 3.1, and cuda-convnet's others)."""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import Neuron
from alexnet_raw.reference import philox

# kind -> f(x, a, b), and f'(x) from x and y = f(x)
VALUES = {
    "ident": lambda x, a, b: x,
    "relu": lambda x, a, b: np.maximum(x, 0),
    "tanh": lambda x, a, b: a * np.tanh(b * x),
    "logistic": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "softrelu": lambda x, a, b: np.log(1 + np.exp(x)),
    "sqrt": lambda x, a, b: np.sqrt(x),
    "brelu": lambda x, a, b: np.minimum(a, np.maximum(0, x)),
    "linear": lambda x, a, b: a * x + b,
    "abs": lambda x, a, b: np.abs(x),
    "square": lambda x, a, b: x**2,
    "drelu": lambda x, a, b: x - a * np.tanh(x / a),
}
DERIVATIVES = {
    "ident": lambda x, y, a, b: np.ones_like(y),
    "relu": lambda x, y, a, b: y > 0,
    "tanh": lambda x, y, a, b: b / a * (a**2 - y**2),
    "logistic": lambda x, y, a, b: y * (1 - y),
    "softrelu": lambda x, y, a, b: 1 - np.exp(-y),
    "sqrt": lambda x, y, a, b: 1 / (2 * y),
    "brelu": lambda x, y, a, b: (y > 0) & (y < a),
    "linear": lambda x, y, a, b: np.full_like(y, a),
    "abs": lambda x, y, a, b: np.where(x > 0, 1, -1),
    "square": lambda x, y, a, b: 2 * x,
    "drelu": lambda x, y, a, b: np.tanh(x / a) ** 2,
}


def forward(inp: np.ndarray, neuron: Neuron) -> np.ndarray:
    """f(inp), elementwise."""
    return VALUES[neuron.kind](np.asarray(inp, np.float64), neuron.a, neuron.b)


def backward(
    dout: np.ndarray, out: np.ndarray, neuron: Neuron, inp: np.ndarray | None = None
) -> np.ndarray:
    """dout f'(inp), from out = f(inp); inp is needed for abs, square and drelu only."""
    x = None if inp is None else np.asarray(inp, np.float64)
    y = np.asarray(out, np.float64)
    return np.asarray(dout, np.float64) * DERIVATIVES[neuron.kind](x, y, neuron.a, neuron.b)


def noisy_relu(inp: np.ndarray, seed: int, layer: int, step: int) -> np.ndarray:
    """max(0, inp + noise), noise normal with variance 1 / (1 + e^-inp)."""
    x = np.asarray(inp, np.float64)
    noise = philox.normal(x.size, seed, layer, step).reshape(x.shape)
    return np.maximum(0, x + noise * np.sqrt(1 / (1 + np.exp(-x))))
