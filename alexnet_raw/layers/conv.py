"""Convolution (paper §3.5), with bias and neuron in the same pass."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Shape, Site, register
from alexnet_raw.layers.weights import WeightLayer
from alexnet_raw.neuron import IDENT


@register("conv")
class Conv(WeightLayer):
    """`filters` per group, filterSize x filterSize pixels, every `stride` pixels.

    Several inputs are summed, each with its own weights (channels/groups, size, size, filters)
    and its own sizes, which must give the same number of outputs.
    """

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        count = len(self.inputs)
        self.channels = keys.integers("channels", count, least=1)
        self.sizes = keys.integers("filterSize", count, least=1)
        self.strides = keys.integers("stride", count, 1, least=1)
        self.paddings = keys.integers("padding", count, 0, least=0)
        self.groups = keys.integers("groups", count, 1, least=1)
        self.filters = keys.integer("filters", least=1) * self.groups[0]
        if len(set(self.groups)) > 1:
            raise keys.error("groups", "all inputs need the same number of groups")
        for channels, groups in zip(self.channels, self.groups, strict=True):
            if channels % groups:
                raise keys.error("groups", f"{channels} channels cannot be cut in {groups} groups")
        for key in ("randSparse",):
            keys.only(key, "0", ",".join("0" * count))
        keys.only("filterChannels")
        keys.only("sharedBiases", "1")
        for hint in ("partialSum", "sumWidth"):  # how cuda-convnet cuts its work; we cut ours ourselves
            keys.text(hint, None)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        outputs = []
        for i, (_, *pixels) in enumerate(inputs):
            self.check_channels(self.channels[i], inputs, i)
            try:
                sizes = [
                    conv_output_size(p, self.sizes[i], self.strides[i], self.paddings[i])
                    for p in pixels
                ]
            except ValueError as e:
                raise self.error("filterSize", str(e)) from None
            outputs.append((self.filters, *sizes))
        if len(set(outputs)) > 1:
            raise self.error("inputs", f"inputs give outputs of different sizes: {outputs}")
        return outputs[0]

    def weight_shapes(self, inputs: list[Shape]) -> list[Shape]:
        return [
            (channels // groups, size, size, self.filters)
            for channels, groups, size in zip(self.channels, self.groups, self.sizes, strict=True)
        ]

    def mult_adds(self, inputs: list[Shape]) -> int:
        _, height, width = self.output_shape(inputs)
        return height * width * sum(spec.size for spec in self.parameters(inputs)[:-1])

    def describe(self) -> str:
        size, stride, padding = self.sizes[0], self.strides[0], self.paddings[0]
        groups = f" groups {self.groups[0]}" if self.groups[0] > 1 else ""
        return f"{self.filters} of {size}x{size} stride {stride} pad {padding}{groups}"

    def forward(self, site: Site) -> None:
        last = len(site.inputs) - 1
        for i, inp in enumerate(site.inputs):
            ops.conv_forward(
                site.out,
                inp,
                site.value(f"weights{i}"),
                site.value("biases") if i == last else None,
                **self._geometry(i),
                neuron=self.neuron if i == last else IDENT,
                accumulate=i > 0,
            )

    def backward(self, site: Site) -> None:
        dz = site.dout
        ops.bias_backward(site.gradient("biases"), dz, site.dout, site.out, neuron=self.neuron)
        for i, inp in enumerate(site.inputs):
            name = f"weights{i}"
            weights, dweights = site.value(name), site.gradient(name)
            accumulate = site.accumulates(name)
            ops.conv_backward_weights(dweights, inp, dz, **self._geometry(i), accumulate=accumulate)
            if wanted := site.dinputs[i]:
                ops.conv_backward_data(
                    wanted.array, dz, weights, **self._geometry(i), accumulate=wanted.accumulate
                )

    def _geometry(self, i: int) -> dict[str, int]:
        return {"stride": self.strides[i], "padding": self.paddings[i], "groups": self.groups[i]}
