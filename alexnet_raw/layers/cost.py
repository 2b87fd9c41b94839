"""Costs, which training lowers: the paper's log loss, and the others of cuda-convnet."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, flat, register
from alexnet_raw.layers.neuron import NeuronLayer
from alexnet_raw.layers.softmax import Softmax


class CostLayer(Layer):
    """coeff * the mean of a loss over the batch. The last input is what it judges."""

    input_count = 2
    is_cost = True
    can_accumulate = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.coeff = params.number("coeff")

    def fuses_with(self, layer: Layer) -> bool:
        """Whether the gradient through this cost and `layer` below is coeff * (outputs - targets) / N.

        `layer` then computes it, without the division by a small probability that two steps make.
        """
        return False

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """Has no output; checks its inputs."""
        if inputs[-1] == ():
            raise self.error(
                "inputs", f"the last must be what the cost judges, not labels: {self.inputs}"
            )
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"loss": ()}

    def describe(self) -> str:
        return f"coeff {self.coeff:g}"


@register("cost.logreg")
class LogLoss(CostLayer):
    """-log p(label), and the top-1 and top-k errors. inputs = labels, probabilities."""

    can_accumulate = False

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.topk = params.integer("topk", 1, least=1)

    def fuses_with(self, layer: Layer) -> bool:
        return isinstance(layer, Softmax)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        labels, probs = self.inputs
        if inputs[0] != () or inputs[1] == ():
            raise self.error("inputs", f"write labels first, then probabilities: {probs},{labels}?")
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"loss": (), "top1": (), "topk": ()}

    def describe(self) -> str:
        return f"top-{self.topk} error, coeff {self.coeff:g}"

    def forward(self, site: Site) -> None:
        labels, probs = site.inputs[0], flat(site.inputs[1])
        loss, top1, topk = (site.scratch[name] for name in ("loss", "top1", "topk"))
        k = min(self.topk, probs.shape[0])
        ops.logloss_forward(loss, top1, topk, probs, labels, k=k)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[1]:
            labels, probs = site.inputs[0], flat(site.inputs[1])
            ops.logloss_backward(flat(wanted.array), probs, labels, coeff=self.coeff)


class TargetCost(CostLayer):
    """A sum over outputs against targets. inputs = targets, outputs.

    The targets are a layer of as many outputs; or labels, each 1 for its class and 0 for the others;
    or, in place of labels, the (outputs, images) float32 that `Network.forward` was given.
    """

    kind: ClassVar[str]

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
        out = flat(site.inputs[1])
        if site.inputs[0].dtype == "int32":
            ops.one_hot(site.scratch["targets"], site.inputs[0])
        ops.output_cost_forward(site.scratch["loss"], self._targets(site), out, kind=self.kind)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[1]:
            ops.output_cost_backward(
                flat(wanted.array),
                self._targets(site),
                flat(site.inputs[1]),
                kind=self.kind,
                coeff=self.coeff,
                accumulate=wanted.accumulate,
            )

    def _targets(self, site: Site) -> Array:
        labels = site.inputs[0]
        return site.scratch["targets"] if labels.dtype == "int32" else flat(labels)


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
                coeff=self.coeff,
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
            share = self.coeff / site.images
            ops.add(flat(wanted.array), squares, coeff=share, accumulate=wanted.accumulate)
        if wanted := site.dinputs[1]:
            ops.output_cost_backward(
                flat(wanted.array),
                gates,
                out,
                kind="gsum2",
                coeff=self.coeff,
                accumulate=wanted.accumulate,
            )
