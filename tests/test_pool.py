"""pool.cu against reference/pool.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.geometry import pool_output_size
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import pool as reference
from tests.conftest import assert_close, numerical_gradient

TANH = Neuron("tanh", 1.7159, 0.6667)
KINDS = ["max", "maxabs", "avg"]
PICTURES = [  # channels, height, width, images
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 9, 3, 31),
    (48, 3, 4, 33),
    (1, 6, 5, 127),
    (3, 4, 5, 129),
    (5, 13, 8, 3),
]
WINDOWS = [(3, 2, 0), (2, 2, 0), (3, 1, -1), (5, 3, -2), (1, 1, 0), (4, 3, -1), (9, 2, 0)]
# Each picture with three of the windows.
CASES = [(p, *WINDOWS[(i + k) % len(WINDOWS)]) for i, p in enumerate(PICTURES) for k in (0, 1, 3)]


def output_shape(shape, size, stride, start):
    channels, height, width, images = shape
    outputs = (pool_output_size(n, size, stride, start) for n in (height, width))
    return (channels, *outputs, images)


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_forward(guarded, rng, shape, size, stride, start, kind, neuron):
    x = rng.standard_normal(shape, np.float32)
    out = guarded.out(*output_shape(shape, size, stride, start))
    settings = {"kind": kind, "size": size, "stride": stride, "start": start, "neuron": neuron}
    ops.pool_forward(out, guarded.inp(x), **settings)
    terms = reference.forward(np.abs(x), kind, size, stride, start) if kind == "avg" else 0.0
    assert_close(out, reference.forward(x, **settings), terms=terms)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("neuron", [IDENT, RELU], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_backward(guarded, rng, shape, size, stride, start, kind, neuron, accumulate):
    x = rng.integers(-3, 4, shape).astype(np.float32)  # many ties
    settings = {"kind": kind, "size": size, "stride": stride, "start": start, "neuron": neuron}
    y = reference.forward(x, **settings).astype(np.float32)
    dy, before = rng.standard_normal(y.shape, np.float32), rng.standard_normal(shape, np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.pool_backward(
        dinp,
        guarded.inp(dy),
        guarded.inp(x),
        guarded.inp(y),
        **settings,
        accumulate=accumulate,
    )
    want = reference.backward(dy, x, y, **settings) + accumulate * before
    terms = reference.backward(np.abs(dy), x, y, **settings) + accumulate * np.abs(before)
    assert_close(dinp, want, terms=terms)


@pytest.mark.parametrize("kind", KINDS)
def test_fewer_outputs_than_usual(guarded, rng, kind):
    """`outputsX` of the layer files: pixels of no window get no gradient."""
    x = rng.standard_normal((2, 9, 9, 5), np.float32)
    settings = {"kind": kind, "size": 2, "stride": 2, "start": 1}
    y = reference.forward(x, **settings)[:, :2, :3].astype(np.float32)
    out = guarded.out(*y.shape)
    ops.pool_forward(out, guarded.inp(x), **settings)
    assert_close(out, y)
    dinp = guarded.out(*x.shape)
    ops.pool_backward(dinp, guarded.inp(y), guarded.inp(x), out, **settings)
    assert_close(dinp, reference.backward(y, x, y, **settings))
    assert not dinp.numpy()[:, 0].any() and not dinp.numpy()[:, 5:].any()


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize(("size", "stride", "start"), WINDOWS)
def test_reference_gradient(rng, size, stride, start, kind, neuron):
    x = rng.standard_normal((2, 7, 8, 1))
    settings = (kind, size, stride, start, neuron)
    out = reference.forward(x, *settings)
    dout = rng.standard_normal(out.shape)
    want = numerical_gradient(lambda v: reference.forward(v, *settings), x, dout)
    assert_close(reference.backward(dout, x, out, *settings), want, 1e-7)


@pytest.mark.parametrize("shape", [(3, 7, 7, 2), (1, 5, 6, 3), (2, 4, 3, 1)])
@pytest.mark.parametrize(("size", "stride", "start"), WINDOWS)
def test_reference_against_torch(rng, shape, size, stride, start):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal(shape)
    border = [(0, 0), (-start, size), (-start, size), (0, 0)]
    padded = np.pad(x, border, constant_values=-np.inf).transpose(3, 0, 1, 2)
    want = torch.nn.functional.max_pool2d(torch.from_numpy(padded.copy()), size, stride)
    out = reference.forward(x, "max", size, stride, start)
    want = want.numpy().transpose(1, 2, 3, 0)[:, : out.shape[1], : out.shape[2]]
    np.testing.assert_array_equal(out, want)


def test_reference_ties_all_receive_the_gradient():
    x = np.array([2.0, 2, 1, 2, 0, 0, 1, 1, 1]).reshape(1, 3, 3, 1)
    out = reference.forward(x, "max", 3, 2)
    dinp = reference.backward(np.full(out.shape, 5.0), x, out, "max", 3, 2)
    np.testing.assert_array_equal(dinp.ravel(), [5, 5, 0, 5, 0, 0, 0, 0, 0])


def test_reference_maxabs_keeps_the_sign_of_the_first():
    x = np.array([1.0, -3, 3, -3, 0, 2, 0, 0, -1]).reshape(1, 3, 3, 1)
    out = reference.forward(x, "maxabs", 3, 2)
    assert out.ravel() == [-3]
    dinp = reference.backward(np.full(out.shape, 5.0), x, out, "maxabs", 3, 2)
    np.testing.assert_array_equal(dinp.ravel(), [0, 5, 0, 5, 0, 0, 0, 0, 0])


def test_reference_average_divides_by_the_clipped_area():
    out = reference.forward(np.ones((1, 5, 5, 1)), "avg", 3, 2, -1)
    np.testing.assert_array_equal(out, np.ones(out.shape))


def test_bad_arguments(guarded):
    inp, out = guarded.out(3, 5, 5, 2), guarded.out(3, 2, 2, 2)
    good = {"kind": "max", "size": 3, "stride": 2}
    for changed, message in [
        ({"kind": "min"}, "kind must be max, maxabs or avg, got 'min'"),
        ({"size": 0}, "size must be between 1"),
        ({"stride": 0}, "stride must be between 1"),
        ({"start": -3}, "the first window lies outside the image"),
        ({"stride": 5}, "the last of 2 windows would begin at 5, outside the 5 rows of inp"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.pool_forward(out, inp, **{**good, **changed})
    with pytest.raises(ValueError, match=r"out .* and inp .* must have the same channels"):
        ops.pool_forward(guarded.out(2, 2, 2, 2), inp, **good)
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.pool_forward(inp, inp, kind="max", size=1, stride=1)
    dinp, dout = guarded.out(3, 5, 5, 2), guarded.out(3, 2, 2, 2)
    with pytest.raises(ValueError, match="neurons ident and relu"):
        ops.pool_backward(dinp, dout, inp, out, **good, neuron=TANH)
    with pytest.raises(ValueError, match=r"dout .*and out .*same shape"):
        ops.pool_backward(dinp, inp, inp, out, **good)
    with pytest.raises(ValueError, match="dinp and inp overlap in memory"):
        ops.pool_backward(inp, dout, inp, out, **good)
