"""What a layer of a trained net says of pictures."""

from __future__ import annotations

import re

import numpy as np

from alexnet_raw import data
from alexnet_raw.model import Model
from alexnet_raw.net_spec import NetSpec


class Subset:
    """Some pictures of a source, in a given order; itself a Source, of labels only."""

    targets = None

    def __init__(self, source: data.Source, indices: np.ndarray):
        self._source, self._indices = source, np.asarray(indices)

    def __getattr__(self, name: str):
        return getattr(self._source, name)

    def __len__(self) -> int:
        return len(self._indices)

    def load(self, indices: np.ndarray, out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        return self._source.load(self._indices[indices], out)

    def name(self, index: int) -> str:
        return self._source.name(int(self._indices[index]))


def find_layers(spec: NetSpec, wish: str | None = None) -> list[str]:
    """The layers that a name means, in file order.

    "fc7" is the layer of that name, or else the towers of it: fc7a, fc7b. A comma list names
    several. None: the last hidden layer, which the last fc layer reads (dropout, which only halves
    at test time, is passed over).
    """
    if wish is None:
        return _last_hidden(spec)
    names = [layer.name for layer in spec if layer.type != "data" and not layer.is_cost]
    chosen = []
    for part in wish.split(","):
        part = part.strip()
        towers = [name for name in names if re.fullmatch(rf"{re.escape(part)}[a-z]", name)]
        if part not in names and not towers:
            raise ValueError(f"net {spec.name} has no layer {part!r}; it has {', '.join(names)}")
        chosen += [part] if part in names else towers
    return chosen


def _last_hidden(spec: NetSpec) -> list[str]:
    classifiers = [layer for layer in spec if layer.type == "fc"]
    if not classifiers:
        raise ValueError(f"net {spec.name} has no fc layer; name a layer")
    names = []
    for name in classifiers[-1].inputs:
        while spec[name].type in ("hs", "dropout", "dropout2"):
            name = spec[name].inputs[0]
        names.append(name)
    return sorted(names, key=[layer.name for layer in spec].index)


def width(model: Model, layers: list[str]) -> int:
    """The number of features of a picture."""
    return sum(int(np.prod(model.net.shapes[name])) for name in layers)


def of_batch(model: Model, batch: data.Batch, layers: list[str]) -> np.ndarray:
    """(pictures, features) float32, the layers side by side."""
    images, _ = model.upload(batch)
    model.net.forward(images, None, train=False)
    outputs = [model.net.activations(name).reshape(len(batch), -1) for name in layers]
    return np.concatenate(outputs, axis=1)


class Nearest:
    """The nearest of many pictures to a few queries, in Euclidean distance, batch by batch.

    Attributes:
        indices, distances: (queries, count), the nearest first; fewer columns until enough were seen.
    """

    def __init__(self, queries: np.ndarray, count: int):
        """queries (queries, features) float32."""
        self._queries, self._count = queries, count
        self.indices = np.zeros((len(queries), 0), np.int64)
        self.distances = np.zeros((len(queries), 0))

    def add(self, indices: np.ndarray, rows: np.ndarray, but: np.ndarray | None = None) -> None:
        """rows (n, features) float32 of the pictures ``indices`` (n,).

        but (queries,): an index that is not to be found for each query, as that of itself.
        """
        # |q - x| and not |q|^2 - 2 q x + |x|^2, whose digits cancel for pictures that are near.
        distances = np.stack([np.linalg.norm(rows - query, axis=1) for query in self._queries])
        if but is not None:
            distances[indices[None] == but[:, None]] = np.inf
        indices = np.broadcast_to(indices, distances.shape)
        indices = np.concatenate([self.indices, indices], axis=1)
        distances = np.concatenate([self.distances, distances], axis=1)
        order = np.argsort(distances, axis=1, kind="stable")[:, : self._count]
        self.indices = np.take_along_axis(indices, order, axis=1)
        self.distances = np.take_along_axis(distances, order, axis=1)
