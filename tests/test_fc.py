"""Fully-connected passes against reference/fc.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.neuron import IDENT, RELU
from alexnet_raw.reference import fc as reference
from tests.conftest import assert_close

CASES = [(1, 1, 1), (2, 3, 5), (31, 48, 10), (33, 129, 7), (127, 5, 130), (129, 300, 31), (3, 4608, 20)]


@pytest.fixture(params=CASES, ids="n{0[0]}-i{0[1]}-o{0[2]}".format)
def case(request, rng):
    n, inputs, outputs = request.param
    shapes = {
        "inp": (inputs, n),
        "weights": (inputs, outputs),
        "bias": (outputs,),
        "dout": (outputs, n),
    }
    return {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def test_forward(guarded, case):
    args = [case[k] for k in ("inp", "weights", "bias")]
    out = guarded.out(*case["dout"].shape)
    ops.fc_forward(out, *map(guarded.inp, args), neuron=RELU)
    assert_close(out, reference.forward(*args, neuron=RELU))


def test_forward_of_two_inputs(guarded, case, rng):
    args = [case[k] for k in ("inp", "weights", "bias")]
    out = guarded.inp(case["dout"])
    ops.fc_forward(out, *map(guarded.inp, args), accumulate=True)
    assert_close(out, reference.forward(*args, neuron=IDENT) + case["dout"])


def test_backward(guarded, case):
    dinp, dweights = guarded.out(*case["inp"].shape), guarded.out(*case["weights"].shape)
    inp, weights, dout = (guarded.inp(case[k]) for k in ("inp", "weights", "dout"))
    ops.fc_backward_data(dinp, dout, weights)
    ops.fc_backward_weights(dweights, inp, dout)
    assert_close(dinp, reference.backward_data(case["dout"], case["weights"]))
    assert_close(dweights, reference.backward_weights(case["inp"], case["dout"]))


def test_bad_arguments(cpu):
    with pytest.raises(ValueError, match="inp must have 2 dimensions"):
        ops.fc_forward(cpu.zeros((4, 2)), cpu.zeros((3, 1, 1, 2)), cpu.zeros((3, 4)))
    with pytest.raises(
        ValueError, match=r"weights \(5, 1, 1, 4\) float32 must have shape \(3, 1, 1, 4\)"
    ):
        ops.fc_forward(cpu.zeros((4, 2)), cpu.zeros((3, 2)), cpu.zeros((5, 4)))
