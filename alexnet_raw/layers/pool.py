"""Overlapping max and average pooling (paper §3.4), and cuda-convnet's other kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from alexnet_raw import ops
from alexnet_raw.geometry import pool_output_size
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register
from alexnet_raw.layers.lrn import Lrn

if TYPE_CHECKING:
    from alexnet_raw.device import Device

LARGEST_RANDOM = 4095  # kLargestRandomPool of cuda/kernels/ops.h


@register("pool")
class Pool(Layer):
    """Maximum, mean, largest magnitude (maxabs) of sizeX x sizeX pixels every `stride` pixels, or in
    training a random one and in testing their mean (rand). Windows are clipped.

    The 2012 release takes a random pixel in testing too, or with doMax=1 the maximum in both.
    """

    can_accumulate = True
    fuses = ("relu",)

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.kind = keys.choice("pool", ("max", "maxabs", "avg", "rand"))
        self.channels = keys.integer("channels", least=1)
        self.size = keys.integer("sizeX", least=1)
        self.stride = keys.integer("stride", least=1)
        self.start = keys.integer("start", 0)
        self.outputs = keys.integer("outputsX", 0, least=0)
        if self.kind == "rand" and params.flag("doMax", False):
            self.kind = "max"
        self.is_random = self.kind == "rand"
        self.takes_bf16 = self.goes_below = not self.is_random
        self.fuses = () if self.is_random else Pool.fuses
        if self.is_random and self.size > LARGEST_RANDOM:
            raise keys.error("sizeX", f"is {self.size}, but at most {LARGEST_RANDOM} with pool=rand")
        if self.start <= -self.size:
            raise keys.error("start", f"the first window, {self.size} wide, misses the picture")

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_channels(self.channels, inputs)
        channels, *pixels = inputs[0]
        if self.start >= min(pixels):
            raise self.error("start", f"is outside the {min(pixels)} pixels of {self.inputs[0]!r}")
        if self.outputs:
            last = self.start + (self.outputs - 1) * self.stride
            if last >= min(pixels):
                raise self.error("outputsX", f"window {self.outputs} would start outside, at {last}")
            return (channels, self.outputs, self.outputs)
        sizes = [pool_output_size(p, self.size, self.stride, self.start) for p in pixels]
        return (channels, *sizes)

    def describe(self) -> str:
        return f"{self.kind} {self.size}x{self.size} stride {self.stride}"

    def fused_with(self, below: Layer, device: Device) -> Layer | None:
        if self.kind != "max" or not isinstance(below, Lrn) or below.settings["blocked"]:
            return None
        return LrnPool(below, self) if device.is_cuda or LrnPool.on_cpus else None

    def forward(self, site: Site) -> None:
        if self.is_random and site.train:
            ops.random_pool_forward(site.out, site.inputs[0], **self._windows(), **site.draws)
        else:
            kind = "avg" if self.is_random else self.kind
            ops.pool_forward(site.out, site.inputs[0], kind=kind, **self._windows(), neuron=self.neuron)

    def backward(self, site: Site) -> None:
        if not (wanted := site.dinputs[0]):
            return
        settings = {**self._windows(), "accumulate": wanted.accumulate}
        if self.is_random:
            ops.random_pool_backward(wanted.array, site.dout, **settings, **site.draws)
        else:
            ops.pool_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                site.out,
                kind=self.kind,
                neuron=self.neuron,
                below=wanted.below,
                **settings,
            )

    def _windows(self) -> dict:
        return {"size": self.size, "stride": self.stride, "start": self.start}


class LrnPool(Pool):
    """A max pool that normalises what it reads itself: no memory holds the maps of the Lrn below it.

    Not a type of layer files.
    """

    on_cpus: ClassVar[bool] = False  # there the arithmetic of a tile takes longer than the memory

    def __init__(self, norm: Lrn, pool: Pool):
        vars(self).update(vars(pool))
        self.inputs, self.channels = norm.inputs, norm.channels
        given = norm.settings
        self.norm = {name: given[name] for name in ("scale", "power", "min_div")}
        self.norm["norm_size"] = given["size"]

    def fused_with(self, below: Layer, device: Device) -> Layer | None:
        return None

    def forward(self, site: Site) -> None:
        settings = {**self.norm, **self._windows()}
        ops.lrn_pool_forward(site.out, site.inputs[0], **settings, neuron=self.neuron)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.lrn_pool_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                site.out,
                **self.norm,
                **self._windows(),
                neuron=self.neuron,
                below=wanted.below,
                accumulate=wanted.accumulate,
            )
