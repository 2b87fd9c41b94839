"""lrn.cu against reference/lrn.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import lrn as reference
from tests.conftest import assert_close, numerical_gradient

PAPER = {"size": 5, "scale": 5e-4, "power": 0.75, "min_div": 2.0}
SETTINGS = [  # with scales that let the neighbours count
    {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 2.0},
    {"size": 5, "scale": 1.0, "power": 0.5, "min_div": 1.0},
    {"size": 1, "scale": 0.5, "power": 1.0, "min_div": 1.0},
    {"size": 4, "scale": 0.5, "power": 0.75, "min_div": 0.7},
    {"size": 32, "scale": 2.0, "power": 0.6, "min_div": 1.0},
    {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 2.0, "blocked": True},
    {"size": 2, "scale": 1.0, "power": 0.5, "min_div": 1.0, "blocked": True},
    {"size": 1, "scale": 0.5, "power": 1.0, "min_div": 1.0, "blocked": True},
    {"size": 40, "scale": 3.0, "power": 0.6, "min_div": 0.7, "blocked": True},
]
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 3, 33),
    (1, 2, 3, 127),
    (3, 1, 5, 129),
    (7, 9, 11, 3),
]


def name(settings: dict) -> str:
    return "-".join(map(str, settings.values()))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [PAPER, *SETTINGS], ids=name)
def test_forward(guarded, rng, settings, shape):
    x = 3 * rng.standard_normal(shape, np.float32)
    out = guarded.out(*shape)
    ops.lrn_forward(out, guarded.inp(x), **settings)
    assert_close(out, reference.forward(x, **settings))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [PAPER, *SETTINGS], ids=name)
def test_backward(guarded, rng, settings, shape, accumulate):
    x = 3 * rng.standard_normal(shape, np.float32)
    dy, before = rng.standard_normal((2, *shape), np.float32)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.lrn_backward(dinp, guarded.inp(dy), guarded.inp(x), **settings, accumulate=accumulate)
    want = reference.backward(dy, x, **settings) + accumulate * before
    direct = reference.forward(x, **settings) / x * dy  # less what the neighbours take back
    assert_close(dinp, want, terms=np.abs(direct) + accumulate * np.abs(before))


def test_zeros_stay_zeros(guarded):
    out = guarded.out(6, 2, 2, 3)
    ops.lrn_forward(out, guarded.inp(np.zeros((6, 2, 2, 3))), **PAPER)
    assert not out.numpy().any()


@pytest.mark.parametrize("settings", SETTINGS, ids=name)
def test_reference_gradient(rng, settings):
    x, dout = 2 * rng.standard_normal((2, 7, 2, 1, 2))
    want = numerical_gradient(lambda v: reference.forward(v, **settings), x, dout)
    assert_close(reference.backward(dout, x, **settings), want, 1e-7)


@pytest.mark.parametrize("size", [1, 4, 5, 9])
def test_reference_against_torch(rng, size):
    torch = pytest.importorskip("torch")
    x = 3 * rng.standard_normal((11, 3, 2, 4))
    norm = torch.nn.LocalResponseNorm(size, alpha=0.3, beta=0.75, k=2.0)  # divides alpha by size too
    want = norm(torch.from_numpy(x.transpose(3, 0, 1, 2).copy())).numpy().transpose(1, 2, 3, 0)
    assert_close(reference.forward(x, size, 0.3, 0.75, 2.0), want, 1e-12)


def test_reference_blocks_by_hand():
    x = np.arange(1.0, 6).reshape(5, 1, 1, 1)
    out = reference.forward(x, 2, 2.0, 0.5, 1.0, blocked=True).ravel()
    d = 1 + np.array([5, 5, 25, 25, 25])  # 1 + 4, 9 + 16, and 25 alone
    np.testing.assert_allclose(out, x.ravel() / np.sqrt(d))


def test_bad_arguments(guarded, device):
    a, b, c = guarded.out(3, 2, 2, 4), guarded.out(3, 2, 2, 4), guarded.out(3, 2, 2, 5)
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.lrn_forward(a, c, **PAPER)
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.lrn_forward(a, a, **PAPER)
    with pytest.raises(ValueError, match="dinp and dout overlap in memory"):
        ops.lrn_backward(a, a, b, **PAPER)
    with pytest.raises(ValueError, match=r"dout .*and inp .*same shape"):
        ops.lrn_backward(a, c, b, **PAPER)
    with pytest.raises(ValueError, match="inp must have 4 dimensions"):
        ops.lrn_forward(a, b.reshape(3, 16), **PAPER)
    with pytest.raises(TypeError, match="inp must be float32 or bfloat16, got float64"):
        ops.lrn_forward(a, device.upload(np.zeros((3, 2, 2, 4))), **PAPER)
    for setting, value, message in [
        ("size", 0, "size must be between 1 and 32, got 0"),
        ("size", 33, "size must be between 1 and 32, got 33"),
        ("scale", -1.0, "scale must be 0 or positive"),
        ("power", float("nan"), "power must be finite"),
        ("min_div", 0.0, "min_div must be positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.lrn_forward(a, b, **{**PAPER, setting: value})
