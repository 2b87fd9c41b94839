"""What tools/check_speed.py makes of ratios; nothing is timed here."""

from __future__ import annotations

import check_speed
import pytest
from check_speed import Verdict, conclusion, judge


def judged(*ratios: float, least: float = 1.5) -> Verdict:
    """Of these measurements, in turn: one too many is a StopIteration."""
    return judge("conv2a forward", least, iter(ratios).__next__, tries=3)


def test_a_row_that_holds_is_measured_once():
    assert judged(1.5) == Verdict("conv2a forward", 1.5, (1.5,))
    assert judged(1.5).holds


def test_a_row_that_falls_below_is_measured_again():
    verdict = judged(0.3, 1.6)
    assert verdict.holds
    assert verdict.ratios == (0.3, 1.6)


def test_after_three_tries_it_is_slow():
    verdict = judged(1.4, 1.49, 1.2)
    assert not verdict.holds
    assert str(verdict).startswith("SLOW")


def test_the_conclusion_names_only_what_is_slow():
    slow = judged(1.41, 1.49, 1.2)
    status, text = conclusion([judged(1.6), slow, Verdict("norm1a forward", 15, (40.0,))])
    assert status == 1
    first, advice = text.split("\n", 1)
    assert first.startswith("conv2a forward: ")
    assert "1.49" in first and "1.50" in first
    assert "norm1a" not in text
    assert "tools/bench_kernels.py" in advice


def test_nothing_to_complain_of():
    assert conclusion([judged(1.6), judged(0.1, 2.0)]) == (0, "all 2 rows hold")


def test_a_slow_row_ends_the_program_with_1(monkeypatch, capsys):
    pytest.importorskip("torch")
    ratios = {"fast": 2.0, "slow": 0.5}
    monkeypatch.setattr(
        check_speed,
        "rows",
        lambda device: ((row, 1.0, lambda ratio=ratio: ratio) for row, ratio in ratios.items()),
    )
    monkeypatch.setattr("sys.argv", ["check_speed.py"])
    assert check_speed.main() == 1
    assert "slow: PyTorch's time / ours is 0.50, the best of 3 tries" in capsys.readouterr().out
