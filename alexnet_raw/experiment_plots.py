"""The pictures of experiments, as PNG or SVG."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from alexnet_raw.experiment_run import Outcome

COLOURS = ("#4c72b0", "#dd8452", "#55a868", "#8172b3", "#937860", "#da8bc3")
STYLES = ("-", "--", "-.", ":")


def training_errors(path: Path, title: str, chosen: dict[str, list[Outcome]], target: float) -> None:
    """Figure 1 of the paper: training error per epoch, the second variant's dashed."""
    figure, axes = _axes(title, "epochs", "training error rate")
    for i, (variant, runs) in enumerate(chosen.items()):
        for j, outcome in enumerate(runs):
            errors = [record["train"]["top1"] for record in outcome.history]
            label = f"{variant}, learning rate {outcome.rate:g}" if j == 0 else None
            middles = np.arange(len(errors)) + 0.5
            axes.plot(middles, errors, STYLES[i % 4], color=COLOURS[i % 6], lw=2.5, label=label)
            if outcome.epochs_to_target is not None:
                axes.plot(outcome.epochs_to_target, target, "o", color=COLOURS[i % 6], ms=7)
    axes.axhline(target, color="0.55", lw=1, zorder=0)
    axes.set_ylim(0, 0.75)
    axes.set_xlim(0)
    axes.legend(frameon=False, loc="upper right", fontsize=12)
    figure.savefig(path, dpi=150)


def validation_errors(path: Path, title: str, chosen: dict[str, list[Outcome]]) -> None:
    """Validation error per epoch: the mean over seeds, and in a pale band their range."""
    figure, axes = _axes(title, "epochs", "validation error rate")
    for i, (variant, runs) in enumerate(chosen.items()):
        errors = np.array([[r["validation"]["top1"] for r in outcome.history] for outcome in runs])
        epochs = np.arange(1, errors.shape[1] + 1)
        colour = COLOURS[i % 6]
        label = f"{variant}: {errors[:, -1].mean():.1%}"
        axes.plot(epochs, errors.mean(0), STYLES[i // 6], color=colour, lw=2.5, label=label)
        if len(runs) > 1:
            axes.fill_between(epochs, errors.min(0), errors.max(0), color=colour, alpha=0.15, lw=0)
    axes.legend(frameon=False, fontsize=12)
    figure.savefig(path, dpi=150)


def _axes(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(7, 5), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=15)
    axes.set_xlabel(x, fontsize=13)
    axes.set_ylabel(y, fontsize=13)
    axes.tick_params(labelsize=11)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes
