"""Channels that a table picks, for layers whose groups see random channels (cuda-convnet's randSparse).

Arrays: inp and out (channels, ...), table (terms, channels of out) of channels of inp.
"""

from __future__ import annotations

import numpy as np


def gather(inp: np.ndarray, table: np.ndarray) -> np.ndarray:
    """out[i] = sum over t of inp[table[t, i]], float64."""
    return np.asarray(inp, np.float64)[table].sum(axis=0)


def scatter(dout: np.ndarray, table: np.ndarray, channels: int) -> np.ndarray:
    """The gradient of `gather` with inputs of so many channels: each place adds to its channel."""
    dinp = np.zeros((channels, *dout.shape[1:]))
    for row in table:
        np.add.at(dinp, row, np.asarray(dout, np.float64))
    return dinp
