"""conv_mma.cu against reference/conv.py, whose operands are rounded as tensor cores round them.

Beside that rounding nothing is lost: the tolerance is that of float32 sums. Tiles are a GPU's in any
execution, so that the CPU's own is left out.
"""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16, Array
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, RELU
from alexnet_raw.reference import conv as reference
from alexnet_raw.reference.rounding import PRECISIONS
from tests.conftest import DEVICES, assert_close

# images, channels, height, width, filters, filter, stride, padding, groups
CASES = [
    (1, 1, 1, 1, 1, 1, 1, 0, 1),
    (3, 5, 8, 6, 7, 5, 1, 2, 1),  # copies float by float
    (5, 6, 9, 9, 10, 3, 3, 2, 2),
    (8, 48, 6, 6, 24, 5, 1, 2, 1),  # tiles of 48 rows, copies in fours from here on
    (4, 3, 12, 12, 48, 7, 4, 3, 1),
    (8, 20, 7, 9, 80, 3, 2, 1, 1),  # 96
    (4, 64, 4, 4, 64, 3, 1, 1, 1),  # 64
    (4, 130, 5, 4, 100, 3, 1, 1, 1),  # 128; several tiles of rows in the data gradient
    (12, 16, 6, 6, 16, 3, 1, 1, 4),
    (132, 2, 7, 8, 4, 3, 1, 1, 1),  # several tiles of columns
    (16, 200, 1, 1, 136, 1, 1, 0, 1),  # fully connected, parts of the depth
]

# The same, for arrays of bfloat16: copied in eights, or one by one.
CASES_OF_BF16 = [
    *CASES,
    (8, 130, 5, 4, 104, 3, 1, 1, 1),
    (24, 64, 4, 4, 64, 3, 1, 1, 1),
    (16, 16, 6, 6, 64, 3, 2, 1, 2),
    (136, 2, 7, 8, 8, 3, 1, 1, 1),
    (9, 16, 5, 5, 40, 3, 1, 1, 1),  # filters in eights, images not
    (16, 6, 5, 5, 9, 3, 1, 1, 1),  # the other way
]

pytestmark = pytest.mark.parametrize(
    "device", [d for d in DEVICES if not d.startswith("cpu-cpu")], indirect=True
)


def case_id(case) -> str:
    return "n{}-c{}-{}x{}-f{}-k{}-s{}-p{}-g{}".format(*case)


@pytest.fixture(params=CASES, ids=case_id)
def case(request, rng):
    return new_case(request.param, rng)


@pytest.fixture(params=CASES_OF_BF16, ids=case_id)
def case_of_bf16(request, rng):
    """With values that bfloat16 has."""
    case = new_case(request.param, rng)
    rounded = {name: case[name].astype(BF16) for name in ("inp", "weights", "dout")}
    return {**case, **rounded}


