"""Convolution (paper §3.5), by its definition: at each output pixel, one dot product per filter.

Arrays: inp (channels, height, width, images), weights (channels/groups, kh, kw, filters),
bias (filters,), out (filters, outputs_y, outputs_x, images). Output pixel (y, x) sees the kh x kw
pixels from (y*stride - padding, x*stride - padding) on; what lies outside the picture is zero.
The output size is rounded up, so the last windows may reach past the right and bottom padding:
224 pixels give 55 with 11x11 filters at stride 4. Filters of group g see the channels of group g.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation


def forward(
    inp: np.ndarray,
    weights: np.ndarray,
    bias: np.ndarray | None = None,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """neuron(convolution + bias), (filters, outputs_y, outputs_x, images), float64."""
    weights = np.asarray(weights, np.float64)
    _, kh, kw, filters = weights.shape
    _, height, width, images = inp.shape
    outputs_y = conv_output_size(height, kh, stride, padding)
    outputs_x = conv_output_size(width, kw, stride, padding)
    padded = padded_picture(inp, (kh, kw), (outputs_y, outputs_x), stride, padding)
    out = np.zeros((filters, outputs_y, outputs_x, images))
    for f, c in filter_groups(filters, len(inp), groups):
        for y, x, window in windows((outputs_y, outputs_x), (kh, kw), stride):
            out[f, y, x] = np.einsum("cijf,cijn->fn", weights[..., f], padded[c][window])
    if bias is not None:
        out += np.asarray(bias, np.float64)[:, None, None, None]
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
    _, kh, kw, filters = weights.shape
    outputs = dout.shape[1:3]
    dpadded = padded_picture(np.zeros(inp_shape), (kh, kw), outputs, stride, padding)
    for f, c in filter_groups(filters, channels, groups):
        for y, x, window in windows(outputs, (kh, kw), stride):
            dpadded[c][window] += np.einsum("cijf,fn->cijn", weights[..., f], dout[f, y, x])
    return dpadded[:, padding : padding + height, padding : padding + width]


def backward_weights(
    inp: np.ndarray,
    dout: np.ndarray,
    weights_shape: tuple[int, int, int, int],
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
) -> np.ndarray:
    """Gradient of the weights: the sum over pixels and pictures of seen pixel times gradient."""
    dout = np.asarray(dout, np.float64)
    _, kh, kw, filters = weights_shape
    outputs = dout.shape[1:3]
    padded = padded_picture(inp, (kh, kw), outputs, stride, padding)
    dweights = np.zeros(weights_shape)
    for f, c in filter_groups(filters, len(inp), groups):
        for y, x, window in windows(outputs, (kh, kw), stride):
            dweights[..., f] += np.einsum("cijn,fn->cijf", padded[c][window], dout[f, y, x])
    return dweights


def padded_picture(
    inp: np.ndarray, kernel: tuple[int, int], outputs: tuple[int, int], stride: int, padding: int
) -> np.ndarray:
    """inp in float64 with zeros around it, as far right and down as the last window reaches."""
    borders = [(0, 0)]
    for size, window, count in zip(inp.shape[1:3], kernel, outputs, strict=True):
        reach = (count - 1) * stride + window
        borders.append((padding, max(padding, reach - padding - size)))
    return np.pad(np.asarray(inp, np.float64), [*borders, (0, 0)])


def filter_groups(filters: int, channels: int, groups: int) -> Iterator[tuple[slice, slice]]:
    """The filters and the channels of each group."""
    f, c = filters // groups, channels // groups
    for g in range(groups):
        yield slice(g * f, (g + 1) * f), slice(g * c, (g + 1) * c)


def windows(
    outputs: tuple[int, int], kernel: tuple[int, int], stride: int
) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """Each output pixel and its window (all channels, kh rows, kw columns) of the padded input."""
    for y in range(outputs[0]):
        for x in range(outputs[1]):
            top, left = y * stride, x * stride
            yield y, x, np.s_[:, top : top + kernel[0], left : left + kernel[1]]
