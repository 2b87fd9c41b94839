"""Softmax over all activations of a picture: the probabilities of the classes."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.layers.base import Layer, Site, flat, less_targets, register


@register("softmax")
class Softmax(Layer):
    """exp(x) / sum of exp(x).

    When its only reader is a cross-entropy, the gradient of both together is the simple
    (probabilities - targets), computed here.
    """

    def forward(self, site: Site) -> None:
        ops.softmax_forward(flat(site.out), flat(site.inputs[0]))

    def backward(self, site: Site) -> None:
        if not (wanted := site.dinputs[0]):
            return
        dinp, probs = flat(wanted.array), flat(site.out)
        if site.fused_cost:
            less_targets(dinp, probs, *site.fused_cost)
        else:
            ops.softmax_backward(dinp, flat(site.dout), probs)
