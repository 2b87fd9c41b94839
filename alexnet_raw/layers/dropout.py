"""Dropout (paper §4.2), cuda-convnet's `hs`: training drops outputs, testing scales them."""

from __future__ import annotations

from typing import ClassVar

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register


@register("hs")
class Dropout(Layer):
    """Training multiplies by a mask that is 1 with probability `keep`, testing by `keep`.

    `enable=0` passes everything on, in training and in testing.
    """

    is_inverted: ClassVar[bool] = False  # training divides by `keep`, testing does nothing

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        where = params if "keep" in params else keys
        self.keep = where.number("keep", 0.5)
        if not 0 < self.keep <= 1:
            raise where.error("keep", f"is {self.keep}, but must be above 0 and at most 1")
        if not params.flag("enable", True):
            self.keep = 1.0

    def describe(self) -> str:
        return f"keep {self.keep:g}"

    def forward(self, site: Site) -> None:
        if site.train:
            ops.dropout_forward(site.out, site.inputs[0], **self._mask(site))
        else:
            ops.dropout_test(site.out, site.inputs[0], keep=1.0 if self.is_inverted else self.keep)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.dropout_backward(wanted.array, site.dout, **self._mask(site))

    def _mask(self, site: Site) -> dict:
        return {"keep": self.keep, "inverted": self.is_inverted, **site.draws}


@register("dropout")
class Dropout1(Dropout):
    """The name that cuda-convnet2 gave to `hs`."""


@register("dropout2")
class Dropout2(Dropout):
    """Inverted dropout: training divides what is kept by `keep`, testing does nothing."""

    is_inverted = True
