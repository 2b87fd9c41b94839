"""Resized and cropped pictures, on pictures only: no gradient passes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Shape, Site, register


class View(NamedTuple):
    """What `ops.resize` shows of a picture: made smaller by `scale`, from (top, left) on."""

    scale: float
    top: int = 0
    left: int = 0


class ResizingLayer(Layer):
    """Shows a part of its input at another size; subclasses say which."""

    passes_gradient = False

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)

    def output_shape(self, inputs: list[Shape]) -> Shape:
        self.check_channels(self.channels, inputs)
        return (inputs[0][0], *self.output_size(inputs[0][1:]))

    def output_size(self, size: Shape) -> Shape:
        """(height, width) of the output for an input of this size."""
        raise NotImplementedError

    def view(self, site: Site) -> View:
        raise NotImplementedError

    def forward(self, site: Site) -> None:
        ops.resize(site.out, site.inputs[0], **self.view(site)._asdict())

    def between(self, key: str, value: float, least: float, most: float) -> None:
        if not least <= value <= most:
            raise self.error(key, f"is {value:g}, but must be between {least:g} and {most:g}")


@register("resize")
class Resize(ResizingLayer):
    """floor(size / scale) pixels, interpolated between those of the input."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.scale = keys.number("scale")
        self.between("scale", self.scale, 0.5, 2)

    def output_size(self, size: Shape) -> Shape:
        if min(size) < self.scale:
            raise self.error("scale", f"nothing is left of {min(size)} pixels")
        return tuple(int(pixels / self.scale) for pixels in size)

    def describe(self) -> str:
        return f"1/{self.scale:g}"

    def view(self, site: Site) -> View:
        return View(self.scale)


@register("crop")
class Crop(ResizingLayer):
    """sizeX x sizeX pixels from column startX and row startY (the same, unless given) on."""

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.left = keys.integer("startX", least=0)
        self.top = keys.integer("startY", self.left, least=0)
        self.size = keys.integer("sizeX", least=1)

    def output_size(self, size: Shape) -> Shape:
        for key, start, pixels in (("startY", self.top, size[0]), ("startX", self.left, size[1])):
            if start + self.size > pixels:
                raise self.error(
                    key, f"{start} and {self.size} more are outside the {pixels} of {self.inputs[0]!r}"
                )
        return (self.size, self.size)

    def describe(self) -> str:
        return f"{self.size}x{self.size} from ({self.top}, {self.left})"

    def view(self, site: Site) -> View:
        return View(1.0, self.top, self.left)


@register("rscale")
class RandomScale(ResizingLayer):
    """A tgtSize x tgtSize crop of the picture made smaller by a random factor up to maxScale.

    As in cuda-convnet, training draws once for a batch: a size from tgtSize to the picture's, each with
    the chance of the number of crops that it has, then a factor between those of this size and the next
    larger, then the place. Testing takes the middle of the picture as it is.
    """

    draws_on_host = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.largest = keys.number("maxScale")
        self.between("maxScale", self.largest, 1, 2)
        self.size = keys.integer("tgtSize", least=1)

    def output_size(self, size: Shape) -> Shape:
        self.between("tgtSize", self.size, int(min(size) / self.largest), min(size))
        return (self.size, self.size)

    def describe(self) -> str:
        return f"{self.size}x{self.size} of 1 to 1/{self.largest:g}"

    def view(self, site: Site) -> View:
        size = site.inputs[0].shape[1:3]
        if not site.train:
            return View(1.0, *((pixels - self.size) // 2 for pixels in size))
        return self.crop(size, *np.random.default_rng([site.seed, self.stream, site.step]).random(4))

    def crop(self, size: Shape, shrink: float, between: float, down: float, across: float) -> View:
        """The view of a picture of this size, for four numbers in [0, 1)."""
        pixels = min(size)
        crops = np.cumsum(np.arange(1, pixels - self.size + 2) ** 2)  # of all sizes up to each
        smaller = self.size + int(np.searchsorted(crops, shrink * crops[-1], side="right"))
        least, most = max(1.0, pixels / (smaller + 1)), pixels / smaller
        scale = least + between * (most - least) if smaller < pixels else 1.0
        room = (int(side * smaller / pixels) - self.size for side in size)
        top, left = (int(draw * (r + 1)) for draw, r in zip((down, across), room, strict=True))
        return View(scale, top, left)
