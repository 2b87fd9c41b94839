"""The host code of picture preparation: the scaled central square and the exact sums."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from alexnet_raw.data.picture import resize_square

SHAPES = [(1, 1), (1, 9), (2, 3), (7, 7), (31, 64), (64, 31), (33, 32), (100, 300), (375, 500)]


@pytest.fixture
def module(cpu):
    return cpu.module


@pytest.mark.parametrize("size", [1, 2, 7, 32, 33])
@pytest.mark.parametrize("shape", SHAPES)
def test_central_square_is_pillows(module, rng, shape, size):
    """Pillow rounds between its two passes, we do not."""
    picture = rng.integers(0, 256, (*shape, 3), np.uint8)
    around = np.full((size + 2, size, 3), 165, np.uint8)
    module.central_square(around[1:-1], picture)
    want = np.asarray(resize_square(Image.fromarray(picture), size))
    assert np.abs(around[1:-1].astype(int) - want).max() <= 1
    assert np.all(around[[0, -1]] == 165)  # nothing written beside it


def test_central_square_by_definition(module, rng):
    """Weights of a triangle of the scale's width, written out in float64."""
    height, width, size = 11, 17, 4
    picture = rng.integers(0, 256, (height, width, 3), np.uint8)

    def weights(length):
        scale = height / size
        centres = (length - height) / 2 + (np.arange(size) + 0.5) * scale
        w = np.maximum(0, 1 - np.abs(np.arange(length) + 0.5 - centres[:, None]) / scale)
        return w / w.sum(axis=1, keepdims=True)

    want = np.einsum("yh,hwc,xw->yxc", weights(height), picture, weights(width))
    got = np.empty((size, size, 3), np.uint8)
    module.central_square(got, picture)
    assert np.abs(got - want).max() <= 0.5 + 1e-3


@pytest.mark.parametrize("value", [0, 1, 128, 254, 255])
def test_even_pictures_stay_as_they_are(module, value):
    got = np.empty((9, 9, 3), np.uint8)
    module.central_square(got, np.full((70, 55, 3), value, np.uint8))
    assert np.all(got == value)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 5), (1, 16, 1), (1, 17, 1), (5, 33, 31)])
@pytest.mark.parametrize("white", [False, True])
def test_picture_sums(module, rng, shape, white):
    pictures = rng.integers(0, 256, (*shape, 3), np.uint8)
    if white:
        pictures[...] = 255
    total = np.full((*shape[1:], 3), 7, np.int32)
    products = module.picture_sums(total, pictures)
    pixels = pictures.reshape(-1, 3).astype(np.int64)
    assert np.array_equal(products, pixels.T @ pixels)
    assert np.array_equal(total, 7 + pictures.sum(axis=0, dtype=np.int64))


def test_picture_sums_of_many_white_pixels(module):
    """Lanes of 32 bits are emptied before they overflow."""
    pictures = np.full((1, 1300, 1300, 3), 255, np.uint8)
    products = module.picture_sums(np.zeros((1300, 1300, 3), np.int32), pictures)
    assert np.all(np.array(products) == 1300 * 1300 * 255 * 255)


@pytest.mark.parametrize(
    "name, change, message",
    [
        ("out", lambda a: a[:, :-1], "out"),
        ("out", lambda a: a.astype(np.float32), "out must be uint8"),
        ("out", lambda a: a[..., :2], "out"),
        ("out", lambda a: np.broadcast_to(a[:1, :1], a.shape), "out"),
        ("picture", lambda a: a[:, ::2], "must be C-contiguous"),
        ("picture", lambda a: a[..., 0], "picture must have 3 dimensions"),
        ("picture", lambda a: a[:0], "picture is empty"),
        ("picture", lambda a: np.ascontiguousarray(a[..., :1]), "RGB pixels"),
    ],
)
def test_wrong_arguments_are_refused(module, name, change, message):
    arrays = {"out": np.zeros((4, 4, 3), np.uint8), "picture": np.zeros((6, 8, 3), np.uint8)}
    arrays[name] = change(arrays[name])
    with pytest.raises((TypeError, ValueError), match=message):
        module.central_square(**arrays)


def test_overlap_and_read_only_are_refused(module):
    memory = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(ValueError, match="overlap"):
        module.central_square(memory, memory)
    frozen = memory.copy()
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        module.central_square(frozen, memory)
    with pytest.raises(ValueError, match="pictures"):
        module.picture_sums(np.zeros((8, 8, 3), np.int32), np.zeros((2, 8, 7, 3), np.uint8))
