"""The oracle itself: gradients against central differences, forward passes against torch."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.reference import add, bias, conv, fc, lrn, numeric, pool, rnorm

RELU = Neuron("relu")
TANH = Neuron("tanh", 1.7159, 0.6667)

CONVS = [  # inp shape, weights shape, stride, padding, groups
    ((3, 7, 6, 2), (3, 3, 3, 4), 1, 1, 1),
    ((4, 8, 9, 1), (2, 5, 3, 6), 2, 2, 2),
    ((1, 9, 9, 3), (1, 5, 5, 2), 4, 0, 1),  # 1 + ceil((9-5)/4) = 2, exactly
    ((2, 8, 8, 1), (2, 3, 3, 1), 4, 0, 1),  # rounded up: implicit zeros right and bottom
    ((3, 4, 5, 2), (1, 1, 1, 3), 1, 0, 3),
    ((2, 2, 2, 1), (2, 3, 3, 2), 2, 1, 1),
]
NORMS = [  # size, scale, power, min_div
    (5, 0.9, 0.75, 2.0),
    (5, 0.9, 0.5, 1.0),
    (4, 0.5, 0.75, 1.0),
    (1, 0.5, 1.0, 1.0),
    (9, 0.5, 0.6, 0.7),
]
POOLS = [  # size, stride, start, picture height, picture width
    (3, 2, 0, 7, 7),
    (3, 2, 0, 8, 5),  # clipped right
    (2, 2, 0, 5, 6),
    (3, 1, -1, 4, 5),
    (5, 3, -2, 7, 9),
    (1, 1, 0, 3, 2),
    (5, 3, 0, 4, 3),  # larger than the picture
]


@pytest.fixture
def draw():
    """draw(*shape): fresh normal numbers; the seed shows when a test fails."""
    seed = np.random.SeedSequence().entropy
    print(f"seed {seed}")
    generator = np.random.default_rng(seed)
    return lambda *shape: generator.standard_normal(shape)


def assert_close(actual: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert actual.shape == expected.shape
    error = np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-30)
    assert error < tolerance, f"relative error {error:.2g}"


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize(("inp_shape", "weights_shape", "stride", "padding", "groups"), CONVS)
def test_conv_against_torch(draw, inp_shape, weights_shape, stride, padding, groups, neuron):
    torch = pytest.importorskip("torch")
    inp, weights, b = draw(*inp_shape), draw(*weights_shape), draw(weights_shape[-1])
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
def test_conv_gradients(draw, inp_shape, weights_shape, stride, padding, groups):
    inp, weights = draw(*inp_shape), draw(*weights_shape)
    settings = (stride, padding, groups)

    def forward(i, w):
        return conv.forward(i, w, None, *settings)

    dout = draw(*forward(inp, weights).shape)
    dinp = conv.backward_data(dout, weights, inp.shape, *settings)
    assert_close(dinp, numeric.gradient(lambda i: forward(i, weights), inp, dout), 1e-8)
    dweights = conv.backward_weights(inp, dout, weights.shape, *settings)
    assert_close(dweights, numeric.gradient(lambda w: forward(inp, w), weights, dout), 1e-8)


def test_conv1_of_the_paper_has_55_pixels():
    out = conv.forward(np.ones((1, 224, 224, 1)), np.ones((1, 11, 11, 1)), stride=4)
    assert out.shape == (1, 55, 55, 1)
    assert out[0, 0, 0, 0] == 121
    assert out[0, 54, 54, 0] == 8 * 8  # three implicit zero columns and rows


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
def test_fc_gradients(draw, neuron):
    inp, weights, b, dout = draw(5, 3), draw(5, 4), draw(4), draw(4, 3)
    out = fc.forward(inp, weights, b, neuron)
    loops = [[weights[:, o] @ inp[:, n] + b[o] for n in range(3)] for o in range(4)]
    assert_close(fc.forward(inp, weights, b), np.array(loops), 1e-14)

    dbias, dz = bias.backward(dout, out, neuron)
    of_inp = numeric.gradient(lambda i: fc.forward(i, weights, b, neuron), inp, dout)
    assert_close(fc.backward_data(dz, weights), of_inp, 1e-8)
    of_weights = numeric.gradient(lambda w: fc.forward(inp, w, b, neuron), weights, dout)
    assert_close(fc.backward_weights(inp, dz), of_weights, 1e-8)
    of_bias = numeric.gradient(lambda v: fc.forward(inp, weights, v, neuron), b, dout)
    assert_close(dbias, of_bias, 1e-8)


@pytest.mark.parametrize("channels", [1, 3, 7, 12])
@pytest.mark.parametrize("settings", NORMS)
def test_lrn_gradient(draw, channels, settings):
    inp, dout = draw(channels, 2, 1, 2), 3 * draw(channels, 2, 1, 2)
    expected = numeric.gradient(lambda x: lrn.forward(x, *settings), inp, dout)
    assert_close(lrn.backward(dout, inp, *settings), expected, 1e-7)


@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_lrn_against_torch(draw, size):
    torch = pytest.importorskip("torch")
    inp = 3 * draw(11, 3, 2, 4)
    nchw = torch.from_numpy(inp.transpose(3, 0, 1, 2).copy())
    # torch divides alpha by size too, and also starts its window at i - size//2
    norm = torch.nn.LocalResponseNorm(size, alpha=0.3, beta=0.75, k=2.0)
    expected = norm(nchw).numpy().transpose(1, 2, 3, 0)
    assert_close(lrn.forward(inp, size, 0.3, 0.75, 2.0), expected, 1e-12)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 5), (7, 3)])
@pytest.mark.parametrize("settings", NORMS)
def test_rnorm_gradient(draw, height, width, settings):
    inp, dout = draw(2, height, width, 2), 3 * draw(2, height, width, 2)
    expected = numeric.gradient(lambda x: rnorm.forward(x, *settings)[0], inp, dout)
    assert_close(rnorm.backward(dout, inp, *settings), expected, 1e-7)


def test_rnorm_window_by_hand():
    out, d = rnorm.forward(np.full((1, 6, 7, 1), 2.0), 5, 25.0, 0.5, 1.0)
    assert d[0, 3, 3, 0] == 1 + 4 * 25
    assert d[0, 0, 0, 0] == 1 + 4 * 9  # clipped at the corner to 3 x 3
    assert out[0, 0, 0, 0] == 2 / np.sqrt(37)


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize("kind", ["max", "avg"])
@pytest.mark.parametrize(("size", "stride", "start", "height", "width"), POOLS)
def test_pool_gradient(draw, size, stride, start, height, width, kind, neuron):
    inp = draw(2, height, width, 2)
    settings = (kind, size, stride, start, neuron)
    out = pool.forward(inp, *settings)
    dout = draw(*out.shape)
    expected = numeric.gradient(lambda x: pool.forward(x, *settings), inp, dout)
    assert_close(pool.backward(dout, inp, out, *settings), expected, 1e-7)


@pytest.mark.parametrize(("size", "stride", "start", "height", "width"), POOLS)
def test_max_pool_against_torch(draw, size, stride, start, height, width):
    torch = pytest.importorskip("torch")
    inp = draw(3, height, width, 2)
    border = [(0, 0), (-start, size), (-start, size), (0, 0)]
    padded = np.pad(inp, border, constant_values=-np.inf)
    expected = torch.nn.functional.max_pool2d(
        torch.from_numpy(padded.transpose(3, 0, 1, 2).copy()), size, stride
    )
    out = pool.forward(inp, "max", size, stride, start)
    expected = expected.numpy().transpose(1, 2, 3, 0)[:, : out.shape[1], : out.shape[2]]
    np.testing.assert_array_equal(out, expected)


def test_pool_ties_all_receive_the_gradient():
    inp = np.array([2.0, 2.0, 1.0, 2.0, 0.0, 0.0, 1.0, 1.0, 1.0]).reshape(1, 3, 3, 1)
    out = pool.forward(inp, "max", 3, 2)
    dinp = pool.backward(np.full(out.shape, 5.0), inp, out, "max", 3, 2)
    np.testing.assert_array_equal(dinp.ravel(), [5, 5, 0, 5, 0, 0, 0, 0, 0])


def test_average_pool_divides_by_the_clipped_area():
    out = pool.forward(np.ones((1, 5, 5, 1)), "avg", 3, 2, -1)
    np.testing.assert_array_equal(out, np.ones(out.shape))


def test_add():
    np.testing.assert_array_equal(add.forward(np.ones(3), np.arange(3)), [1, 2, 3])
