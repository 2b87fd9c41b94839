"""Gaussian blur within each map, cuda-convnet's `blur`; zeros beyond the map.

The weights are symmetric, so that the blur is its own transpose: the gradient of the input is
`forward` of the gradient of the output. Arrays: (channels, height, width, images).
"""

from __future__ import annotations

import numpy as np


def weights(size: int, stdev: float) -> np.ndarray:
    """(size,) Gaussian weights of sum 1, the largest in the middle."""
    w = np.exp(-((np.arange(size) - size // 2) ** 2) / (2 * stdev**2))
    return w / w.sum()


def forward(inp: np.ndarray, size: int, stdev: float) -> np.ndarray:
    """inp, blurred, float64."""
    _, height, width, _ = inp.shape
    reach, w = size // 2, weights(size, stdev)
    padded = np.pad(np.asarray(inp, np.float64), [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    out = np.zeros(inp.shape)
    for i in range(size):
        for j in range(size):
            out += w[i] * w[j] * padded[:, i : i + height, j : j + width]
    return out
