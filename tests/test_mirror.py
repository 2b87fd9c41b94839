"""mirror.cu against reference/mirror.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import mirror as reference
from tests.conftest import numerical_gradient

SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 2, 33),
    (1, 2, 9, 127),
    (3, 1, 5, 129),
    (2, 13, 11, 3),
]


@pytest.mark.parametrize("shape", SHAPES)
def test_mirror(guarded, rng, shape):
    x = rng.standard_normal(shape, np.float32)
    out = guarded.out(*shape)
    ops.mirror(out, guarded.inp(x))
    np.testing.assert_array_equal(out.numpy(), reference.forward(x))


def test_reference_gradient(rng):
    x, dout = rng.standard_normal((2, 2, 3, 5, 2))
    want = numerical_gradient(reference.forward, x, dout)
    np.testing.assert_allclose(reference.forward(dout), want, atol=1e-9)


def test_bad_arguments(guarded):
    a = guarded.out(3, 4, 2, 2)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.mirror(a, guarded.out(3, 2, 4, 2))
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.mirror(a, a)
