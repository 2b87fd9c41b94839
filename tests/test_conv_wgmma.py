"""conv_wgmma.cu against reference/conv.py, on bfloat16 arrays: sums are float32, so that the tolerance
is theirs, or that of rounding a result to bfloat16. Tiles are a GPU's in any execution."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16, Array
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, RELU
from alexnet_raw.reference import conv as reference
from tests.conftest import DEVICES, assert_close

# images, channels, height, width, filters, filter, stride, padding, groups
CASES = [
    (8, 16, 1, 1, 8, 1, 1, 0, 1),  # the least of all
    (24, 40, 3, 4, 24, 3, 1, 1, 1),  # ragged images, channels, filters
    (136, 17, 2, 3, 72, 3, 1, 1, 1),  # several runs of images in a pixel, the last ragged
    (64, 48, 5, 5, 128, 5, 1, 2, 1),  # steps of 48 channels; several tiles of columns
    (8, 96, 4, 3, 384, 3, 1, 1, 2),  # groups; tiles of 192 rows
    (16, 70, 5, 5, 136, 3, 2, 1, 1),  # stride 2; two steps of a tap
    (8, 32, 5, 5, 16, 3, 3, 0, 2),  # filters that hang over the edge
    (128, 320, 1, 1, 256, 1, 1, 0, 1),  # fully connected, parts of the depth
    (72, 200, 2, 2, 256, 1, 1, 0, 1),  # more columns than a tile of 128
    (72, 128, 2, 2, 64, 3, 1, 1, 8),  # blocks with more steps than stages, which they fill again
]
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(BF16): 4e-3}

pytestmark = pytest.mark.parametrize(
    "device", [d for d in DEVICES if not d.startswith("cpu-cpu")], indirect=True
)


@pytest.fixture(autouse=True)
def able(device) -> None:
    if not device.module.has_wgmma():
        pytest.skip("needs compute capability 9.0 and code for 90a")


def case_id(case) -> str:
    return "n{}-c{}-{}x{}-f{}-k{}-s{}-p{}-g{}".format(*case)


@pytest.fixture(params=CASES, ids=case_id)
def case(request, rng):
    n, c, h, w, f, k, stride, padding, groups = request.param
    out_shape = (f, conv_output_size(h, k, stride, padding), conv_output_size(w, k, stride, padding), n)
    return {
        "settings": {"stride": stride, "padding": padding, "groups": groups},
        "inp": rng.standard_normal((c, h, w, n)).astype(BF16),
        "weights": rng.standard_normal((c // groups, k, k, f)).astype(BF16),
        "bias": rng.standard_normal(f, np.float32),
        "dout": rng.standard_normal(out_shape).astype(BF16),
    }


@pytest.fixture(params=[np.float32, BF16], ids=["float32", "bfloat16"])
def dtype(request) -> np.dtype:
    return np.dtype(request.param)


def wide(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32)


def filled(guarded, was: np.ndarray, accumulate: bool) -> Array:
    return guarded.inp(was) if accumulate else guarded.out(*was.shape, dtype=was.dtype)


def check(got: Array, want: np.ndarray, dtype: np.dtype, terms: np.ndarray | float = 0.0) -> None:
    assert got.numpy().dtype == dtype
    assert_close(wide(got.numpy()), want, TOLERANCE[dtype], terms)


@pytest.mark.parametrize("accumulate", [False, True])
def test_forward(guarded, case, dtype, accumulate):
    was = case["dout"].astype(dtype)
    out = filled(guarded, was, accumulate)
    inp, weights, bias = (case[name] for name in ("inp", "weights", "bias"))
    how = {**case["settings"], "algorithm": "wgmma", "neuron": RELU, "accumulate": accumulate}
    ops.conv_forward(out, *map(guarded.inp, (inp, weights, bias)), **how)
    want = reference.forward(wide(inp), wide(weights), bias, **case["settings"], neuron=IDENT)
    check(out, np.maximum(want + wide(was) if accumulate else want, 0), dtype)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_data(guarded, case, dtype, rng, accumulate):
    if case["settings"]["stride"] > 1:
        pytest.skip("stride 1 only")
    was = rng.standard_normal(case["inp"].shape).astype(dtype)
    dinp = filled(guarded, was, accumulate)
    dout, weights = case["dout"], case["weights"]
    how = {**case["settings"], "algorithm": "wgmma", "accumulate": accumulate}
    ops.conv_backward_data(dinp, guarded.inp(dout), guarded.inp(weights), **how)
    want = reference.backward_data(wide(dout), wide(weights), was.shape, **case["settings"])
    check(dinp, want + wide(was) if accumulate else want, dtype)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_weights(guarded, case, rng, accumulate):
    was = rng.standard_normal(case["weights"].shape, np.float32)
    dweights = filled(guarded, was, accumulate)
    inp, dout = case["inp"], case["dout"]
    how = {**case["settings"], "algorithm": "wgmma", "accumulate": accumulate}
    ops.conv_backward_weights(dweights, guarded.inp(inp), guarded.inp(dout), **how)
    want = reference.backward_weights(wide(inp), wide(dout), was.shape, **case["settings"])
    check(dweights, want + was if accumulate else want, np.dtype(np.float32))


def test_other_groups_are_not_read(guarded, rng):
    """One group holds nothing but NaN: its own results are, the other group's are not."""
    inp, weights = rng.standard_normal((40, 3, 3, 8)), rng.standard_normal((20, 3, 3, 16))
    inp[20:], weights[..., 8:] = np.nan, np.nan
    out, dinp = guarded.out(16, 3, 3, 8), guarded.out(40, 3, 3, 8)
    how = {"padding": 1, "groups": 2, "algorithm": "wgmma"}
    inp, weights = guarded.inp(inp.astype(BF16)), guarded.inp(weights.astype(BF16))
    ops.conv_forward(out, inp, weights, **how)
    ops.conv_backward_data(dinp, guarded.inp(np.ones((16, 3, 3, 8), BF16)), weights, **how)
    for result, own in ((out, 8), (dinp, 20)):
        is_nan = np.isnan(result.numpy())
        assert not is_nan[:own].any() and is_nan[own:].all()


@pytest.mark.parametrize(
    "inp, weights, settings",
    [
        ((16, 3, 3, 4), (16, 1, 1, 8), {}),
        ((8, 3, 3, 8), (8, 1, 1, 8), {}),
        ((16, 3, 3, 8), (16, 1, 1, 12), {}),
        ((32, 3, 3, 8), (16, 1, 1, 24), {"groups": 2}),
    ],
)
def test_what_does_not_suit_is_refused(device, inp, weights, settings):
    out = device.zeros((weights[-1], *inp[1:]))
    with pytest.raises(ValueError, match="algorithm='wgmma' needs images and filters"):
        ops.conv_forward(
            out, device.zeros(inp, BF16), device.zeros(weights, BF16), algorithm="wgmma", **settings
        )


def test_float32_arrays_are_refused(device):
    out, inp, weights = (device.zeros(s) for s in ((8, 3, 3, 8), (16, 3, 3, 8), (16, 1, 1, 8)))
    with pytest.raises(TypeError, match="bfloat16"):
        ops.conv_forward(out, inp, weights, algorithm="wgmma")
