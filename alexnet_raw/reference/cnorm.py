"""Contrast normalisation within each map (`cnorm` of the layer files): rnorm of m = inp less its mean.

    m_p = inp_p - mean of inp over window(p),   out_p = m_p / d_p^power
    d_p = min_div + scale/size^2 * sum of m_q^2 over q in window(p)

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


def forward(inp: np.ndarray, size: int, **settings: float) -> np.ndarray:
    """inp less its mean around, normalised by the same of the pixels around; settings as of rnorm."""
    return rnorm.forward(differences(inp, size), size, **settings)[0]


def backward(dout: np.ndarray, inp: np.ndarray, size: int, **settings: float) -> np.ndarray:
    """Gradient of the input: through m, of which each inp is a term itself and in means."""
    dm = rnorm.backward(dout, differences(inp, size), size, **settings)
    return dm - np.einsum("yxij,cyxn->cijn", means(*inp.shape[1:3], size), dm)
