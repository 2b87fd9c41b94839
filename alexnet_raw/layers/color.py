"""Colour spaces, on pictures only: no gradient passes."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register


class ColorLayer(Layer):
    """From red, green and blue to another three channels."""

    passes_gradient = False
    channels = 3

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_maps(inputs)
        if inputs[0][0] != 3:
            raise self.error(
                "inputs", f"{self.inputs[0]!r} has {inputs[0][0]} channels, not red, green and blue"
            )
        return inputs[0]


@register("rgb2yuv")
class Yuv(ColorLayer):
    """Luma and two colour differences of the values as they are."""

    def forward(self, site: Site) -> None:
        ops.rgb_to_yuv(site.out, site.inputs[0])


@register("rgb2lab")
class Lab(ColorLayer):
    """CIE L*, a*, b* of colours in 0 ... 1: pictures with values of 0 ... 255, or less their mean, are
    to be scaled first, with a `neuron=linear[a,b]` layer. `center=1` moves L* from 0 ... 100 to
    -50 ... 50."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.center = keys.flag("center", False)

    def describe(self) -> str:
        return "centred" if self.center else ""

    def forward(self, site: Site) -> None:
        ops.rgb_to_lab(site.out, site.inputs[0], center=self.center)
