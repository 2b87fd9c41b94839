"""Folders of pictures: layouts, classes, and pictures that are broken."""

from __future__ import annotations

import logging
import os
import threading

import numpy as np
import pytest

from alexnet_raw import data
from alexnet_raw.data import picture_folder

from .data_pictures import encode, smooth, write_folder

LAZY = {"cache_bytes": 0}  # decode when asked


@pytest.fixture
def splits(tmp_path, rng):
    write_folder(tmp_path / "train", {"cat": 3, "dog": 4, "eel": 2}, rng)
    write_folder(tmp_path / "val", {"eel": 1, "cat": 2}, rng)
    return tmp_path


def test_train_and_val(splits):
    train = data.open(splits, size=24)
    assert train.classes == ["cat", "dog", "eel"] and len(train) == 9
    assert train.picture_shape == (24, 24, 3) and train.content_size == 24
    pictures, labels = train.load(np.arange(9))
    assert labels.tolist() == [0, 0, 0, 1, 1, 1, 1, 2, 2] and labels.dtype == np.int32
    for i in range(9):
        assert np.array_equal(pictures[i], data.prepare_file(train.name(i), 24))
    val = data.open(splits, "val", size=24)
    assert val.classes == train.classes
    assert val.load(np.arange(3))[1].tolist() == [0, 0, 2]  # train's numbers
    assert [os.path.basename(os.path.dirname(val.name(i))) for i in range(3)] == [
        "cat",
        "cat",
        "eel",
    ]


@pytest.mark.parametrize("names", [("train", "test"), ("Train", "VAL"), ("training", "validation")])
def test_names_of_the_splits(tmp_path, rng, names):
    for name in names:
        write_folder(tmp_path / name, {"a": 1, "b": 1}, rng)
    for split in ("train", "val"):
        assert data.open(tmp_path, split, size=8).classes == ["a", "b"]


def test_plain_class_folders_are_all_training(tmp_path, rng):
    write_folder(tmp_path, {"a": 2, "b": 1, "test": 1}, rng)
    assert data.open(tmp_path, size=8).classes == ["a", "b", "test"]
    with pytest.raises(data.NoValidationPictures, match="no validation pictures"):
        data.open(tmp_path, "val", size=8)


def test_train_without_val(tmp_path, rng):
    write_folder(tmp_path / "train", {"a": 2, "b": 1}, rng)
    with pytest.raises(data.NoValidationPictures, match="or do without"):
        data.open(tmp_path, "val", size=8)


def test_val_without_train(tmp_path, rng):
    write_folder(tmp_path / "val", {"b": 1}, rng)
    source = data.open(tmp_path, "val", size=8, classes=["a", "b"])  # as from a checkpoint
    assert source.load(np.arange(1))[1].tolist() == [1]
    with pytest.raises(data.DataError, match="no train folder"):
        data.open(tmp_path, size=8)


def test_unknown_class_is_named(splits, rng):
    write_folder(splits / "val", {"Dog": 1}, rng)
    with pytest.raises(data.DataError, match=r"unknown class folders Dog; .* cat, dog, eel"):
        data.open(splits, "val", size=8)


def test_given_classes(splits):
    source = data.open(splits, size=8, classes=["eel", "cow", "dog", "cat"])
    assert source.load(np.arange(9))[1].tolist() == [3, 3, 3, 2, 2, 2, 2, 0, 0]


def test_empty_class(splits):
    (splits / "train" / "fox").mkdir()
    with pytest.raises(data.DataError, match=r"fox: no pictures in this class folder"):
        data.open(splits, size=8)


def test_one_class(tmp_path, rng):
    write_folder(tmp_path, {"imagenet": 2}, rng)
    with pytest.raises(data.DataError, match="only one class folder, imagenet"):
        data.open(tmp_path, size=8)


def test_no_class_folders(tmp_path):
    with pytest.raises(data.DataError, match="no class folders"):
        data.open(tmp_path, size=8)


def test_not_a_folder(tmp_path):
    with pytest.raises(data.DataError, match=r"none: no such folder"):
        data.open(tmp_path / "none", size=8)
    (tmp_path / "set.tar").write_bytes(b"")
    with pytest.raises(data.DataError, match=r"set.tar: not a folder; unpack"):
        data.open(tmp_path / "set.tar", size=8)


def test_wrong_arguments(splits):
    with pytest.raises(ValueError, match='split="test"'):
        data.open(splits, "test", size=8)
    with pytest.raises(ValueError, match="size=0"):
        data.open(splits, size=0)


def test_any_case_any_depth_and_nothing_hidden(tmp_path, rng):
    write_folder(tmp_path, {"a": 1, "b": 1}, rng)
    picture = encode(smooth(9, 9), "PNG")
    (tmp_path / "a" / "2012" / "may").mkdir(parents=True)
    for name in ("X.JPG", "y.JpEg", "z.WEBP", "2012/may/q.Gif", ".hidden.png", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(picture)
    (tmp_path / ".cache").mkdir()
    source = data.open(tmp_path, size=8)
    assert source.classes == ["a", "b"]
    names = [os.path.relpath(source.name(i), tmp_path / "a") for i in range(len(source) - 1)]
    assert names == ["0.png", "2012/may/q.Gif", "X.JPG", "y.JpEg", "z.WEBP"]


def test_pipes_and_link_loops_do_not_hang(tmp_path, rng):
    write_folder(tmp_path, {"a": 1, "b": 1}, rng)
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "linked").symlink_to(tmp_path / "b")  # a class folder may be a link
    assert len(data.open(tmp_path, size=8)) == 3


