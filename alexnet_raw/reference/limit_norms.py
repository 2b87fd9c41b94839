"""Limits of a filter's length: cuda-convnet's wball, wcNormMin and wcNormMax."""

from __future__ import annotations

import numpy as np


def forward(weights: np.ndarray, least: float, most: float, centred: bool = False) -> np.ndarray:
    """weights (rows, filters), float64, each column scaled so that its length lies in least..most.

    centred: its length less its mean. most = 0 sets no limit; a length of 0 stays so.
    """
    weights = np.asarray(weights, np.float64)
    measured = weights - weights.mean(axis=0) if centred else weights
    norms = np.sqrt((measured**2).sum(axis=0))
    wanted = np.clip(norms, least, most or np.inf)
    return weights * np.where(norms > 0, wanted / np.where(norms > 0, norms, 1), 1)
