"""Files of rows: what other readers find in them, sizes not known before, interruptions."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from alexnet_raw import row_file
from alexnet_raw.row_file import RowFile

NAMES = ["cat/1.jpg", "größer/ß.jpg", "a\nb", "", "dog/x y.png"]


def write(path, batches: list[int], width: int, **metadata) -> np.ndarray:
    """Rows 0, 1, 2... in batches of those sizes; returns them."""
    rows = np.arange(sum(batches) * width, dtype=np.float32).reshape(-1, width)
    with row_file.create(path, "features", width, metadata) as out:
        at = 0
        for n in batches:
            names = [NAMES[i % len(NAMES)] for i in range(at, at + n)]
            out.add(rows[at : at + n], np.arange(at, at + n), names)
            at += n
    return rows


@pytest.mark.parametrize("batches, width", [([3, 4, 1], 7), ([1], 1), ([5] * 40, 130), ([2], 4096)])
def test_other_readers_find_the_rows(tmp_path, batches, width):
    rows = write(tmp_path / "f.safetensors", batches, width, what="é" * 300)
    assert write(tmp_path / "f.npy", batches, width).shape == rows.shape
    tensors = load_file(tmp_path / "f.safetensors")
    np.testing.assert_array_equal(tensors["features"], rows)
    np.testing.assert_array_equal(tensors["labels"], np.arange(len(rows)))
    assert tensors["labels"].dtype == np.int32
    names = tensors["names"].tobytes().decode().split("\n")
    assert names[:3] == ["cat/1.jpg", "größer/ß.jpg", "a b"][: len(rows)]
    assert len(names) == len(rows)
    loaded = np.load(tmp_path / "f.npy", mmap_mode="r")
    assert loaded.dtype == np.float32
    np.testing.assert_array_equal(loaded, rows)
    np.testing.assert_array_equal(np.load(tmp_path / "f.labels.npy"), np.arange(len(rows)))
    assert (tmp_path / "f.names.txt").read_text("utf-8").split("\n")[:-1] == names
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        "f.labels.npy",
        "f.names.txt",
        "f.npy",
        "f.safetensors",
    ]


def test_rows_are_read_in_parts(tmp_path):
    rows = write(tmp_path / "f.safetensors", [10, 10], 3, layers=["fc7a"], note="größer")
    file = RowFile(tmp_path / "f.safetensors", "features")
    assert (len(file), file.shape) == (20, (20, 3))
    assert file.metadata["layers"] == ["fc7a"]
    assert file.metadata["note"] == "größer"
    np.testing.assert_array_equal(file.rows(7, 12), rows[7:12])
    assert file.names[3] == ""


@pytest.mark.parametrize("name", ["f.safetensors", "f.npy"])
def test_a_failure_leaves_what_was_there(tmp_path, name):
    before = write(tmp_path / name, [2], 3)
    kept = (tmp_path / name).read_bytes()
    with pytest.raises(KeyboardInterrupt), row_file.create(tmp_path / name, "features", 3, {}) as out:
        out.add(before, np.zeros(2, np.int32), ["a", "b"])
        raise KeyboardInterrupt
    assert (tmp_path / name).read_bytes() == kept
    assert not list(tmp_path.glob(".*"))


def test_rows_that_do_not_fit_are_refused(tmp_path):
    with (
        pytest.raises(ValueError, match="rows"),
        row_file.create(tmp_path / "f.npy", "features", 3, {}) as out,
    ):
        out.add(np.zeros((2, 4), np.float32), np.zeros(2, np.int32), ["a", "b"])
    with (
        pytest.raises(ValueError, match=r"ends in \.safetensors or \.npy"),
        row_file.create(tmp_path / "f.txt", "features", 3, {}),
    ):
        pass
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "f.safetensors"
    write(path, [4], 5)
    with pytest.raises(ValueError, match=r"f\.safetensors holds no probabilities"):
        RowFile(path, "probabilities")
    whole = path.read_bytes()
    for cut in (0, 5, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"f\.safetensors is not a whole safetensors file"):
            RowFile(path, "features")
    with pytest.raises(ValueError, match="missing"):
        RowFile(tmp_path / "missing.safetensors", "features")


def test_the_header_is_json_with_room(tmp_path):
    write(tmp_path / "f.safetensors", [1], 1)
    raw = (tmp_path / "f.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    assert header["features"]["data_offsets"] == [0, 4]
    assert len(raw) == 8 + length + 4 + 4 + len(NAMES[0])
