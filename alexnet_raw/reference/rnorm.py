"""Response normalisation within each map (`rnorm` of the layer files, used by the 2012 nets).

    out_p = inp_p / d_p^power,   d_p = min_div + scale/size^2 * sum of inp_q^2 over q in window(p)

window(p) holds the size x size pixels of the same map from p - size//2 on, clipped to the map.
Arrays: (channels, height, width, images).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from alexnet_raw.reference.lrn import window


def denominators(inp: np.ndarray, size: int, scale: float, min_div: float) -> np.ndarray:
    """d of the formula: what is raised to the power and divided by."""
    squares = np.asarray(inp, np.float64) ** 2
    sums = np.empty_like(squares)
    for y, x, rows, columns in _windows(inp.shape, size):
        sums[:, y, x] = squares[:, rows, columns].sum(axis=(1, 2))
    return min_div + scale / size**2 * sums


def forward(
    inp: np.ndarray, size: int, scale: float, power: float, min_div: float
) -> tuple[np.ndarray, np.ndarray]:
    """(out, d): inp normalised by the pixels around, and its denominators before the power."""
    d = denominators(inp, size, scale, min_div)
    return np.asarray(inp, np.float64) / d**power, d


def backward(
    dout: np.ndarray, inp: np.ndarray, size: int, scale: float, power: float, min_div: float
) -> np.ndarray:
    """Gradient of the input, as for lrn: inp_q is a term of d_p for each p whose window holds q."""
    dout, inp = np.asarray(dout, np.float64), np.asarray(inp, np.float64)
    d = denominators(inp, size, scale, min_div)
    pull = dout * inp / d ** (power + 1)
    shared = np.zeros_like(inp)
    for y, x, rows, columns in _windows(inp.shape, size):
        shared[:, rows, columns] += pull[:, None, None, y, x]
    return dout / d**power - 2 * power * scale / size**2 * inp * shared


def _windows(shape: tuple[int, ...], size: int) -> Iterator[tuple[int, int, slice, slice]]:
    """Each pixel with the rows and columns that normalise it."""
    _, height, width, _ = shape
    for y in range(height):
        for x in range(width):
            yield y, x, window(y, size, height), window(x, size, width)
