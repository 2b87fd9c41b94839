"""What a run tells: a line per epoch, warnings, and the files in its folder besides checkpoints."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from alexnet_raw import atomic, plots
from alexnet_raw.layers.cut_fc import CutFc
from alexnet_raw.metrics import Record, remedy
from alexnet_raw.model import Model
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.run_settings import EMBEDDED

if TYPE_CHECKING:
    from alexnet_raw.run import Run


def announcement(run: Run) -> str:
    """Net, pictures and plan of a run that begins or goes on."""
    settings, spec = run.settings, run.model.spec
    parameters = sum(math.prod(p.shape) for p in run.model.net.parameters.values())
    validation = f"{len(run.val_loader.source):,}" if run.val_loader else "no"
    devices = ", ".join(device.name for device in run.model.net.devices)
    lines = [
        *(f"note  {note}" for note in spec.notes),
        *(f"start {line}" for line in run.origins),
        f"net   {spec.name}: {parameters:,} parameters, {spec.classes} outputs, on {devices}",
        f"data  {settings.data or EMBEDDED}: {len(run.train_loader.source):,} training and "
        f"{validation} validation pictures of {len(run.model.classes)} classes",
        f"run   {run.folder}: {settings.epochs} epochs of {len(run.train_loader)} batches of "
        f"{settings.batch_size}, seed {settings.seed}",
    ]
    if run.ranks.size > 1:
        share = run.model.net.batch_size
        machine = f"{run.ranks.local_size} of them on this machine"
        lines.append(f"ranks {run.ranks.size}, {machine}, with up to {share} pictures of each batch")
        if cut := [layer for layer in spec if isinstance(layer, CutFc)]:
            names = ", ".join(layer.name for layer in cut)
            lines.append(f"      of {names} each has 1/{len(cut[0].shares)} of the outputs")
    if all(device.is_cuda for device in run.model.net.devices):
        refusal = run.model.net.recordings.refusal
        how = f"not recorded as a CUDA graph: {refusal}" if refusal else "a CUDA graph, once recorded"
        lines.append(f"step  {how}")
    if run.step:
        lines.append(f"resumed in epoch {run.epoch + 1}, after batch {run.batch}")
    return "\n".join(lines)


def epoch_line(record: Record, epochs: int) -> str:
    """One line for one epoch of the history."""
    parts = [f"epoch {record['epoch']:>{len(str(epochs))}}/{epochs}"]
    for name, label in (("train", "train"), ("validation", "val")):
        if score := record[name]:
            parts.append(f"{label} loss {score['loss']:.4f} error {score['top1']:.2%}")
    if score := record["validation"]:
        parts[-1] += f" (top-5 {score['topk']:.2%})"
    parts.append(f"rate {record['rate']:.2g}")
    parts.append(f"{record['images_per_second']:,.0f} images/s, stall {record['stall']:.0%}")
    return " | ".join(parts)


def best_epoch(history: list[Record]) -> Record | None:
    """The epoch with the lowest validation error; the latest of equals, as best.safetensors is."""
    records = [record for record in reversed(history) if record["validation"]]
    return min(records, key=lambda record: record["validation"]["top1"], default=None)


def not_learning(history: list[Record], classes: int) -> str | None:
    """What to try, if the loss of the first epochs stays where guessing leaves it.

    Said once, after the third epoch; `Metrics.stuck` watches long epochs.
    """
    losses = [record["train"]["loss"] for record in history]
    if len(losses) != 3 or losses[2] < 0.98 * max(math.log(classes), losses[1]):
        return None
    return remedy(losses[2], classes)


def weights_table(record: Record) -> str:
    """Mean size of each layer's weights and biases and, in brackets, of their last updates."""
    layers: dict[str, list[str]] = {}
    for name, (weight, update) in record["weights"].items():
        layers.setdefault(name.rpartition(".")[0], []).append(f"{weight:.3e} [{update:.3e}]")
    width = max(map(len, layers), default=0)
    return "\n".join(f"  {name:<{width}}  {'  '.join(sizes)}" for name, sizes in layers.items())


def write_net(folder: Path, spec: NetSpec) -> None:
    """The net's two layer files, as they were given, to be read and used again."""
    atomic.write_text(folder / "net.layers.cfg", spec.definition)
    atomic.write_text(folder / "net.params.cfg", spec.parameters)


def draw(folder: Path, history: list[Record], model: Model) -> None:
    """learning-curve.png and filters.png."""
    name = model.spec.name
    plots.learning_curve(folder / "learning-curve.png", history, name)
    if banks := first_filters(model):
        plots.filters(folder / "filters.png", banks, f"{name}: filters of layer 1")


def first_filters(model: Model) -> dict[str, np.ndarray]:
    """Layer name -> weights (channels, height, width, filters) of the convs that see the pictures.

    Of pictures without colour a filter sees the sum of its channels only, so that is returned.
    """
    *chroma, brightness = model.statistics.std_devs
    grey = max(chroma, default=0) < 1e-3 * brightness
    banks = {
        layer.name: model.net.parameters[f"{layer.name}.weights0"].value.numpy()
        for layer in model.spec
        if layer.type == "conv" and layer.inputs == [model.spec.pictures.name]
    }
    return {name: w.sum(axis=0, keepdims=True) if grey else w for name, w in banks.items()}


def progress_bar(pictures: int, what: str, done: int = 0) -> tqdm:
    """A bar on stderr that counts pictures; in a log file one line each half minute."""
    return tqdm(
        total=pictures,
        initial=done,
        desc=what,
        unit=" images",
        leave=False,
        dynamic_ncols=True,
        mininterval=0.1 if sys.stderr.isatty() else 30,
    )
