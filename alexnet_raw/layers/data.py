"""The inputs of a net: `dataIdx=0` are the pictures, `dataIdx=1` their labels."""

from __future__ import annotations

from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, register


@register("data")
class Data(Layer):
    """Pictures (channels, height, width, images) or labels (images,). Has no gradient.

    `crop` and `size` are ours, and used where the caller names none: the net sees crop x crop pixels
    of pictures that were prepared to size x size. Both may be left out.
    """

    input_count = 0

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.is_labels = keys.choice("dataIdx", ("0", "1")) == "1"
        self.crop: int | None = keys.integer("crop", None, least=1)
        self.size: int | None = keys.integer("size", None, least=self.crop or 1)
        self.half_forward = False  # each device gets the pictures as they are
