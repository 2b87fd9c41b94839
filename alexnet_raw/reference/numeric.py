"""Central differences: the judge of every backward pass of the reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def gradient(
    function: Callable[[np.ndarray], np.ndarray],
    at: np.ndarray,
    dout: np.ndarray,
    step: float = 1e-5,
) -> np.ndarray:
    """Gradient of sum(function(x) * dout) at x = at, two evaluations for each element of x."""
    x = np.array(at, np.float64)
    slope = np.empty_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + step
        above = function(x)
        x[i] = kept - step
        slope[i] = ((above - function(x)) * dout).sum() / (2 * step)
        x[i] = kept
    return slope
