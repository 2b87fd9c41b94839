"""The cost, section 3.5 of the paper: "maximizing the average across training cases of the
log-probability of the correct label", and the top-1 and top-k errors of section 6.
"""

from __future__ import annotations

import numpy as np

# A probability that has underflowed to 0 must cost much, not infinity: it counts as this.
SMALLEST = float(np.finfo(np.float32).tiny)


def forward(probs: np.ndarray, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """probs (classes, N), labels (N,) to loss, top-1 error and top-k error, each (N,).

    loss = -log p[label]. The label is right in the top k with probability
    clip((k - greater) / equal, 0, 1), as in cuda-convnet: `greater` classes are more probable,
    and the `equal` ones, the label among them, share the remaining places by lot.
    """
    of_label = probs[labels, np.arange(len(labels))]
    greater = (probs > of_label).sum(axis=0)
    equal = (probs == of_label).sum(axis=0)

    def error(places: int) -> np.ndarray:
        # max(equal, 1): a NaN equals nothing, and is never right.
        right = np.clip((places - greater) / np.maximum(equal, 1), 0, 1)
        return 1 - np.where(equal > 0, right, 0)

    return -np.log(np.maximum(of_label, SMALLEST)), error(1), error(k)


def backward(probs: np.ndarray, labels: np.ndarray, coeff: float) -> np.ndarray:
    """d(coeff * mean of -log p[label]) / dprobs: -coeff / (N p) at the label, 0 elsewhere."""
    n = len(labels)
    dprobs = np.zeros_like(probs)
    pictures = np.arange(n)
    dprobs[labels, pictures] = -coeff / (n * np.maximum(probs[labels, pictures], SMALLEST))
    return dprobs


def softmax_backward(probs: np.ndarray, labels: np.ndarray, coeff: float) -> np.ndarray:
    """The gradient through cost and softmax at once: coeff * (p - onehot(label)) / N.

    The division by p cancels, so nothing is lost where p is tiny.
    """
    onehot = np.zeros_like(probs)
    onehot[labels, np.arange(len(labels))] = 1
    return coeff * (probs - onehot) / len(labels)