@pytest.fixture
def damaged(tmp_path, rng):
    """Ten pictures of which three are broken, in two classes."""
    write_folder(tmp_path, {"a": 4, "b": 3}, rng)
    (tmp_path / "a" / "text.jpg").write_text("not a picture")
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b" / "cut.jpg").write_bytes(encode(smooth(99, 99))[:900])
    return tmp_path


BROKEN = {
    "a/text.jpg": "no picture in a known format",
    "a/gone.png": "No such file",
    "b/cut.jpg": "truncated",
}


def assert_named(folder, messages: list[str]) -> None:
    for file, reason in BROKEN.items():
        found = [m for m in messages if str(folder / file) in m]
        assert len(found) == 1 and reason in found[0], messages
    assert messages[-1] == "3 of 10 pictures could not be read and are left out"


@pytest.mark.parametrize("threads", [1, 3])
def test_broken_pictures_are_left_out_and_named(damaged, caplog, threads):
    source = data.PictureFolder(damaged, size=16, threads=threads)
    assert len(source) == 7 and set(source.broken) == {str(damaged / file) for file in BROKEN}
    pictures, labels = source.load(np.arange(7))
    assert labels.tolist() == [0] * 4 + [1] * 3
    for i in range(7):
        assert np.array_equal(pictures[i], data.prepare_file(source.name(i), 16))
    assert_named(damaged, caplog.messages)


def test_broken_pictures_when_decoding_on_demand(damaged, caplog):
    source = data.PictureFolder(damaged, size=16, **LAZY)
    assert len(source) == 10 and not source.broken
    loader = data.Loader(source, 3, 16, augmentation=data.Augmentation(), seed=5, threads=2)
    for epoch in range(2):  # named and counted once
        batches = list(loader.epoch(epoch))
        indices = np.concatenate([batch.indices for batch in batches])
        assert len(set(indices.tolist())) == len(indices) == 7
        for batch in batches:
            assert len(batch.pictures) == len(batch.offsets) == len(batch.noise) == len(batch)
            for picture, label, index in zip(batch.pictures, batch.labels, batch.indices, strict=True):
                assert np.array_equal(picture, data.prepare_file(source.name(index), 16))
                assert label == (os.path.dirname(source.name(index)) == str(damaged / "b"))
    assert_named(damaged, caplog.messages)


@pytest.mark.parametrize("lazy", [False, True])
def test_all_broken(tmp_path, lazy):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.jpg").write_text("no")
    with pytest.raises(data.DataError, match="none of the 2 pictures can be read"):
        source = data.PictureFolder(tmp_path, size=8, **(LAZY if lazy else {}))
        list(data.Loader(source, 2, 8, train=False).epoch(0))
    if lazy:
        with pytest.raises(data.DataError, match="no picture can be read"):
            data.statistics(data.PictureFolder(tmp_path, size=8, **LAZY))


def test_a_class_that_is_all_broken_is_named(tmp_path, rng, caplog):
    write_folder(tmp_path, {"a": 1, "c": 1}, rng)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.jpg").write_text("no")
    source = data.open(tmp_path, size=8)
    assert source.classes == ["a", "b", "c"] and source.load(np.arange(2))[1].tolist() == [0, 2]
    assert any("no readable picture of class b" in message for message in caplog.messages)


def test_many_broken_pictures_do_not_flood_the_log(tmp_path, rng, caplog):
    write_folder(tmp_path, {"a": 1, "b": 1}, rng)
    for i in range(60):
        (tmp_path / "a" / f"x{i}.jpg").write_text("no")
    source = data.open(tmp_path, size=8)
    assert len(source) == 2 and len(source.broken) == 60
    assert len(caplog.messages) == 22
    assert caplog.messages[-1] == "60 of 62 pictures could not be read and are left out"


def test_cached_and_on_demand_are_the_same(splits):
    cached = data.PictureFolder(splits / "train", size=20)
    lazy = data.PictureFolder(splits / "train", size=20, **LAZY)
    indices = np.array([8, 0, 3, 3])
    for got, want in zip(cached.load(indices), lazy.load(indices), strict=True):
        assert np.array_equal(got, want)


def test_unexpected_errors_carry_the_files_name(splits, monkeypatch, caplog):
    def fail(path, size, out):
        raise MemoryError("no more")

    source = data.PictureFolder(splits / "train", size=20, **LAZY)
    monkeypatch.setattr(picture_folder, "prepare_file", fail)
    before = threading.active_count()
    with pytest.raises(RuntimeError, match=r"train/(cat|dog|eel)/\d\.png: MemoryError: no more"):
        list(data.Loader(source, 2, 20, augmentation=data.NO_AUGMENTATION).epoch(0))
    assert threading.active_count() == before
    assert caplog.get_records("call") == [] or all(
        record.levelno < logging.ERROR for record in caplog.records
    )
