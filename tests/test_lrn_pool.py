"""lrn_pool.cu against reference/lrn_pool.py, and to the bit against lrn.cu and pool.cu."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.reference import lrn_pool as reference
from tests.conftest import assert_close, numerical_gradient
from tests.test_pool import output_shape

TANH = Neuron("tanh", 1.7159, 0.6667)
NORMS = [
    {"norm_size": 5, "scale": 1.0, "power": 0.75, "min_div": 2.0},
    {"norm_size": 5, "scale": 1.0, "power": 0.5, "min_div": 1.0},
    {"norm_size": 1, "scale": 0.5, "power": 1.0, "min_div": 1.0},
    {"norm_size": 4, "scale": 0.5, "power": 0.75, "min_div": 0.7},
    {"norm_size": 32, "scale": 2.0, "power": 0.6, "min_div": 1.0},
]
CASES = [  # channels, height, width, images; size, stride, start of the windows
    ((1, 1, 1, 1), 1, 1, 0),
    ((3, 5, 7, 2), 3, 2, 0),
    ((5, 9, 3, 31), 3, 2, -1),
    ((48, 3, 4, 33), 3, 2, 0),
    ((1, 6, 5, 127), 3, 2, -2),
    ((3, 4, 5, 129), 3, 2, 1),
    ((7, 19, 21, 3), 3, 2, -1),  # several tiles
    ((101, 5, 6, 17), 3, 2, 0),  # several parts of the channels
    ((5, 13, 8, 3), 5, 3, -2),
    ((7, 4, 5, 33), 3, 1, -1),
    ((26, 6, 7, 18), 2, 2, 1),
    ((6, 9, 9, 2), 9, 2, 0),
]


def name(settings: dict) -> str:
    return "-".join(map(str, settings.values()))


def picture(rng, shape):
    """Few different pixels: some in a window tie, the others differ by more than rounding."""
    channels, *rest = shape
    return 3 * rng.standard_normal((channels, 5), np.float32)[:, rng.integers(0, 5, rest)]


def split(settings):
    """The settings of lrn.cu's ops and of pool.cu's."""
    norm = {key: settings[key] for key in ("scale", "power", "min_div")}
    windows = {key: settings[key] for key in ("size", "stride", "start")}
    return {"size": settings["norm_size"], **norm}, {"kind": "max", **windows}


@pytest.mark.parametrize("neuron", [IDENT, RELU, TANH], ids=str)
@pytest.mark.parametrize("norm", NORMS, ids=name)
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_forward(guarded, rng, shape, size, stride, start, norm, neuron):
    x = picture(rng, shape)
    out = guarded.out(*output_shape(shape, size, stride, start))
    settings = {**norm, "size": size, "stride": stride, "start": start, "neuron": neuron}
    ops.lrn_pool_forward(out, guarded.inp(x), **settings)
    assert_close(out, reference.forward(x, **settings))


@pytest.mark.parametrize(
    ("neuron", "below", "accumulate"),
    [(IDENT, IDENT, False), (RELU, IDENT, True), (RELU, RELU, False), (IDENT, RELU, False)],
    ids=str,
)
@pytest.mark.parametrize("norm", NORMS, ids=name)
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_backward(guarded, rng, shape, size, stride, start, norm, neuron, below, accumulate):
    x = picture(rng, shape)
    settings = {**norm, "size": size, "stride": stride, "start": start, "neuron": neuron}
    out = guarded.out(*output_shape(shape, size, stride, start))
    ops.lrn_pool_forward(out, guarded.inp(x), **settings)
    dy, before = rng.standard_normal(out.shape, np.float32), rng.standard_normal(shape, np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    arrays = (guarded.inp(dy), guarded.inp(x), out)
    ops.lrn_pool_backward(dinp, *arrays, **settings, below=below, accumulate=accumulate)
    want = reference.backward(dy, x, **settings, below=below) + accumulate * before
    terms = np.abs(reference.backward(np.abs(dy), x, **{**settings, "scale": 0.0}, below=below))
    assert_close(dinp, want, terms=terms + accumulate * np.abs(before))


@pytest.mark.parametrize("dtype", [np.float32, BF16])
@pytest.mark.parametrize("norm", NORMS, ids=name)
@pytest.mark.parametrize(("shape", "size", "stride", "start"), CASES)
def test_bits_are_those_of_two_passes(guarded, rng, shape, size, stride, start, norm, dtype):
    """Also in bfloat16, where each of the passes would round what it stores."""

    def rounded(array):
        return array.numpy().astype(dtype).astype(np.float32)

    def assert_same(got, want):
        np.testing.assert_array_equal(got.numpy().astype(np.float32), want)

    settings = {**norm, "size": size, "stride": stride, "start": start}
    of_lrn, of_pool = split(settings)
    # Numbers as they come, and others that tie.
    x = np.where(rng.random(shape) < 0.5, picture(rng, shape), rng.standard_normal(shape)).astype(dtype)
    x32 = guarded.inp(x.astype(np.float32))
    shape_out = output_shape(shape, size, stride, start)
    normalised, pooled = guarded.out(*shape), guarded.out(*shape_out)
    ops.lrn_forward(normalised, x32, **of_lrn)
    normalised = guarded.inp(rounded(normalised))
    ops.pool_forward(pooled, normalised, **of_pool, neuron=RELU)
    out = guarded.out(*shape_out, dtype=dtype)
    ops.lrn_pool_forward(out, guarded.inp(x), **settings, neuron=RELU)
    assert_same(out, rounded(pooled))

    dy, before = (rng.standard_normal(s).astype(dtype) for s in (shape_out, shape))
    dnormalised, want = guarded.out(*shape), guarded.out(*shape)
    dy32 = guarded.inp(dy.astype(np.float32))
    ops.pool_backward(dnormalised, dy32, normalised, pooled, **of_pool, neuron=RELU)
    ops.lrn_backward(want, guarded.inp(rounded(dnormalised)), x32, **of_lrn)
    want = guarded.inp(rounded(want))
    arrays = (guarded.inp(dy), guarded.inp(x), out)
    dinp = guarded.out(*shape, dtype=dtype)
    ops.lrn_pool_backward(dinp, *arrays, **settings, neuron=RELU)
    assert_same(dinp, want.numpy())
    ops.lrn_pool_backward(dinp, *arrays, **settings, neuron=RELU, below=RELU)
    dz = guarded.out(*shape)
    ops.neuron_backward(dz, want, x32, x32, neuron=RELU)
    assert_same(dinp, rounded(dz))
    dinp = guarded.inp(before)
    ops.lrn_pool_backward(dinp, *arrays, **settings, neuron=RELU, accumulate=True)
    assert_same(dinp, (before.astype(np.float32) + want.numpy()).astype(dtype).astype(np.float32))


@pytest.mark.parametrize(("size", "stride"), [(3, 2), (2, 2)])
def test_fewer_outputs_than_usual(guarded, rng, size, stride):
    """`outputsX` of the layer files: pixels of no window get no gradient."""
    x = rng.standard_normal((6, 9, 9, 5), np.float32)
    settings = {**NORMS[0], "size": size, "stride": stride, "start": 1}
    y = reference.forward(x, **settings)[:, :2, :3].astype(np.float32)
    out, dinp = guarded.out(*y.shape), guarded.out(*x.shape)
    ops.lrn_pool_forward(out, guarded.inp(x), **settings)
    assert_close(out, y)
    ops.lrn_pool_backward(dinp, guarded.inp(y), guarded.inp(x), out, **settings)
    assert dinp.numpy()[:, 1:3, 1:5].any()
    assert not dinp.numpy()[:, 0].any() and not dinp.numpy()[:, size + 3 :].any()


@pytest.mark.parametrize("neuron", [IDENT, RELU], ids=str)
@pytest.mark.parametrize("norm", NORMS, ids=name)
def test_reference_gradient(rng, norm, neuron):
    x = rng.standard_normal((7, 5, 6, 1))
    settings = {**norm, "size": 3, "stride": 2, "start": -1, "neuron": neuron}
    dout = rng.standard_normal(reference.forward(x, **settings).shape)
    want = numerical_gradient(lambda v: reference.forward(v, **settings), x, dout)
    assert_close(reference.backward(dout, x, **settings), want, 1e-7)


def test_bad_arguments(guarded):
    inp, out, dinp, dout = (guarded.out(3, n, n, 2) for n in (5, 2, 5, 2))
    good = {**NORMS[0], "size": 3, "stride": 2}
    for changed, message in [
        ({"norm_size": 33}, "norm_size must be between 1 and 32, got 33"),
        ({"min_div": 0.0}, "min_div must be positive"),
        ({"stride": 5}, "the last of 2 windows would begin at 5, outside the 5 rows of inp"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.lrn_pool_forward(out, inp, **{**good, **changed})
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.lrn_pool_forward(inp, inp, **{**good, "size": 1, "stride": 1})
    with pytest.raises(TypeError, match=r"out .*float32.* and inp .*bfloat16"):
        ops.lrn_pool_forward(out, guarded.out(3, 5, 5, 2, dtype=BF16), **good)
    with pytest.raises(ValueError, match="neurons ident and relu"):
        ops.lrn_pool_backward(dinp, dout, inp, out, **good, neuron=TANH)
    with pytest.raises(ValueError, match=r"below has a gradient of its own.*accumulate"):
        ops.lrn_pool_backward(dinp, dout, inp, out, **good, below=RELU, accumulate=True)
    with pytest.raises(ValueError, match=r"dout .*and out .*same shape"):
        ops.lrn_pool_backward(dinp, inp, inp, out, **good)
    with pytest.raises(ValueError, match="dinp and dout overlap in memory"):
        ops.lrn_pool_backward(dinp, dinp, inp, inp, **{**good, "size": 1, "stride": 1})
