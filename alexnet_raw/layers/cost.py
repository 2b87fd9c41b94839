"""Costs, which training lowers: the paper's log loss, and that of sets of classes."""

from __future__ import annotations

from math import prod

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, flat, less_targets, register
from alexnet_raw.layers.softmax import Softmax

LARGEST_SET = 32  # kLargestSet of cuda/kernels/ops.h


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
            coeff = site.weighted(self.coeff)
            ops.logloss_backward(flat(wanted.array), probs, labels, coeff=coeff)


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
        return {**costs, "probs": (classes,), "lattice": (classes, self.size)}

    def backward_scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"given": (prod(inputs[1]),)}

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
            less_targets(flat(wanted.array), probs, given, site.weighted(self.coeff))
