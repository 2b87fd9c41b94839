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


# ---- philox: the random numbers behind dropout and augmentation


def philox_uniform(out: Array, *, seed: int, layer: int, step: int) -> None:
    """out, any shape: element i, in C order, is draw i in [0, 1) of the stream (seed, layer, step).

    Seed below 2^64, layer and step below 2^32. The same on every device and for any thread count.
    """
    _call("philox_uniform", {"out": out}, seed=seed, layer=layer, step=step)


# ---- dropout (paper, section 4.2)


def dropout_forward(
    out: Array,
    inp: Array,
    *,
    keep: float,
    seed: int,
    layer: int,
    step: int,
    inverted: bool = False,
) -> None:
    """out = inp where draw i of the stream (seed, layer, step) is below keep, else 0; any shape.

    keep, in (0, 1], is the probability of keeping an element. The paper's convention multiplies by
    keep at test time, with `dropout_test`; the inverted one divides by keep here and needs nothing
    at test time. The mask is never stored. out may be inp.
    """
    _call(
        "dropout_forward",
        {"out": out, "inp": inp},
        keep=keep,
        seed=seed,
        layer=layer,
        step=step,
        inverted=inverted,
    )


def dropout_backward(
    dinp: Array,
    dout: Array,
    *,
    keep: float,
    seed: int,
    layer: int,
    step: int,
    inverted: bool = False,
) -> None:
    """dinp = dout through the mask that `dropout_forward` drew for the same settings.

    dinp may be dout.
    """
    _call(
        "dropout_backward",
        {"dinp": dinp, "dout": dout},
        keep=keep,
        seed=seed,
        layer=layer,
        step=step,
        inverted=inverted,
    )


def dropout_test(out: Array, inp: Array, *, keep: float) -> None:
    """out = inp * keep: the paper's convention at test time. Any shape; out may be inp."""
    _call("dropout_test", {"out": out, "inp": inp}, keep=keep)


# ---- softmax (paper, section 3.5)


def softmax_forward(out: Array, inp: Array) -> None:
    """out = exp(inp) / sum of exp(inp) over axis 0, without overflow. Both (classes, images).

    out may be inp.
    """
    _call("softmax_forward", {"out": out, "inp": inp})


def softmax_backward(dinp: Array, dout: Array, out: Array, *, accumulate: bool = False) -> None:
    """dinp (+)= out * (dout - sum of out * dout over axis 0); all (classes, images)."""
    _call("softmax_backward", {"dinp": dinp, "dout": dout, "out": out}, accumulate=accumulate)


# ---- logloss: the cost (paper, section 3.5) and the errors (section 6)


def logloss_forward(
    loss: Array, top1: Array, topk: Array, probs: Array, labels: Array, *, k: int
) -> None:
    """Loss and errors of each picture, (images,), from probs (classes, images), labels (images,) int32.

    loss = -log p[label], where a p below the smallest normal float counts as that (a loss of 87.3).
    top1 and topk are errors in [0, 1]: 1 - clip((k - greater) / equal, 0, 1), where `greater`
    classes are more probable than the label and `equal` ones, itself included, tie with it.

    On the CPU a label that is no class raises ValueError. On a GPU, where raising would mean waiting,
    its picture gets loss NaN and errors 1.
    """
    _call(
        "logloss_forward",
        {"loss": loss, "top1": top1, "topk": topk, "probs": probs, "labels": labels},
        k=k,
    )


def logloss_backward(dprobs: Array, probs: Array, labels: Array, *, coeff: float) -> None:
    """dprobs = d(coeff * mean loss) / dprobs: -coeff / (images * p) at the label, else 0.

    probs and dprobs (classes, images), labels (images,) int32; dprobs may be probs. Labels as in
    `logloss_forward`; on a GPU a bad one adds nothing.
    """
    _call("logloss_backward", {"dprobs": dprobs, "probs": probs, "labels": labels}, coeff=coeff)


def softmax_logloss_backward(dinp: Array, probs: Array, labels: Array, *, coeff: float) -> None:
    """dinp = coeff * (probs - onehot(labels)) / images: the gradient through cost and softmax at once.

    Exact where p has underflowed, which the two steps apart are not. Arrays as in
    `logloss_backward`; dinp may be probs.
    """
    _call(
        "softmax_logloss_backward",
        {"dinp": dinp, "probs": probs, "labels": labels},
        coeff=coeff,
    )


# ---- sgd: momentum and weight decay (paper, section 5)


def sgd_step(
    weights: Array,
    velocity: Array,
    gradient: Array,
    *,
    rate: float,
    momentum: float,
    decay: float,
) -> None:
    """velocity = momentum * velocity - rate * decay * weights - rate * gradient; weights += velocity.

    In place, all three of one shape.
    """
    _call(
        "sgd_step",
        {"weights": weights, "velocity": velocity, "gradient": gradient},
        rate=rate,
        momentum=momentum,
        decay=decay,
    )


# ---- augment: from pictures to the network's input (paper, section 4.1)


def augment(
    out: Array,
    pictures: Array,
    offsets: Array,
    flips: Array,
    mean: Array,
    noise: Array,
    *,
    scale: float = 1.0,
) -> None:
    """out = (crop of (pictures - mean), mirrored or not, + noise) * scale, images innermost.

    Args:
        out: (channels, h, w, images).
        pictures: (images, height, width, channels) uint8.
        offsets: (images, 2) int32, top and left of each h x w crop. One that leaves the picture
            raises ValueError on the CPU; on a GPU, where raising would mean waiting, it is moved
            to the picture's border.
        flips: (images,) uint8; not 0 for a mirror image.
        mean: (channels, height, width), subtracted at a pixel's place in the whole picture.
        noise: (images, channels), added to all pixels of a picture's channel.
        scale: multiplies the result.
    """
    _call(
        "augment",
        {
            "out": out,
            "pictures": pictures,
            "offsets": offsets,
            "flips": flips,
            "mean": mean,
            "noise": noise,
        },
        scale=scale,
    )
