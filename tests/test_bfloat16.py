"""Ops on maps that are stored as bfloat16: what they make of the same values in float32, rounded.

Each op's float32 form is tested against the reference in its own file; here every other bit is the
storage's. In sums that an op adds to a gradient its own term is rounded first.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.neuron import IDENT, KINDS, RELU, Neuron

SHAPES = [(1, 1, 1, 1), (3, 5, 7, 2), (7, 4, 3, 31), (5, 9, 3, 33), (2, 5, 5, 129)]
NORM = {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 2.0}
BLOCKED = {**NORM, "size": 2, "blocked": True}
DRAWS = {"keep": 0.4, "seed": 1, "layer": 2, "step": 3}
TANH = Neuron("tanh", 1.7159, 0.6667)
NEURONS = [Neuron(kind, 1.5, 0.5) for kind in KINDS if kind != "nrelu"]

SHAPE_IDS = ["x".join(map(str, shape)) for shape in SHAPES]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=SHAPE_IDS)


def values(rng, *shape: int) -> np.ndarray:
    """Small multiples of 1/8 (there are ties among them), negative ones too, and other numbers."""
    some = rng.integers(-9, 10, shape) / 8
    return np.where(rng.random(shape) < 0.5, some, rng.standard_normal(shape)).astype(BF16)


def assert_same(got: np.ndarray, want: np.ndarray) -> None:
    """Numbers may lie on the other side of a tie, of two roundings: rarely, and by one bit."""
    got, want = got.astype(BF16), want.astype(BF16)
    got, want = (a.view(np.int16).astype(int) for a in (got, want))
    assert np.abs(got - want).max() <= 1
    assert (got != want).mean() < 0.01 or (got != want).sum() <= 1


def compare(guarded, run, shape, *inputs: np.ndarray) -> None:
    """run(out, *inputs) in both dtypes."""
    rounded, exact = guarded.out(*shape, dtype=BF16), guarded.out(*shape)
    run(rounded, *map(guarded.inp, inputs))
    run(exact, *(guarded.inp(a.astype(np.float32)) for a in inputs))
    assert_same(rounded.numpy(), exact.numpy())


def compare_sums(guarded, run, rng, shape, *inputs: np.ndarray) -> None:
    """run(dinp, *inputs, accumulate=...) alone, and added to what is there."""
    compare(guarded, run, shape, *inputs)
    was = values(rng, *shape)
    total, alone = guarded.inp(was), guarded.out(*shape, dtype=BF16)
    run(alone, *map(guarded.inp, inputs))
    run(total, *map(guarded.inp, inputs), accumulate=True)
    np.testing.assert_array_equal(
        total.numpy(), (was.astype(np.float32) + alone.numpy().astype(np.float32)).astype(BF16)
    )


@each_shape
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_neuron(guarded, rng, shape, neuron):
    x = np.abs(values(rng, *shape)) + BF16.type(0.125)  # sqrt wants them positive
    dy, y = values(rng, *shape), np.abs(values(rng, *shape)) + BF16.type(0.125)
    compare(guarded, partial(ops.neuron_forward, neuron=neuron), shape, x)
    compare_sums(guarded, partial(ops.neuron_backward, neuron=neuron), rng, shape, dy, x, y)
    in_place = guarded.inp(x)
    ops.neuron_forward(in_place, in_place, neuron=neuron)
    alone = guarded.out(*shape, dtype=BF16)
    ops.neuron_forward(alone, guarded.inp(x), neuron=neuron)
    np.testing.assert_array_equal(in_place.numpy(), alone.numpy())


@each_shape
@pytest.mark.parametrize("inverted", [False, True])
def test_dropout(guarded, rng, shape, inverted):
    x, settings = values(rng, *shape), {**DRAWS, "inverted": inverted}
    compare(guarded, partial(ops.dropout_forward, **settings), shape, x)
    compare(guarded, partial(ops.dropout_backward, **settings), shape, x)
    compare(guarded, partial(ops.dropout_test, keep=0.4), shape, x)


@each_shape
@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
def test_bias(guarded, rng, shape, neuron):
    out, bias = values(rng, *shape), rng.standard_normal(shape[:-1], np.float32)
    rounded, exact = guarded.inp(out), guarded.inp(out.astype(np.float32))
    for array in (rounded, exact):
        ops.bias_forward(array, guarded.inp(bias), neuron=neuron)
    assert_same(rounded.numpy(), exact.numpy())


@each_shape
@pytest.mark.parametrize("dz_dtype", [np.float32, BF16])
@pytest.mark.parametrize("dtype", [np.float32, BF16])
@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
def test_bias_gradient(guarded, rng, shape, neuron, dtype, dz_dtype):
    dout, out = values(rng, *shape).astype(dtype), values(rng, *shape).astype(dtype)
    dz, dbias = guarded.out(*shape, dtype=dz_dtype), guarded.out(shape[0])
    ops.bias_backward(dbias, dz, guarded.inp(dout), guarded.inp(out), neuron=neuron)
    want, sums = guarded.out(*shape), guarded.out(shape[0])
    exact = (guarded.inp(a.astype(np.float32)) for a in (dout, out))
    ops.bias_backward(sums, want, *exact, neuron=neuron)
    assert_same(dz.numpy(), want.numpy())
    np.testing.assert_array_equal(dbias.numpy(), sums.numpy())
    if dz_dtype == dtype:
        in_place, again = guarded.inp(dout), guarded.out(shape[0])
        ops.bias_backward(again, in_place, in_place, guarded.inp(out), neuron=neuron)
        np.testing.assert_array_equal(in_place.numpy(), dz.numpy())


@each_shape
@pytest.mark.parametrize("settings", [NORM, {**NORM, "size": 3}, BLOCKED], ids=str)
def test_lrn(guarded, rng, shape, settings):
    x, dy = 3 * values(rng, *shape), values(rng, *shape)
    compare(guarded, partial(ops.lrn_forward, **settings), shape, x)
    compare_sums(guarded, partial(ops.lrn_backward, **settings), rng, shape, dy, x)


@each_shape
@pytest.mark.parametrize("kind", ["max", "maxabs", "avg"])
@pytest.mark.parametrize("neuron", [IDENT, RELU], ids=str)
def test_pool(guarded, rng, shape, kind, neuron):
    settings = {"kind": kind, "size": 3, "stride": 2, "start": 0, "neuron": neuron}
    channels, height, width, images = shape
    pooled = (channels, max(1, height // 2), max(1, width // 2), images)
    x, dy = values(rng, *shape), values(rng, *pooled)
    compare(guarded, partial(ops.pool_forward, **settings), pooled, x)
    out = guarded.out(*pooled, dtype=BF16)
    ops.pool_forward(out, guarded.inp(x), **settings)
    compare_sums(guarded, partial(ops.pool_backward, **settings), rng, shape, dy, x, out.numpy())


# ---- gradients through the neuron below


@each_shape
@pytest.mark.parametrize("dtype", [np.float32, BF16])
@pytest.mark.parametrize("op", ["lrn", "blocked lrn", "max", "maxabs", "avg"])
def test_below(guarded, rng, shape, op, dtype):
    """Of the layer's input and of what its neuron has made it of, in one pass or in two."""
    x, dy = values(rng, *shape).astype(dtype), values(rng, *shape).astype(dtype)
    inputs = [guarded.inp(dy), guarded.inp(x)]
    if "lrn" in op:
        run = partial(ops.lrn_backward, **(BLOCKED if "blocked" in op else NORM))
    else:
        run = partial(ops.pool_backward, kind=op, size=3, stride=1, start=-1)
        inputs.append(guarded.out(*shape, dtype=dtype))
        ops.pool_forward(inputs[2], inputs[1], kind=op, size=3, stride=1, start=-1)
    once, plain = guarded.out(*shape, dtype=dtype), guarded.out(*shape)
    run(once, *inputs, below=RELU)
    run(plain, *(guarded.inp(a.numpy().astype(np.float32)) for a in inputs))
    twice, known = guarded.out(*shape), guarded.inp(x.astype(np.float32))
    ops.neuron_backward(twice, plain, known, known, neuron=RELU)
    if dtype == BF16:
        assert_same(once.numpy(), twice.numpy())
    else:
        np.testing.assert_array_equal(once.numpy(), twice.numpy())


