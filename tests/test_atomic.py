"""Files that appear whole or not at all."""

from __future__ import annotations

import os

import pytest

from alexnet_raw import atomic


def test_a_file_takes_the_place_of_another_when_it_is_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    atomic.write_text(path, "one")
    with atomic.replacing(path) as temporary:
        temporary.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("one")
    with pytest.raises(error), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["a.txt"]


def test_errors_name_the_file_and_not_the_temporary_one(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OSError, match="No space") as caught, atomic.replacing(path):
        raise OSError(28, "No space left on device")  # as of write(), which knows no name
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, atomic.replacing(path) as temporary:
        temporary.read_text()
    assert caught.value.filename == str(path)
    with pytest.raises(FileNotFoundError) as caught, atomic.replacing(path):
        (tmp_path / "other").read_text()
    assert str(caught.value.filename) == str(tmp_path / "other")


def test_a_folder_is_held_by_one_at_a_time(tmp_path):
    with atomic.held(tmp_path, ValueError("mine")):
        with pytest.raises(ValueError, match="theirs"), atomic.held(tmp_path, ValueError("theirs")):
            raise AssertionError
        assert os.listdir(tmp_path) == []
    with atomic.held(tmp_path, ValueError("free again")):
        pass


def test_two_names_of_one_file_leave_no_third(tmp_path):
    """To rename a file to another name of itself does nothing: both names stay."""
    path = tmp_path / "a.txt"
    path.write_text("one")
    with atomic.replacing(path) as temporary:
        os.link(path, temporary)
    assert path.read_text() == "one" and os.listdir(tmp_path) == ["a.txt"]


def test_what_utf8_cannot_express_is_escaped(tmp_path):
    atomic.write_text(tmp_path / "a", "é \udcff")
    assert (tmp_path / "a").read_bytes() == "é \\udcff".encode()


def test_flags_are_checked_before_the_work(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"--output .*a.gif: .* ends in .png"):
        atomic.check_name("--output", tmp_path / "a.gif", [".png"])
    with pytest.raises(ValueError, match=r"--output .*file/a.png: .*file is not a folder"):
        atomic.check_name("--output", tmp_path / "file" / "a.png", [".png"])
    with pytest.raises(ValueError, match=r"--output X: .*file is not a folder"):
        atomic.check_folder("--output", "X", tmp_path / "file" / "deep")
    atomic.check_folder("--output", "X", tmp_path / "new" / "deep")
    assert os.listdir(tmp_path) == ["file"]
