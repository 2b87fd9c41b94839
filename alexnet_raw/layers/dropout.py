"""Dropout (paper §4.2), cuda-convnet's `hs`: training drops outputs, testing scales them."""

from __future__ import annotations

from typing import ClassVar

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register


@register("hs")
class Dropout(Layer):
    """Training multiplies by a mask that is 1 with probability `keep`, testing by `keep`.

    With `enable=0` training does as testing.
    """

    takes_bf16 = True
    is_inverted: ClassVar[bool] = False  # training divides by `keep`, testing does nothing

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        where = params if "keep" in params else keys
        self.keep = where.number("keep", 0.5)
        if not 0 < self.keep <= 1:
            raise where.error("keep", f"is {self.keep}, but must be above 0 and at most 1")
        self.enabled = params.flag("enable", True)

    def describe(self) -> str:
        return f"keep {self.keep:g}" + ("" if self.enabled else ", off")

    def forward(self, site: Site) -> None:
        if site.train and self.enabled:
            ops.dropout_forward(site.out, site.inputs[0], **self._mask(site))
        else:
            ops.dropout_test(site.out, site.inputs[0], keep=self._share)

    def backward(self, site: Site) -> None:
        if (wanted := site.dinputs[0]) and self.enabled:
            ops.dropout_backward(wanted.array, site.dout, **self._mask(site))
        elif wanted:
            ops.dropout_test(wanted.array, site.dout, keep=self._share)

    @property
    def _share(self) -> float:
        """What testing multiplies by."""
        return 1.0 if self.is_inverted else self.keep

    def _mask(self, site: Site) -> dict:
        return {"keep": self.keep, "inverted": self.is_inverted, **site.draws}


@register("dropout")
class Dropout1(Dropout):
    """The name that cuda-convnet2 gave to `hs`."""


@register("dropout2")
class Dropout2(Dropout):
    """Inverted dropout: training divides what is kept by `keep`, testing does nothing."""

    is_inverted = True
