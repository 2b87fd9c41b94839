"""dropout.cu against reference/dropout.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.reference import dropout as reference
from tests.conftest import assert_close, numerical_gradient

SHAPES = [(1, 1), (7, 2), (5, 3), (3, 31), (11, 33), (48, 127), (65, 129), (3, 5, 7, 31)]
CONVENTIONS = pytest.mark.parametrize("inverted", [False, True], ids=["paper", "inverted"])


def stream(rng) -> dict[str, int]:
    return {
        "seed": int(rng.integers(2**63)),
        "layer": int(rng.integers(2**32)),
        "step": int(rng.integers(2**32)),
    }


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("keep", [0.5, 0.9, 0.1, 1.0])
@CONVENTIONS
def test_forward_and_backward(guarded, rng, keep, shape, inverted):
    x = rng.standard_normal(shape, np.float32)
    settings = dict(keep=keep, inverted=inverted, **stream(rng))
    out, dinp = guarded.out(*shape), guarded.out(*shape)
    ops.dropout_forward(out, guarded.inp(x), **settings)
    ops.dropout_backward(dinp, guarded.inp(x), **settings)
    want = reference.forward(x, **settings)
    assert_close(out, want)
    assert_close(dinp, reference.backward(x, **settings))
    np.testing.assert_array_equal(out.numpy() == 0, want == 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_test(guarded, rng, shape):
    x = rng.standard_normal(shape, np.float32)
    out = guarded.out(*shape)
    ops.dropout_test(out, guarded.inp(x), keep=0.7)
    assert_close(out, reference.test(x, 0.7))


def test_in_place(guarded, rng):
    x = rng.standard_normal((9, 33), np.float32)
    settings = dict(keep=0.5, **stream(rng))
    array, gradient, tested = guarded.inp(x), guarded.inp(x), guarded.inp(x)
    ops.dropout_forward(array, array, **settings)
    ops.dropout_backward(gradient, gradient, **settings)
    ops.dropout_test(tested, tested, keep=0.5)
    assert_close(array, reference.forward(x, **settings))
    assert_close(gradient, reference.backward(x, **settings))
    assert_close(tested, reference.test(x, 0.5))


def test_dropped_elements_are_zero_even_of_infinity(guarded):
    out = guarded.out(64)
    ops.dropout_forward(out, guarded.inp(np.full(64, np.inf)), keep=0.5, seed=1, layer=2, step=3)
    mask = reference.mask((64,), 0.5, 1, 2, 3)
    np.testing.assert_array_equal(out.numpy(), np.where(mask > 0, np.inf, 0))


@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_mask_statistics(guarded, rng, keep):
    """How many are kept, and that neighbours, pictures and steps are independent of each other."""
    shape, draws = (256, 129), stream(rng)
    masks = []
    for step in (5, 6):
        out = guarded.out(*shape)
        ones = guarded.inp(np.ones(shape))
        ops.dropout_forward(out, ones, keep=keep, **{**draws, "step": step})
        masks.append(out.numpy().astype(np.float64))
    first, second = masks
    assert set(np.unique(first)) == {0.0, 1.0}
    variance = keep * (1 - keep)
    assert abs(first.mean() - keep) < 5 * np.sqrt(variance / first.size)
    pairs = [(first[:, 1:], first[:, :-1]), (first[1:], first[:-1]), (first, second)]
    for a, b in pairs:
        covariance = ((a - keep) * (b - keep)).mean()
        assert abs(covariance) < 5 * variance / np.sqrt(a.size)


@CONVENTIONS
def test_reference_expectation(inverted):
    """Averaged over masks, training gives what testing gives."""
    x = np.arange(1.0, 9)
    trained = [reference.forward(x, 0.7, 1, 2, step, inverted) for step in range(4000)]
    tested = x if inverted else reference.test(x, 0.7)
    assert_close(np.mean(trained, axis=0), tested, 0.05)


@CONVENTIONS
def test_reference_gradient(rng, inverted):
    x, dout = rng.standard_normal((2, 4, 5))
    settings = dict(keep=0.6, inverted=inverted, **stream(rng))
    want = numerical_gradient(lambda v: reference.forward(v, **settings), x, dout)
    assert_close(reference.backward(dout, **settings), want)


def test_bad_arguments(guarded, device):
    a = guarded.inp(np.zeros((4, 5)))
    draws = dict(seed=1, layer=2, step=3)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.dropout_forward(a, guarded.out(5, 4), keep=0.5, **draws)
    with pytest.raises(ValueError, match=r"dinp .*and dout .*same shape"):
        ops.dropout_backward(a, guarded.out(5, 4), keep=0.5, **draws)
    for keep in (0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match="keep must be a probability above 0 and up to 1"):
            ops.dropout_forward(a, a, keep=keep, **draws)
    with pytest.raises(ValueError, match="seed must be between"):
        ops.dropout_backward(a, a, keep=0.5, **{**draws, "seed": 2**64})
    with pytest.raises(TypeError, match="inp must be float32 or bfloat16, got int32"):
        ops.dropout_test(a, device.upload(np.zeros((4, 5), np.int32)), keep=0.5)
    flat = guarded.inp(np.zeros(8))
    with pytest.raises(ValueError, match="out and inp overlap"):
        ops.dropout_test(Array(flat.data[:6], device), Array(flat.data[2:], device), keep=0.5)
