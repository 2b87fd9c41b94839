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
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Patch
from matplotlib.textpath import TextPath

from alexnet_raw.class_names import cut, short_names
from alexnet_raw.confusion import Confusion
from alexnet_raw.plots import save

TRUE, OTHER = "#f5a65b", "#b9cfe8"  # bars: orange and light blue; text is readable on both
WRONG = "#b3470c"  # names of classes that are not the one looked for
COLUMNS = 4  # of predictions
BARS = 5
SIDE, THUMB = 2.3, 1.3  # inches, of the pictures of predictions and of neighbours
LONGEST = 60  # characters of a name, before it is fitted into its place
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
    short = short_names(names, LONGEST)
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    width, title, bars, legend = SIDE + 0.25, 0.32, 1.3, 0.4
    height = title + SIDE + 0.08 + bars + 0.1
    figure = Figure(figsize=(columns * width + 0.05, rows * height + legend))
    for i, prediction in enumerate(shown):
        row, column = divmod(i, columns)
        left, top = 0.15 + column * width, row * height + title
        axes = axes_at(figure, left, top, SIDE, SIDE)
        picture(axes, prediction.pixels)
        name = prediction.name if prediction.label is None else short[prediction.label]
        style = {"size": 10, "weight": "bold"}
        axes.set_title(fitted(name, SIDE, **style), **style, pad=4, parse_math=False)
        _bars(axes_at(figure, left, top + SIDE + 0.08, SIDE, bars), prediction, short)
    if any(prediction.label is not None for prediction in shown):
        patches = [Patch(color=TRUE, label="true class"), Patch(color=OTHER, label="other classes")]
        figure.legend(handles=patches, loc="lower center", ncols=2, frameon=False, fontsize=9)
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
    short = short_names(names, LONGEST)
    count = max(map(len, nearest))
    width, height, gap, head = THUMB + 0.1, THUMB + 0.27, 0.2, 0.42
    across = max((count + 1) * width + gap + 0.1, 5)  # the title needs some
    figure = Figure(figsize=(across, len(queries) * height + head))
    for row, (query, found) in enumerate(zip(queries, nearest, strict=True)):
        for column, shown in enumerate([query, *found]):
            left = 0.1 + column * width + (gap if column else 0)
            axes = axes_at(figure, left, head + row * height, THUMB, THUMB)
            picture(axes, shown[0])
            style = {"weight": "normal" if column else "bold"}
            if shown[1] != query[1]:
                style |= {"style": "italic", "color": WRONG}
            name = fitted(short[shown[1]], THUMB, size=8, **style)
            place = {"ha": "center", "va": "top", "transform": axes.transAxes, "parse_math": False}
            axes.text(0.5, -0.03, name, size=8, **place, **style)
    figure.suptitle(title, fontsize=11, y=1 - 0.12 / figure.get_figheight(), va="top")
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


def axes_at(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes without a frame at a place in inches, from the figure's upper left corner."""
    across, down = figure.get_size_inches()
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes = figure.add_axes(box)
    axes.set_axis_off()
    return axes


def fitted(text: str, inches: float, size: float, weight: str = "normal", **_: str) -> str:
    """The text, or as much of its beginning as so many inches hold at that size in points."""
    font = FontProperties(size=size, weight=weight)
    for length in range(min(len(text), LONGEST), 1, -1):
        shorter = cut(text, length)
        path = TextPath((0, 0), shorter.replace("$", r"\$"), prop=font)
        if path.get_extents().width <= 72 * inches:
            return shorter
    return text[:1]


def _bars(axes: Axes, prediction: Prediction, short: Sequence[str]) -> None:
    likeliest = np.argsort(-prediction.probabilities, kind="stable")[:BARS]
    for place, output in enumerate(likeliest):
        probability, is_true = prediction.probabilities[output], output == prediction.label
        axes.barh(place, probability, height=0.86, color=TRUE if is_true else OTHER)
        style = {"size": 8.5, "weight": "bold" if is_true else "normal", "va": "center_baseline"}
        name = fitted(short[output], SIDE - 0.5, **style)
        axes.text(0.015, place, name, parse_math=False, **style)
        axes.text(0.99, place, f"{probability:.0%}", ha="right", **style)
    axes.set(xlim=(0, 1), ylim=(BARS - 0.5, -0.5))


def _annotated_matrix(axes: Axes, shares: np.ndarray, names: Sequence[str]) -> None:
    axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    places = range(len(names))
    axes.set_xticks(
        places, names, rotation=45, ha="right", rotation_mode="anchor", fontsize=9, parse_math=False
    )
    axes.set_yticks(places, names, fontsize=9, parse_math=False)
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
        axes.text(
            0.6, place, f"{short[i]} → {short[j]}", va="center_baseline", fontsize=9, parse_math=False
        )
    axes.set_ylim(most - 0.4, -0.6)
    axes.set_xlim(0, max([50, *(100 * count / pictures[i] for i, _, count in pairs)]))
    axes.set_yticks([])
    axes.set_xlabel("% of the true class")
    axes.set_title("most frequent mistakes: true class → predicted class", fontsize=10, loc="left")
    axes.spines[["top", "right", "left"]].set_visible(False)
