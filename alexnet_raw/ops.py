"""The ops: every kernel of the project, on arrays of any one logical device.

Outputs come first, then inputs, then keyword settings. Activations are ``(channels, height, width,
images)`` float32, C order: images are contiguous. All arrays of a call are on one logical device, or
ValueError names the two that are not. Wrong dtypes raise TypeError; wrong shapes, layouts, overlaps
and settings raise ValueError; a failed launch raises KernelError with the kernel's name.

The formulas, naive and in float64, are in `alexnet_raw.reference`, one module per op.
"""

from __future__ import annotations

from typing import Any

from alexnet_raw.device import Array
from alexnet_raw.neuron import Neuron


def _call(name: str, arrays: dict[str, Array | None], **settings: Any) -> None:
    """Runs an op of the extension on the device that all the arrays share."""
    device, owner = None, ""
    for argument, array in arrays.items():
        if array is None:
            continue
        if not isinstance(array, Array):
            raise TypeError(
                f"{name}: {argument} must be an alexnet_raw Array, got {type(array).__name__}: "
                "make one with Device.upload(...)"
            )
        if device is None:
            device, owner = array.device, argument
        elif array.device is not device:
            raise ValueError(
                f"{name}: {owner} is on {device}, {argument} on {array.device}: exchange one of "
                "them first, with Array.copy_from"
            )
    data = {argument: None if array is None else array.data for argument, array in arrays.items()}
    for key, value in settings.items():
        if isinstance(value, Neuron):
            settings[key] = (value.kind, value.a, value.b)
    getattr(device.module, name)(**data, **settings, stream=device.stream)


# ---- neuron: activation functions (paper, section 3.1)


def neuron_forward(out: Array, inp: Array, *, neuron: Neuron) -> None:
    """out = f(inp), any shape; out may be inp."""
    _call("neuron_forward", {"out": out, "inp": inp}, neuron=neuron)


def neuron_backward(dinp: Array, dout: Array, out: Array, *, neuron: Neuron) -> None:
    """dinp = dout * f'(inp), computed from out = f(inp), any shape; dinp may be dout."""
    _call("neuron_backward", {"dinp": dinp, "dout": dout, "out": out}, neuron=neuron)
