"""A new net that starts from the layers of a trained one (paper, section 6.1: pre-training)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from alexnet_raw import checkpoint
from alexnet_raw.checkpoint import Checkpoint, CheckpointError
from alexnet_raw.layers import Layer
from alexnet_raw.model import Model


def start_from(model: Model, path: str | Path) -> list[str]:
    """Takes over every layer that has the name, the shapes and the connections of one in a checkpoint.

    The other layers keep the first weights that they have. Velocities stay 0: only weights and biases
    are taken. The layer that gives the classes is taken only if they are the same classes. Returns
    one line per layer that learns, for people. CheckpointError where no layer fits.
    """
    path = checkpoint.locate(path)
    saved = checkpoint.load(path)
    lines, taken = [], 0
    for layer in model.spec:
        own = {p.name: p for p in model.net.parameters.values() if p.name.startswith(f"{layer.name}.")}
        if not own:
            continue
        reason = _why_new(model, layer, saved)
        if reason is None:
            for name, parameter in own.items():
                parameter.value.copy_from(parameter.own(np.asarray(saved.tensors[name], np.float32)))
                parameter.round()
            taken += 1
        lines.append(f"{layer.name}: " + (f"new: {reason}" if reason else f"from {path}"))
    if not taken:
        raise CheckpointError(
            f"{path} has no layer with the name and shape of one in net {model.spec.name}, so there is "
            "nothing to start from. A layer file can take any: initWFunc=checkpoint.weights(FILE,LAYER)"
        )
    return lines


def _why_new(model: Model, layer: Layer, saved: Checkpoint) -> str | None:
    """Why a layer cannot be taken over; None if it can."""
    for name, parameter in model.net.parameters.items():
        if not name.startswith(f"{layer.name}."):
            continue
        if name not in saved.tensors:
            return f"the checkpoint has no {name}"
        there, here = saved.tensors[name].shape, parameter.shape
        if there != here:
            return f"its {name.removeprefix(layer.name + '.')} are {there} there, {here} here"
    if layer.name in _classifiers(model) and saved.metadata["classes"] != model.classes:
        return "the classes are others"
    if not _same_connections(layer, model.net.seed, saved.metadata["seed"]):
        return "its random connections follow from the seed, which is another one"
    return None


def _classifiers(model: Model) -> set[str]:
    """The layers whose outputs are classes: `NetSpec.with_classes` would change them."""
    spec = model.spec
    if spec.classes is None:
        return set()
    resized = {layer.name: layer for layer in spec.with_classes(spec.classes + 1)}
    return {layer.name for layer in spec if resized[layer.name] is not layer}


def _same_connections(layer: Layer, seed: int, other: int) -> bool:
    """Whether a layer with randSparse sees the same channels under both seeds."""
    there = layer.constants(other)
    return all(np.array_equal(table, there[name]) for name, table in layer.constants(seed).items())
