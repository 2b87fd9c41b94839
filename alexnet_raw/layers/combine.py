"""Layers that put several inputs together: `eltsum`, `eltmax`, `concat`."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register


class Elementwise(Layer):
    """Inputs of one shape."""

    input_count = None
    can_accumulate = True

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_maps(inputs)
        for name, shape in zip(self.inputs, inputs, strict=True):
            if shape != inputs[0]:
                raise self.error(
                    "inputs", f"{name!r} is {shape}, but {self.inputs[0]!r} is {inputs[0]}"
                )
        return inputs[0]


@register("eltsum")
class EltSum(Elementwise):
    """The sum of the inputs, each times its coefficient (`coeffs`, 1 by default)."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        where = keys if "coeffs" in keys else params  # cuda-convnet2 has them in the parameter file
        self.coeffs = where.numbers("coeffs", len(self.inputs), 1.0)

    def describe(self) -> str:
        return " + ".join(f"{coeff:g}" for coeff in self.coeffs)

    def forward(self, site: Site) -> None:
        for i, inp in enumerate(site.inputs):
            ops.add(site.out, inp, coeff=self.coeffs[i], accumulate=i > 0)

    def backward(self, site: Site) -> None:
        for wanted, coeff in zip(site.dinputs, self.coeffs, strict=True):
            if wanted:
                ops.add(wanted.array, site.dout, coeff=coeff, accumulate=wanted.accumulate)


@register("eltmax")
class EltMax(Elementwise):
    """The largest of the inputs; those that tie all get the gradient."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        if len(self.inputs) < 2:
            raise keys.error("inputs", "eltmax takes at least 2 inputs, not 1")

    def forward(self, site: Site) -> None:
        site.out.copy_from(site.inputs[0])
        for inp in site.inputs[1:]:
            ops.eltmax_forward(site.out, inp)

    def backward(self, site: Site) -> None:
        for wanted, inp in zip(site.dinputs, site.inputs, strict=True):
            if wanted:
                ops.eltmax_backward(
                    wanted.array, site.dout, inp, site.out, accumulate=wanted.accumulate
                )


@register("concat")
@register("pass")
class Concat(Layer):
    """The inputs one behind the other, along the channels; maps of different sizes are flattened."""

    input_count = None
    can_accumulate = True

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_maps(inputs)
        if len({shape[1:] for shape in inputs}) == 1:
            return (sum(shape[0] for shape in inputs), *inputs[0][1:])
        return (sum(c * h * w for c, h, w in inputs), 1, 1)

    def forward(self, site: Site) -> None:
        for part, inp in zip(_parts(site.out, site.inputs), site.inputs, strict=True):
            part.copy_from(inp)

    def backward(self, site: Site) -> None:
        for part, wanted in zip(_parts(site.dout, site.inputs), site.dinputs, strict=True):
            if wanted:
                ops.add(wanted.array, part, accumulate=wanted.accumulate)


def _parts(whole: Array, inputs: list[Array]) -> list[Array]:
    """The stretches of `whole` that belong to the inputs, in their shapes."""
    parts, begin, flat = [], 0, whole.data.reshape(-1)
    for inp in inputs:
        parts.append(Array(flat[begin : begin + inp.size].reshape(inp.shape), whole.device))
        begin += inp.size
    return parts
