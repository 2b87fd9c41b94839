"""tica.cu against reference/tica.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import tica as reference
from tests.conftest import assert_close, numerical_gradient

SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 2, 33),
    (1, 2, 9, 127),
    (3, 1, 5, 129),
    (2, 13, 11, 3),
]
# A wide map, which a block's shared memory does not hold, and a window as large as they come.
CASES = [(shape, size) for shape in SHAPES for size in (1, 2, 3, 5, 9)]
CASES += [((1, 3, 131, 2), 5), ((1, 3, 9, 1), 128)]


@pytest.mark.parametrize(("shape", "size"), CASES, ids=str)
def test_forward(guarded, rng, shape, size):
    x = rng.standard_normal(shape, np.float32)
    loss, norms = guarded.out(shape[3]), guarded.out(*shape)
    ops.tica_forward(loss, norms, guarded.inp(x), size=size)
    want, want_norms = reference.forward(x, size)
    assert_close(loss, want)
    assert_close(norms, want_norms)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("shape", "size"), CASES, ids=str)
def test_backward(guarded, rng, shape, size, accumulate):
    x, before = rng.standard_normal((2, *shape), np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    norms = guarded.inp(reference.forward(x, size)[1])
    ops.tica_backward(dinp, guarded.inp(x), norms, size=size, coeff=0.3, accumulate=accumulate)
    want = reference.backward(x, size, 0.3)
    assert_close(dinp, want + accumulate * before, terms=np.abs(want) + accumulate * np.abs(before))


def test_pictures_of_zeros(guarded):
    """Lengths of 0, at which the plain sum would have no gradient."""
    x = guarded.inp(np.zeros((2, 4, 5, 3)))
    loss, norms, dinp = guarded.out(3), guarded.out(2, 4, 5, 3), guarded.out(2, 4, 5, 3)
    ops.tica_forward(loss, norms, x, size=3)
    ops.tica_backward(dinp, x, norms, size=3, coeff=1)
    assert not loss.numpy().any()
    assert not dinp.numpy().any()


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_reference_gradient(rng, size):
    x = rng.standard_normal((2, 4, 5, 2))
    want = numerical_gradient(lambda v: reference.forward(v, size)[0], x, np.full(2, 0.7 / 2))
    assert_close(reference.backward(x, size, 0.7), want, 1e-6)


def test_reference_by_hand():
    """Far above e the cost is the sum of the lengths: of 3 x 3 pixels of 1000, of 2 x 2 at a corner."""
    loss, norms = reference.forward(np.full((1, 3, 3, 1), 1000.0), 3)
    assert norms[0, 1, 1, 0] == pytest.approx(3000)
    assert norms[0, 0, 2, 0] == pytest.approx(2000)
    assert loss[0] == pytest.approx(norms.sum(), rel=1e-4)


def test_bad_arguments(guarded):
    a, b, c = (guarded.out(3, 4, 2, 2) for _ in range(3))
    with pytest.raises(ValueError, match=r"norms .*and inp .*same shape"):
        ops.tica_forward(guarded.out(2), guarded.out(3, 4, 2, 5), a, size=3)
    with pytest.raises(ValueError, match=r"loss .*one number for each picture"):
        ops.tica_forward(guarded.out(3), a, b, size=3)
    with pytest.raises(ValueError, match="dinp and norms overlap in memory"):
        ops.tica_backward(a, b, a, size=3, coeff=1)
    with pytest.raises(ValueError, match="size must be between 1 and 128, got 129"):
        ops.tica_backward(a, b, c, size=129, coeff=1)
