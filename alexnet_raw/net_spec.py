"""A network as its two files describe it: layers, shapes and places, but no arrays yet."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from alexnet_raw.device import Device
from alexnet_raw.ini import LayerFileError
from alexnet_raw.layers import Layer, Shape
from alexnet_raw.layers.cost import LogLoss, MultiSoftmax
from alexnet_raw.layers.data import Data
from alexnet_raw.layers.fc import Fc
from alexnet_raw.layers.neuron import NeuronLayer
from alexnet_raw.layers.softmax import Softmax
from alexnet_raw.layers.treefc import TreeFc


@dataclass(frozen=True)
class NetSpec:
    """The layers in file order, each after its inputs. `layer_file` makes these.

    definition, parameters: the text of the two files, enough to make the same spec again.
    notes: what was changed against the files, one sentence each, to be told to the user.
    """

    name: str
    layers: tuple[Layer, ...]
    definition: str
    parameters: str
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        known = ", ".join(layer.name for layer in self.layers)
        raise KeyError(f"net {self.name} has no layer {name!r}; it has {known}")

    @property
    def pictures(self) -> Data:
        """The layer that brings the pictures."""
        return next(layer for layer in self if isinstance(layer, Data) and not layer.is_labels)

    @property
    def crop(self) -> int | None:
        """Width and height of the pictures the net was made for, if its file says so."""
        return self.pictures.crop

    @property
    def picture_size(self) -> int | None:
        """The side that pictures are prepared to, if its file says so."""
        return self.pictures.size

    @property
    def channels(self) -> int | None:
        """Channels of the pictures, if the file of a layer that reads them says so."""
        for layer in self:
            if self.pictures.name in layer.inputs and layer.channels is not None:
                i = layer.inputs.index(self.pictures.name)
                return layer.channels[i] if isinstance(layer.channels, list) else layer.channels
        return None

    @property
    def classes(self) -> int | None:
        """Outputs of the layer behind the first cost's softmax, if the net has that form."""
        for layer in self:
            if (
                layer.is_cost
                and self._reads_labels(layer)
                and isinstance(head := self._head(layer), Fc)
            ):
                return head.outputs
        return None

    def with_classes(self, classes: int) -> NetSpec:
        """The same net with `classes` outputs of the fc layers behind its costs' softmax.

        Each change is told in `notes`. LayerFileError where a cost has no such fc layer.
        """
        layers = {layer.name: layer for layer in self}
        notes = list(self.notes)
        for cost in (layer for layer in self if layer.is_cost and self._reads_labels(layer)):
            head = self._head(cost)
            if not isinstance(head, Fc):
                raise cost.error(
                    "inputs",
                    f"cannot fit the net to {classes} classes: {cost.inputs[-1]!r} is not a softmax "
                    "of one fc layer; write a layer file with that many outputs",
                )
            if layers[head.name].outputs != classes:  # other costs may read it, too
                layers[head.name] = head.resized(classes)
                notes.append(
                    f"{head.name} has {classes} outputs, the classes of the data, "
                    f"instead of the {head.outputs} of net {self.name}"
                )
        return replace(self, layers=tuple(layers.values()), notes=tuple(notes))

    @property
    def takes_targets(self) -> bool:
        """Whether labels are only read where other targets would do (costs such as crossent2)."""
        labels = {layer.name for layer in self if layer.is_labels}
        readers = [layer for layer in self if labels.intersection(layer.inputs)]
        return bool(readers) and all(layer.takes_targets for layer in readers)

    @property
    def has_tree(self) -> bool:
        """Whether it has a layer that wants, or has, a tree of classes: class_tree.py."""
        return any(isinstance(layer, TreeFc) for layer in self)

    @property
    def wants_tree(self) -> bool:
        """Whether the tree of classes is still missing: `with_tree`."""
        return any(isinstance(layer, TreeFc) and layer.parents is None for layer in self)

    def with_tree(self, parents: list[int]) -> NetSpec:
        """The same net with this tree of classes for its treefc layers, also in `definition`."""
        tree = ",".join(map(str, parents))
        definition = re.sub(r"(?im)^tree\s*[=:].*\n?", "", self.definition)
        pattern = r"(?im)^\s*type\s*[=:]\s*treefc\b.*$"
        definition = re.sub(pattern, rf"\g<0>\ntree={tree}", definition)
        layers = (lay.with_tree(parents) if isinstance(lay, TreeFc) else lay for lay in self)
        return replace(self, layers=tuple(layers), definition=definition)

    def with_crop(self, crop: int) -> NetSpec:
        """The same net for pictures of crop x crop pixels."""
        pictures = copy.copy(self.pictures)
        pictures.crop = crop
        layers = (pictures if layer is self.pictures else layer for layer in self)
        return replace(self, layers=tuple(layers))

    def input_shape(self, given: Shape | None = None) -> Shape:
        """(channels, height, width) of the pictures: as given, or as the files say."""
        if given is not None:
            return given
        if self.crop is None or self.channels is None:
            raise self.pictures.error(
                "crop", "the file does not tell the size of the pictures: give input_shape"
            )
        return (self.channels, self.crop, self.crop)

    def shapes(self, input_shape: Shape | None = None) -> dict[str, Shape]:
        """Output shape of each layer for one picture; LayerFileError where layers do not fit."""
        shapes: dict[str, Shape] = {}
        for layer in self:
            if isinstance(layer, Data):
                shapes[layer.name] = () if layer.is_labels else self.input_shape(input_shape)
            else:
                shapes[layer.name] = layer.output_shape([shapes[name] for name in layer.inputs])
        return shapes

    def behind_fc(self) -> set[str]:
        """The fully-connected layers, and all that come behind one."""
        behind: set[str] = set()
        for layer in self:
            if isinstance(layer, Fc) or behind.intersection(layer.inputs):
                behind.add(layer.name)
        return behind

    def places(self) -> dict[str, int]:
        """The gpu number of each layer: its own, or that of its first input that is not data."""
        places: dict[str, int] = {}
        data = {layer.name for layer in self if isinstance(layer, Data)}
        for layer in self:
            sources = [name for name in layer.inputs if name not in data] or layer.inputs
            inherited = places[sources[0]] if sources else 0
            places[layer.name] = inherited if layer.gpu is None else layer.gpu
        return places

    def wants_gradient(self, pictures: bool = False) -> set[str]:
        """Layers whose output needs a gradient: they learn, or something before them does.

        pictures: the pictures themselves need one, too, if all layers pass it.
        """
        wanted = set()
        if pictures and all(layer.passes_gradient for layer in self):
            wanted.add(self.pictures.name)
        for layer in self:
            if layer.learns or wanted.intersection(layer.inputs):
                wanted.add(layer.name)
        return wanted

    @property
    def outlet(self) -> str | None:
        """The layer that says what the net thinks: the first softmax, or that before the main cost."""
        for layer in self:
            if isinstance(layer, Softmax):
                return layer.name
        layer = self[self.main_cost] if self.main_cost else None
        while layer is not None and (layer.is_cost or self._reads_labels(layer)):
            inputs = [self[name] for name in layer.inputs]
            layer = next(inp for inp in reversed(inputs) if not isinstance(inp, Data))
        return layer and layer.name

    @property
    def main_cost(self) -> str:
        """The name of the first cost that counts errors, or of the first; "" without costs."""
        costs = [layer.name for layer in self if isinstance(layer, (LogLoss, MultiSoftmax))]
        return (costs + [layer.name for layer in self if layer.is_cost] + [""])[0]

    def fused_costs(self) -> dict[str, Layer]:
        """Layers -> the cost above them, where the gradient of both is one op (`CostLayer.fuses_with`).

        That cost must be all that reads the layer, and the layer all that reads its input.
        """
        fused = {}
        for layer in self:
            readers = self.readers(layer.name)
            fuses = len(readers) == 1 and readers[0].is_cost and readers[0].fuses_with(layer)
            if fuses and (isinstance(layer, Softmax) or len(self.readers(layer.inputs[0])) == 1):
                fused[layer.name] = readers[0]
        return fused

    def fused(self, devices: Mapping[str, Device]) -> NetSpec:
        """The net as it runs: a layer that `fused_with` all that it reads is one layer with it.

        That has the name and the outputs of the upper one and the inputs of the lower one, which must
        have no other reader, and the same gpu=. devices: where each layer is placed.
        """
        gpus, layers = self.places(), {layer.name: layer for layer in self}
        for layer in self:
            if len(layer.inputs) != 1:
                continue
            below = self[layer.inputs[0]]
            if self.readers(below.name) != [layer] or gpus[below.name] != gpus[layer.name]:
                continue
            if both := layer.fused_with(below, devices[layer.name]):
                both.gpu = gpus[layer.name]
                layers[layer.name] = both
                del layers[below.name]
        return replace(self, layers=tuple(layers.values()))

    def with_fc_last(self) -> NetSpec:
        """The net in another order: first what is not `behind_fc`."""
        behind = self.behind_fc()
        return replace(self, layers=tuple(sorted(self, key=lambda layer: layer.name in behind)))

    def without_labels(self) -> set[str]:
        """The layers that have nothing to do in a pass without labels: costs, and what needs them."""
        idle = {layer.name for layer in self if layer.is_labels}
        for layer in self:
            if layer.is_cost or idle.intersection(layer.inputs):
                idle.add(layer.name)
        return idle

    def _reads_labels(self, layer: Layer) -> bool:
        inputs = [self[name] for name in layer.inputs]
        return any(inp.is_labels for inp in inputs)

    def readers(self, name: str) -> list[Layer]:
        """The layers that read layer `name`, each as often as it does."""
        return [layer for layer in self for inp in layer.inputs if inp == name]

    def _head(self, cost: Layer) -> Layer | None:
        """The layer that feeds the softmax or neuron that `cost` judges."""
        judged = self[cost.inputs[-1]]
        return self[judged.inputs[0]] if isinstance(judged, (Softmax, NeuronLayer)) else judged


