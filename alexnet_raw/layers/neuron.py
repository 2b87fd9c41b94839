"""An activation function as a layer of its own (paper §3.1)."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, flat, less_targets, register
from alexnet_raw.neuron import IDENT, KINDS, RELU


@register("neuron")
class NeuronLayer(Layer):
    """Applies `neuron` to each element; nrelu draws noise in training and is a relu in testing.

    Where a logistic neuron's only reader is a binary cross-entropy, and it is its input's only reader,
    the gradient of both together is the simple (outputs - targets), computed here.
    """

    can_accumulate = True
    fuses = tuple(KINDS)

    def __init__(self, keys: Keys, params: Keys):
        keys.text("neuron")  # required here
        super().__init__(keys, params)
        self.is_noisy = self.neuron.kind == "nrelu"
        self.takes_bf16 = not self.is_noisy
        self.function = RELU if self.is_noisy else self.neuron

    def describe(self) -> str:
        return str(self.neuron)

    def forward(self, site: Site) -> None:
        if self.is_noisy and site.train:
            ops.noisy_relu(site.out, site.inputs[0], **site.draws)
        else:
            ops.neuron_forward(site.out, site.inputs[0], neuron=self.function)

    def backward(self, site: Site) -> None:
        wanted = site.dinputs[0]
        if wanted and site.fused_cost:
            less_targets(flat(wanted.array), flat(site.out), *site.fused_cost)
        elif wanted:
            ops.neuron_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                site.out,
                neuron=self.function,
                accumulate=wanted.accumulate,
            )


def detached(layer: Layer, name: str) -> NeuronLayer:
    """Takes a neuron that `layer` does not apply itself out of it, into a layer called `name`."""
    keys = Keys(
        layer.keys.file, name, {"type": "neuron", "inputs": layer.name, "neuron": str(layer.neuron)}
    )
    layer.neuron = IDENT
    neuron = NeuronLayer(keys, Keys(layer.keys.file, name, None))
    neuron.half_forward, neuron.half_backward = layer.half_forward, layer.half_backward
    return neuron
