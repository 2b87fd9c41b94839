"""Fully-connected layer (paper §3.5), with bias and neuron in the same pass."""

from __future__ import annotations

import copy

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Shape, Site, flat, register
from alexnet_raw.layers.weights import WeightLayer
from alexnet_raw.neuron import IDENT


@register("fc")
class Fc(WeightLayer):
    """`outputs` sums over all activations of all inputs; weights (features, outputs) each."""

    takes_bf16 = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.outputs = self.read_outputs(keys)

    def read_outputs(self, keys: Keys) -> int | None:
        return keys.integer("outputs", least=1)

    def resized(self, outputs: int) -> Fc:
        """The same layer with another number of outputs."""
        layer = copy.copy(self)
        layer.outputs = outputs
        return layer

    def bias_matrix(self, size: int) -> tuple[int, int]:
        return (1, size)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_maps(inputs)
        return (self.outputs, 1, 1)

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        return [(channels * height * width, self.outputs) for channels, height, width in inputs]

    def mult_adds(self, inputs: list[Shape]) -> int:
        return sum(features * outputs for features, outputs in self.weight_shapes(inputs))

    def describe(self) -> str:
        return f"{self.outputs} outputs"

    def forward(self, site: Site) -> None:
        last = len(site.inputs) - 1
        for i, inp in enumerate(site.inputs):
            ops.fc_forward(
                flat(site.out),
                flat(inp),
                site.operand(f"weights{i}"),
                site.value("biases") if i == last else None,
                neuron=self.neuron if i == last else IDENT,
                accumulate=i > 0,
            )

    def backward(self, site: Site) -> None:
        dz, dout, out = flat(site.dz or site.dout), flat(site.dout), flat(site.out)
        ops.bias_backward(site.gradient("biases"), dz, dout, out, neuron=self.neuron)
        for i, inp in enumerate(site.inputs):
            name = f"weights{i}"
            ops.fc_backward_weights(
                site.gradient(name), flat(inp), dz, accumulate=site.accumulates(name)
            )
            if wanted := site.dinputs[i]:
                ops.fc_backward_data(
                    flat(wanted.array), dz, site.operand(f"weights{i}"), accumulate=wanted.accumulate
                )
