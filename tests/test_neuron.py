"""neuron.cu against reference/neuron.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import neuron as reference
from tests.conftest import assert_close, numerical_gradient

NEURONS = [IDENT, RELU, Neuron("tanh", 1.7159, 0.6667)]
SHAPES = [(1, 1, 1, 1), (3, 5, 7, 2), (5, 3, 1, 31), (48, 3, 3, 33), (1, 2, 3, 127), (3, 1, 5, 129)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_forward(guarded, rng, neuron, shape):
    x = rng.standard_normal(shape, np.float32)
    out = guarded.out(*shape)
    ops.neuron_forward(out, guarded.inp(x), neuron=neuron)
    assert_close(out, reference.forward(x, neuron))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_backward(guarded, rng, neuron, shape):
    y = reference.forward(rng.standard_normal(shape), neuron).astype(np.float32)
    dy = rng.standard_normal(shape, np.float32)
    dinp = guarded.out(*shape)
    ops.neuron_backward(dinp, guarded.inp(dy), guarded.inp(y), neuron=neuron)
    assert_close(dinp, reference.backward(dy, y, neuron))


def test_in_place(guarded, rng):
    x = rng.standard_normal((3, 4, 5, 33), np.float32)
    array = guarded.inp(x)
    ops.neuron_forward(array, array, neuron=RELU)
    assert_close(array, reference.forward(x, RELU))


@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_reference_gradient(rng, neuron):
    x = rng.uniform(0.1, 2, (2, 3)) * rng.choice([-1, 1], (2, 3))  # away from the kink at 0
    dout = rng.standard_normal((2, 3))
    want = numerical_gradient(lambda v: reference.forward(v, neuron), x, dout)
    assert_close(reference.backward(dout, reference.forward(x, neuron), neuron), want)


def test_bad_arguments(guarded, device):
    a, b = guarded.out(3, 4), guarded.out(4, 3)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.neuron_forward(a, b, neuron=RELU)
    with pytest.raises(TypeError, match="inp must be float32, got float64"):
        ops.neuron_forward(a, device.upload(np.zeros((3, 4))), neuron=RELU)
    with pytest.raises(TypeError, match="inp must be an alexnet_raw Array, got list"):
        ops.neuron_forward(a, [1.0], neuron=RELU)
