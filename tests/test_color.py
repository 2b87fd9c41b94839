"""color.cu against reference/color.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import color as reference
from tests.conftest import assert_close

SHAPES = [(3, 1, 1, 1), (3, 5, 7, 2), (3, 3, 1, 31), (3, 2, 9, 127), (3, 1, 5, 129), (3, 13, 11, 33)]


@pytest.mark.parametrize("shape", SHAPES)
def test_yuv(guarded, rng, shape):
    x = 255 * rng.random(shape, np.float32)
    out = guarded.out(*shape)
    ops.rgb_to_yuv(out, guarded.inp(x))
    assert_close(out, reference.to_yuv(x), terms=x)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_lab(guarded, rng, shape, center):
    x = rng.random(shape, np.float32) ** 4  # dark colours too, on both sides of the knee
    out = guarded.out(*shape)
    ops.rgb_to_lab(out, guarded.inp(x), center=center)
    assert_close(out, reference.to_lab(x, center), terms=np.full(shape, 50))


def test_values_outside_0_to_1_stay_finite(guarded, rng):
    x = rng.uniform(-300, 300, (3, 4, 5, 33)).astype(np.float32)
    out = guarded.out(*x.shape)
    ops.rgb_to_lab(out, guarded.inp(x), center=False)
    want = reference.to_lab(x, False)
    assert np.isfinite(want).all()
    assert_close(out, want)


def test_reference_white_black_and_grey():
    colours = np.array([[1.0, 0, 0.5]] * 3).reshape(3, 1, 1, 3)
    np.testing.assert_allclose(reference.to_yuv(colours)[:, 0, 0, 0], [1, 0, 0], atol=1e-12)
    lab = reference.to_lab(colours, False)[:, 0, 0]
    np.testing.assert_allclose(lab[0], [100, 0, 116 * 0.5 ** (1 / 3) - 16], atol=1e-12)
    np.testing.assert_allclose(lab[1:], 0, atol=1e-12)
    assert reference.to_lab(colours, True)[0, 0, 0, 0] == pytest.approx(50)


def test_reference_curve_has_no_gap():
    knee = (6 / 29) ** 3
    grey = knee * np.array([1 - 1e-9, 1 + 1e-9])
    light = reference.to_lab(np.broadcast_to(grey, (3, 1, 1, 2)), False)[0].ravel()
    np.testing.assert_allclose(light, 8, atol=1e-6)


def test_bad_arguments(guarded):
    a, b, four = guarded.out(3, 4, 2, 2), guarded.out(3, 4, 2, 2), guarded.out(4, 4, 2, 2)
    for op, settings in ((ops.rgb_to_yuv, {}), (ops.rgb_to_lab, {"center": True})):
        with pytest.raises(ValueError, match=r"inp .* must have 3 channels"):
            op(four, guarded.out(4, 4, 2, 2), **settings)
        with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
            op(a, four, **settings)
        with pytest.raises(ValueError, match="out and inp overlap in memory"):
            op(b, b, **settings)
