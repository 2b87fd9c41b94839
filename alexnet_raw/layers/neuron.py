"""An activation function as a layer of its own (paper §3.1)."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register
from alexnet_raw.neuron import Neuron


@register("neuron")
class NeuronLayer(Layer):
    """Applies `neuron` to each element."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        keys.text("neuron")
        self.neuron: Neuron = keys.parsed("neuron", Neuron.parse)

    def describe(self) -> str:
        return str(self.neuron)

    def forward(self, site: Site) -> None:
        ops.neuron_forward(site.out, site.inputs[0], neuron=self.neuron)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.neuron_backward(wanted.array, site.dout, site.out, neuron=self.neuron)
