"""Gaussian blur within each map."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register


@register("blur")
class Blur(Layer):
    """Each map with filterSize x filterSize Gaussian weights of `stdev` pixels; zeros beyond it."""

    can_accumulate = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)
        size = int(keys.choice("filterSize", ("3", "5", "7", "9")))
        self.settings = {"size": size, "stdev": keys.number("stdev")}
        if not 0 < self.settings["stdev"] < float("inf"):
            raise keys.error("stdev", f"is {self.settings['stdev']}, but must be above 0")

    def describe(self) -> str:
        return "{size}x{size}, stdev {stdev:g}".format(**self.settings)

    def forward(self, site: Site) -> None:
        ops.blur(site.out, site.inputs[0], **self.settings)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.blur(wanted.array, site.dout, **self.settings, accumulate=wanted.accumulate)
