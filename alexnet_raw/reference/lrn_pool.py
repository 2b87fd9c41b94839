"""Max pooling of normalised responses (paper §3.3, §3.4): lrn.py, then pool.py of kind "max".

Arrays: inp (channels, height, width, images), out (channels, outputs_y, outputs_x, images).
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import lrn, pool
from alexnet_raw.reference import neuron as activation


def forward(
    inp: np.ndarray,
    norm_size: int,
    scale: float,
    power: float,
    min_div: float,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """neuron(largest normalised pixel of each window), float64."""
    normalised = lrn.forward(inp, norm_size, scale, power, min_div)
    return pool.forward(normalised, "max", size, stride, start, neuron)


def backward(
    dout: np.ndarray,
    inp: np.ndarray,
    norm_size: int,
    scale: float,
    power: float,
    min_div: float,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
    below: Neuron = IDENT,
) -> np.ndarray:
    """Gradient of the input or, where inp = below(z), of z."""
    normalised = lrn.forward(inp, norm_size, scale, power, min_div)
    out = pool.forward(normalised, "max", size, stride, start, neuron)
    dnormalised = pool.backward(dout, normalised, out, "max", size, stride, start, neuron)
    dinp = lrn.backward(dnormalised, inp, norm_size, scale, power, min_div)
    return activation.backward(dinp, np.asarray(inp, np.float64), below)
