"""Bilinear resizing, and crops of what it gives: cuda-convnet's `resize`, `rscale` and `crop`.

Pixel i of an axis of out lies at (start + i + 1/2) * scale - 1/2 in inp, limited to its border, and is
interpolated between the pixels on both sides. Arrays: (channels, height, width, images).
"""

from __future__ import annotations

import numpy as np


def forward(
    inp: np.ndarray, size: tuple[int, int], scale: float, top: int = 0, left: int = 0
) -> np.ndarray:
    """(channels, *size, images), float64: the pixels from (top, left) on of the resized pictures."""
    _, height, width, _ = inp.shape
    rows = interpolation(height, size[0], scale, top)
    columns = interpolation(width, size[1], scale, left)
    return np.einsum("yh,chwn,xw->cyxn", rows, np.asarray(inp, np.float64), columns)


def interpolation(pixels: int, outputs: int, scale: float, start: int) -> np.ndarray:
    """(outputs, pixels): how much of each pixel of an axis is in each output."""
    shares = np.zeros((outputs, pixels))
    for i in range(outputs):
        place = min(max((start + i + 0.5) * scale - 0.5, 0), pixels - 1)
        first = int(place)
        shares[i, first] += 1 - (place - first)
        shares[i, min(first + 1, pixels - 1)] += place - first
    return shares
