"""Pictures of a run, drawn with matplotlib and no display: learning curve, filters of layer 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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
        for part, colour in (("train", TRAIN), ("validation", VALIDATION)):
            points = [(r["epoch"], factor * r[part][measure]) for r in history if r.get(part)]
            if points:
                name = f"{part} {points[-1][1]:.3g}"
                axes.plot(*np.array(points).T, "o-", color=colour, label=name, lw=2, ms=3.5)
        axes.set(xlabel="epoch", ylabel=label)
        axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def filters(path: str | Path, banks: Mapping[str, np.ndarray], title: str = "") -> None:
    """The first layer's filters, one block per tower under the other, as a PNG (paper, fig. 3).

    ``banks``: name of the tower's layer -> weights (channels, height, width, filters). Three
    channels are shown as colours, any other number as the mean over channels. Grey is zero.
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
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_axis_off()
    figure.savefig(path, dpi=150)


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
