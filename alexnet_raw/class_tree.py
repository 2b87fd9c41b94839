"""Trees of classes, which a data set supplies for nets with a `treefc` layer.

A data set's tree is the file `tree.json` in its folder, a JSON object of names, child -> parent:

    {"tabby": "cat", "siamese": "cat", "beagle": "dog", "cat": "animal", "dog": "animal"}

Names that are nobody's parent are the classes, called as the data set calls them; there is one root,
the name that has no parent. The 2012 data sets had it in their batches.meta, as a list of children for
each label (`tree`) and the label of the root (layer.py of the release).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

FILE_NAME = "tree.json"
MISSING = (
    f"a treefc layer needs the data set's tree of classes: a file {FILE_NAME} in its folder (for show "
    'and check-grads: --class-tree FILE), with a JSON object {"child": "parent", ...} of all classes, '
    "by their names, and of the nodes above them"
)


def load(path: str | Path) -> dict[str, str]:
    """A tree's file, child -> parent. ValueError names the file."""
    try:
        tree = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot read the class tree: {error}") from None
    if not isinstance(tree, dict) or not all(isinstance(parent, str) for parent in tree.values()):
        raise ValueError(f'{path}: a class tree is a JSON object {{"child": "parent", ...}} of names')
    return tree


def parents(tree: dict[str, str], classes: Sequence[str] | None = None) -> list[int]:
    """The parent of each node: the classes in the order of their labels, then the others; root -1.

    classes: the data set's, by default all leaves sorted by name, as class folders are. ValueError
    where they are not the leaves of the tree, or it is not a tree.
    """
    inner = sorted(set(tree.values()))
    leaves = sorted(set(tree) - set(inner))
    classes = leaves if classes is None else list(classes)
    for name in classes:
        if name not in tree or name in inner:
            why = "has classes below it" if name in inner else "is not in it"
            raise ValueError(f"the class tree does not fit: class {name!r} {why}")
    if extra := sorted(set(leaves) - set(classes)):
        raise ValueError(f"the class tree does not fit: the data set has no class {extra[0]!r}")
    number = {name: i for i, name in enumerate([*classes, *inner])}
    result = [number[tree[name]] if name in tree else -1 for name in number]
    try:
        class_count(result)
    except ValueError as error:
        raise ValueError(f"the class tree does not fit: {error}") from None
    return result


def parse_parents(text: str) -> list[int]:
    """The key `tree` of a layer file: what `parents` gives, as a comma list. May raise ValueError."""
    result = [int(parent) for parent in text.split(",")]
    class_count(result)
    return result


def class_count(parents: list[int]) -> int:
    """How many nodes are classes. ValueError if it is not a tree with the classes in front."""
    nodes, inner = len(parents), {parent for parent in parents if parent >= 0}
    if parents.count(-1) != 1 or not all(-1 <= parent < nodes for parent in parents):
        raise ValueError("a tree has one root, and every other node has a parent")
    if not inner or inner != set(range(min(inner), nodes)):
        raise ValueError("the nodes without children, the classes, come first")
    for node in range(nodes):
        seen = set()
        while node >= 0:
            if node in seen:
                raise ValueError("a node is above itself")
            seen.add(node)
            node = parents[node]
    return min(inner)


def paths(parents: list[int]) -> np.ndarray:
    """(inner nodes, classes) float32: 1 where the node is above the class."""
    classes = class_count(parents)
    above = np.zeros((len(parents) - classes, classes), np.float32)
    for label in range(classes):
        node = parents[label]
        while node >= 0:
            above[node - classes, label] = 1
            node = parents[node]
    return above
