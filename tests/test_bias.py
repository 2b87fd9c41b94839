"""bias.cu against reference/bias.py; the oracle's own gradient check is in test_reference.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import Device
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import bias as reference
from alexnet_raw.reference import neuron as activation
from tests.conftest import assert_close

NEURONS = [IDENT, RELU, Neuron("tanh", 1.7159, 0.6667)]
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 3, 33),
    (1, 2, 3, 127),
    (3, 1, 5, 129),
    (257, 3),
    (4,),
    (2, 17, 31, 33),  # two slices of a channel, the second one short
    (3, 128, 128, 1),  # one slice, full
]


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape) > 1])
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_forward(guarded, rng, neuron, shape):
    z, bias = rng.standard_normal(shape, np.float32), rng.standard_normal(shape[:-1], np.float32)
    out = guarded.inp(z)
    ops.bias_forward(out, guarded.inp(bias), neuron=neuron)
    assert_close(out, reference.forward(z, bias, neuron))


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("neuron", NEURONS, ids=str)
def test_backward(guarded, rng, neuron, shape, in_place):
    y = activation.forward(rng.standard_normal(shape), neuron).astype(np.float32)
    dy = rng.standard_normal(shape, np.float32)
    dbias, dout = guarded.out(shape[0]), guarded.inp(dy)
    dz = dout if in_place else guarded.out(*shape)
    ops.bias_backward(dbias, dz, dout, guarded.inp(y), neuron=neuron)
    want_dbias, want_dz = reference.backward(dy, y, neuron)
    assert_close(dz, want_dz)
    assert_close(dbias, want_dbias, terms=np.linalg.norm(want_dz))


@pytest.mark.parametrize("inner", [130, 40000])
def test_backward_adds_to_what_is_there(guarded, rng, inner):
    """Channels of one slice and of several; dz is written all the same."""
    dy, before = rng.standard_normal((3, inner), np.float32), rng.standard_normal(3, np.float32)
    dbias, alone, dout = guarded.inp(before), guarded.out(3), guarded.inp(dy)
    ops.bias_backward(alone, dout, dout, dout)
    dz = guarded.out(3, inner)
    ops.bias_backward(dbias, dz, dout, dout, accumulate=True)
    np.testing.assert_array_equal(dbias.numpy(), before + alone.numpy())
    np.testing.assert_array_equal(dz.numpy(), reference.backward(dy, dy)[1])


@pytest.mark.parametrize("mean", [0, 1])
def test_sum_of_a_whole_layer_is_accurate(rng, mean):
    """conv1 at batch 128: 387,200 numbers a channel, that cancel or that do not."""
    dy = (rng.standard_normal((2, 55 * 55 * 128)) + mean).astype(np.float32)
    cpu = Device("cpu")
    dbias, dout = cpu.empty(2), cpu.upload(dy)
    ops.bias_backward(dbias, dout, dout, cpu.upload(dy))
    assert_close(dbias, dy.astype(np.float64).sum(axis=1), terms=np.linalg.norm(dy))


def test_sum_does_not_depend_on_threads_or_order(rng):
    cpu = Device("cpu")
    dout = cpu.upload(rng.standard_normal((5, 70000), np.float32))
    sums = []
    try:
        for threads in (1, 2, 5):
            for order in ("forward", "reverse", "shuffled"):
                cpu.module.set_threads(threads)
                cpu.module.set_execution(order=order)
                dbias = cpu.empty(5)
                ops.bias_backward(dbias, dout, dout, dout)
                sums.append(dbias.numpy().tobytes())
    finally:
        cpu.module.set_threads(0)
        cpu.module.set_execution()
    assert len(set(sums)) == 1


def test_bad_arguments(guarded):
    dbias, dout, out = guarded.out(3), guarded.out(3, 4), guarded.out(3, 4)
    with pytest.raises(ValueError, match=r"dbias .* must have shape \(3,\): one bias for each channel"):
        ops.bias_backward(guarded.out(4), dout, dout, out)
    with pytest.raises(ValueError, match=r"out .*and dout .*same shape"):
        ops.bias_backward(dbias, dout, dout, guarded.out(3, 5))
    with pytest.raises(ValueError, match=r"dz .*and dout .*same shape"):
        ops.bias_backward(dbias, guarded.out(3, 5), dout, out)
    with pytest.raises(ValueError, match="dz and out overlap in memory"):
        ops.bias_backward(dbias, out, dout, out, neuron=RELU)
    with pytest.raises(ValueError, match=r"bias .* must have shape \(3,\): one bias per row of out"):
        ops.bias_forward(out, guarded.out(4))
    with pytest.raises(ValueError, match="out must have at least two dimensions"):
        ops.bias_forward(dbias, guarded.out(1))
    with pytest.raises(TypeError, match="bias"):
        ops.bias_forward(out, None)
    with pytest.raises(TypeError, match="dout must be an alexnet_raw Array, got list"):
        ops.bias_backward(dbias, dout, [1.0], out)
