"""Mirror images, cuda-convnet's `href`."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register


@register("href")
class Mirror(Layer):
    """Left and right exchanged."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)

    def forward(self, site: Site) -> None:
        ops.mirror(site.out, site.inputs[0])

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.mirror(wanted.array, site.dout)
