"""Colour spaces, cuda-convnet's `rgb2yuv` and `rgb2lab`. Arrays: (3, height, width, images)."""

from __future__ import annotations

import numpy as np

YUV = np.array(
    [
        [0.2126, 0.7152, 0.0722],
        [-0.09991, -0.33609, 0.436],
        [0.615, -0.55861, -0.05639],
    ]
)
# Of the CIE's RGB of 1931, scaled so that white is (1, 1, 1).
XYZ = np.array(
    [
        [0.49, 0.31, 0.2],
        [0.17697, 0.8124, 0.01063],
        [0, 0.01, 0.99],
    ]
)


def to_yuv(inp: np.ndarray) -> np.ndarray:
    """Luma and two colour differences, float64."""
    return np.einsum("ij,jhwn->ihwn", YUV, np.asarray(inp, np.float64))


def to_lab(inp: np.ndarray, center: bool) -> np.ndarray:
    """CIE L*, a*, b* of linear colours in 0 ... 1; L* - 50 with `center`."""
    t = np.einsum("ij,jhwn->ihwn", XYZ, np.asarray(inp, np.float64))
    knee = 6 / 29
    x, y, z = np.where(t > knee**3, np.cbrt(t), t / (3 * knee**2) + 4 / 29)
    return np.stack([116 * y - 16 - 50 * center, 500 * (x - y), 200 * (y - z)])
