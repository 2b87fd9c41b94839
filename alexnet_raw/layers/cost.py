"""Costs, which training lowers: the paper's log loss, and the others of cuda-convnet."""

from __future__ import annotations

from math import prod
from typing import ClassVar

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import (
    Layer,
    Shape,
    Site,
    as_targets,
    flat,
    less_targets,
    register,
)
from alexnet_raw.layers.neuron import NeuronLayer
from alexnet_raw.layers.softmax import Softmax

LARGEST_SET = 32  # kLargestSet of cuda/kernels/ops.h
LARGEST_WINDOW = 128  # kLargestRnormSize there


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
                coeff=self.coeff,
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


@register("cost.msm")
class MultiSoftmax(CostLayer):
    """-log p(label is in the set): the net names a set of `setSize` classes. inputs = labels, energies.

    A set is as probable as the exp of the sum of its classes' energies, the inputs, says; those of a
    softmax are not wanted here. Its errors are that the label is not among the first of the energies,
    nor the first setSize. cuda-convnet's `threads` is read, and not needed.
    """

    can_accumulate = False

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.size = params.integer("setSize", least=1)
        params.integer("threads", None)
        if self.size > LARGEST_SET:
            raise params.error("setSize", f"is {self.size}, but at most {LARGEST_SET}")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        super().output_shape(inputs)
        if inputs[0] != ():
            raise self.error("inputs", f"{self.inputs[0]!r} are no labels")
        if (classes := prod(inputs[1])) <= self.size:
            raise self.error(
                "setSize", f"is {self.size}, but must be below the {classes} of {self.inputs[1]!r}"
            )
        return ()

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        classes = prod(inputs[1])
        costs = dict.fromkeys(("loss", "top1", "topk", "unused"), ())
        arrays = dict.fromkeys(("probs", "given"), (classes,))
        return {**costs, **arrays, "lattice": (classes, self.size)}

    def describe(self) -> str:
        return f"sets of {self.size}, coeff {self.coeff:g}"

    def marginals(self, site: Site, energies: Array) -> Array:
        """How probable each class is to be in the set, (classes, images)."""
        probs, lattice = site.scratch["probs"], site.scratch["lattice"]
        ops.multi_softmax(probs, lattice, flat(energies), size=self.size)
        return probs

    def forward(self, site: Site) -> None:
        labels, energies, scratch = site.inputs[0], flat(site.inputs[1]), site.scratch
        self.marginals(site, energies)
        errors = [scratch["top1"], scratch["topk"]]
        ops.logloss_forward(scratch["loss"], *errors, scratch["probs"], labels, k=self.size)
        # Several classes may be as good as certain: their order shows in the energies.
        ops.logloss_forward(scratch["unused"], *errors, energies, labels, k=self.size)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[1]:
            probs, given, lattice = (site.scratch[name] for name in ("probs", "given", "lattice"))
            energies = flat(site.inputs[1])
            ops.multi_softmax(given, lattice, energies, site.inputs[0], size=self.size)
            less_targets(flat(wanted.array), probs, given, self.coeff)


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
                coeff=self.coeff,
                accumulate=wanted.accumulate,
            )


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
