"""Local response normalisation across channels (paper §3.3; `cmrnorm` of the layer files).

    out_i = inp_i / d_i^power,   d_i = min_div + scale/size * sum of inp_j^2 over j in window(i)

window(i) holds the channels i - size//2 ... i - size//2 + size - 1, clipped to the array's own
channels; blocked, window(i) is the block of `size` channels, from i//size*size on, that holds i.
The paper's alpha is not divided by n: paper alpha = scale/size, paper k = min_div.
Arrays: (channels, height, width, images).
"""

from __future__ import annotations

import numpy as np


def window(i: int, size: int, channels: int, blocked: bool = False) -> slice:
    """The channels that normalise channel i."""
    first = i // size * size if blocked else i - size // 2
    return slice(max(first, 0), min(first + size, channels))


def denominators(
    inp: np.ndarray, size: int, scale: float, min_div: float, blocked: bool = False
) -> np.ndarray:
    """d of the formula: what is raised to the power and divided by."""
    squares = np.asarray(inp, np.float64) ** 2
    sums = [squares[window(i, size, len(inp), blocked)].sum(axis=0) for i in range(len(inp))]
    return min_div + scale / size * np.stack(sums)


def forward(
    inp: np.ndarray, size: int, scale: float, power: float, min_div: float, blocked: bool = False
) -> np.ndarray:
    """inp normalised by its neighbour channels."""
    return np.asarray(inp, np.float64) / denominators(inp, size, scale, min_div, blocked) ** power


def backward(
    dout: np.ndarray,
    inp: np.ndarray,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    blocked: bool = False,
) -> np.ndarray:
    """Gradient of the input.

    inp_i is divided by d_i, and it is a term of d_j for each j whose window holds i:
    dinp_i = dout_i / d_i^power - 2 power scale/size inp_i * sum_j dout_j inp_j / d_j^(power+1)
    """
    dout, inp = np.asarray(dout, np.float64), np.asarray(inp, np.float64)
    d = denominators(inp, size, scale, min_div, blocked)
    pull = dout * inp / d ** (power + 1)
    dinp = dout / d**power
    for j in range(len(inp)):
        i = window(j, size, len(inp), blocked)
        dinp[i] -= 2 * power * scale / size * inp[i] * pull[j]
    return dinp
