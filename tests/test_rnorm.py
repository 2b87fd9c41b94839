"""rnorm.cu against reference/rnorm.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import rnorm as reference
from tests.conftest import assert_close, numerical_gradient

AUTHORS = {"size": 5, "scale": 1e-3, "power": 0.75, "min_div": 1.0}
SETTINGS = [  # with scales that let the neighbours count
    {"size": 5, "scale": 1.0, "power": 0.75, "min_div": 2.0},
    {"size": 3, "scale": 1.0, "power": 0.5, "min_div": 1.0},
    {"size": 1, "scale": 0.5, "power": 1.0, "min_div": 1.0},
    {"size": 4, "scale": 0.5, "power": 0.75, "min_div": 0.7},
    {"size": 9, "scale": 2.0, "power": 0.6, "min_div": 1.0},
]
SHAPES = [
    (1, 1, 1, 1),
    (3, 5, 7, 2),
    (5, 3, 1, 31),
    (48, 3, 2, 33),
    (1, 2, 9, 127),
    (3, 1, 5, 129),
    (2, 13, 11, 3),
]
# A wide map, which a block's shared memory does not hold, and a window as large as they come.
WIDE = [((1, 3, 131, 2), AUTHORS), ((1, 3, 9, 1), {**AUTHORS, "size": 128, "scale": 1e3})]
CASES = [(shape, settings) for shape in SHAPES for settings in [AUTHORS, *SETTINGS]] + WIDE


@pytest.mark.parametrize(("shape", "settings"), CASES, ids=str)
def test_forward(guarded, rng, settings, shape):
    x = 3 * rng.standard_normal(shape, np.float32)
    out, denom = guarded.out(*shape), guarded.out(*shape)
    ops.rnorm_forward(out, denom, guarded.inp(x), **settings)
    want, want_denom = reference.forward(x, **settings)
    assert_close(out, want)
    assert_close(denom, want_denom)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("shape", "settings"), CASES, ids=str)
def test_backward(guarded, rng, settings, shape, accumulate):
    x = 3 * rng.standard_normal(shape, np.float32)
    dy, before = rng.standard_normal((2, *shape), np.float32)
    y, denom = reference.forward(x, **settings)
    dinp = guarded.inp(before) if accumulate else guarded.out(*shape)
    ops.rnorm_backward(
        dinp,
        guarded.inp(dy),
        guarded.inp(x),
        guarded.inp(denom),
        **settings,
        accumulate=accumulate,
    )
    want = reference.backward(dy, x, **settings) + accumulate * before
    direct = y / x * dy  # less what the neighbours take back
    assert_close(dinp, want, terms=np.abs(direct) + accumulate * np.abs(before))


@pytest.mark.parametrize("shape", [(2, 1, 1, 2), (2, 4, 5, 2), (1, 7, 3, 2)])
@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_reference_gradient(rng, settings, shape):
    x, dout = 2 * rng.standard_normal((2, *shape))
    want = numerical_gradient(lambda v: reference.forward(v, **settings)[0], x, dout)
    assert_close(reference.backward(dout, x, **settings), want, 1e-7)


def test_reference_window_by_hand():
    out, denom = reference.forward(np.full((1, 6, 7, 1), 2.0), 5, 25.0, 0.5, 1.0)
    assert denom[0, 3, 3, 0] == 1 + 4 * 25
    assert denom[0, 0, 0, 0] == 1 + 4 * 9  # clipped at the corner to 3 x 3
    assert out[0, 0, 0, 0] == 2 / np.sqrt(37)


def test_bad_arguments(guarded):
    a, b, c, d = (guarded.out(3, 4, 2, 2) for _ in range(4))
    other = guarded.out(3, 4, 2, 5)
    with pytest.raises(ValueError, match=r"denom .*and inp .*same shape"):
        ops.rnorm_forward(a, other, b, **AUTHORS)
    with pytest.raises(ValueError, match="out and denom overlap in memory"):
        ops.rnorm_forward(a, a, b, **AUTHORS)
    with pytest.raises(ValueError, match="denom and inp overlap in memory"):
        ops.rnorm_forward(a, b, b, **AUTHORS)
    with pytest.raises(ValueError, match="dinp and denom overlap in memory"):
        ops.rnorm_backward(a, b, c, a, **AUTHORS)
    with pytest.raises(ValueError, match=r"dout .*and inp .*same shape"):
        ops.rnorm_backward(a, other, b, c, **AUTHORS)
    for setting, value, message in [
        ("size", 129, "size must be between 1 and 128, got 129"),
        ("scale", float("inf"), "scale must be 0 or positive"),
        ("min_div", -1.0, "min_div must be positive"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.rnorm_backward(a, b, c, d, **{**AUTHORS, setting: value})
