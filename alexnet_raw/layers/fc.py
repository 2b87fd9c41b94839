"""Fully-connected layer (paper §3.5), with bias and neuron in the same pass."""

from __future__ import annotations

import copy

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Gradient, Shape, Site, flat, register
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

    def rows(self, maps: Array) -> Array:
        """(outputs, images), of the layer's maps those outputs that are computed here: all."""
        return flat(maps)

    def forward(self, site: Site) -> None:
        order = site.own_first()
        for i in order:
            ops.fc_forward(
                self.rows(site.out),
                flat(site.input(i)),
                site.operand(f"weights{i}"),
                site.value("biases") if i == order[-1] else None,
                neuron=self.neuron if i == order[-1] else IDENT,
                accumulate=i != order[0],
            )

    def backward(self, site: Site) -> None:
        dz, dout, out = (self.rows(maps) for maps in (site.dz or site.dout, site.dout, site.out))
        shared, dbiases = site.accumulates("biases"), site.gradient("biases")
        ops.bias_backward(dbiases, dz, dout, out, neuron=self.neuron, accumulate=shared)
        self.backward_inputs(site)

    def backward_weights(self, site: Site, i: int) -> None:
        name, dz = f"weights{i}", self.rows(site.dz or site.dout)
        shared = site.accumulates(name)
        ops.fc_backward_weights(site.gradient(name), flat(site.inputs[i]), dz, accumulate=shared)

    def backward_data(self, site: Site, i: int, wanted: Gradient) -> None:
        dinp, dz = flat(wanted.array), self.rows(site.dz or site.dout)
        ops.fc_backward_data(dinp, dz, site.operand(f"weights{i}"), accumulate=wanted.accumulate)
