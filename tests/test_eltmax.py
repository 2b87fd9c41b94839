"""eltmax.cu against reference/eltmax.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import eltmax as reference
from tests.conftest import assert_close, numerical_gradient

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 2), (5, 3, 1, 31), (48, 3, 3, 33), (1, 2, 3, 127), (3, 1, 5, 129)]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_forward(guarded, rng, shape):
    a, b = rng.standard_normal((2, *shape), np.float32)
    out = guarded.inp(a)
    ops.eltmax_forward(out, guarded.inp(b))
    np.testing.assert_array_equal(out.numpy(), reference.forward([a, b]))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_backward(guarded, rng, shape, accumulate):
    a, b = rng.integers(0, 4, (2, *shape)).astype(np.float32)  # many ties
    dy, was = rng.standard_normal((2, *shape), np.float32)
    y = np.maximum(a, b)
    dinp = guarded.inp(was) if accumulate else guarded.out(*shape)
    ops.eltmax_backward(dinp, guarded.inp(dy), guarded.inp(a), guarded.inp(y), accumulate=accumulate)
    want = reference.backward(dy, a, y) + accumulate * was
    assert_close(dinp, want, terms=np.abs(dy) + accumulate * np.abs(was))


def test_reference_gradient(rng):
    a, b, dout = rng.standard_normal((3, 4, 5))
    want = numerical_gradient(lambda v: reference.forward([v, b]), a, dout)
    assert_close(reference.backward(dout, a, reference.forward([a, b])), want)
