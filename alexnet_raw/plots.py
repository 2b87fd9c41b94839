"""Pictures of runs, drawn with matplotlib and no display: learning curves, filters of layer 1."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from alexnet_raw import atomic, colour

log = logging.getLogger(__name__)

MEASURES = {  # of `curves`: name -> key in a record of the history, label, factor
    "loss": ("loss", "loss (nats)", 1),
    "top1": ("top1", "top-1 error (%)", 100),
    "top5": ("topk", "top-5 error (%)", 100),
}
RUNS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
TRAIN, VALIDATION = "#4c72b0", "#dd8452"  # blue, orange: told apart in grey and by the colour-blind
FILTER_SIZE, GAP = 44, 4  # about how many pixels a filter gets, and what lies between two
FAINTEST = 0.1  # filters weaker than this part of the strongest are not amplified further


def learning_curve(path: str | Path, history: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """Loss and top-1 error per epoch, of training and validation pictures, as a PNG.

    ``history``: one record per epoch with ``epoch``, ``train`` and, where there are validation
    pictures, ``validation``: each with ``loss`` (nats) and ``top1`` (an error in 0..1).
    """
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    if title:
        figure.suptitle(title)
    loss_axes, error_axes = figure.subplots(1, 2)
    for axes, measure, label, factor in (
        (loss_axes, "loss", "loss (nats)", 1),
        (error_axes, "top1", "top-1 error (%)", 100),
    ):
        for part, shade in (("train", TRAIN), ("validation", VALIDATION)):
            points = _points(history, part, measure, factor)
            if len(points):
                name = f"{part} {points[-1, 1]:.3g}"
                axes.plot(*points.T, "o-", color=shade, label=name, lw=2, ms=3.5)
        _epoch_axes(axes, label)
        axes.legend(frameon=False)
    save(figure, path)


def curves(
    path: str | Path,
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    measures: Sequence[str] = ("top1",),
) -> None:
    """Curves of several runs over epochs, a panel for each measure (a key of MEASURES).

    ``runs``: name -> history, as in `learning_curve`. Training is dashed, validation drawn through.
    """
    figure = Figure(figsize=(1 + 5.6 * len(measures), 4.6), layout="constrained")
    panels = figure.subplots(1, len(measures), squeeze=False)[0]
    for axes, measure in zip(panels, measures, strict=True):
        key, label, factor = MEASURES[measure]
        for number, (name, history) in enumerate(runs.items()):
            _curve(axes, RUNS[number % len(RUNS)], name, history, key, factor)
        _epoch_axes(axes, label)
        handles, _ = axes.get_legend_handles_labels()
        if any(record.get("validation") for history in runs.values() for record in history):
            handles.append(Line2D([], [], color="0.4", lw=2, label="validation"))
        if measure != "top5":
            handles.append(Line2D([], [], color="0.4", lw=1.2, ls="--", label="training"))
        axes.legend(handles=handles, frameon=False)
    save(figure, path)


def _curve(
    axes: Axes, shade: str, name: str, history: Sequence[Mapping], key: str, factor: float
) -> None:
    """One run. The k of the training pictures' top-k is the layer file's own: it is not drawn."""
    validation = _points(history, "validation", key, factor)
    training = _points(history, "train", key, factor)[: 0 if key == "topk" else None]
    last = validation if len(validation) else training
    if not len(last):
        return
    marker = "o" if len(last) <= 25 else None
    label = f"{name}: {last[-1, 1]:.2f}".replace("$", r"\$")
    if len(training):
        own = None if len(validation) else label
        axes.plot(*training.T, "--", color=shade, lw=1.2, marker=marker, ms=2.5, label=own)
    if len(validation):
        axes.plot(*validation.T, "-", color=shade, lw=2, marker=marker, ms=4, label=label)


def _points(history: Sequence[Mapping], part: str, key: str, factor: float) -> np.ndarray:
    """(epochs with that part, 2): epoch and measure."""
    points = [(r["epoch"], factor * r[part][key]) for r in history if r.get(part)]
    return np.array(points, float).reshape(-1, 2)


def _epoch_axes(axes: Axes, label: str) -> None:
    axes.set(xlabel="epoch", ylabel=label)
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def filters(path: str | Path, banks: Mapping[str, np.ndarray], title: str = "") -> None:
    """The first layer's filters, one block per tower under the other (paper, fig. 3).

    ``banks``: name of the tower's layer -> weights (channels, height, width, filters). Three
    channels are shown as colours, with a measure of how colourful they are; any other number as the
    mean over channels. Grey is zero.
    """
    columns = _columns([bank.shape[3] for bank in banks.values()])
    mosaics = {name: filter_mosaic(bank, columns) for name, bank in banks.items()}
    width = 8.0
    heights = [width * m.shape[0] / m.shape[1] for m in mosaics.values()]
    figure = Figure(figsize=(width, sum(heights) + 0.35 * len(heights) + 0.4), layout="constrained")
    if title:
        figure.suptitle(title)
    grid = figure.subplots(len(mosaics), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, (name, mosaic) in zip(grid, mosaics.items(), strict=True):
        axes.imshow(mosaic, interpolation="nearest")
        about = f"   {colour.measure(banks[name])}" if banks[name].shape[0] == 3 else ""
        axes.set_title(name + about, fontsize=10, loc="left")
        axes.set_axis_off()
    save(figure, path)


def filter_mosaic(bank: np.ndarray, columns: int) -> np.ndarray:
    """Filters (channels, height, width, filters) side by side: a picture (h, w, 3) in 0..1.

    Each filter is scaled to its own strongest weight, so that weak ones can be seen too, but not
    noise: nothing is amplified past FAINTEST.
    """
    if bank.shape[0] != 3:
        bank = np.repeat(bank.mean(axis=0, keepdims=True), 3, axis=0)
    _, height, width, count = bank.shape
    strength = np.abs(bank).max(axis=(0, 1, 2))
    strength = np.maximum(strength, max(FAINTEST * strength.max(), np.finfo(np.float32).tiny))
    zoom = math.ceil(FILTER_SIZE / max(height, width))
    pictures = (0.5 + 0.5 * bank / strength).transpose(3, 1, 2, 0)
    pictures = pictures.repeat(zoom, axis=1).repeat(zoom, axis=2)
    height, width = zoom * height, zoom * width
    rows = math.ceil(count / columns)
    mosaic = np.ones((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3))
    for i, picture in enumerate(pictures):
        top, left = i // columns * (height + GAP), i % columns * (width + GAP)
        mosaic[top : top + height, left : left + width] = picture
    return mosaic


def _columns(counts: Sequence[int]) -> int:
    """Columns that make the whole picture about 3:2, preferring rows that are full."""
    wish = math.sqrt(1.5 * sum(counts))
    return min(
        range(1, max(counts) + 1),
        key=lambda n: abs(n - wish) + sum(-count % n for count in counts) / len(counts),
    )


def save(figure: Figure, path: str | Path) -> None:
    """Writes the picture whole or not at all; the ending of ``path`` is its format, .png by default."""
    kind = Path(path).suffix.lower().lstrip(".") or "png"
    with atomic.replacing(path) as file, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        figure.savefig(file, format=kind, dpi=150)
    matches = [re.match(r"Glyph (\d+) .* missing", str(warning.message)) for warning in caught]
    if missing := sorted({chr(int(match[1])) for match in matches if match}):
        log.warning("%s: boxes stand for what the font lacks: %s", path, "".join(missing[:20]))
