"""augment.cu against reference/augment.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16, Device
from alexnet_raw.reference import augment as reference
from tests.conftest import assert_close

CASES = [  # images, channels, height, width, crop height, crop width
    (1, 1, 1, 1, 1, 1),
    (2, 3, 5, 7, 5, 7),
    (3, 1, 9, 8, 4, 3),
    (31, 3, 9, 11, 7, 5),
    (33, 5, 6, 6, 1, 6),
    (127, 3, 8, 7, 5, 6),
    (129, 1, 7, 9, 6, 1),
    (5, 48, 5, 4, 3, 3),
    (16, 3, 12, 40, 9, 37),
]
CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: "x".join(map(str, case)))


def draw(rng, case) -> dict[str, np.ndarray]:
    images, channels, height, width, out_height, out_width = case
    tops = rng.integers(height - out_height + 1, size=images)
    lefts = rng.integers(width - out_width + 1, size=images)
    return {
        "pictures": rng.integers(256, size=(images, height, width, channels), dtype=np.uint8),
        "offsets": np.stack([tops, lefts], axis=1).astype(np.int32),
        "flips": rng.choice([0, 0, 1, 255], images).astype(np.uint8),
        "mean": rng.uniform(90, 160, (channels, height, width)).astype(np.float32),
        "noise": rng.normal(0, 10, (images, channels)).astype(np.float32),
    }


def run(guarded, case, arrays: dict[str, np.ndarray], scale: float) -> np.ndarray:
    images, channels, _, _, out_height, out_width = case
    out = guarded.out(channels, out_height, out_width, images)
    ops.augment(out, **{name: guarded.inp(a) for name, a in arrays.items()}, scale=scale)
    return out.numpy()


@CASE
@pytest.mark.parametrize("scale", [1.0, 1 / 1.1])
def test_augment(guarded, rng, case, scale):
    arrays = draw(rng, case)
    assert_close(
        run(guarded, case, arrays, scale), reference.forward(**arrays, size=case[4:], scale=scale)
    )


@CASE
def test_to_bfloat16(guarded, rng, case):
    """What comes out as float32, rounded."""
    arrays = draw(rng, case)
    images, channels, *_, out_height, out_width = case
    out = guarded.out(channels, out_height, out_width, images, dtype=BF16)
    ops.augment(out, **{name: guarded.inp(a) for name, a in arrays.items()}, scale=1 / 1.1)
    np.testing.assert_array_equal(out.numpy(), run(guarded, case, arrays, 1 / 1.1).astype(BF16))


def test_corners(guarded, rng):
    """Crops at all four corners, mirrored and not: the last pixel of the last picture is read."""
    case = (8, 3, 6, 7, 4, 3)
    arrays = draw(rng, case)
    corners = [(0, 0), (0, 4), (2, 0), (2, 4)]
    arrays["offsets"] = np.array(corners + corners, np.int32)
    arrays["flips"] = np.array([0] * 4 + [1] * 4, np.uint8)
    assert_close(run(guarded, case, arrays, 1), reference.forward(**arrays, size=case[4:]))


def test_reference_by_hand():
    """One row 10 20 30 40, cropped to the middle two, mirrored; the mean stays with its pixel."""
    out = reference.forward(
        pictures=np.array([[[[10], [20], [30], [40]]]], np.uint8),
        offsets=np.array([[0, 1]]),
        flips=np.array([1]),
        mean=np.array([[[1, 2, 3, 4]]]),
        noise=np.array([[0.5]]),
        size=(1, 2),
        scale=2,
    )
    np.testing.assert_array_equal(out.ravel(), [2 * (30 - 3 + 0.5), 2 * (20 - 2 + 0.5)])


@pytest.mark.parametrize("offset", [(3, 0), (0, 5), (-1, 0), (0, -1), (2**31 - 1, -(2**31))])
def test_offset_outside(guarded, device, rng, offset):
    case = (5, 3, 6, 7, 4, 3)
    arrays = draw(rng, case)
    arrays["offsets"][3] = offset
    if not device.is_cuda:
        with pytest.raises(ValueError, match=r"offsets\[3\] is .* leaves the picture.*\(2, 4\)"):
            run(guarded, case, arrays, 1)
        return
    got = run(guarded, case, arrays, 1)
    arrays["offsets"][3] = np.clip(offset, 0, (2, 4))
    assert_close(got, reference.forward(**arrays, size=case[4:]))


BAD = [
    ("pictures", np.float32, None, TypeError, "pictures must be uint8, got float32"),
    ("offsets", np.int64, None, TypeError, "offsets must be int32, got int64"),
    ("flips", None, (4,), ValueError, r"flips \(4,\) uint8 must have shape \(5,\)"),
    ("mean", None, (3, 4, 3), ValueError, r"mean .* must have shape \(3, 6, 7\)"),
    ("noise", None, (3, 5), ValueError, r"noise .* must have shape \(5, 3\)"),
    ("offsets", None, (5, 1), ValueError, r"offsets .* must have shape \(5, 2\)"),
    ("pictures", None, (5, 6, 7, 4), ValueError, r"out .* must have shape \(4, 4, 3, 5\)"),
    ("pictures", None, (5, 3, 7, 3), ValueError, "out .* is larger than pictures"),
]


@pytest.mark.parametrize(("name", "dtype", "shape", "error", "message"), BAD)
def test_bad_arguments(rng, name, dtype, shape, error, message):
    case = (5, 3, 6, 7, 4, 3)
    arrays = draw(rng, case)
    good = arrays[name]
    arrays[name] = np.zeros(shape or good.shape, dtype or good.dtype)
    cpu = Device("cpu")
    uploaded = {key: cpu.upload(a) for key, a in arrays.items()}
    with pytest.raises(error, match=message):
        ops.augment(cpu.empty((3, 4, 3, 5)), **uploaded)


def test_output_may_not_be_an_input():
    cpu = Device("cpu")
    out = cpu.zeros((1, 1, 1, 1))
    pictures, flips = cpu.zeros((1, 1, 1, 1), np.uint8), cpu.zeros((1,), np.uint8)
    offsets = cpu.zeros((1, 2), np.int32)
    with pytest.raises(ValueError, match="out and mean overlap"):
        ops.augment(out, pictures, offsets, flips, out.reshape(1, 1, 1), cpu.zeros((1, 1)))
