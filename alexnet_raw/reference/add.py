"""Weighted sum of two arrays: gradients of what several layers read, and sums as layers."""

from __future__ import annotations

import numpy as np


def forward(out: np.ndarray, inp: np.ndarray, coeff: float = 1.0) -> np.ndarray:
    """out + coeff * inp, float64."""
    return np.asarray(out, np.float64) + coeff * np.asarray(inp, np.float64)
