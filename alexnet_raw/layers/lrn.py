"""Local response normalisation across channels (paper §3.3), cuda-convnet's `cmrnorm`."""

from __future__ import annotations

from alexnet_raw import ops
from alexnet_raw.ini import Keys
from alexnet_raw.layers.base import Layer, Site, register

LARGEST_SLIDING = 32  # kLargestLrnSize of cuda/kernels/ops.h


@register("cmrnorm")
class Lrn(Layer):
    """x / (minDiv + scale/size * sum of x^2 over `size` channels around)^pow.

    The paper's alpha is not divided by the window: scale = alpha * size. With blocked=1 windows do not
    slide, but tile: channels are normalised in blocks of `size`.
    """

    can_accumulate = True
    takes_bf16 = True
    goes_below = True

    def __init__(self, keys: Keys, params: Keys):
        super().__init__(keys, params)
        self.channels = keys.integer("channels", least=1)
        self.settings = {
            "size": keys.integer("size", least=1),
            "scale": params.number("scale", least=0),
            "power": params.number("pow"),
            "min_div": params.number("minDiv", 1.0, least=1e-6),
            "blocked": keys.flag("blocked", False),
        }
        if self.settings["size"] > LARGEST_SLIDING and not self.settings["blocked"]:
            raise keys.error(
                "size", f"is {self.settings['size']}, but at most {LARGEST_SLIDING} channels"
            )

    def describe(self) -> str:
        return f"over {self.settings['size']} channels{', blocked' * self.settings['blocked']}"

    def forward(self, site: Site) -> None:
        ops.lrn_forward(site.out, site.inputs[0], **self.settings)

    def backward(self, site: Site) -> None:
        if wanted := site.dinputs[0]:
            ops.lrn_backward(
                wanted.array,
                site.dout,
                site.inputs[0],
                **self.settings,
                accumulate=wanted.accumulate,
                below=wanted.below,
            )
