"""Locally connected layer: a convolution whose filters differ from pixel to pixel."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Shape, Site, register
from alexnet_raw.layers.filters import FilterLayer


@register("local")
class Local(FilterLayer):
    """A bank of filters for each output pixel, nothing shared.

    Weights (height * width, channels seen, size, size, filters) for each input, biases (filters,
    height, width).
    """

    forward_op = staticmethod(ops.local_forward)
    backward_data_op = staticmethod(ops.local_backward_data)
    backward_weights_op = staticmethod(ops.local_backward_weights)

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        keys.only("sharedBiases", "0")

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        _, height, width = self.output_shape(inputs)
        return [(height * width, *bank) for bank in super().weight_shapes(inputs)]

    def bias_shape(self, inputs: list[Shape]) -> Shape:
        return self.output_shape(inputs)

    def mult_adds(self, inputs: list[Shape]) -> int:
        return sum(spec.size for spec in self.parameters(inputs)[:-1])

    def forward(self, site: Site) -> None:
        self.forward_with(site, site.value("biases"), self.neuron)
