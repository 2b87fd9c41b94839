"""Convolution (paper §3.5), with bias and neuron in the same pass."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Shape, Site, register
from alexnet_raw.layers.filters import FilterLayer
from alexnet_raw.neuron import IDENT


@register("conv")
class Conv(FilterLayer):
    """Filters that all pixels share; weights (channels seen, size, size, filters) for each input.

    Biases are shared too, (filters,), or with `sharedBiases=0` each pixel has its own,
    (filters, height, width), which are added in a pass of their own.
    """

    forward_op = staticmethod(ops.conv_forward)
    backward_data_op = staticmethod(ops.conv_backward_data)
    backward_weights_op = staticmethod(ops.conv_backward_weights)

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.takes_bf16 = not any(self.random)
        self.shares_biases = keys.flag("sharedBiases", True)
        for hint in ("partialSum", "sumWidth"):  # how cuda-convnet cuts its work; we cut ours ourselves
            keys.text(hint, None)

    def bias_shape(self, inputs: list[Shape]) -> Shape:
        return (self.filters,) if self.shares_biases else self.output_shape(inputs)

    def mult_adds(self, inputs: list[Shape]) -> int:
        _, height, width = self.output_shape(inputs)
        return height * width * sum(spec.size for spec in self.parameters(inputs)[:-1])

    def describe(self) -> str:
        return super().describe() + ("" if self.shares_biases else ", a bias per pixel")

    def forward(self, site: Site) -> None:
        if self.shares_biases:
            self.forward_with(site, site.value("biases"), self.neuron)
        else:
            self.forward_with(site, None, IDENT)
            ops.bias_forward(site.out, site.value("biases"), neuron=self.neuron)
