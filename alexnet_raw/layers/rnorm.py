"""Response normalisation within a map, as the authors' 2012 net has it after its second LRN."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register


@register("rnorm")
class Rnorm(Layer):
    """x / (1 + scale/size^2 * sum of x^2 over size x size pixels around)^pow."""

    can_accumulate = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        if keys.flag("crossMap", False):  # of cuda-convnet before the type cmrnorm
            raise keys.error("crossMap", "a norm across maps is type=cmrnorm now: write that instead")
        self.channels = keys.integer("channels", least=1)
        self.settings = {
            "size": keys.integer("size", least=1),
            "scale": params.number("scale", least=0),
            "power": params.number("pow"),
            "min_div": params.number("minDiv", 1.0, least=1e-6),
        }

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"denominators": inputs[0]}

    def describe(self) -> str:
        return "over {size}x{size} pixels".format(**self.settings)

    def forward(self, site: Site) -> None:
        ops.rnorm_forward(site.out, site.scratch["denominators"], site.inputs[0], **self.settings)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.rnorm_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                site.scratch["denominators"],
                **self.settings,
                accumulate=wanted.accumulate,
            )
