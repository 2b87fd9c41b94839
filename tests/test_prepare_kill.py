"""kill -9 in the middle of `prepare`: tools/kill_prepare.py does it more often."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "tools" / "kill_prepare.py"


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location("kill_prepare", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_killed_and_resumed_is_as_if_undisturbed(tool, tmp_path):
    tool.write_pictures(tmp_path / "source", 150, seed=1)
    seconds = tool.undisturbed(tmp_path / "source", tmp_path / "whole")
    kills = 0
    for part in (0.5, 0.7, 0.9):
        kills += tool.killed(tmp_path / "source", tmp_path / "store", part * seconds)[0]
    tool.undisturbed(tmp_path / "source", tmp_path / "store")
    assert kills, "no run lasted long enough to be killed"
    assert tool.contents(tmp_path / "store") == tool.contents(tmp_path / "whole")
