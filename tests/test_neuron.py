"""neuron.cu against reference/neuron.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import neuron as reference
from tests.conftest import assert_close, numerical_gradient

NEURONS = [
    IDENT,
    RELU,
    Neuron("tanh", 1.7159, 0.6667),
    Neuron("logistic"),
    Neuron("softrelu"),
    Neuron("sqrt"),
    Neuron("brelu", 0.8),
    Neuron("linear", -1.5, 0.25),
    Neuron("abs"),
    Neuron("square"),
    Neuron("drelu", 1.3),
]
SHAPES = [(1, 1, 1, 1), (3, 5, 7, 2), (5, 3, 1, 31), (48, 3, 3, 33), (1, 2, 3, 127), (3, 1, 5, 129)]


def inputs(rng, neuron: Neuron, shape) -> np.ndarray:
    x = rng.standard_normal(shape, np.float32)
    return np.abs(x) + np.float32(0.01) if neuron.kind == "sqrt" else x


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_forward(guarded, rng, neuron, shape):
    x = inputs(rng, neuron, shape)
    out = guarded.out(*shape)
    ops.neuron_forward(out, guarded.inp(x), neuron=neuron)
    cancels = np.abs(x) if neuron.kind in ("linear", "drelu") else 0.0  # sums of two terms
    assert_close(out, reference.forward(x, neuron), terms=cancels)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_backward(guarded, rng, neuron, shape, accumulate):
    x = inputs(rng, neuron, shape)
    y = reference.forward(x, neuron).astype(np.float32)
    dy, was = rng.standard_normal((2, *shape), np.float32)
    dinp = guarded.inp(was) if accumulate else guarded.out(*shape)
    ops.neuron_backward(
        dinp, guarded.inp(dy), guarded.inp(x), guarded.inp(y), neuron=neuron, accumulate=accumulate
    )
    want = reference.backward(dy, y, neuron, x)
    assert_close(dinp, want + accumulate * was, terms=np.abs(dy) + accumulate * np.abs(was))


def test_large_inputs_do_not_overflow(guarded):
    x = np.array([-1000, -100, -20, 0, 20, 100, 1000], np.float32)
    for kind, want in (("softrelu", np.maximum(x, 0)), ("logistic", (np.sign(x) + 1) / 2)):
        out = guarded.out(7)
        ops.neuron_forward(out, guarded.inp(x), neuron=Neuron(kind))
        middle = np.log(2) if kind == "softrelu" else 0.5
        np.testing.assert_allclose(out.numpy(), np.where(x == 0, middle, want), atol=3e-9, rtol=1e-6)


def test_other_ops_refuse_neurons_that_they_do_not_apply(guarded):
    arrays = [guarded.out(3, 2), guarded.out(3, 2), guarded.out(3, 2)]
    with pytest.raises(ValueError, match="ident, relu and tanh: run others as a pass of their own"):
        ops.bias_backward(guarded.out(3), *arrays, neuron=Neuron("logistic"))


def test_in_place(guarded, rng):
    x = rng.standard_normal((3, 4, 5, 33), np.float32)
    array = guarded.inp(x)
    ops.neuron_forward(array, array, neuron=RELU)
    assert_close(array, reference.forward(x, RELU))


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_reference_gradient(rng, neuron):
    x = rng.uniform(0.1, 0.7, (2, 3)) + rng.choice([0, 1], (2, 3))  # away from kinks at 0 and 0.8
    x *= 1 if neuron.kind == "sqrt" else rng.choice([-1, 1], (2, 3))
    dout = rng.standard_normal((2, 3))
    want = numerical_gradient(lambda v: reference.forward(v, neuron), x, dout)
    assert_close(reference.backward(dout, reference.forward(x, neuron), neuron, x), want)


def test_bad_arguments(guarded, device):
    a, b = guarded.out(3, 4), guarded.out(4, 3)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.neuron_forward(a, b, neuron=RELU)
    with pytest.raises(TypeError, match="inp must be float32 or bfloat16, got float64"):
        ops.neuron_forward(a, device.upload(np.zeros((3, 4))), neuron=RELU)
    with pytest.raises(TypeError, match="inp must be an alexnet_raw Array, got list"):
        ops.neuron_forward(a, [1.0], neuron=RELU)
