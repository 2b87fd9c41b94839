"""Subsampling: one pixel of each cell of stride x stride pixels."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register


@register("nailbed")
class Nailbed(Layer):
    """Pixel (start + i * stride) of both axes: average pooling with windows of one pixel.

    There are ceil(size / stride) of them, and as many pixels before the first as behind the last (or
    one fewer).
    """

    can_accumulate = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)
        self.stride = keys.integer("stride", least=1)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_channels(self.channels, inputs)
        channels, *pixels = inputs[0]
        if len({self._start(size) for size in pixels}) > 1:
            raise self.error(
                "stride", f"{self.inputs[0]!r} has {pixels[0]}x{pixels[1]} pixels: make it square"
            )
        return (channels, *(-(-size // self.stride) for size in pixels))

    def describe(self) -> str:
        return f"stride {self.stride}"

    def forward(self, site: Site) -> None:
        ops.pool_forward(site.out, site.inputs[0], **self._windows(site))

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.pool_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                site.out,
                **self._windows(site),
                accumulate=wanted.accumulate,
            )

    def _windows(self, site: Site) -> dict:
        start = self._start(site.inputs[0].shape[1])
        return {"kind": "avg", "size": 1, "stride": self.stride, "start": start}

    def _start(self, size: int) -> int:
        return (size - self.stride * (-(-size // self.stride) - 1)) // 2
