"""Stochastic gradient descent with momentum and weight decay, section 5 of the paper."""

from __future__ import annotations

import numpy as np


def step(
    weights: np.ndarray,
    velocity: np.ndarray,
    gradient: np.ndarray,
    rate: float,
    momentum: float,
    decay: float,
) -> tuple[np.ndarray, np.ndarray]:
    """One update, the paper's: v <- momentum v - decay rate w - rate gradient; w <- w + v.

    Returns the new weights and velocity. The rate multiplies the decay and is folded into the
    velocity, so a later change of rate does not rescale the velocity gathered so far.
    """
    velocity = momentum * velocity - decay * rate * weights - rate * gradient
    return weights + velocity, velocity
