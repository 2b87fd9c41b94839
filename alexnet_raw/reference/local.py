"""Locally connected layer: a convolution (reference/conv.py) whose filters differ at each output pixel.

Arrays: inp (channels, height, width, images), weights (outputs_y * outputs_x, channels/groups, kh, kw,
filters), bias (filters, outputs_y, outputs_x), out (filters, outputs_y, outputs_x, images). Windows,
padding and groups are those of the convolution.
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation
from alexnet_raw.reference.conv import filter_groups, padded_picture, windows


def forward(
    inp: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray | None = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """neuron(sum over each pixel's window + bias), (filters, outputs_y, outputs_x, images), float64."""
    weights = np.asarray(weights, np.float64)
    _, _, kh, kw, filters = weights.shape
    _, height, width, images = inp.shape
    outputs_y = conv_output_size(height, kh, stride, padding)
    outputs_x = conv_output_size(width, kw, stride, padding)
    padded = padded_picture(inp, (kh, kw), (outputs_y, outputs_x), stride, padding)
    out = np.zeros((filters, outputs_y, outputs_x, images))
    for f, c in filter_groups(filters, len(inp), groups):
        for y, x, window in windows((outputs_y, outputs_x), (kh, kw), stride):
            bank = weights[y * outputs_x + x, ..., f]
            out[f, y, x] = np.einsum("cijf,cijn->fn", bank, padded[c][window])
    if bias is not None:
        out += np.asarray(bias, np.float64)[..., None]
    return activation.forward(out, neuron)


def backward_data(
    dout: np.ndarray,
    weights: np.ndarray,
    inp_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> np.ndarray:
    """Gradient of the input: each output pixel hands its gradient back to the pixels it saw."""
    dout, weights = np.asarray(dout, np.float64), np.asarray(weights, np.float64)
    channels, height, width, _ = inp_shape
    _, _, kh, kw, filters = weights.shape
    outputs = dout.shape[1:3]
    dpadded = padded_picture(np.zeros(inp_shape), (kh, kw), outputs, stride, padding)
    for f, c in filter_groups(filters, channels, groups):
        for y, x, window in windows(outputs, (kh, kw), stride):
            bank = weights[y * outputs[1] + x, ..., f]
            dpadded[c][window] += np.einsum("cijf,fn->cijn", bank, dout[f, y, x])
    return dpadded[:, padding : padding + height, padding : padding + width]


def backward_weights(
    inp: np.ndarray,
    dout: np.ndarray,
    weights_shape: tuple[int, int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> np.ndarray:
    """Gradient of the weights: the sum over pictures of seen pixel times gradient."""
    dout = np.asarray(dout, np.float64)
    _, _, kh, kw, filters = weights_shape
    outputs = dout.shape[1:3]
    padded = padded_picture(inp, (kh, kw), outputs, stride, padding)
    dweights = np.zeros(weights_shape)
    for f, c in filter_groups(filters, len(inp), groups):
        for y, x, window in windows(outputs, (kh, kw), stride):
            bank = dweights[y * outputs[1] + x]
            bank[..., f] = np.einsum("cijn,fn->cijf", padded[c][window], dout[f, y, x])
    return dweights
