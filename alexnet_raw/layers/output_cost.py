"""Costs of cuda-convnet's that are sums over outputs, some against targets, and of windows of maps."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, as_targets, flat, register
from alexnet_raw.layers.cost import CostLayer
from alexnet_raw.layers.neuron import NeuronLayer
from alexnet_raw.layers.softmax import Softmax

LARGEST_WINDOW = 128  # kLargestRnormSize of cuda/kernels/ops.h


class TargetCost(CostLayer):
    """A sum over outputs against targets. inputs = targets, outputs.

    The targets are a layer of as many outputs; or labels, each 1 for its class and 0 for the others;
    or, in place of labels, the (outputs, images) float32 that `Network.forward` was given.
    """

    kind: ClassVar[str]
    takes_targets = True

    def output_shape(self, inputs: list[Shape]) -> Shape:
        super().output_shape(inputs)
        targets, outputs = (prod(shape) for shape in inputs)
        if targets not in (1, outputs) or (targets == 1 and inputs[0] != () and outputs != 1):
            raise self.error("inputs", f"{self.inputs[0]!r} has {targets} outputs, not {outputs}")
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        one_hot = {"targets": (prod(inputs[1]),)} if inputs[0] == () else {}
        return {"loss": (), **one_hot}

    def forward(self, site: Site) -> None:
        targets, out = as_targets(site, 0), flat(site.inputs[1])
        ops.output_cost_forward(site.scratch["loss"], targets, out, kind=self.kind)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[1]:
            ops.output_cost_backward(
                flat(wanted.array),
                as_targets(site, 0),
                flat(site.inputs[1]),
                kind=self.kind,
                coeff=site.weighted(self.coeff),
                accumulate=wanted.accumulate,
            )


@register("cost.crossent")
class CrossEntropy(TargetCost):
    """-t log y of probabilities y: the log loss, for targets that are shared among classes."""

    kind = "crossent"

    def fuses_with(self, layer: Layer) -> bool:
        return isinstance(layer, Softmax)


@register("cost.crossent2")
class BinaryCrossEntropy(TargetCost):
    """-t log y - (1 - t) log(1 - y): each output is a yes or no of its own (logistic neurons)."""

    kind = "crossent2"

    def fuses_with(self, layer: Layer) -> bool:
        return isinstance(layer, NeuronLayer) and layer.neuron.kind == "logistic"


@register("cost.rflickr")
class RobustDistance(TargetCost):
    """log(1 + (y - t)^2): a distance that forgives far outliers, as tags of photographs have."""

    kind = "rflickr"


@register("cost.sum2")
class SumOfSquares(CostLayer):
    """The sum of y^2 over all outputs of its one input."""

    input_count = 1

    def forward(self, site: Site) -> None:
        ops.output_cost_forward(site.scratch["loss"], None, flat(site.inputs[0]), kind="sum2")

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.output_cost_backward(
                flat(wanted.array),
                None,
                flat(site.inputs[0]),
                kind="sum2",
                coeff=site.weighted(self.coeff),
                accumulate=wanted.accumulate,
            )


@register("cost.gsum2")
class GatedSumOfSquares(CostLayer):
    """g * the sum of y^2. inputs = gates, outputs: one gate g for each picture."""

    def output_shape(self, inputs: list[Shape]) -> Shape:
        super().output_shape(inputs)
        if inputs[0] == () or prod(inputs[0]) != 1:
            raise self.error("inputs", f"{self.inputs[0]!r}, the gates, must have one output")
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"loss": (), "squares": (1,)}

    def forward(self, site: Site) -> None:
        gates, out = map(flat, site.inputs)
        ops.output_cost_forward(site.scratch["loss"], gates, out, kind="gsum2")

    def backward(self, site: Site) -> None:
        gates, out = map(flat, site.inputs)
        if wanted := site.dinputs[0]:
            squares = site.scratch["squares"]
            ops.output_cost_forward(squares.reshape(site.images), None, out, kind="sum2")
            share = site.weighted(self.coeff) / site.images
            ops.add(flat(wanted.array), squares, coeff=share, accumulate=wanted.accumulate)
        if wanted := site.dinputs[1]:
            ops.output_cost_backward(
                flat(wanted.array),
                gates,
                out,
                kind="gsum2",
                coeff=site.weighted(self.coeff),
                accumulate=wanted.accumulate,
            )


@register("cost.tica")
class TopographicIca(CostLayer):
    """The sum of the lengths of all sizeX x sizeX windows of the maps, `ops.tica_forward`."""

    input_count = 1

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)
        self.size = keys.integer("sizeX", least=1)
        if self.size > LARGEST_WINDOW:
            raise keys.error("sizeX", f"is {self.size}, but at most {LARGEST_WINDOW}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_channels(self.channels, inputs)
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"loss": (), "norms": inputs[0]}

    def describe(self) -> str:
        return f"{self.size}x{self.size}, coeff {self.coeff:g}"

    def forward(self, site: Site) -> None:
        ops.tica_forward(site.scratch["loss"], site.scratch["norms"], site.inputs[0], size=self.size)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.tica_backward(
                wanted.array,
                site.inputs[0],
                site.scratch["norms"],
                size=self.size,
                coeff=site.weighted(self.coeff),
                accumulate=wanted.accumulate,
            )
