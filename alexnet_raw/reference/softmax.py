"""Softmax over classes, section 3.5 of the paper: "a 1000-way softmax which produces a
distribution over the 1000 class labels".
"""

from __future__ import annotations

import numpy as np


def forward(inp: np.ndarray) -> np.ndarray:
    """(classes, N) to (classes, N): p_c = exp(x_c) / sum_j exp(x_j) in each column.

    Subtracting the column's maximum changes nothing but keeps exp from overflowing.
    """
    exps = np.exp(inp - inp.max(axis=0))
    return exps / exps.sum(axis=0)


def backward(dout: np.ndarray, out: np.ndarray) -> np.ndarray:
    """dx_c = p_c * (dp_c - sum_j p_j dp_j), from the Jacobian dp_c/dx_j = p_c * ((c == j) - p_j)."""
    return out * (dout - (out * dout).sum(axis=0))
