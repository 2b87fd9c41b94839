"""blur.cu against reference/blur.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import blur as reference
from tests.conftest import assert_close, numerical_gradient

SETTINGS = [(3, 0.5), (5, 1.0), (7, 1.7), (9, 2.0), (9, 1e-9), (3, 1e9)]
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 2, 33),
    (1, 2, 9, 127),
    (3, 1, 5, 129),
    (2, 13, 11, 3),
]


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("size", "stdev"), SETTINGS)
@pytest.mark.parametrize("shape", SHAPES)
def test_blur(guarded, rng, shape, size, stdev, accumulate):
    x, before = rng.standard_normal((2, *shape), np.float32)
    out = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.blur(out, guarded.inp(x), size=size, stdev=stdev, accumulate=accumulate)
    want = reference.forward(x, size, stdev) + accumulate * before
    assert_close(out, want, terms=reference.forward(np.abs(x), size, stdev) + np.abs(before))


@pytest.mark.parametrize(("size", "stdev"), SETTINGS[:4])
def test_it_is_its_own_transpose(rng, size, stdev):
    x, dout = rng.standard_normal((2, 2, 4, 7, 2))
    want = numerical_gradient(lambda v: reference.forward(v, size, stdev), x, dout)
    assert_close(reference.forward(dout, size, stdev), want, 1e-8)


def test_reference_by_hand():
    """A single bright pixel becomes the weights; a grey map stays grey away from its border."""
    w = np.exp([-0.5, 0, -0.5])
    point = np.zeros((1, 5, 5, 1))
    point[0, 2, 2] = 1
    out = reference.forward(point, 3, 1.0)[0, 1:4, 1:4, 0]
    np.testing.assert_allclose(out, np.outer(w, w) / w.sum() ** 2)
    grey = reference.forward(np.ones((1, 5, 5, 1)), 3, 1.0)
    assert grey[0, 2, 2, 0] == pytest.approx(1) and grey[0, 0, 0, 0] < 0.9


def test_bad_arguments(guarded):
    a, b = guarded.out(3, 4, 2, 2), guarded.out(3, 4, 2, 2)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.blur(a, guarded.out(3, 4, 2, 5), size=3, stdev=1)
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.blur(a, a, size=3, stdev=1)
    for size in (1, 4, 11):
        with pytest.raises(ValueError, match=f"size must be 3, 5, 7 or 9, got {size}"):
            ops.blur(a, b, size=size, stdev=1)
    for stdev in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="stdev must be positive"):
            ops.blur(a, b, size=3, stdev=stdev)
