"""What a net may want of a data set besides labelled pictures: a tree of its classes, targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from alexnet_raw import class_tree, data
from alexnet_raw.net_spec import NetSpec

LABELS_ARE_TARGETS = (
    "its targets are the labels: 1 for the class, 0 for the others; for targets of their own the data "
    "set must have targets-train.npy (and -val), numbers (pictures, outputs), in its folder"
)


def plant(spec: NetSpec, folder: str | None, classes: list[str] | None = None) -> NetSpec:
    """The net with the tree of classes that it wants, if it does, from the data set in `folder`.

    classes: in the order of their labels, by default sorted. ValueError where the tree is missing.
    """
    tree = Path(folder or "") / class_tree.FILE_NAME
    if spec.has_tree and folder is not None and tree.exists():
        return spec.with_tree(class_tree.parents(class_tree.load(tree), classes))
    if spec.wants_tree:
        raise ValueError(f"net {spec.name}: {class_tree.MISSING}")
    return spec


def fit(spec: NetSpec, folder: str | None, source: data.Source) -> NetSpec:
    """The net with what it wants of the data set in `folder`; ValueError where that is missing."""
    spec = plant(spec, folder, source.classes)
    if spec.takes_targets and getattr(source, "targets", None) is None:
        spec = replace(spec, notes=(*spec.notes, LABELS_ARE_TARGETS))
    return spec
