"""conv_product.h: products whose last wave of tiles is cut along its depth, against reference/conv.py.

The CPU pretends to be a GPU that computes a few tiles at once, so that some tiles are whole and others
are cut. A real GPU computes so many that here all are cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16, Array
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT, RELU
from alexnet_raw.reference import conv as reference
from alexnet_raw.reference.rounding import PRECISIONS
from tests.conftest import DEVICES, assert_close

pytestmark = pytest.mark.parametrize(
    "device", [d for d in DEVICES if not d.startswith("cpu-cpu")], indirect=True
)

WAYS = {
    "fp32": {"algorithm": "direct"},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "wgmma": {"precision": "bf16", "algorithm": "wgmma"},
}


@pytest.fixture(params=WAYS)
def way(request, device) -> str:
    if request.param == "wgmma" and not device.module.has_wgmma():
        pytest.skip("needs compute capability 9.0 and code for 90a")
    return request.param


class Case:
    """Arrays of a convolution of 64 images, in the dtype of a way and with values that it has."""

    def __init__(self, rng, way, channels, filters, size, stride=1, groups=1):
        self.geometry = {"stride": stride, "padding": 1, "groups": groups}
        self.how = {**self.geometry, **WAYS[way]}
        dtype = BF16 if way in ("bf16", "wgmma") else np.float32
        rounded = PRECISIONS.get(way, np.asarray)

        def draw(*shape: int) -> np.ndarray:
            return rounded(rng.standard_normal(shape, np.float32)).astype(dtype)

        self.inp = draw(channels, *size, 64)
        self.weights = draw(channels // groups, 3, 3, filters)
        self.bias = rng.standard_normal(filters, np.float32)
        self.dout = draw(filters, *(conv_output_size(n, 3, stride, 1) for n in size), 64)

    def wide(self, name: str) -> np.ndarray:
        return getattr(self, name).astype(np.float64)


@pytest.fixture
def cut(device, monkeypatch):
    """With cut(wave): the CPU computes so many tiles at once; fails if no product was cut there."""
    own = device.scratch

    @contextmanager
    def run(wave: int) -> Iterator[None]:
        asked: list[int] = []
        monkeypatch.setattr(device, "scratch", lambda floats: asked.append(floats) or own(floats))
        if device.name == "cpu":
            device.module.set_wave(wave)
        yield
        assert asked, "no product was cut"

    yield run
    if device.name == "cpu":
        device.module.set_wave(0)


def check(got: Array, want: np.ndarray) -> None:
    is_bf16 = got.dtype == BF16
    assert_close(got.numpy().astype(np.float64), want, 4e-3 if is_bf16 else 1e-5)


@pytest.mark.parametrize("accumulate", [False, True])
def test_forward(guarded, rng, way, cut, accumulate):
    case = Case(rng, way, 176, 40, (4, 6))
    was = case.dout
    out = guarded.inp(was) if accumulate else guarded.out(*was.shape, dtype=was.dtype)
    inp, weights, bias = map(guarded.inp, (case.inp, case.weights, case.bias))
    with cut(5):
        ops.conv_forward(out, inp, weights, bias, neuron=RELU, accumulate=accumulate, **case.how)
    sums = reference.forward(
        case.wide("inp"), case.wide("weights"), case.bias, **case.geometry, neuron=IDENT
    )
    check(out, np.maximum(sums + was.astype(np.float64) if accumulate else sums, 0))


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_data(guarded, rng, way, cut, accumulate):
    case = Case(rng, way, 40, 176, (4, 6))
    was = case.inp
    dinp = guarded.inp(was) if accumulate else guarded.out(*was.shape, dtype=was.dtype)
    dout, weights = guarded.inp(case.dout), guarded.inp(case.weights)
    with cut(5):
        ops.conv_backward_data(dinp, dout, weights, accumulate=accumulate, **case.how)
    sums = reference.backward_data(case.wide("dout"), case.wide("weights"), was.shape, **case.geometry)
    check(dinp, sums + was.astype(np.float64) if accumulate else sums)


@pytest.mark.parametrize("accumulate", [False, True])
def test_backward_weights(guarded, rng, way, cut, accumulate):
    case = Case(rng, way, 176, 40, (4, 8))
    was = rng.standard_normal(case.weights.shape, np.float32)
    dweights = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    inp, dout = guarded.inp(case.inp), guarded.inp(case.dout)
    with cut(6):
        ops.conv_backward_weights(dweights, inp, dout, accumulate=accumulate, **case.how)
    sums = reference.backward_weights(case.wide("inp"), case.wide("dout"), was.shape, **case.geometry)
    check(dweights, sums + was if accumulate else sums)


@pytest.mark.parametrize("way", ["fp32", "tf32"], indirect=True)
def test_phases_of_a_stride(guarded, rng, way, cut):
    """Pixels of a phase lie apart, and each phase is a product of its own."""
    case = Case(rng, way, 40, 176, (8, 12), stride=2)
    dinp = guarded.out(*case.inp.shape)
    with cut(5):
        ops.conv_backward_data(dinp, guarded.inp(case.dout), guarded.inp(case.weights), **case.how)
    want = reference.backward_data(case.dout, case.weights, case.inp.shape, **case.geometry)
    check(dinp, want)


def test_groups(guarded, rng, way, cut):
    """A wave has tiles of both groups, the last one too."""
    case = Case(rng, way, 352, 80, (3, 6), groups=2)
    out = guarded.out(*case.dout.shape, dtype=case.dout.dtype)
    with cut(8):
        ops.conv_forward(out, guarded.inp(case.inp), guarded.inp(case.weights), **case.how)
    want = reference.forward(
        case.wide("inp"), case.wide("weights"), None, **case.geometry, neuron=IDENT
    )
    check(out, want)


def test_all_tiles_are_cut_where_they_fill_no_wave(guarded, rng, way, cut):
    """As on a GPU."""
    case = Case(rng, way, 176, 40, (2, 3))
    out = guarded.out(*case.dout.shape, dtype=case.dout.dtype)
    with cut(0):
        ops.conv_forward(out, guarded.inp(case.inp), guarded.inp(case.weights), **case.how)
    want = reference.forward(
        case.wide("inp"), case.wide("weights"), None, **case.geometry, neuron=IDENT
    )
    check(out, want)