def check_gradients(layers: list[Layer]) -> None:
    """Before a layer through which no gradient passes, nothing may learn."""
    learners: dict[str, str] = {}  # a layer -> one that learns, itself or before it
    for layer in layers:
        before = next((learners[name] for name in layer.inputs if name in learners), None)
        if before and not layer.passes_gradient:
            raise layer.error(
                "inputs",
                f"no gradient passes through {layer.type}, so that {before!r} would not learn: "
                f"let it work on the pictures, before {before!r}",
            )
        if learner := layer.name if layer.learns else before:
            learners[layer.name] = learner


def unread(layers: list[Layer]) -> list[str]:
    """Notes on layers that none reads though there are costs: a slip of the pen, as a rule."""
    read = {name for layer in layers for name in layer.inputs}
    return [
        f"{layer.keys.file} [{layer.name}]: no layer reads it"
        for layer in layers
        if not (layer.is_cost or isinstance(layer, Data) or layer.name in read)
        and any(other.is_cost for other in layers)
    ]


def check_links(layers: list[Layer]) -> None:
    """Each input must be an earlier layer, and pictures must come in."""
    names = [layer.name for layer in layers]
    for i, layer in enumerate(layers):
        for name in layer.inputs:
            if name not in names:
                raise layer.error("inputs", f"there is no layer {name!r}; known: {', '.join(names)}")
            if name not in names[:i]:
                raise layer.error("inputs", f"{name!r} comes later; move [{name}] before this one")
        if isinstance(layer, LogLoss):
            judged = layers[names.index(layer.inputs[-1])]
            if not isinstance(judged, (Softmax, Data)):
                raise layer.error("inputs", f"{judged.name!r} is not a softmax layer, but must be one")
    for labels, what in ((False, "pictures"), (True, "labels")):
        data = [lay for lay in layers if isinstance(lay, Data) and lay.is_labels == labels]
        if len(data) > 1:
            raise data[1].error("dataIdx", f"{data[0].name!r} already brings the {what}")
        if not data and not labels:
            raise LayerFileError(
                f"{layers[0].keys.file}: no layer brings the pictures; add one with type=data dataIdx=0"
            )
