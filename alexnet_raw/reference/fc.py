"""Fully-connected layer (paper §3.5): out = neuron(weights^T inp + bias).

Arrays: inp (inputs, images), weights (inputs, outputs), bias (outputs,), out (outputs, images).
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation


def forward(
    inp: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray | None = None,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """neuron(weights^T inp + bias), (outputs, images), float64."""
    out = np.asarray(weights, np.float64).T @ np.asarray(inp, np.float64)
    if bias is not None:
        out += np.asarray(bias, np.float64)[:, None]
    return activation.forward(out, neuron)


def backward_data(dout: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Gradient of the input, (inputs, images)."""
    return np.asarray(weights, np.float64) @ np.asarray(dout, np.float64)


def backward_weights(inp: np.ndarray, dout: np.ndarray) -> np.ndarray:
    """Gradient of the weights, (inputs, outputs), summed over the images."""
    return np.asarray(inp, np.float64) @ np.asarray(dout, np.float64).T
