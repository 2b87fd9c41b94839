"""Softmax over sets of classes, cuda-convnet's cost.msm: by writing down every set."""

from __future__ import annotations

from itertools import combinations

import numpy as np


def forward(inp: np.ndarray, size: int, given: np.ndarray | None = None) -> np.ndarray:
    """inp (classes, N) to the probabilities, (classes, N), that each class is in the set.

    A set of `size` classes has probability exp(sum of their inp) / Z; given (N,): on the condition that
    class given[n] is in it.
    """
    inp = np.asarray(inp, np.float64)
    classes = len(inp)
    sets = np.array(list(combinations(range(classes), size)))
    members = (sets[:, :, None] == np.arange(classes)).any(axis=1)  # (sets, classes)
    energies = inp[sets].sum(axis=1)  # (sets, N)
    if given is not None:
        energies = np.where(members[:, given], energies, -np.inf)
    weights = np.exp(energies - energies.max(axis=0))
    return members.T @ (weights / weights.sum(axis=0))


def loss(inp: np.ndarray, size: int, labels: np.ndarray) -> np.ndarray:
    """-log of the probability that the label is in the set, (N,)."""
    return -np.log(forward(inp, size)[labels, np.arange(len(labels))])


def backward(inp: np.ndarray, size: int, labels: np.ndarray, coeff: float) -> np.ndarray:
    """d(coeff * mean loss) / dinp."""
    return coeff / len(labels) * (forward(inp, size) - forward(inp, size, labels))
