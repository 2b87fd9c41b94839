"""Gradient of the biases: out = neuron(z), z = something + bias of the channel (paper §5).

Arrays: dout and out (channels, ...), any further axes.
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation


def backward(
    dout: np.ndarray, out: np.ndarray, neuron: Neuron = IDENT
) -> tuple[np.ndarray, np.ndarray]:
    """(dbias, dz): dz = dout * neuron'(z), and its sum over all axes but the first."""
    dz = activation.backward(dout, out, neuron)
    return dz.reshape(len(dz), -1).sum(axis=1), dz
