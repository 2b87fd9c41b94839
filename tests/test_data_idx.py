"""IDX files, folders of them, and the packaged part of Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from alexnet_raw import data
from alexnet_raw.data import idx


def write_set(folder, images, labels, prefix="train", suffix=""):
    idx.write(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
    idx.write(folder / f"{prefix}-labels-idx1-ubyte{suffix}", labels)


@pytest.fixture
def digits(tmp_path, rng):
    """A folder with 30 training pictures of 28 x 28 in three classes."""
    images = rng.integers(0, 256, (30, 28, 28), np.uint8)
    write_set(tmp_path, images, np.arange(30, dtype=np.uint8) % 3)
    return tmp_path, images


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_round_trip(tmp_path, rng, dtype, suffix):
    array = rng.integers(-100, 100, (5, 4, 3)).astype(dtype)
    idx.write(tmp_path / f"a{suffix}", array)
    got = idx.read(tmp_path / f"a{suffix}")
    assert got.dtype == array.dtype and np.array_equal(got, array)


def test_bytes_of_the_format(tmp_path):
    idx.write(tmp_path / "a", np.array([[1, 2, 3]], np.int16))
    want = bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 0, 2, 0, 3])
    assert (tmp_path / "a").read_bytes() == want


GOOD = struct.pack(">HBBI", 0, 8, 1, 4) + b"abcd"
BAD = {
    "empty": (b"", "begins with nothing"),
    "bad magic": (b"\x01" + GOOD[1:], "not an IDX file"),
    "bad type": (b"\0\0\x07" + GOOD[3:], "not an IDX file"),
    "no dimensions": (b"\0\0\x08\0", "0 dimensions"),
    "too many dimensions": (b"\0\0\x08\xff" + GOOD[4:], "255 dimensions"),
    "header cut": (GOOD[:6], "truncated in its header"),
    "values cut": (GOOD[:-1], "truncated.*needs 4 bytes of values, found 3"),
    "too long": (GOOD + b"!", "too long"),
    "impossible size": (b"\0\0\x08\x04" + b"\xff" * 16 + b"abcd", "truncated"),
    "gzip cut": (gzip.compress(GOOD * 50)[:-12], "truncated"),
    "gzip damaged": (gzip.compress(GOOD)[:10] + b"\xff" * 20, "a.idx"),
    "text": (b"<html>not found</html>", "not an IDX file"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_named(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "a.idx").write_bytes(content)
    with pytest.raises(data.DataError, match=message) as error:
        idx.read(tmp_path / "a.idx")
    assert str(tmp_path / "a.idx") in str(error.value)


def test_grey_is_padded_and_gets_three_channels(digits):
    folder, images = digits
    source = data.open(folder, size=36)
    assert len(source) == 30 and source.classes == ["0", "1", "2"]
    assert source.picture_shape == (36, 36, 3)
    pictures, labels = source.load(np.array([7, 2]))
    assert labels.dtype == np.int32 and labels.tolist() == [1, 2]
    assert pictures.dtype == np.uint8 and pictures.shape == (2, 36, 36, 3)
    want = np.pad(images[[7, 2]], ((0, 0), (4, 4), (4, 4)))
    for channel in range(3):
        assert np.array_equal(pictures[..., channel], want)


@pytest.mark.parametrize("size, inner", [(28, 28), (42, 28), (43, 33), (256, 199), (20, 15), (1, 1)])
def test_padded_or_scaled(tmp_path, size, inner):
    write_set(tmp_path, np.full((3, 28, 28), 200, np.uint8), np.arange(3, dtype=np.uint8))
    source = data.open(tmp_path, size=size)
    assert source.content_size == inner
    pictures, _ = source.load(np.arange(3))
    assert pictures.shape == (3, size, size, 3)
    assert (pictures[0, size // 2, :, 0] == 200).sum() == inner
    border = (size - inner) // 2
    assert np.all(pictures[:, border : border + inner, border : border + inner] == 200)


def test_colour_and_oblong(tmp_path, rng):
    images = rng.integers(0, 256, (4, 20, 32, 3), np.uint8)
    write_set(tmp_path, images, np.arange(4, dtype=np.uint8), suffix=".gz")
    pictures, _ = data.open(tmp_path, size=36).load(np.arange(4))
    assert np.array_equal(pictures, np.pad(images, ((0, 0), (8, 8), (2, 2), (0, 0))))
    pictures, _ = data.open(tmp_path, size=90).load(np.arange(4))
    assert pictures[:, 24:67].any() and not pictures[:, :23].any() and not pictures[:, 67:].any()


def test_training_has_all_classes_and_validation_takes_them(digits):
    folder, images = digits
    with pytest.raises(data.NoValidationPictures, match="t10k-images"):
        data.open(folder, "val", size=36)
    write_set(folder, images[:2], np.array([0, 1], np.uint8), "t10k")
    assert data.open(folder, "val", size=36).classes == ["0", "1", "2"]
    write_set(folder, images[:2], np.array([0, 3], np.uint8), "t10k")
    with pytest.raises(data.DataError, match="val label 3, but there are only 3 classes"):
        data.open(folder, "val", size=36)
    (folder / "classes.txt").write_text("nought\none\ntwo\nthree")
    assert data.open(folder, "val", size=36).classes == ["nought", "one", "two", "three"]


def test_only_test_files(tmp_path):
    write_set(tmp_path, np.zeros((2, 28, 28), np.uint8), np.array([0, 1], np.uint8), "test")
    assert len(data.open(tmp_path, "val", size=36)) == 2
    with pytest.raises(data.DataError, match="no train-images"):
        data.open(tmp_path, "train", size=36)


@pytest.mark.parametrize(
    "images, labels, message",
    [
        (np.zeros((3, 28, 28), np.uint8), np.zeros(2, np.uint8), "3 pictures but 2 labels"),
        (np.zeros((3, 28, 28), np.float32), np.zeros(3, np.uint8), "float32"),
        (np.zeros((3, 28), np.uint8), np.zeros(3, np.uint8), "shape"),
        (np.zeros((3, 28, 28, 2), np.uint8), np.zeros(3, np.uint8), "shape"),
        (np.zeros((0, 28, 28), np.uint8), np.zeros(0, np.uint8), "no pictures"),
        (np.zeros((3, 28, 28), np.uint8), np.zeros(3, np.float32), "whole numbers"),
        (np.zeros((3, 28, 28), np.uint8), np.array([0, -1, 1], np.int8), "negative"),
    ],
)
def test_wrong_contents(tmp_path, images, labels, message):
    write_set(tmp_path, images, labels)
    with pytest.raises(data.DataError, match=message):
        data.open(tmp_path, size=36)


def test_missing_labels(digits):
    folder, _ = digits
    (folder / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(data.DataError, match="no labels IDX file for the train"):
        data.open(folder, size=36)


def test_digits_are_not_mirrored_but_clothes_are(digits):
    assert not data.open(digits[0], size=36).augmentation.flip
    clothes = data.open(size=36).augmentation
    assert clothes.flip and clothes.random_crop and clothes.noise == "none"


@pytest.mark.parametrize("split, count", [("train", 10000), ("val", 2000)])
def test_packaged_fashion_mnist(split, count):
    source = data.open(None, split, size=36)
    assert len(source) == count
    assert len(source.classes) == 10 and source.classes[0] == "T-shirt/top"
    pictures, labels = source.load(np.arange(count))
    assert np.bincount(labels).tolist() == [count // 10] * 10
    assert np.all(pictures[:, :4] == 0) and np.all(pictures[:, :, -4:] == 0)
    assert (pictures.reshape(count, -1).max(axis=1) > 100).all()
    # The published mean of Fashion-MNIST is 0.2860 of 255.
    assert abs(pictures[:, 4:-4, 4:-4].mean() / 255 - 0.286) < 0.005
    assert len({picture.tobytes() for picture in pictures}) > 0.99 * count


def test_other_classes_than_the_nets():
    classes = data.open(size=36).classes
    assert data.open(None, "val", size=36, classes=classes).classes == classes
    with pytest.raises(data.DataError, match=r"its classes are T-shirt/top.* cat, dog"):
        data.open(None, "val", size=36, classes=["cat", "dog"])


def test_packaged_trousers_are_trousers():
    """Labels and pictures belong together: trousers are narrow, pullovers wide."""
    source = data.open(None, "val", size=36)
    pictures, labels = source.load(np.arange(len(source)))
    width = (pictures[..., 0] > 50).any(axis=1).sum(axis=1)
    trousers, pullovers = (source.classes.index(name) for name in ("Trouser", "Pullover"))
    assert width[labels == trousers].mean() < 18 < width[labels == pullovers].mean()
