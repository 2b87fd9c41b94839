"""Limits of a filter's length: cuda-convnet's wball, wcNormMin and wcNormMax."""

from __future__ import annotations

import numpy as np


def forward(weights: np.ndarray, least: float, most: float) -> np.ndarray:
    """weights (rows, filters), float64, each column scaled so that its length lies in least..most.

    most = 0 sets no limit; a column of zeros stays so.
    """
    weights = np.asarray(weights, np.float64)
    norms = np.sqrt((weights**2).sum(axis=0))
    wanted = np.clip(norms, least, most or np.inf)
    return weights * (wanted / np.where(norms > 0, norms, 1))
