"""Contrast normalisation within a map, cuda-convnet's `cnorm`."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.layers.base import Shape, Site, register
from alexnet_raw.layers.rnorm import Rnorm


@register("cnorm")
class Cnorm(Rnorm):
    """x / (minDiv + scale/size^2 * sum of m^2 over size x size pixels around)^pow.

    m is x less the mean of x over the pixels around that exist, which is average pooling. As in
    cuda-convnet x itself is divided, not m. The gradient is exact; cuda-convnet took the mean for a
    constant.
    """

    can_accumulate = False

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"m": inputs[0], "denominators": inputs[0]}

    def backward_scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        return {"dm": inputs[0]}

    def forward(self, site: Site) -> None:
        x, m, mean = site.inputs[0], site.scratch["m"], site.out
        ops.pool_forward(mean, x, **self._window())
        ops.add(m, x, accumulate=False)
        ops.add(m, mean, coeff=-1)
        ops.cnorm_forward(site.out, site.scratch["denominators"], x, m, **self.settings)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            dx, dmean = wanted.array, site.dout
            m, dm, denominators = (site.scratch[name] for name in ("m", "dm", "denominators"))
            ops.cnorm_backward(dx, dm, site.dout, site.inputs[0], m, denominators, **self.settings)
            ops.add(dx, dm)
            ops.add(dmean, dm, coeff=-1, accumulate=False)
            ops.pool_backward(dx, dmean, m, m, **self._window(), accumulate=True)

    def _window(self) -> dict:
        size = self.settings["size"]
        return {"kind": "avg", "size": size, "stride": 1, "start": -(size // 2)}
