"""A checkpoint comes back as it was, is written whole or not at all, and refuses foreign files."""

from __future__ import annotations

import os
import resource
import signal
import stat

import numpy as np
import pytest
from safetensors.numpy import save_file

from alexnet_raw import checkpoint
from alexnet_raw.checkpoint import Checkpoint, CheckpointError


def example(scale: float = 1.0, size: int = 1000) -> Checkpoint:
    tensors = {
        "conv1a.weights0": np.arange(size, dtype=np.float32).reshape(2, -1) * np.float32(scale),
        "data.labels": np.arange(5, dtype=np.int32),
        "empty": np.zeros((0, 3), np.float32),
        "no_dimension": np.array(7),
        "not_contiguous": np.arange(6, dtype=np.float64).reshape(2, 3).T,
    }
    return Checkpoint(tensors, {"seed": 1, "history": [{"loss": 0.1 + 0.2}], "text": "é\n#"})


def test_comes_back_bit_for_bit(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", example())
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert loaded.metadata == example().metadata
    assert loaded.tensors.keys() == example().tensors.keys()
    for name, array in example().tensors.items():
        assert loaded.tensors[name].dtype == array.dtype
        assert loaded.tensors[name].shape == array.shape
        np.testing.assert_array_equal(loaded.tensors[name], array)


def test_a_folder_means_the_checkpoint_in_it(tmp_path):
    checkpoint.save(tmp_path / "run" / checkpoint.FILE_NAME, example())
    assert checkpoint.load_metadata(tmp_path / "run")["seed"] == 1


def test_leaves_nothing_else_and_respects_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        checkpoint.save(tmp_path / "a.safetensors", example())
    finally:
        os.umask(old)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]
    assert stat.S_IMODE((tmp_path / "a.safetensors").stat().st_mode) == 0o640


def test_full_disk_keeps_the_old_checkpoint(tmp_path):
    """A file-size limit of the process stands in for the full disk: the write itself fails."""
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before), limits[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot write.*is untouched.*--resume"):
            checkpoint.save(path, example(2.0, size=100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_failure_before_the_rename_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, example())
    before = path.read_bytes()

    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(CheckpointError, match="No space left on device"):
        checkpoint.save(path, example(2.0))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_not_a_number_in_the_metadata_is_refused(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        checkpoint.save(tmp_path / "a", Checkpoint({}, {"loss": float("nan")}))


def test_foreign_and_broken_files_are_named(tmp_path):
    whole = tmp_path / "whole.safetensors"
    checkpoint.save(whole, example())
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(whole.read_bytes()[:-10])
    text = tmp_path / "text.safetensors"
    text.write_text("not a checkpoint")
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    for path in (cut, text, empty):
        with pytest.raises(CheckpointError, match=f"{path.name} is not a whole safetensors file"):
            checkpoint.load(path)
    other = tmp_path / "other.safetensors"
    save_file({"a": np.zeros(3, np.float32)}, other)
    with pytest.raises(CheckpointError, match="not one of 'alexnet-raw train'"):
        checkpoint.load(other)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        checkpoint.load(tmp_path / "missing")


def test_our_other_files_are_no_checkpoints(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", "alexnet-raw features 1")
    checkpoint.save(tmp_path / "a", example())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="holds 'alexnet-raw features 1', which is no checkpoint"):
        checkpoint.load(tmp_path / "a")


def test_a_later_format_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", "alexnet-raw checkpoint 9")
    checkpoint.save(tmp_path / "a", example())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="checkpoint 9"):
        checkpoint.load(tmp_path / "a")


def test_newest_run(tmp_path):
    assert checkpoint.newest(tmp_path) is None
    for age, name in ((30, "a"), (10, "b"), (20, "c")):
        path = tmp_path / name / checkpoint.FILE_NAME
        checkpoint.save(path, example())
        os.utime(path, (1e9 - age, 1e9 - age))
    assert checkpoint.newest(tmp_path) == tmp_path / "b" / checkpoint.FILE_NAME
