"""Pictures about pictures: what a net predicts, what it finds similar, what it confuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from alexnet_raw.class_names import cut, short_names
from alexnet_raw.confusion import Confusion
from alexnet_raw.plots import save

TRUE, OTHER = "#f5a65b", "#b9cfe8"  # bars: orange and light blue; text is readable on both
WRONG = "#b3470c"  # names of classes that are not the one looked for
COLUMNS = 4  # of predictions
BARS = 5
ANNOTATED = 30  # classes of which each cell of the confusion matrix gets its number


@dataclass(frozen=True)
class Prediction:
    """pixels (height, width, 3) uint8; probabilities (outputs,); the true class, if it is known."""

    pixels: np.ndarray
    probabilities: np.ndarray
    label: int | None
    name: str  # of the picture, shown where there is no class


def predictions(path: str | Path, shown: Sequence[Prediction], names: Sequence[str]) -> None:
    """Pictures with their five likeliest classes as bars, the true one orange (paper, fig. 4 left).

    ``names``: of the outputs.
    """
    short = short_names(names)
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    figure = Figure(figsize=(2.45 * columns, 3.75 * rows + 0.35), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.08, h_pad=0.04)
    cells = figure.subplots(2 * rows, columns, squeeze=False, height_ratios=[2.3, 1.25] * rows)
    for axes in cells.flat:
        axes.set_axis_off()
    for i, prediction in enumerate(shown):
        row, column = divmod(i, columns)
        picture(cells[2 * row, column], prediction.pixels)
        title = cut(prediction.name, 26) if prediction.label is None else short[prediction.label]
        cells[2 * row, column].set_title(title, fontsize=10, fontweight="bold", pad=4)
        _bars(cells[2 * row + 1, column], prediction, short)
    if any(prediction.label is not None for prediction in shown):
        legend = [Patch(color=TRUE, label="true class"), Patch(color=OTHER, label="other classes")]
        figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    save(figure, path)


def neighbours(
    path: str | Path,
    queries: Sequence[tuple[np.ndarray, int]],
    nearest: Sequence[Sequence[tuple[np.ndarray, int]]],
    names: Sequence[str],
    title: str,
) -> None:
    """A row for each query, and the pictures that are nearest to it (paper, fig. 4 right).

    Pictures are pairs of pixels (height, width, 3) uint8 and class; ``nearest``: a list for each query.
    """
    short = short_names(names, 17)
    count = max(map(len, nearest))
    figure = Figure(figsize=(1.35 * (count + 1) + 0.3, 1.55 * len(queries) + 0.5), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0)
    widths = [1, 0.12] + [1] * count
    grid = figure.subplots(len(queries), count + 2, squeeze=False, width_ratios=widths)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, query, found in zip(grid, queries, nearest, strict=True):
        _named(row[0], query, short, fontweight="bold")
        for axes, other in zip(row[2:], found, strict=False):
            style = {} if other[1] == query[1] else {"color": WRONG, "style": "italic"}
            _named(axes, other, short, **style)
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def confusion(path: str | Path, tally: Confusion, title: str = "") -> None:
    """The matrix of shares; of many classes, whose names do not fit, also the commonest mistakes."""
    seen = np.flatnonzero(tally.counts.sum(axis=1) + tally.counts.sum(axis=0))
    counts = tally.counts[np.ix_(seen, seen)]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = short_names([tally.names[i] for i in seen], 22)
    if len(seen) <= ANNOTATED:
        side = 2.6 + 0.36 * len(seen)
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.subplots()
        _annotated_matrix(axes, shares, names)
    else:
        figure = Figure(figsize=(13, 6.2), layout="constrained")
        axes, bars = figure.subplots(1, 2, width_ratios=[1.1, 1])
        _plain_matrix(axes, shares)
        _pair_bars(bars, tally)
    axes.set(xlabel="predicted class", ylabel="true class")
    if title:
        figure.suptitle(title, fontsize=11)
    save(figure, path)


def picture(axes: Axes, pixels: np.ndarray) -> None:
    """Pixels stay pixels where there are few of them: nothing is blurred."""
    small = max(pixels.shape[:2]) < 100
    axes.imshow(pixels, interpolation="nearest" if small else "antialiased")
    axes.set_axis_off()


def _named(axes: Axes, shown: tuple[np.ndarray, int], short: Sequence[str], **style: str) -> None:
    """A picture with its class under it."""
    picture(axes, shown[0])
    place = {"ha": "center", "va": "top", "transform": axes.transAxes}
    axes.text(0.5, -0.03, short[shown[1]], fontsize=8, **place, **style)


def _bars(axes: Axes, prediction: Prediction, short: Sequence[str]) -> None:
    likeliest = np.argsort(-prediction.probabilities, kind="stable")[:BARS]
    for place, output in enumerate(likeliest):
        probability, is_true = prediction.probabilities[output], output == prediction.label
        axes.barh(place, probability, height=0.86, color=TRUE if is_true else OTHER)
        weight = "bold" if is_true else "normal"
        style = {"va": "center_baseline", "fontsize": 8.5, "fontweight": weight}
        axes.text(0.015, place, cut(short[output], 22), **style)
        axes.text(1, place, f"{probability:.0%}", ha="right", **style)
    axes.set(xlim=(0, 1), ylim=(BARS - 0.4, -0.6))


def _annotated_matrix(axes: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    places = range(len(names))
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9)
    axes.set_yticks(places, names, fontsize=9)
    for i, j in np.argwhere(shares > 0.005):
        shade = "white" if shares[i, j] > 0.35 else "black"
        axes.text(
            j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", color=shade, fontsize=8.5
        )
    axes.set_title("% of the true class", fontsize=9, loc="left")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _plain_matrix(axes: Axes, shares: np.ndarray) -> None:
    """Of blocks of classes the largest share, so that a single mistake can still be seen."""
    block = math.ceil(len(shares) / 400)
    edge = -len(shares) % block
    blocks = np.pad(shares, ((0, edge), (0, edge)))
    side = len(blocks) // block
    largest = blocks.reshape(side, block, side, block).max(axis=(1, 3))
    extent = (0.5, len(shares) + 0.5, len(shares) + 0.5, 0.5)
    image = axes.imshow(
        largest, cmap="Blues", norm=PowerNorm(0.5, 0, 1), extent=extent, interpolation="nearest"
    )
    axes.figure.colorbar(image, ax=axes, shrink=0.8, label="share of the true class")


def _pair_bars(axes: Axes, tally: Confusion, most: int = 20) -> None:
    short, pictures = short_names(tally.names, 26), tally.counts.sum(axis=1)
    pairs = tally.pairs(most)
    for place, (i, j, count) in enumerate(pairs):
        axes.barh(place, 100 * count / pictures[i], color=OTHER, height=0.86)
        axes.text(0.6, place, f"{short[i]} → {short[j]}", va="center_baseline", fontsize=9)
    axes.set_ylim(most - 0.4, -0.6)
    axes.set_xlim(0, max([50, *(100 * count / pictures[i] for i, _, count in pairs)]))
    axes.set_yticks([])
    axes.set_xlabel("% of the true class")
    axes.set_title("most frequent mistakes: true class → predicted class", fontsize=10, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
