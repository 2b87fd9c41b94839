"""Topographic ICA, cuda-convnet's cost.tica: neighbouring pixels of a map shall be active together.

The sum over windows of their length s is small for given activity where it is concentrated. The
gradient is cuda-convnet's (conv_util.cu), x * sum of 1 / (e + s); it reports no cost, so that here the
cost is what this is the gradient of: s - e log(1 + s / e) instead of s.
"""

from __future__ import annotations

import numpy as np

SMALL = 1e-3


def _norms(inp: np.ndarray, size: int) -> np.ndarray:
    squares, out = np.asarray(inp, np.float64) ** 2, np.zeros(inp.shape)
    for y, x in np.ndindex(inp.shape[1:3]):
        top, left = y - size // 2, x - size // 2
        window = squares[:, max(top, 0) : top + size, max(left, 0) : left + size]
        out[:, y, x] = np.sqrt(window.sum(axis=(1, 2)))
    return out


def forward(inp: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """inp (channels, height, width, N) to the cost of each picture, (N,), and the windows' lengths."""
    norms = _norms(inp, size)
    return (norms - SMALL * np.log1p(norms / SMALL)).sum(axis=(0, 1, 2)), norms


def backward(inp: np.ndarray, size: int, coeff: float) -> np.ndarray:
    """d(coeff * mean cost) / dinp."""
    inp = np.asarray(inp, np.float64)
    norms, pulls = _norms(inp, size), np.zeros(inp.shape)
    for y, x in np.ndindex(inp.shape[1:3]):
        top, left = y - size // 2, x - size // 2
        window = pulls[:, max(top, 0) : top + size, max(left, 0) : left + size]
        window += 1 / (SMALL + norms[:, y, x])[:, None, None]
    return coeff / inp.shape[3] * inp * pulls
