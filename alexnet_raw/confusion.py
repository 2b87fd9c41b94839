"""Which classes a net takes for which, and how often each is wrong."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from alexnet_raw import atomic
from alexnet_raw.class_names import output_names, short_names
from alexnet_raw.evaluation import TOP, errors

MATRIX_SUFFIXES = (".csv", ".npy")


@dataclass(frozen=True)
class ClassRow:
    """One class in the per-class table; errors in 0..1."""

    name: str
    pictures: int
    top1: float
    top5: float


class Confusion:
    """Counts, picture by picture.

    Attributes:
        counts: (outputs, outputs) int32; counts[i, j] pictures of class i were taken for class j.
            Outputs beyond the classes have rows of zeros.
        wrong: (2, outputs) float64, top-1 and top-5 errors summed; equal probabilities share places.
        names: of the outputs.
    """

    def __init__(self, classes: Sequence[str], outputs: int):
        self.classes = len(classes)
        self.names = output_names(classes, outputs)
        self.counts = np.zeros((outputs, outputs), np.int32)
        self.wrong = np.zeros((2, outputs))

    def add(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        """labels (n,), probabilities (n, outputs). ValueError where those are not numbers."""
        if not np.isfinite(probabilities).all():
            raise ValueError("the net's outputs are not numbers: its weights ran away in training")
        np.add.at(self.counts, (labels, probabilities.argmax(axis=1)), 1)
        for row, k in enumerate((1, TOP)):
            np.add.at(self.wrong[row], labels, errors(probabilities, labels, k))

    def pairs(self, most: int) -> list[tuple[int, int, int]]:
        """(class, taken for, pictures) of the most frequent mistakes, ties in the order of classes."""
        mistakes = self.counts.copy()
        np.fill_diagonal(mistakes, 0)
        flat = mistakes.ravel()
        most = min(most, np.count_nonzero(flat))
        if most == 0:
            return []
        candidates = np.flatnonzero(flat >= np.partition(flat, -most)[-most])  # sorted, ties kept
        order = candidates[np.argsort(-flat[candidates], kind="stable")][:most]
        return [(*map(int, divmod(i, len(mistakes))), int(flat[i])) for i in order]

    def table(self) -> list[ClassRow]:
        """The classes that have pictures, the one most often wrong first."""
        pictures = self.counts.sum(axis=1)
        rows = [
            ClassRow(self.names[i], int(n), *(float(wrong / n) for wrong in self.wrong[:, i]))
            for i, n in enumerate(pictures)
            if n
        ]
        return sorted(rows, key=lambda row: (-row.top1, -row.top5))

    def pair_lines(self, most: int = 20) -> list[str]:
        """The most frequent mistakes, as text."""
        short, pictures = short_names(self.names), self.counts.sum(axis=1)
        pairs = self.pairs(most)
        width = max((len(short[i]) for i, _, _ in pairs), default=0)
        lines = []
        for i, j, n in pairs:
            share = f"{n:>6,} of {pictures[i]:>6,} ({n / pictures[i]:4.0%})"
            lines.append(f"  {share}  {short[i]:<{width}}  as {short[j]}")
        return lines

    def table_lines(self, most: int = 20) -> list[str]:
        """The classes most often wrong, as text."""
        rows = self.table()
        short = short_names([row.name for row in rows])
        width = max(len("class"), *map(len, short[:most]))
        lines = [f"  {'class':<{width}}  pictures  top-1 error  top-5 error"]
        for name, row in list(zip(short, rows, strict=True))[:most]:
            lines.append(f"  {name:<{width}}  {row.pictures:>8,}  {row.top1:>11.2%}  {row.top5:>11.2%}")
        if len(rows) > most:
            lines.append(f"  ... and {len(rows) - most:,} classes that are wrong less often")
        return lines

    def write_matrix(self, path: str | Path) -> None:
        """The whole matrix: .csv with the classes' names on both sides, .npy the counts."""
        with atomic.replacing(path) as file:
            if Path(path).suffix.lower() == ".npy":
                with file.open("wb") as out:
                    np.save(out, self.counts)
                return
            with _open_text(file) as out:
                writer = csv.writer(out)
                writer.writerow(["true class", *self.names])
                counted = zip(self.names[: self.classes], self.counts, strict=False)
                writer.writerows([name, *row.tolist()] for name, row in counted)

    def write_table(self, path: str | Path) -> None:
        """The per-class table as CSV; errors in 0..1."""
        with atomic.replacing(path) as file, _open_text(file) as out:
            writer = csv.writer(out)
            writer.writerow(["class", "pictures", "top-1 error", "top-5 error"])
            for row in self.table():
                writer.writerow([row.name, row.pictures, f"{row.top1:.6f}", f"{row.top5:.6f}"])


def _open_text(path: Path) -> TextIO:
    """For CSV in UTF-8; bytes of folders' names that are none are written as escapes."""
    return path.open("w", newline="", encoding="utf-8", errors="backslashreplace")
