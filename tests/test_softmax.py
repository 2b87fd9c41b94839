"""softmax.cu against reference/softmax.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.reference import softmax as reference
from tests.conftest import assert_close, numerical_gradient

SHAPES = [(1, 1), (10, 2), (3, 3), (5, 31), (48, 33), (257, 127), (1000, 129)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1, 20])
def test_forward(guarded, rng, shape, scale):
    x = scale * rng.standard_normal(shape, np.float32)
    out = guarded.out(*shape)
    ops.softmax_forward(out, guarded.inp(x))
    assert_close(out, reference.forward(x.astype(np.float64)))
    assert_close(out.numpy().sum(axis=0), np.ones(shape[1]))


def test_forward_in_place(guarded, rng):
    x = rng.standard_normal((300, 33), np.float32)
    array = guarded.inp(x)
    ops.softmax_forward(array, array)
    assert_close(array, reference.forward(x.astype(np.float64)))


@pytest.mark.parametrize("shift", [1e4, -1e4, 1e30, -1e30])
def test_forward_does_not_overflow(guarded, rng, shift):
    x = (rng.standard_normal((20, 17)) + shift).astype(np.float32)
    out = guarded.out(20, 17)
    ops.softmax_forward(out, guarded.inp(x))
    assert_close(out, reference.forward(x.astype(np.float64)))


def test_forward_keeps_nan_in_its_picture(guarded, rng):
    x = rng.standard_normal((300, 5), np.float32)
    x[123, 3] = np.nan
    out = guarded.out(300, 5)
    ops.softmax_forward(out, guarded.inp(x))
    bad = np.isnan(out.numpy())
    assert bad[:, 3].all()
    assert not np.delete(bad, 3, axis=1).any()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("accumulate", [False, True])
def test_backward(guarded, rng, shape, accumulate):
    probs = reference.forward(rng.standard_normal(shape)).astype(np.float32)
    dout, before = rng.standard_normal((2, *shape), np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.softmax_backward(dinp, guarded.inp(dout), guarded.inp(probs), accumulate=accumulate)
    want = reference.backward(dout.astype(np.float64), probs.astype(np.float64))
    if shape[0] == 1 and not accumulate:  # the gradient is 0, but for the rounding of p = 1
        assert np.all(np.abs(dinp.numpy()) < 1e-6)
    else:
        assert_close(dinp, want + before if accumulate else want)


def test_reference_gradient(rng):
    x, dout = rng.standard_normal((2, 6, 3))
    want = numerical_gradient(reference.forward, x, dout)
    assert_close(reference.backward(dout, reference.forward(x)), want)


def test_bad_arguments(guarded, device):
    a, b = guarded.out(3, 4), guarded.out(4, 3)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.softmax_forward(a, b)
    with pytest.raises(ValueError, match=r"out must have 2 dimensions, got \(3, 1, 1, 4\)"):
        ops.softmax_forward(a.reshape(3, 1, 1, 4), a)
    with pytest.raises(ValueError, match="dinp and dout overlap"):
        ops.softmax_backward(a, a, guarded.out(3, 4))
    with pytest.raises(ValueError, match=r"out .*and dout .*same shape"):
        ops.softmax_backward(guarded.out(3, 4), a, b)
    whole = guarded.inp(np.zeros(16))
    shifted = [Array(whole.data[i : i + 12].reshape(3, 4), device) for i in (0, 2)]
    with pytest.raises(ValueError, match="out and inp overlap"):
        ops.softmax_forward(*shifted)
