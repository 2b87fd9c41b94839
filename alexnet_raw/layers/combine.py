"""Layers that put several inputs together: `eltsum`, `eltmax`, `concat`."""

from __future__ import annotations

from math import prod

from alexnet_raw import ops
from alexnet_raw.device import Array
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, as_targets, register


class Elementwise(Layer):
    """Inputs of as many numbers each, in the shape of the first.

    Labels may be among those of outputs: 1 for the class, 0 for the others.
    """

    input_count = None
    can_accumulate = True
    takes_targets = True

    def output_shape(self, inputs: list[Shape]) -> Shape:
        maps = {n: shape for n, shape in zip(self.inputs, inputs, strict=True) if shape != ()}
        if not maps or (() in inputs and next(iter(maps.values()))[1:] != (1, 1)):
            self.check_maps(inputs)
        first, *_ = maps
        for name, shape in maps.items():
            if prod(shape) != prod(maps[first]):
                raise self.error("inputs", f"{name!r} is {shape}, but {first!r} is {maps[first]}")
        return maps[first]

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"targets": self.output_shape(inputs)[:1]} if () in inputs else {}

    def input(self, site: Site, i: int) -> Array:
        """Input i in the shape of the output."""
        inp = site.inputs[i]
        inp = inp if inp.size == site.out.size else as_targets(site, i)
        return inp.reshape(*site.out.shape)


@register("eltsum")
class EltSum(Elementwise):
    """The sum of the inputs, each times its coefficient (`coeffs`, 1 by default)."""

    takes_bf16 = True
    mixes_dtypes = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        where = keys if "coeffs" in keys else params  # cuda-convnet2 has them in the parameter file
        self.coeffs = where.numbers("coeffs", len(self.inputs), 1.0)

    def describe(self) -> str:
        return " + ".join(f"{coeff:g}" for coeff in self.coeffs)

    def forward(self, site: Site) -> None:
        for i in range(len(site.inputs)):
            ops.add(site.out, self.input(site, i), coeff=self.coeffs[i], accumulate=i > 0)

    def backward(self, site: Site) -> None:
        for wanted, coeff in zip(site.dinputs, self.coeffs, strict=True):
            if wanted:
                dout = site.dout.reshape(*wanted.array.shape)
                ops.add(wanted.array, dout, coeff=coeff, accumulate=wanted.accumulate)


@register("eltmax")
class EltMax(Elementwise):
    """The largest of the inputs; those that tie all get the gradient."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        if len(self.inputs) < 2:
            raise keys.error("inputs", "eltmax takes at least 2 inputs, not 1")

    def forward(self, site: Site) -> None:
        site.out.copy_from(self.input(site, 0))
        for i in range(1, len(site.inputs)):
            ops.eltmax_forward(site.out, self.input(site, i))

    def backward(self, site: Site) -> None:
        for wanted, inp in zip(site.dinputs, site.inputs, strict=True):
            if wanted:
                dout, out = (a.reshape(*inp.shape) for a in (site.dout, site.out))
                ops.eltmax_backward(wanted.array, dout, inp, out, accumulate=wanted.accumulate)


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
