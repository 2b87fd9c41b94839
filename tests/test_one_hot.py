"""one_hot.cu against reference/output_cost.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import output_cost as reference

SHAPES = [(1, 1), (10, 2), (3, 3), (5, 31), (48, 33), (257, 127), (1000, 129)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_hot(guarded, rng, shape):
    labels = rng.integers(-1, shape[0] + 1, shape[1], np.int32)  # also some that are no class
    out = guarded.out(*shape)
    ops.one_hot(out, guarded.inp(labels))
    np.testing.assert_array_equal(out.numpy(), reference.one_hot(labels, shape[0]))
