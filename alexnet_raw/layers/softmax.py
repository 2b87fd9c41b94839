"""Softmax over all activations of a picture: the probabilities of the classes."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.layers.base import Layer, Site, flat, register


@register("softmax")
class Softmax(Layer):
    """exp(x) / sum of exp(x).

    When its only reader is a log loss, the gradient of both together is the simple
    (probabilities - labels), computed here.
    """

    def forward(self, site: Site) -> None:
        ops.softmax_forward(flat(site.out), flat(site.inputs[0]))

    def backward(self, site: Site) -> None:
        if not (wanted := site.dinputs[0]):
            return
        dinp, probs = flat(wanted.array), flat(site.out)
        if site.fused_cost:
            labels, coeff = site.fused_cost
            ops.softmax_logloss_backward(dinp, probs, labels, coeff=coeff)
        else:
            ops.softmax_backward(dinp, flat(site.dout), probs)
