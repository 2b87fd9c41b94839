"""Pooling that takes one pixel of each window at random, cuda-convnet's `pool=rand` in training.

Windows are those of `reference.pool`. Element i of out, in C order, takes pixel floor(u * n) of its
window's n pixels, in rows, where u is draw i of the stream (seed, layer, step).
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.geometry import pool_output_size
from alexnet_raw.reference import philox
from alexnet_raw.reference.pool import windows


def taken(
    inp_shape: tuple[int, ...], size: int, stride: int, start: int, seed: int, layer: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """(rows, columns) of the pixels that the outputs take, each of the output's shape."""
    channels, *sides, images = inp_shape
    outputs = (pool_output_size(side, size, stride, start) for side in sides)
    shape = (channels, *outputs, images)
    draws = philox.uniform(int(np.prod(shape)), seed, layer, step).reshape(shape)
    rows, columns = np.empty(shape, int), np.empty(shape, int)
    for y, x, (_, down, across) in windows(inp_shape, shape, size, stride, start):
        width = across.stop - across.start
        pixels = (down.stop - down.start) * width
        chosen = np.minimum((draws[:, y, x] * np.float32(pixels)).astype(int), pixels - 1)
        rows[:, y, x], columns[:, y, x] = down.start + chosen // width, across.start + chosen % width
    return rows, columns


def forward(
    inp: np.ndarray, size: int, stride: int, start: int = 0, *, seed: int, layer: int, step: int
) -> np.ndarray:
    """The pixels taken, float64."""
    inp = np.asarray(inp, np.float64)
    rows, columns = taken(inp.shape, size, stride, start, seed, layer, step)
    channel, _, _, image = np.indices(rows.shape)
    return inp[channel, rows, columns, image]


def backward(
    dout: np.ndarray,
    inp_shape: tuple[int, ...],
    size: int,
    stride: int,
    start: int = 0,
    *,
    seed: int,
    layer: int,
    step: int,
) -> np.ndarray:
    """Gradient of the input: that of each output, at the pixel it took."""
    rows, columns = taken(inp_shape, size, stride, start, seed, layer, step)
    channel, _, _, image = np.indices(rows.shape)
    dinp = np.zeros(inp_shape)
    np.add.at(dinp, (channel, rows, columns, image), np.asarray(dout, np.float64))
    return dinp
