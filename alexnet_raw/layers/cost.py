"""The cost that training lowers: log loss, with the top-1 and top-k errors."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, flat, register


@register("cost.logreg")
class LogLoss(Layer):
    """coeff * mean over the batch of -log p(label). inputs = labels, probabilities."""

    input_count = 2
    is_cost = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.coeff = params.number("coeff")
        self.topk = params.integer("topk", 1, least=1)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """Has no output; checks its two inputs."""
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
