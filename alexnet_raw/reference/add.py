"""Weighted sum of two arrays: gradients of what several layers read, and sums as layers."""

from __future__ import annotations

import numpy as np


def forward(
    out: np.ndarray, inp: np.ndarray, coeff: float = 1.0, accumulate: bool = True
) -> np.ndarray:
    """out + coeff * inp, or coeff * inp alone, float64."""
    return (np.asarray(out, np.float64) if accumulate else 0) + coeff * np.asarray(inp, np.float64)
