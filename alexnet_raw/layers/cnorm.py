"""Contrast normalisation within a map, cuda-convnet's `cnorm`."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.layers.base import Shape, Site, register
from alexnet_raw.layers.rnorm import Rnorm


@register("cnorm")
class Cnorm(Rnorm):
    """As rnorm, of m = x less the mean of x over the pixels around: m / (minDiv + ... sum of m^2)^pow.

    The mean is that of the pixels that exist in the window, which is average pooling. The gradient is
    exact; cuda-convnet took the mean for a constant.
    """

    can_accumulate = False

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"differences": inputs[0], **super().scratch(inputs)}

    def forward(self, site: Site) -> None:
        x, m, mean = site.inputs[0], site.scratch["differences"], site.out
        ops.pool_forward(mean, x, **self._window())
        ops.add(m, x, accumulate=False)
        ops.add(m, mean, coeff=-1)
        ops.rnorm_forward(site.out, site.scratch["denominators"], m, **self.settings)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            m, dm, dmean = site.scratch["differences"], wanted.array, site.dout
            ops.rnorm_backward(dm, site.dout, m, site.scratch["denominators"], **self.settings)
            ops.add(dmean, dm, coeff=-1, accumulate=False)
            ops.pool_backward(dm, dmean, m, m, **self._window(), accumulate=True)

    def _window(self) -> dict:
        size = self.settings["size"]
        return {"kind": "avg", "size": size, "stride": 1, "start": -(size // 2)}