def new_case(sizes, rng):
    n, c, h, w, f, k, stride, padding, groups = sizes
    out_shape = (f, conv_output_size(h, k, stride, padding), conv_output_size(w, k, stride, padding), n)
    return {
        "settings": {"stride": stride, "padding": padding, "groups": groups},
        "inp": rng.standard_normal((c, h, w, n), np.float32),
        "weights": rng.standard_normal((c // groups, k, k, f), np.float32),
        "bias": rng.standard_normal(f, np.float32),
        "dout": rng.standard_normal(out_shape, np.float32),
    }


@pytest.fixture(params=["tf32", "bf16"])
def precision(request) -> str:
    return request.param


@pytest.mark.parametrize("accumulate", [False, True])
def test_forward(guarded, case, precision, accumulate):
    was, rounded = case["dout"], PRECISIONS[precision]
    out = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    args = [case[name] for name in ("inp", "weights", "bias")]
    how = {**case["settings"], "precision": precision, "algorithm": "direct"}
    ops.conv_forward(out, *map(guarded.inp, args), neuron=RELU, accumulate=accumulate, **how)
    inp, weights, bias = args
    want = reference.forward(rounded(inp), rounded(weights), bias, **case["settings"], neuron=IDENT)
    assert_close(out, np.maximum(want + was if accumulate else want, 0))


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_data(guarded, case, precision, rng, accumulate):
    was, rounded = rng.standard_normal(case["inp"].shape, np.float32), PRECISIONS[precision]
    dinp = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    dout, weights = case["dout"], case["weights"]
    how = {**case["settings"], "precision": precision, "algorithm": "direct"}
    ops.conv_backward_data(dinp, guarded.inp(dout), guarded.inp(weights), accumulate=accumulate, **how)
    want = reference.backward_data(rounded(dout), rounded(weights), was.shape, **case["settings"])
    assert_close(dinp, want + was if accumulate else want)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_weights(guarded, case, precision, rng, accumulate):
    was, rounded = rng.standard_normal(case["weights"].shape, np.float32), PRECISIONS[precision]
    dweights = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    inp, dout = case["inp"], case["dout"]
    how = {**case["settings"], "precision": precision, "algorithm": "direct"}
    ops.conv_backward_weights(
        dweights, guarded.inp(inp), guarded.inp(dout), accumulate=accumulate, **how
    )
    want = reference.backward_weights(rounded(inp), rounded(dout), was.shape, **case["settings"])
    assert_close(dweights, want + was if accumulate else want)


# ---- arrays of bfloat16


def assert_stored(got: Array, want: np.ndarray, terms: np.ndarray | float = 0.0) -> None:
    """float32 sums; as bfloat16 each number may be half a step off, and so may the terms it has."""
    if got.dtype == np.float32:
        return assert_close(got, want, terms=terms)
    got = got.numpy().astype(np.float64)
    off = 2.0**-8 * (np.abs(want) + np.abs(terms)) + 1e-5 * np.sqrt(np.mean(want**2))
    assert (np.abs(got - want) <= off).all(), np.max(np.abs(got - want) - off)


@pytest.mark.parametrize("out_dtype", [np.float32, BF16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("accumulate", [False, True])
class TestBfloat16:
    def test_forward(self, guarded, case_of_bf16, accumulate, out_dtype):
        case = case_of_bf16
        was = case["dout"].astype(out_dtype)
        out = guarded.inp(was) if accumulate else guarded.out(*was.shape, dtype=out_dtype)
        args = [case[name] for name in ("inp", "weights", "bias")]
        how = case["settings"]
        ops.conv_forward(out, *map(guarded.inp, args), neuron=RELU, accumulate=accumulate, **how)
        inp, weights, bias = (a.astype(np.float64) for a in args)
        sums = reference.forward(inp, weights, bias, **how, neuron=IDENT)
        want = np.maximum(sums + was.astype(np.float64) if accumulate else sums, 0)
        assert_stored(out, want, terms=sums - bias.reshape(-1, 1, 1, 1) if accumulate else 0.0)

    def test_backward_data(self, guarded, case_of_bf16, rng, accumulate, out_dtype):
        case = case_of_bf16
        was = rng.standard_normal(case["inp"].shape, np.float32).astype(out_dtype)
        dinp = guarded.inp(was) if accumulate else guarded.out(*was.shape, dtype=out_dtype)
        dout, weights, how = case["dout"], case["weights"], case["settings"]
        ops.conv_backward_data(
            dinp, guarded.inp(dout), guarded.inp(weights), accumulate=accumulate, **how
        )
        dout, weights = (a.astype(np.float64) for a in (dout, weights))
        sums = reference.backward_data(dout, weights, was.shape, **how)
        want = sums + was.astype(np.float64) if accumulate else sums
        assert_stored(dinp, want, terms=sums if accumulate else 0.0)


@pytest.mark.parametrize("accumulate", [False, True])
def test_weight_gradients_of_bfloat16s_are_float32(guarded, case_of_bf16, rng, accumulate):
    case = case_of_bf16
    was = rng.standard_normal(case["weights"].shape, np.float32)
    dweights = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    inp, dout, how = case["inp"], case["dout"], case["settings"]
    ops.conv_backward_weights(
        dweights, guarded.inp(inp), guarded.inp(dout), accumulate=accumulate, **how
    )
    inp, dout = (a.astype(np.float64) for a in (inp, dout))
    want = reference.backward_weights(inp, dout, was.shape, **how)
    assert_close(dweights, want + was if accumulate else want)


@pytest.mark.parametrize("images", [1, 3, 8, 40])
def test_fully_connected_bfloat16s(guarded, rng, images):
    """Few images, too, for which float32 has kernels of its own."""
    inp, weights = (rng.standard_normal(s).astype(BF16) for s in ((72, images), (72, 48)))
    bias, out = rng.standard_normal(48), guarded.out(48, images, dtype=BF16)
    ops.fc_forward(out, guarded.inp(inp), guarded.inp(weights), guarded.inp(bias))
    inp64, weights64 = inp.astype(np.float64), weights.astype(np.float64)
    assert_stored(out, weights64.T @ inp64 + bias[:, None])
    dinp, dout = guarded.out(72, images, dtype=BF16), out.numpy()
    ops.fc_backward_data(dinp, guarded.inp(dout), guarded.inp(weights))
    assert_stored(dinp, weights64 @ dout.astype(np.float64))
    dweights = guarded.out(72, 48)
    ops.fc_backward_weights(dweights, guarded.inp(inp), guarded.inp(dout))
    assert_close(dweights, inp64 @ dout.astype(np.float64).T)


def test_bfloat16s_that_begin_anywhere(device, rng):
    """On 2 bytes, not on 16."""

    def odd(values: np.ndarray) -> Array:
        whole = device.upload(np.append(np.zeros(1), values.astype(float)).astype(BF16))
        return Array(whole.data[1:].reshape(values.shape), device)

    inp, weights = (rng.standard_normal(s).astype(BF16) for s in ((8, 5, 5, 8), (8, 3, 3, 16)))
    out = odd(np.zeros((16, 5, 5, 8)))
    ops.conv_forward(out, odd(inp), odd(weights), padding=1)
    inp, weights = (a.astype(np.float64) for a in (inp, weights))
    assert_stored(out, reference.forward(inp, weights, None, 1, 1, 1, IDENT))


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_bfloat16s_that_are_no_numbers_stay_so(device, number):
    weights = device.upload(np.full((1, 1, 1, 8), number, BF16))
    out, inp = device.empty((8, 1, 1, 16), BF16), device.upload(np.ones((1, 1, 1, 16), BF16))
    ops.conv_forward(out, inp, weights)
    np.testing.assert_array_equal(out.numpy().astype(np.float32), np.float32(number))


def test_operands_of_one_dtype(device):
    shapes = ((8, 5, 5, 2), (3, 5, 5, 2), (3, 3, 3, 8))
    out, inp, weights = (device.zeros(s) for s in shapes)
    out16, inp16, weights16 = (device.zeros(s, BF16) for s in shapes)
    with pytest.raises(TypeError, match=r"inp .*bfloat16 and weights .*float32 must have the same"):
        ops.conv_forward(out, inp16, weights, padding=1)
    with pytest.raises(TypeError, match=r"out .*bfloat16 must be float32, as inp"):
        ops.conv_forward(out16, inp, weights, padding=1)
    with pytest.raises(TypeError, match=r"dout .*float32 and weights .*bfloat16 must have the same"):
        ops.conv_backward_data(inp16, out, weights16, padding=1)
    with pytest.raises(TypeError, match="dweights must be float32, got bfloat16"):
        ops.conv_backward_weights(weights16, inp16, out16, padding=1)
    with pytest.raises(ValueError, match=r"bfloat16 arrays are multiplied with precision='bf16', got"):
        ops.conv_forward(out, inp16, weights16, padding=1, precision="tf32")
    with pytest.raises(ValueError, match="algorithm='winograd' multiplies float32 arrays only"):
        ops.conv_forward(out, inp16, weights16, padding=1, algorithm="winograd")


@pytest.mark.parametrize("bits, precision", [(10, "tf32"), (7, "bf16")])
def test_operands_are_rounded_to_the_nearest(device, bits, precision):
    """One product each, with 1: what comes out is the rounded weight, halves and their neighbours."""
    unit = 2.0**-bits
    values = [1 + unit / 2, 1 + 3 * unit / 2, 1 + 0.49 * unit, 1 + 0.51 * unit, 2 - unit / 4, 1e-30, 0]
    weights = np.array([values + [-v for v in values]], np.float32).reshape(1, 1, 1, -1)
    out, inp = device.empty((weights.size, 1, 1, 16)), device.upload(np.ones((1, 1, 1, 16), np.float32))
    ops.conv_forward(out, inp, device.upload(weights), precision=precision)
    want = PRECISIONS[precision](weights).reshape(-1, 1, 1, 1) * np.ones(16, np.float32)
    np.testing.assert_array_equal(out.numpy(), want)


@pytest.mark.parametrize("bits", [0x7F800001, 0x7FC00000, 0xFFFFFFFF])
def test_what_is_no_number_stays_so(device, bits, precision):
    weights = np.array([bits], np.uint32).view(np.float32).reshape(1, 1, 1, 1)
    out, inp = device.empty((1, 1, 1, 16)), device.upload(np.ones((1, 1, 1, 16), np.float32))
    ops.conv_forward(out, inp, device.upload(weights), precision=precision)
    assert np.isnan(out.numpy()).all()


def test_arrays_that_begin_anywhere(device, rng, precision):
    """Copies of four floats need arrays that begin on 16 bytes; others are copied float by float."""

    def odd(values: np.ndarray) -> Array:
        whole = device.upload(np.concatenate([[0], values.ravel()]).astype(np.float32))
        return Array(whole.data[1:].reshape(values.shape), device)

    inp, weights = rng.standard_normal((8, 5, 5, 4)), rng.standard_normal((8, 3, 3, 16))
    out = odd(np.zeros((16, 5, 5, 4)))
    ops.conv_forward(out, odd(inp), odd(weights), padding=1, precision=precision)
    rounded = PRECISIONS[precision]
    want = reference.forward(rounded(inp), rounded(weights), None, 1, 1, 1, IDENT)
    assert_close(out, want)


def test_bad_precision(device):
    out, inp, weights = (device.zeros(s) for s in ((8, 5, 5, 2), (3, 5, 5, 2), (3, 3, 3, 8)))
    with pytest.raises(ValueError, match="'fp32', 'tf32' or 'bf16', got 'fp16'"):
        ops.conv_forward(out, inp, weights, padding=1, precision="fp16")
    with pytest.raises(
        ValueError, match="algorithm='winograd' multiplies in fp32 only: give precision"
    ):
        ops.conv_forward(out, inp, weights, padding=1, precision="tf32", algorithm="winograd")
