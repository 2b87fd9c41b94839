"""Sum of two arrays: what a layer's gradient is when several layers read its output."""

from __future__ import annotations

import numpy as np


def forward(out: np.ndarray, inp: np.ndarray) -> np.ndarray:
    """out + inp, float64."""
    return np.asarray(out, np.float64) + np.asarray(inp, np.float64)
