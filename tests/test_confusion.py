"""Counts of confusions against a plain loop, the tables and files made of them."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from alexnet_raw.confusion import Confusion

CLASSES = ["cat", "dog", "n02123045 tabby, tabby cat"]


def one_hot(classes: list[int], outputs: int) -> np.ndarray:
    rows = np.full((len(classes), outputs), 0.01, np.float32)
    rows[np.arange(len(classes)), classes] = 0.9
    return rows


@pytest.fixture
def tally() -> Confusion:
    tally = Confusion(CLASSES, 4)
    tally.add(np.array([0, 0, 0, 1]), one_hot([0, 1, 1, 1], 4))
    tally.add(np.array([2, 2, 0]), one_hot([3, 0, 2], 4))
    return tally


def test_counts(tally):
    expected = [[1, 2, 1, 0], [0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]]
    np.testing.assert_array_equal(tally.counts, expected)
    assert tally.pairs(3) == [(0, 1, 2), (0, 2, 1), (2, 0, 1)]
    assert tally.pairs(99) == [(0, 1, 2), (0, 2, 1), (2, 0, 1), (2, 3, 1)]
    assert [line.split("  ")[-2:] for line in tally.pair_lines(1)] == [["cat", "as dog"]]
    assert "2 of      4 ( 50%)" in tally.pair_lines(1)[0]


def test_counts_are_those_of_a_loop(rng):
    labels, rows = rng.integers(0, 9, 300), rng.random((300, 11)).astype(np.float32)
    tally = Confusion([str(i) for i in range(9)], 11)
    for start in range(0, 300, 7):
        tally.add(labels[start : start + 7], rows[start : start + 7])
    expected = np.zeros((11, 11))
    top1, top5 = np.zeros(9), np.zeros(9)
    for label, row in zip(labels, rows, strict=True):
        likeliest = sorted(range(11), key=lambda i: -row[i])
        expected[label, likeliest[0]] += 1
        top1[label] += label != likeliest[0]
        top5[label] += label not in likeliest[:5]
    np.testing.assert_array_equal(tally.counts, expected)
    count = np.bincount(labels, minlength=9)
    for row in tally.table():
        i = int(row.name)
        assert row.pictures == count[i]
        assert row.top1 == pytest.approx(top1[i] / count[i])
        assert row.top5 == pytest.approx(top5[i] / count[i])
    errors = [row.top1 for row in tally.table()]
    assert errors == sorted(errors, reverse=True)
    mistakes = sorted(
        ((i, j, expected[i, j]) for i in range(9) for j in range(11) if i != j and expected[i, j]),
        key=lambda pair: (-pair[2], pair[0], pair[1]),
    )
    assert tally.pairs(20) == mistakes[:20]


def test_nothing_confused():
    tally = Confusion(CLASSES, 3)
    tally.add(np.array([0, 1]), one_hot([0, 1], 3))
    assert tally.pairs(5) == []
    assert tally.pair_lines(5) == []
    assert [(row.name, row.top1) for row in tally.table()] == [("cat", 0), ("dog", 0)]


def test_not_a_number_is_refused(tally):
    rows = one_hot([0], 4)
    rows[0, 2] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        tally.add(np.array([1]), rows)
    assert tally.counts.sum() == 7


def test_files(tally, tmp_path):
    tally.write_matrix(tmp_path / "c.npy")
    np.testing.assert_array_equal(np.load(tmp_path / "c.npy"), tally.counts)
    tally.write_matrix(tmp_path / "c.csv")
    with (tmp_path / "c.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["true class", *CLASSES, "(output 3)"]
    assert rows[1:] == [
        ["cat", "1", "2", "1", "0"],
        ["dog", "0", "1", "0", "0"],
        [CLASSES[2], "1", "0", "0", "1"],
    ]
    tally.write_table(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[1] == [CLASSES[2], "2", "1.000000", "0.000000"]
    assert [row[0] for row in table] == ["class", CLASSES[2], "cat", "dog"]


def test_the_table_is_cut(tally):
    lines = tally.table_lines(1)
    assert len(lines) == 3
    assert lines[1].split() == ["tabby", "2", "100.00%", "0.00%"]
    assert "2 classes" in lines[2]
    assert len(tally.table_lines(3)) == 4


def test_names_that_are_no_utf8(tmp_path):
    """As Python gives the folder b"a\xff"."""
    tally = Confusion(["a\udcff", "b\nc"], 2)
    tally.add(np.array([0, 1]), one_hot([1, 1], 2))
    tally.write_matrix(tmp_path / "m.csv")
    tally.write_table(tmp_path / "t.csv")
    for file in ("m.csv", "t.csv"):
        with (tmp_path / file).open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
        assert sorted(row[0] for row in rows[1:]) == ["a\\udcff", "b\nc"]
