"""The oracles of conv and fc: gradients against central differences, forward passes against torch."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import bias, conv, fc
from tests.conftest import assert_close, numerical_gradient

TANH = Neuron("tanh", 1.7159, 0.6667)

CONVS = [  # inp shape, weights shape, stride, padding, groups
    ((3, 7, 6, 2), (3, 3, 3, 4), 1, 1, 1),
    ((4, 8, 9, 1), (2, 5, 3, 6), 2, 2, 2),
    ((1, 9, 9, 3), (1, 5, 5, 2), 4, 0, 1),  # 1 + ceil((9-5)/4) = 2, exactly
    ((2, 8, 8, 1), (2, 3, 3, 1), 4, 0, 1),  # rounded up: implicit zeros right and bottom
    ((3, 4, 5, 2), (1, 1, 1, 3), 1, 0, 3),
    ((2, 2, 2, 1), (2, 3, 3, 2), 2, 1, 1),
]


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize(("inp_shape", "weights_shape", "stride", "padding", "groups"), CONVS)
def test_conv_against_torch(rng, inp_shape, weights_shape, stride, padding, groups, neuron):
    torch = pytest.importorskip("torch")
    inp, weights = rng.standard_normal(inp_shape), rng.standard_normal(weights_shape)
    b = rng.standard_normal(weights_shape[-1])
    out = conv.forward(inp, weights, b, stride, padding, groups, neuron)
    nchw = np.pad(inp, [(0, 0), (0, stride - 1), (0, stride - 1), (0, 0)])  # the implicit zeros
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(nchw.transpose(3, 0, 1, 2).copy()),
        torch.from_numpy(weights.transpose(3, 0, 1, 2).copy()),
        torch.from_numpy(b),
        stride=stride,
        padding=padding,
        groups=groups,
    )
    expected = {
        "ident": lambda z: z,
        "relu": torch.relu,
        "tanh": lambda z: neuron.a * torch.tanh(neuron.b * z),
    }[neuron.kind](expected)
    assert_close(out, expected.numpy().transpose(1, 2, 3, 0), 1e-12)


@pytest.mark.parametrize(("inp_shape", "weights_shape", "stride", "padding", "groups"), CONVS)
def test_conv_gradients(rng, inp_shape, weights_shape, stride, padding, groups):
    inp, weights = rng.standard_normal(inp_shape), rng.standard_normal(weights_shape)
    settings = (stride, padding, groups)

    def forward(i, w):
        return conv.forward(i, w, None, *settings)

    dout = rng.standard_normal(forward(inp, weights).shape)
    dinp = conv.backward_data(dout, weights, inp.shape, *settings)
    assert_close(dinp, numerical_gradient(lambda i: forward(i, weights), inp, dout), 1e-8)
    dweights = conv.backward_weights(inp, dout, weights.shape, *settings)
    assert_close(dweights, numerical_gradient(lambda w: forward(inp, w), weights, dout), 1e-8)


def test_conv1_of_the_paper_has_55_pixels():
    out = conv.forward(np.ones((1, 224, 224, 1)), np.ones((1, 11, 11, 1)), stride=4)
    assert out.shape == (1, 55, 55, 1)
    assert out[0, 0, 0, 0] == 121
    assert out[0, 54, 54, 0] == 8 * 8  # three implicit zero columns and rows


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
def test_fc_gradients(rng, neuron):
    inp, weights, b = (rng.standard_normal(shape) for shape in ((5, 3), (5, 4), 4))
    dout = rng.standard_normal((4, 3))
    out = fc.forward(inp, weights, b, neuron)
    loops = [[weights[:, o] @ inp[:, n] + b[o] for n in range(3)] for o in range(4)]
    assert_close(fc.forward(inp, weights, b), np.array(loops), 1e-14)

    dbias, dz = bias.backward(dout, out, neuron)
    of_inp = numerical_gradient(lambda i: fc.forward(i, weights, b, neuron), inp, dout)
    assert_close(fc.backward_data(dz, weights), of_inp, 1e-8)
    of_weights = numerical_gradient(lambda w: fc.forward(inp, w, b, neuron), weights, dout)
    assert_close(fc.backward_weights(inp, dz), of_weights, 1e-8)
    of_bias = numerical_gradient(lambda v: fc.forward(inp, weights, v, neuron), b, dout)
    assert_close(dbias, of_bias, 1e-8)
