"""CIFAR's binary files, written here byte by byte."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import data

NAMES = ["airplane", "bird", "cat"]


def write(folder, rng, label_bytes=1, files=None):
    """Three records a file; returns the pictures (N, 32, 32, 3) and labels of all files."""
    pictures, labels = [], []
    for file in files or [f"data_batch_{i}.bin" for i in range(1, 6)]:
        content = b""
        for label in (2, 0, 1):
            picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
            planes = b"".join(picture[..., colour].tobytes() for colour in range(3))
            content += bytes([7] * (label_bytes - 1) + [label]) + planes
            pictures.append(picture)
            labels.append(label)
        (folder / file).write_bytes(content)
    return np.array(pictures), labels


def test_cifar_10(tmp_path, rng):
    pictures, labels = write(tmp_path, rng)
    tests, test_labels = write(tmp_path, rng, files=["test_batch.bin"])
    (tmp_path / "batches.meta.txt").write_text("\n".join(NAMES) + "\n\n")
    train = data.open(tmp_path, "train", size=32)
    assert train.classes == NAMES and len(train) == 15
    assert train.augmentation.flip and train.augmentation.noise == "none"
    got = train.load(np.arange(15))
    assert np.array_equal(got[0], pictures) and got[1].tolist() == labels
    val = data.open(tmp_path, "val", size=32, classes=train.classes)
    assert np.array_equal(val.load(np.arange(3))[0], tests)
    assert val.load(np.arange(3))[1].tolist() == test_labels


def test_a_black_border_around_larger_pictures(tmp_path, rng):
    pictures, _ = write(tmp_path, rng)
    train = data.open(tmp_path, "train", size=36)
    assert train.content_size == 32
    got = train.load(np.array([4]))[0][0]
    assert np.array_equal(got[2:34, 2:34], pictures[4])
    got[2:34, 2:34] = 0
    assert not got.any()


def test_cifar_100_has_two_labels_of_which_the_fine_one_counts(tmp_path, rng):
    pictures, labels = write(tmp_path, rng, 2, ["train.bin"])
    (tmp_path / "fine_label_names.txt").write_text("\n".join(NAMES))
    train = data.open(tmp_path, "train", size=32)
    got = train.load(np.arange(3))
    assert np.array_equal(got[0], pictures) and got[1].tolist() == labels and train.classes == NAMES
    with pytest.raises(data.NoValidationPictures, match=r"no test\.bin"):
        data.open(tmp_path, "val", size=32)


def test_mistakes(tmp_path, rng):
    write(tmp_path, rng)
    with pytest.raises(data.DataError, match=r"its classes are 0, 1.*training classes are a, b"):
        data.open(tmp_path, "train", size=32, classes=["a", "b"])
    (tmp_path / "batches.meta.txt").write_text("airplane bird")
    with pytest.raises(data.DataError, match="train label 2, but there are only 2 classes"):
        data.open(tmp_path, "train", size=32)
    file = tmp_path / "data_batch_3.bin"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(data.DataError, match=r"data_batch_3\.bin: 9,218 bytes are no whole records"):
        data.open(tmp_path, "train", size=32)
    file.unlink()
    with pytest.raises(data.DataError, match=r"data_batch_3\.bin: No such file.*all files"):
        data.open(tmp_path, "train", size=32)
