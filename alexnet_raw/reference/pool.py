"""Overlapping max and average pooling (paper §3.4), with the neuron that may follow it.

Output pixel (y, x) pools the size x size pixels from (start + y*stride, start + x*stride) on,
clipped to the image; the average divides by the number of pixels left. `start` may be negative.
Ties: as in cuda-convnet, every pixel that equals its window's maximum receives the whole gradient.
Arrays: inp (channels, height, width, images), out (channels, outputs_y, outputs_x, images).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alexnet_raw.geometry import pool_output_size
from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import neuron as activation


def _largest_magnitude(pixels: np.ndarray) -> np.ndarray:
    """The first pixel of the largest magnitude, row by row, with its sign."""
    rows = pixels.reshape(pixels.shape[0], -1, pixels.shape[3])
    largest = np.abs(rows).argmax(axis=1)
    return np.take_along_axis(rows, largest[:, None], axis=1)[:, 0]


# Windows (channels, rows, columns, images) -> (channels, images).
POOLS = {
    "max": lambda pixels: pixels.max(axis=(1, 2)),
    "avg": lambda pixels: pixels.mean(axis=(1, 2)),
    "maxabs": _largest_magnitude,
}


def forward(
    inp: np.ndarray,
    kind: str,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """neuron(pooled window), float64. kind is "max", "avg" or "maxabs", the largest magnitude."""
    inp = np.asarray(inp, np.float64)
    channels, height, width, images = inp.shape
    outputs_y = pool_output_size(height, size, stride, start)
    outputs_x = pool_output_size(width, size, stride, start)
    out = np.empty((channels, outputs_y, outputs_x, images))
    for y, x, window in windows(inp.shape, out.shape, size, stride, start):
        out[:, y, x] = POOLS[kind](inp[window])
    return activation.forward(out, neuron)


def backward(
    dout: np.ndarray,
    inp: np.ndarray,
    out: np.ndarray,
    kind: str,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
) -> np.ndarray:
    """Gradient of the input; out is what forward gave, neuron included."""
    inp = np.asarray(inp, np.float64)
    dpooled = activation.backward(dout, out, neuron)
    dinp = np.zeros_like(inp)
    for y, x, window in windows(inp.shape, out.shape, size, stride, start):
        pixels = inp[window]
        if kind == "avg":
            share = 1 / (pixels.shape[1] * pixels.shape[2])
        else:
            share = pixels == POOLS[kind](pixels)[:, None, None]
        dinp[window] += share * dpooled[:, None, None, y, x]
    return dinp


def windows(
    inp_shape: tuple[int, ...], out_shape: tuple[int, ...], size: int, stride: int, start: int
) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """Each output pixel and its clipped window (all channels, rows, columns) of the input."""

    def clipped(i: int, limit: int) -> slice:
        first = start + i * stride
        return slice(max(first, 0), min(first + size, limit))

    for y in range(out_shape[1]):
        for x in range(out_shape[2]):
            yield y, x, np.s_[:, clipped(y, inp_shape[1]), clipped(x, inp_shape[2])]
