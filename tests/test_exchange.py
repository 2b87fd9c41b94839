"""Exchanges in half precision: quantF and quantB of the parameter file."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw.device import Device, parse_devices
from alexnet_raw.network import Network
from tests.test_network import NetText, batch, run

SHAPE = (3, 5, 4)


def half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16).astype(np.float32)


def net_of(parameters: str, devices: str, neuron: str = "") -> Network:
    """a on gpu 0 is read there and on gpu 1; a cost of squares above each, of coefficients 2 and 4."""
    net = NetText()
    net.add("a", "data", f"type=eltsum gpu=0 {neuron}", parameters)
    net.add("here", "a", "type=neuron neuron=linear[0.3,0] gpu=0")
    net.add("there", "a", "type=neuron neuron=linear[0.7,0] gpu=1")
    net.add("cost1", "here", "type=cost.sum2", "coeff=2")
    net.add("cost2", "there", "type=cost.sum2", "coeff=4")
    return Network(net.spec(), parse_devices(devices), 4, input_shape=SHAPE, input_gradient=True)


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu", "cpu,cpu,cpu"])
@pytest.mark.parametrize("parameters", ["", "quantF=half", "quantB=half", "quantF=half quantB=half"])
def test_what_crosses_gpu_numbers_is_rounded(rng, devices, parameters):
    net = net_of(parameters, devices)
    x, labels = batch(rng, SHAPE, 4, 2)
    run(net, x, labels)
    seen = half(x) if "quantF" in parameters else x
    here, there = np.float32(0.3) * x, np.float32(0.7) * seen
    np.testing.assert_array_equal(net.activations("here"), np.moveaxis(here, -1, 0))
    np.testing.assert_array_equal(net.activations("there"), np.moveaxis(there, -1, 0))
    back = np.float32(0.7) * (2 * there)  # 4 pictures: the coefficients become 1/2 and 1
    back = half(back) if "quantB" in parameters else back
    np.testing.assert_array_equal(net.input_gradient(), np.float32(0.3) * here + back)


def test_a_neuron_s_layer_sends_for_its_layer(rng):
    net = net_of("quantF=half", "cpu,cpu", "neuron=abs")
    x, labels = batch(rng, SHAPE, 4, 2)
    run(net, x, labels)
    expected = np.float32(0.7) * half(np.abs(x))
    np.testing.assert_array_equal(net.activations("there"), np.moveaxis(expected, -1, 0))


def test_what_is_too_large_for_half_precision_becomes_infinite():
    net = net_of("quantF=half", "cpu")
    x = np.zeros((*SHAPE, 4), np.float32)
    x[0, 0, 0, 0], x[1, 2, 3, 1] = 1e5, -65504
    run(net, x, np.zeros(4, np.int32), backward=False)
    there = net.activations("there")
    assert there[0, 0, 0, 0] == np.inf
    assert there[1, 1, 2, 3] == np.float32(0.7) * -65504


def test_casts(device):
    values = np.array([0, 1 / 3, -70000, 1e-8, np.nan], np.float32)
    source, sent = device.upload(values), device.empty(5, np.float16)
    sent.cast_from(source)
    back = device.empty(5)
    back.cast_from(sent)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(back.numpy(), half(values))
    with pytest.raises(ValueError, match="cannot convert"):
        sent.cast_from(device.empty(4))
    with pytest.raises(ValueError, match="cannot convert"):
        sent.cast_from(Device("cpu").empty(5))