def test_refusals(guarded):
    maps, others = guarded.inp(np.zeros((3, 4, 4, 2), BF16)), guarded.inp(np.zeros((3, 4, 4, 2)))
    for run in (
        partial(ops.neuron_forward, neuron=RELU),
        partial(ops.dropout_test, keep=0.5),
        partial(ops.lrn_forward, **NORM),
        partial(ops.pool_forward, kind="max", size=1, stride=1),
    ):
        with pytest.raises(TypeError, match=r"out .*bfloat16 and inp .*float32 must have"):
            run(maps, others)
    with pytest.raises(TypeError, match=r"dinp .* and inp .* must have the same dtype"):
        ops.lrn_backward(others, guarded.inp(np.zeros((3, 4, 4, 2))), maps, **NORM)
    with pytest.raises(TypeError, match="inp must be float32, got bfloat16"):
        ops.softmax_forward(guarded.out(3, 4), guarded.inp(np.zeros((3, 4), BF16)))
    dout, inp = guarded.inp(np.zeros((3, 4, 4, 2))), guarded.inp(np.zeros((3, 4, 4, 2)))
    with pytest.raises(ValueError, match=r"below has a gradient of its own.*accumulate"):
        ops.lrn_backward(others, dout, inp, **NORM, below=RELU, accumulate=True)
    with pytest.raises(ValueError, match="below may be ident or relu"):
        ops.lrn_backward(others, dout, inp, **NORM, below=TANH)
