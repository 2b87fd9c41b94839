"""Dropout, section 4.2 of the paper.

"setting to zero the output of each hidden neuron with probability 0.5. [...] At test time, we use
all the neurons but multiply their outputs by 0.5". Here `keep` is the probability of keeping.

The paper's convention trains with a 0/1 mask and multiplies by keep at test time. The inverted
one, today's habit, trains with mask / keep and leaves the test alone. The expectations agree.
"""

from __future__ import annotations

import numpy as np

from alexnet_raw.reference import philox


def mask(shape: tuple[int, ...], keep: float, seed: int, layer: int, step: int) -> np.ndarray:
    """1 with probability keep, else 0. Element i in C order takes draw i of the stream."""
    draws = philox.uniform(int(np.prod(shape)), seed, layer, step).reshape(shape)
    return (draws < np.float32(keep)).astype(np.float64)


def forward(
    inp: np.ndarray, keep: float, seed: int, layer: int, step: int, inverted: bool = False
) -> np.ndarray:
    """inp * mask, divided by keep in the inverted convention."""
    return inp * mask(inp.shape, keep, seed, layer, step) / (keep if inverted else 1)


def backward(
    dout: np.ndarray, keep: float, seed: int, layer: int, step: int, inverted: bool = False
) -> np.ndarray:
    """dout through the same mask: dropout is linear in its input."""
    return forward(dout, keep, seed, layer, step, inverted)


def test(inp: np.ndarray, keep: float) -> np.ndarray:
    """The paper's test-time network: inp * keep."""
    return inp * keep
