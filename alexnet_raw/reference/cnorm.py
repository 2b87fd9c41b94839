"""Contrast normalisation within each map (`cnorm` of the layer files), as cuda-convnet has it.

    m_p = inp_p - mean of inp over window(p)
    out_p = inp_p / d_p^power,   d_p = min_div + scale/size^2 * sum of m_q^2 over q in window(p)

The window is that of `reference.rnorm`; the mean is of the pixels that exist in it.
Arrays: (channels, height, width, images).
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.reference import rnorm
from alexnet_raw.reference.lrn import window


def means(height: int, width: int, size: int) -> np.ndarray:
    """(height, width, height, width): how much of each pixel is in each window's mean."""
    shares = np.zeros((height, width, height, width))
    for y in range(height):
        for x in range(width):
            pixels = shares[y, x, window(y, size, height), window(x, size, width)]
            pixels[...] = 1 / pixels.size
    return shares


def differences(inp: np.ndarray, size: int) -> np.ndarray:
    """m of the formula."""
    inp = np.asarray(inp, np.float64)
    return inp - np.einsum("yxij,cijn->cyxn", means(*inp.shape[1:3], size), inp)


def forward(
    inp: np.ndarray, size: int, scale: float, power: float, min_div: float
) -> tuple[np.ndarray, np.ndarray]:
    """(out, d): inp normalised by the contrast around, and its denominators before the power."""
    d = rnorm.denominators(differences(inp, size), size, scale, min_div)
    return np.asarray(inp, np.float64) / d**power, d


def backward(
    dout: np.ndarray, inp: np.ndarray, size: int, scale: float, power: float, min_div: float
) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of inp and of m, as if they were independent inputs: see `whole_gradient`."""
    dout, inp = np.asarray(dout, np.float64), np.asarray(inp, np.float64)
    m = differences(inp, size)
    d = rnorm.denominators(m, size, scale, min_div)
    pull = dout * inp / d ** (power + 1)
    shared = np.zeros_like(inp)
    _, height, width, _ = inp.shape
    for y in range(height):
        for x in range(width):
            shared[:, window(y, size, height), window(x, size, width)] += pull[:, None, None, y, x]
    return dout / d**power, -2 * power * scale / size**2 * m * shared


def whole_gradient(dout: np.ndarray, inp: np.ndarray, size: int, **settings: float) -> np.ndarray:
    """Gradient of the input: as it is divided itself, in m, and in the means."""
    direct, dm = backward(dout, inp, size, **settings)
    return direct + dm - np.einsum("yxij,cyxn->cijn", means(*inp.shape[1:3], size), dm)
