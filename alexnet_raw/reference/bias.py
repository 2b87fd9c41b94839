"""Biases and their gradient: out = neuron(z), z = something + bias of the channel (paper §5).

Arrays: dout and out (channels, ...), any further axes.
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation


def forward(z: np.ndarray, bias: np.ndarray, neuron: Neuron = IDENT) -> np.ndarray:
    """neuron(z + bias), where bias has the leading axes of z and is the same along the others."""
    bias = np.asarray(bias, np.float64)
    return activation.forward(z + bias.reshape(*bias.shape, *[1] * (z.ndim - bias.ndim)), neuron)


def backward(
    dout: np.ndarray, out: np.ndarray, neuron: Neuron = IDENT
) -> tuple[np.ndarray, np.ndarray]:
    """(dbias, dz): dz = dout * neuron'(z), and its sum over all axes but the first."""
    dz = activation.backward(dout, out, neuron)
    return dz.reshape(len(dz), -1).sum(axis=1), dz
