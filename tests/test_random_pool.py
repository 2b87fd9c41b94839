"""random_pool.cu against reference/random_pool.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import pool
from alexnet_raw.reference import random_pool as reference
from tests.conftest import assert_close, numerical_gradient
from tests.test_dropout import stream
from tests.test_pool import CASES, output_shape


def settings_of(rng, size, stride, start):
    return {"size": size, "stride": stride, "start": start, **stream(rng)}


@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_forward(guarded, rng, shape, size, stride, start):
    x = rng.standard_normal(shape, np.float32)
    out = guarded.out(*output_shape(shape, size, stride, start))
    settings = settings_of(rng, size, stride, start)
    ops.random_pool_forward(out, guarded.inp(x), **settings)
    np.testing.assert_array_equal(out.numpy(), reference.forward(x, **settings))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_backward(guarded, rng, shape, size, stride, start, accumulate):
    settings = settings_of(rng, size, stride, start)
    dy = rng.standard_normal(output_shape(shape, size, stride, start), np.float32)
    before = rng.standard_normal(shape, np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.random_pool_backward(dinp, guarded.inp(dy), **settings, accumulate=accumulate)
    want = reference.backward(dy, shape, **settings) + accumulate * before
    terms = reference.backward(np.abs(dy), shape, **settings) + accumulate * np.abs(before)
    assert_close(dinp, want, terms=terms)


def test_reference_gradient(rng):
    x, settings = rng.standard_normal((2, 5, 4, 3)), settings_of(rng, 3, 2, -1)
    dout = rng.standard_normal(reference.forward(x, **settings).shape)
    want = numerical_gradient(lambda v: reference.forward(v, **settings), x, dout)
    assert_close(reference.backward(dout, x.shape, **settings), want, 1e-8)


def test_every_pixel_of_a_window_is_as_likely(guarded, rng):
    """Also of windows that the border clips, and independent of neighbours and steps."""
    images = 20_000
    x = np.broadcast_to(np.arange(25.0).reshape(1, 5, 5, 1), (1, 5, 5, images))
    settings = settings_of(rng, 3, 2, -1)
    out = guarded.out(1, 3, 3, images)
    ops.random_pool_forward(out, guarded.inp(x.astype(np.float32)), **settings)
    for y, x_, window in pool.windows(x.shape, out.shape, 3, 2, -1):
        pixels = x[window][..., 0].ravel()
        share = np.array([(out.numpy()[0, y, x_] == pixel).mean() for pixel in pixels])
        expected = 1 / len(pixels)
        assert share.sum() == pytest.approx(1)
        assert (np.abs(share - expected) < 5 * np.sqrt(expected / images)).all()


def test_fewer_outputs_than_usual(guarded, rng):
    """`outputsX` of the layer files: every output takes a pixel of its window, gradients go there."""
    settings = settings_of(rng, 2, 2, 1)
    x = rng.permutation(2 * 9 * 9 * 5).reshape(2, 9, 9, 5).astype(np.float32)
    out, dinp = guarded.out(2, 3, 3, 5), guarded.out(*x.shape)
    ops.random_pool_forward(out, guarded.inp(x), **settings)
    ops.random_pool_backward(dinp, guarded.inp(np.ones(out.shape)), **settings)
    for y, x_, window in pool.windows(x.shape, out.shape, 2, 2, 1):
        taken = out.numpy()[:, None, None, y, x_] == x[window]
        np.testing.assert_array_equal(taken, dinp.numpy()[window] == 1)
        assert (taken.sum(axis=(1, 2)) == 1).all()
    assert dinp.numpy().sum() == out.size


def test_draws_follow_the_step(guarded, rng):
    x = guarded.inp(rng.standard_normal((3, 9, 9, 33), np.float32))
    settings = settings_of(rng, 3, 2, 0)
    outs = [guarded.out(3, 4, 4, 33) for _ in range(3)]
    for out, step in zip(outs, (1, 2, 1), strict=True):
        ops.random_pool_forward(out, x, **{**settings, "step": step})
    first, second, again = (out.numpy() for out in outs)
    assert (first != second).any() and (first == again).all()


def test_bad_arguments(guarded):
    inp, out = guarded.out(3, 5, 5, 2), guarded.out(3, 2, 2, 2)
    good = {"size": 3, "stride": 2, "seed": 1, "layer": 2, "step": 3}
    for changed, message in [
        ({"size": 4096}, "size must be between 1 and 4095, got 4096"),
        ({"stride": 0}, "stride must be between 1"),
        ({"start": -3}, "the first window lies outside the image"),
        ({"seed": -1}, "seed must be between"),
    ]:
        for op in (ops.random_pool_forward, lambda a, b, **s: ops.random_pool_backward(b, a, **s)):
            with pytest.raises(ValueError, match=message):
                op(out, inp, **{**good, **changed})
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.random_pool_forward(inp, inp, **{**good, "size": 1, "stride": 1})
    with pytest.raises(ValueError, match="dinp and dout overlap in memory"):
        ops.random_pool_backward(inp, inp, **{**good, "size": 1, "stride": 1})
