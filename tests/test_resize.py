"""resize.cu against reference/resize.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import resize as reference
from tests.conftest import assert_close

CASES = [  # inp shape, output size, scale, top, left
    ((1, 1, 1, 1), (1, 1), 1.0, 0, 0),
    ((3, 5, 7, 2), (3, 5), 1.3, 0, 0),
    ((5, 9, 6, 31), (5, 4), 1.5, 1, 0),
    ((48, 5, 4, 33), (9, 8), 0.5, 0, 0),
    ((1, 8, 9, 127), (4, 4), 2.0, 0, 0),
    ((3, 7, 5, 129), (3, 2), 1.7, 1, 1),
    ((2, 31, 13, 3), (17, 9), 1.21, 5, 1),
    ((2, 6, 6, 5), (9, 9), 1.0, 0, 2),  # beyond the border, which goes on
    ((1, 300, 2, 3), (271, 1), 1.1, 0, 0),
]


@pytest.mark.parametrize(("shape", "size", "scale", "top", "left"), CASES)
def test_resize(guarded, rng, shape, size, scale, top, left):
    x = rng.standard_normal(shape, np.float32)
    want = reference.forward(x, size, scale, top, left)
    out = guarded.out(*want.shape)
    ops.resize(out, guarded.inp(x), scale=scale, top=top, left=left)
    terms = reference.forward(np.abs(x), size, scale, top, left)
    assert_close(out, want, terms=terms)


def test_scale_1_is_a_crop(guarded, rng):
    x = rng.standard_normal((3, 9, 11, 33), np.float32)
    out = guarded.out(3, 4, 5, 33)
    ops.resize(out, guarded.inp(x), scale=1, top=5, left=2)
    np.testing.assert_array_equal(out.numpy(), x[:, 5:, 2:7])


def test_reference_halves_by_means_of_neighbours():
    ramp = np.arange(8.0).reshape(1, 1, 8, 1)
    np.testing.assert_allclose(reference.forward(ramp, (1, 4), 2.0).ravel(), [0.5, 2.5, 4.5, 6.5])


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_reference_against_torch(rng, scale):
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 20, 40, 3))
    size = (int(20 / scale), int(40 / scale))
    want = torch.nn.functional.interpolate(
        torch.from_numpy(x.transpose(3, 0, 1, 2).copy()), size, mode="bilinear", align_corners=False
    )
    got = reference.forward(x, size, scale)
    assert_close(got, want.numpy().transpose(1, 2, 3, 0), 1e-12)


def test_bad_arguments(guarded):
    out, inp = guarded.out(3, 4, 4, 2), guarded.out(3, 8, 8, 2)
    good = {"scale": 2.0, "top": 0, "left": 0}
    for changed, message in [
        ({"scale": 0}, "scale must be between"),
        ({"scale": 2000.0}, "scale must be between"),
        ({"scale": float("nan")}, "scale must be between"),
        ({"top": -1}, "top must be between 0 and 32768, got -1"),
        ({"left": 40000}, "left must be between 0 and 32768, got 40000"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.resize(out, inp, **{**good, **changed})
    with pytest.raises(ValueError, match=r"out .* and inp .* must have the same channels"):
        ops.resize(guarded.out(2, 4, 4, 2), inp, **good)
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.resize(inp, inp, **good)
    with pytest.raises(ValueError, match=r"at most 32768 pixels"):
        ops.resize(guarded.out(3, 40000, 1, 2), inp, **good)
