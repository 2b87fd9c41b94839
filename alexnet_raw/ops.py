"""The ops: every kernel of the project, on arrays of any one logical device.

Outputs come first, then inputs, then keyword settings. Activations are ``(channels, height, width,
images)`` float32, C order: images are contiguous. conv, fc, bias, neuron, lrn, pool, lrn_pool, dropout,
add and augment also take bfloat16 ones (`alexnet_raw.device.BF16`), all maps of a call alike unless an
op says otherwise: arithmetic is float32's, and results are rounded as they are stored. Weights of
products have the dtype of their other operand, while gradients of weights, and biases, are float32
always. All arrays of a call are on one logical device, or ValueError names the two that are not. Wrong
dtypes raise TypeError; wrong shapes, layouts, overlaps and settings raise ValueError; a failed launch
raises KernelError with the kernel's name.

The formulas, naive and in float64, are in `alexnet_raw.reference`, one module per op.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import numpy as np

from alexnet_raw.device import BF16, Array, Device
from alexnet_raw.neuron import IDENT, Neuron

Share = tuple[int, int] | None  # (first, batch): see philox_uniform

_BOOL = (bool, np.bool_)
_EXPECTED = {
    Integral: "an integer",
    Real: "a number",
    _BOOL: "True or False",
    str: "a string",
    Neuron: "a Neuron",
    np.ndarray: "a NumPy array",
}
# What each setting of any op must be; bindings check the values.
_SETTINGS: dict[str, Any] = {
    **dict.fromkeys(("stride", "padding", "groups", "size", "start", "top", "left", "k"), Integral),
    "norm_size": Integral,
    **dict.fromkeys(("seed", "layer", "step"), Integral),
    **dict.fromkeys(("scale", "power", "min_div", "keep", "stdev"), Real),
    **dict.fromkeys(("coeff", "least", "most"), Real),
    **dict.fromkeys(("accumulate", "inverted", "blocked", "center", "centred"), _BOOL),
    **{"kind": str, "algorithm": str, "precision": str, "values": np.ndarray},
    **dict.fromkeys(("neuron", "below"), Neuron),
}

_OPTIONAL = ("bias", "targets", "given", "rounded")


def _setting(name: str, key: str, value: Any) -> Any:
    """The value as the extension takes it."""
    if key == "share":
        return _share(name, value)
    kind = _SETTINGS[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and kind in (Integral, Real)):
        raise TypeError(f"{name}: {key} must be {_EXPECTED[kind]}, got {value!r}")
    if kind is Neuron:
        return value.kind, value.a, value.b
    if kind is Integral:
        value = int(value)
        if key not in ("seed", "layer", "step") and not -(2**31) <= value < 2**31:
            raise ValueError(f"{name}: {key} must fit in 32 bits, got {value}")
    return value


def _share(name: str, share: Share) -> Share:
    """The place in a batch as the extension takes it."""
    if share is None:
        return None
    pair = isinstance(share, tuple) and len(share) == 2
    if not pair or not all(isinstance(number, Integral) for number in share):
        raise TypeError(f"{name}: share must be None or (first, batch), two integers, got {share!r}")
    if not all(-(2**31) <= number < 2**31 for number in share):
        raise ValueError(f"{name}: share must fit in 32 bits, got {share}")
    return int(share[0]), int(share[1])


def _call(name: str, arrays: dict[str, Array | None], **settings: Any) -> None:
    """Runs an op of the extension on the device that all the arrays share."""
    if isinstance(step := settings.get("step"), Array):
        arrays = {**arrays, "step": step}
        del settings["step"]
    device = _shared_device(name, arrays.items())
    data = {argument: None if array is None else array.data for argument, array in arrays.items()}
    if settings.get("precision", "") is None:
        is_bf16 = any(getattr(values, "dtype", None) == BF16 for values in data.values())
        settings["precision"] = "bf16" if is_bf16 else device.precision
    settings = {key: _setting(name, key, value) for key, value in settings.items()}
    if name.startswith("conv") or name == "bias_backward":
        settings["scratch"] = device.scratch
    if device.tuner and settings.get("algorithm") == "auto":
        settings["algorithm"] = device.tuner.algorithm(name, device, data, settings)
    op = partial(getattr(device.module, name), **data, **settings, stream=device.stream)
    _give(device, op, name)


def _give(device: Device, op: Callable[[], None], name: str) -> None:
    if device.is_cuda:  # its launch returns at once
        op()
    else:
        device.do(op, name)


def _shared_device(name: str, arrays: Iterable[tuple[str, Array | None]]) -> Device:
    """The device of the arrays of an op, each under the name of its argument."""
    device, owner = None, ""
    for argument, array in arrays:
        if array is None and argument in _OPTIONAL:
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
    return device


# ---- conv: convolution and its gradients (paper, section 3.5)


def conv_forward(
    out: Array,
    inp: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    neuron: Neuron = IDENT,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: str | None = None,
) -> None:
    """out = f(weights * inp + bias), or f(out + weights * inp + bias) with ``accumulate``.

    Args:
        out: (filters, out_height, out_width, images), where a side has
            1 + ceil((2 padding + size - filter) / stride) pixels: filters that hang over the right and
            bottom edge beyond the padding see zeros there.
        inp: (channels, height, width, images).
        weights: (channels / groups, filter_height, filter_width, filters); filter group g, of
            filters / groups consecutive filters, sees channel group g only.
        bias: (filters,).
        padding: rows and columns of zeros around the picture, fewer than the filter has.
        algorithm: "direct" sums all products; "winograd" (stride 1, filters of 3 x 3 or 5 x 5) needs
            up to 4 or 2.8 times fewer multiplications, with rounding errors up to 1.5e-6 of the sum
            of their magnitudes ("direct": 3e-7); "wgmma" is for bfloat16 inp and weights, and out of
            either dtype, on GPUs of compute capability 9.0 (on the CPU slowly, for tests): images and
            filters of a group in eights, 16 channels of a group or more, in `conv_backward_data` stride
            1. "auto" takes what the device's tuner found to be fastest; if it has none, what is faster
            on CPUs for these sizes, and on a GPU always "direct".
        precision: "fp32" multiplies float32; "tf32" and "bf16" round the input and the weights to 10
            or 7 bits behind the point first and multiply on tensor cores (compute capability 8.0 or
            newer; on the CPU slowly, for tests). Sums, bias and neuron are float32 always; with "auto"
            so is everything of a fully-connected layer on up to 8 images, which waits for memory alone.
            None: the device's.
    """
    _call(
        "conv_forward",
        {"out": out, "inp": inp, "weights": weights, "bias": bias},
        stride=stride,
        padding=padding,
        groups=groups,
        neuron=neuron,
        accumulate=accumulate,
        algorithm=algorithm,
        precision=precision,
    )


def conv_backward_data(
    dinp: Array,
    dout: Array,
    weights: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: str | None = None,
) -> None:
    """The gradient of the input, from that of the output before the neuron.

    Shapes and settings are those of `conv_forward`.
    """
    _call(
        "conv_backward_data",
        {"dinp": dinp, "dout": dout, "weights": weights},
        stride=stride,
        padding=padding,
        groups=groups,
        accumulate=accumulate,
        algorithm=algorithm,
        precision=precision,
    )


def conv_backward_weights(
    dweights: Array,
    inp: Array,
    dout: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    accumulate: bool = False,
    algorithm: str = "auto",
    precision: str | None = None,
) -> None:
    """The gradient of the weights, summed over the images; shapes and settings are those of
    `conv_forward`."""
    _call(
        "conv_backward_weights",
        {"dweights": dweights, "inp": inp, "dout": dout},
        stride=stride,
        padding=padding,
        groups=groups,
        accumulate=accumulate,
        algorithm=algorithm,
        precision=precision,
    )


# ---- local: locally connected layers, which have filters of their own at each output position


def local_forward(
    out: Array,
    inp: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    neuron: Neuron = IDENT,
    accumulate: bool = False,
) -> None:
    """As `conv_forward`, but with other weights and biases at each pixel of the output.

    Args:
        out: (filters, out_height, out_width, images), of the size that `conv_forward` gives.
        inp: (channels, height, width, images).
        weights: (out_height * out_width, channels / groups, filter_height, filter_width, filters);
            those of output pixel (y, x) are weights[y * out_width + x].
        bias: (filters, out_height, out_width).
        padding: as in `conv_forward`.
    """
    _call(
        "local_forward",
        {"out": out, "inp": inp, "weights": weights, "bias": bias},
        stride=stride,
        padding=padding,
        groups=groups,
        neuron=neuron,
        accumulate=accumulate,
    )


def local_backward_data(
    dinp: Array,
    dout: Array,
    weights: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    accumulate: bool = False,
) -> None:
    """The gradient of the input, from that of the output before the neuron.

    Shapes are those of `local_forward`.
    """
    _call(
        "local_backward_data",
        {"dinp": dinp, "dout": dout, "weights": weights},
        stride=stride,
        padding=padding,
        groups=groups,
        accumulate=accumulate,
    )


def local_backward_weights(
    dweights: Array,
    inp: Array,
    dout: Array,
    *,
    stride: int = 1,
    padding: int = 0,
    groups: int = 1,
    accumulate: bool = False,
) -> None:
    """The gradient of the weights, summed over the images; shapes are those of `local_forward`."""
    _call(
        "local_backward_weights",
        {"dweights": dweights, "inp": inp, "dout": dout},
        stride=stride,
        padding=padding,
        groups=groups,
        accumulate=accumulate,
    )


# ---- fc: fully-connected layers, which are convolutions of a one-pixel picture


def _as_picture(name: str, array: Array) -> Array:
    """(features, images) as (features, 1, 1, images); weights alike."""
    if isinstance(array, Array) and len(array.shape) != 2:
        raise ValueError(f"{name} must have 2 dimensions, got {array.shape}")
    return array.reshape(array.shape[0], 1, 1, array.shape[1]) if isinstance(array, Array) else array


def fc_forward(
    out: Array,
    inp: Array,
    weights: Array,
    bias: Array | None = None,
    *,
    neuron: Neuron = IDENT,
    accumulate: bool = False,
) -> None:
    """out = f(weights^T inp + bias), or f(out + ...) with ``accumulate``.

    out (outputs, images), inp (inputs, images), weights (inputs, outputs), bias (outputs,).
    """
    conv_forward(
        _as_picture("out", out),
        _as_picture("inp", inp),
        _as_picture("weights", weights),
        bias,
        neuron=neuron,
        accumulate=accumulate,
    )


def fc_backward_data(dinp: Array, dout: Array, weights: Array, *, accumulate: bool = False) -> None:
    """dinp = weights dout; shapes as in `fc_forward`."""
    conv_backward_data(
        _as_picture("dinp", dinp),
        _as_picture("dout", dout),
        _as_picture("weights", weights),
        accumulate=accumulate,
    )


def fc_backward_weights(dweights: Array, inp: Array, dout: Array, *, accumulate: bool = False) -> None:
    """dweights = inp dout^T; shapes as in `fc_forward`."""
    conv_backward_weights(
        _as_picture("dweights", dweights),
        _as_picture("inp", inp),
        _as_picture("dout", dout),
        accumulate=accumulate,
    )


# ---- neuron: activation functions (paper, section 3.1)


def neuron_forward(out: Array, inp: Array, *, neuron: Neuron) -> None:
    """out = f(inp), any shape; out may be inp."""
    _call("neuron_forward", {"out": out, "inp": inp}, neuron=neuron)


def neuron_backward(
    dinp: Array, dout: Array, inp: Array, out: Array, *, neuron: Neuron, accumulate: bool = False
) -> None:
    """dinp (+)= dout * f'(inp), where out = f(inp), any shape; dinp may be dout."""
    _call(
        "neuron_backward",
        {"dinp": dinp, "dout": dout, "inp": inp, "out": out},
        neuron=neuron,
        accumulate=accumulate,
    )


def noisy_relu(
    out: Array, inp: Array, *, seed: int, layer: int, step: int | Array, share: Share = None
) -> None:
    """out = max(0, inp + noise), noise normal with variance logistic(inp); any shape.

    Source: Nair and Hinton, ICML 2010. The gradient is that of relu. Draws depend on (seed, layer,
    step) and an element's place only; share as in `philox_uniform`.
    """
    _call("noisy_relu", {"out": out, "inp": inp}, seed=seed, layer=layer, step=step, share=share)


# ---- bias: biases of single pixels, and the gradient of biases (paper, section 5)


def bias_forward(out: Array, bias: Array, *, neuron: Neuron = IDENT) -> None:
    """out = f(out + bias) in place: one bias for all images of a pixel of a channel.

    out (channels, height, width, images), or of other leading axes; bias has all of them but the last.
    For biases that `conv_forward` does not add itself, because pixels do not share them.
    """
    _call("bias_forward", {"out": out, "bias": bias}, neuron=neuron)


def bias_backward(
    dbias: Array,
    dz: Array,
    dout: Array,
    out: Array,
    *,
    neuron: Neuron = IDENT,
    accumulate: bool = False,
) -> None:
    """dz = dout * f'(z), from out = f(z), and dbias (+)= sum of dz over all axes but the first.

    dz, dout, out (channels, ...), dbias (channels,). dz may have another dtype than the others, or be
    dout; out is not read for ident. One pass over memory, and the same sums for any number of threads.
    """
    _call(
        "bias_backward",
        {"dbias": dbias, "dz": dz, "dout": dout, "out": out},
        neuron=neuron,
        accumulate=accumulate,
    )


# ---- lrn: response normalisation across channels (paper, section 3.3)


def lrn_forward(
    out: Array,
    inp: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    blocked: bool = False,
) -> None:
    """out = inp / (min_div + scale/size * sum of inp^2 over `size` channels) ** power.

    Both (channels, height, width, images). The sum runs over the channels from i - size//2 on that
    exist; with ``blocked``, over those of i's own block, from i//size*size on. scale/size is the
    paper's alpha, min_div its k. size is at most 32 (of blocks: 32768), scale not negative, min_div
    positive.
    """
    _call(
        "lrn_forward",
        {"out": out, "inp": inp},
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
        blocked=blocked,
    )


def lrn_backward(
    dinp: Array,
    dout: Array,
    inp: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    blocked: bool = False,
    accumulate: bool = False,
    below: Neuron = IDENT,
) -> None:
    """dinp (+)= gradient of `lrn_forward` with the same settings; denominators are computed again.

    below: ident or relu, where inp = below(z): dinp is then the gradient of z (not with
    ``accumulate``).
    """
    _call(
        "lrn_backward",
        {"dinp": dinp, "dout": dout, "inp": inp},
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
        blocked=blocked,
        accumulate=accumulate,
        below=below,
    )


# ---- rnorm: response normalisation within a map (the authors' nets of 2012)


def rnorm_forward(
    out: Array,
    denom: Array,
    inp: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
) -> None:
    """out = inp / denom ** power, denom = min_div + scale/size^2 * sum of inp^2 over a window.

    All (channels, height, width, images); denom is kept for `rnorm_backward`. The window is the
    size x size pixels of the same map from (y - size//2, x - size//2) on that exist. size is at most
    128, scale not negative, min_div positive.
    """
    _call(
        "rnorm_forward",
        {"out": out, "denom": denom, "inp": inp},
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
    )


def rnorm_backward(
    dinp: Array,
    dout: Array,
    inp: Array,
    denom: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
    accumulate: bool = False,
) -> None:
    """dinp (+)= gradient of `rnorm_forward` with the same settings; denom is what it stored."""
    _call(
        "rnorm_backward",
        {"dinp": dinp, "dout": dout, "inp": inp, "denom": denom},
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
        accumulate=accumulate,
    )


# ---- cnorm: contrast normalisation within a map


def cnorm_forward(
    out: Array,
    denom: Array,
    inp: Array,
    differences: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
) -> None:
    """out = inp / denom ** power, denom = min_div + scale/size^2 * sum of differences^2 over a window.

    All (channels, height, width, images). differences is inp less its mean over the same window, which
    is that of `rnorm_forward`, as are the settings; denom is kept for `cnorm_backward`.
    """
    _call(
        "cnorm_forward",
        {"out": out, "denom": denom, "inp": inp, "differences": differences},
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
    )


def cnorm_backward(
    dinp: Array,
    ddifferences: Array,
    dout: Array,
    inp: Array,
    differences: Array,
    denom: Array,
    *,
    size: int,
    scale: float,
    power: float,
    min_div: float,
) -> None:
    """Gradients of `cnorm_forward` for inp and for differences, as two independent inputs."""
    _call(
        "cnorm_backward",
        {
            "dinp": dinp,
            "ddifferences": ddifferences,
            "dout": dout,
            "inp": inp,
            "differences": differences,
            "denom": denom,
        },
        size=size,
        scale=scale,
        power=power,
        min_div=min_div,
    )


# ---- pool: overlapping max and average pooling (paper, section 3.4)


def pool_forward(
    out: Array,
    inp: Array,
    *,
    kind: str,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
) -> None:
    """out = f(max or mean of each window); kind is "max", "avg" or "maxabs".

    inp (channels, height, width, images), out (channels, outputs_y, outputs_x, images). Window i of
    an axis holds the `size` pixels from start + i*stride on that exist; the mean is theirs. `start`
    may be negative. `geometry.pool_output_size` gives the usual number of outputs; any other will do
    whose windows all hold a pixel. "maxabs" is the value of the largest magnitude, with its sign; of
    equal magnitudes the first, row by row.
    """
    _call(
        "pool_forward",
        {"out": out, "inp": inp},
        kind=kind,
        size=size,
        stride=stride,
        start=start,
        neuron=neuron,
    )


def pool_backward(
    dinp: Array,
    dout: Array,
    inp: Array,
    out: Array,
    *,
    kind: str,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
    accumulate: bool = False,
    below: Neuron = IDENT,
) -> None:
    """dinp (+)= gradient of `pool_forward` with the same settings; out is what it wrote.

    Every pixel that equals the maximum of its window gets the whole gradient, as in cuda-convnet.
    The neuron is ident or relu; below is as in `lrn_backward`.
    """
    _call(
        "pool_backward",
        {"dinp": dinp, "dout": dout, "inp": inp, "out": out},
        kind=kind,
        size=size,
        stride=stride,
        start=start,
        neuron=neuron,
        accumulate=accumulate,
        below=below,
    )


# ---- lrn_pool: max pooling of normalised responses (paper, sections 3.3 and 3.4)


def lrn_pool_forward(
    out: Array,
    inp: Array,
    *,
    norm_size: int,
    scale: float,
    power: float,
    min_div: float,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
) -> None:
    """`lrn_forward` and a `pool_forward` of kind "max" in one pass, to the same bits.

    The normalised maps are never in memory. out (channels, outputs_y, outputs_x, images), inp
    (channels, height, width, images); both float32, or both bfloat16, and then what is compared is
    rounded first. norm_size, scale, power and min_div are settings of `lrn_forward` (windows slide),
    the others of `pool_forward`.
    """
    _call(
        "lrn_pool_forward",
        {"out": out, "inp": inp},
        norm_size=norm_size,
        scale=scale,
        power=power,
        min_div=min_div,
        size=size,
        stride=stride,
        start=start,
        neuron=neuron,
    )


def lrn_pool_backward(
    dinp: Array,
    dout: Array,
    inp: Array,
    out: Array,
    *,
    norm_size: int,
    scale: float,
    power: float,
    min_div: float,
    size: int,
    stride: int,
    start: int = 0,
    neuron: Neuron = IDENT,
    below: Neuron = IDENT,
    accumulate: bool = False,
) -> None:
    """dinp (+)= gradient of `lrn_pool_forward` with the same settings, which gave ``out``.

    Neurons are ident or relu. All arrays are of one dtype. The bits are those of `pool_backward` and
    `lrn_backward`, one after the other.

    Args:
        below: as in `lrn_backward`.
    """
    _call(
        "lrn_pool_backward",
        {"dinp": dinp, "dout": dout, "inp": inp, "out": out},
        norm_size=norm_size,
        scale=scale,
        power=power,
        min_div=min_div,
        size=size,
        stride=stride,
        start=start,
        neuron=neuron,
        below=below,
        accumulate=accumulate,
    )


# ---- channels: picking channels, and the gradient of that


def channels_gather(out: Array, inp: Array, table: Array, *, accumulate: bool = False) -> None:
    """out[i] (+)= sum over t of inp[table[t, i]], in this order.

    Args:
        out: (channels, height, width, images).
        inp: (any number of channels, height, width, images).
        table: (terms, channels) int32, channels of inp. One that does not exist raises ValueError on
            the CPU; on a GPU, where raising would mean waiting, it adds nothing.

    One term picks channels. The gradient of that, where each channel is picked `terms` times, is the
    same op with the inverse table.
    """
    _call("channels_gather", {"out": out, "inp": inp, "table": table}, accumulate=accumulate)


# ---- random_pool: a random pixel of each window


def random_pool_forward(
    out: Array,
    inp: Array,
    *,
    size: int,
    stride: int,
    start: int = 0,
    seed: int,
    layer: int,
    step: int | Array,
    share: Share = None,
) -> None:
    """out = one pixel of each window, drawn from all of its pixels alike.

    Arrays and windows as in `pool_forward`; size is at most 4095. Element i of out takes pixel
    floor(u * n), in rows, of its window's n, where u is draw i of the stream (seed, layer, step); share
    as in `philox_uniform`.
    """
    _call(
        "random_pool_forward",
        {"out": out, "inp": inp},
        size=size,
        stride=stride,
        start=start,
        seed=seed,
        layer=layer,
        step=step,
        share=share,
    )


def random_pool_backward(
    dinp: Array,
    dout: Array,
    *,
    size: int,
    stride: int,
    start: int = 0,
    seed: int,
    layer: int,
    step: int | Array,
    share: Share = None,
    accumulate: bool = False,
) -> None:
    """dinp (+)= dout at the pixels that `random_pool_forward` took with the same settings."""
    _call(
        "random_pool_backward",
        {"dinp": dinp, "dout": dout},
        size=size,
        stride=stride,
        start=start,
        seed=seed,
        layer=layer,
        step=step,
        share=share,
        accumulate=accumulate,
    )


# ---- blur: Gaussian blur within a map


def blur(out: Array, inp: Array, *, size: int, stdev: float, accumulate: bool = False) -> None:
    """out (+)= inp blurred with size x size Gaussian weights of sum 1; zeros beyond the maps.

    Both (channels, height, width, images); size is 3, 5, 7 or 9, stdev, in pixels, positive. The blur
    is its own transpose: the gradient of the input is the blur of that of the output.
    """
    _call("blur", {"out": out, "inp": inp}, size=size, stdev=stdev, accumulate=accumulate)


# ---- resize, mirror, color: pictures on their way into a net


def resize(out: Array, inp: Array, *, scale: float, top: int = 0, left: int = 0) -> None:
    """out = a crop, from (top, left) on, of inp made smaller by the factor `scale`, bilinearly.

    inp (channels, height, width, images), out (channels, out_height, out_width, images). Pixel i of an
    axis of out lies at (start + i + 1/2) * scale - 1/2 in inp, limited to its border; start is top or
    left, not negative. With scale 1 this is a plain crop.
    """
    _call("resize", {"out": out, "inp": inp}, scale=scale, top=top, left=left)


def mirror(out: Array, inp: Array) -> None:
    """out = inp with left and right exchanged. Both (channels, height, width, images)."""
    _call("mirror", {"out": out, "inp": inp})


def rgb_to_yuv(out: Array, inp: Array) -> None:
    """out = Y, U, V of the colours inp, with cuda-convnet2's coefficients (BT.709's luma).

    Both (3, height, width, images).
    """
    _call("rgb_to_yuv", {"out": out, "inp": inp})


def rgb_to_lab(out: Array, inp: Array, *, center: bool) -> None:
    """out = CIE L*, a*, b* of the linear colours inp, which are in 0 ... 1; white is (1, 1, 1).

    Both (3, height, width, images). L* is in 0 ... 100, with ``center`` in -50 ... 50.
    """
    _call("rgb_to_lab", {"out": out, "inp": inp}, center=center)


# ---- add: sums of arrays


def add(out: Array, inp: Array, *, coeff: float = 1.0, accumulate: bool = True) -> None:
    """out = [out +] coeff * inp, any shape; out may be inp. Either may be bfloat16."""
    _call("add", {"out": out, "inp": inp}, coeff=coeff, accumulate=accumulate)


# ---- eltmax: the elementwise maximum of several arrays


def eltmax_forward(out: Array, inp: Array) -> None:
    """out = max(out, inp), any shape."""
    _call("eltmax_forward", {"out": out, "inp": inp})


def eltmax_backward(
    dinp: Array, dout: Array, inp: Array, out: Array, *, accumulate: bool = False
) -> None:
    """dinp (+)= dout where inp equals out, the maximum, else 0: inputs that tie all get it."""
    _call(
        "eltmax_backward",
        {"dinp": dinp, "dout": dout, "inp": inp, "out": out},
        accumulate=accumulate,
    )


# ---- philox: the random numbers behind dropout and augmentation


def philox_uniform(
    out: Array, *, seed: int, layer: int, step: int | Array, share: Share = None
) -> None:
    """out, any shape: element i, in C order, is draw i in [0, 1) of the stream (seed, layer, step).

    Seed below 2^64, layer and step below 2^32. The same on every device and for any thread count.
    share, (first, batch): out (..., images) is the part whole[..., first : first + images] of a whole
    (..., batch), and takes the draws that it would take there.
    """
    _call("philox_uniform", {"out": out}, seed=seed, layer=layer, step=step, share=share)


# ---- dropout (paper, section 4.2)


def dropout_forward(
    out: Array,
    inp: Array,
    *,
    keep: float,
    seed: int,
    layer: int,
    step: int | Array,
    share: Share = None,
    inverted: bool = False,
) -> None:
    """out = inp where draw i of the stream (seed, layer, step) is below keep, else 0; any shape.

    keep, in (0, 1], is the probability of keeping an element. The paper's convention multiplies by
    keep at test time, with `dropout_test`; the inverted one divides by keep here and needs nothing
    at test time. The mask is never stored. share as in `philox_uniform`. out may be inp.
    """
    _call(
        "dropout_forward",
        {"out": out, "inp": inp},
        keep=keep,
        seed=seed,
        layer=layer,
        step=step,
        share=share,
        inverted=inverted,
    )


def dropout_backward(
    dinp: Array,
    dout: Array,
    *,
    keep: float,
    seed: int,
    layer: int,
    step: int | Array,
    share: Share = None,
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
        share=share,
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


# ---- one_hot, output_cost: costs that are sums over outputs (cuda-convnet's, not the paper's)


def one_hot(out: Array, labels: Array) -> None:
    """out[c, n] = 1 where c is labels[n], else 0; out (classes, images), labels (images,) int32."""
    _call("one_hot", {"out": out, "labels": labels})


def output_cost_forward(loss: Array, targets: Array | None, out: Array, *, kind: str) -> None:
    """loss[n] = sum over f of c(targets[f, n], out[f, n]), for y = out and t = targets:

    crossent -t log y, crossent2 -t log y - (1 - t) log(1 - y), rflickr log(1 + (y - t)^2), sum2 y^2
    (targets None), gsum2 t y^2 (targets (1, images)). out and targets (features, images), loss
    (images,).
    """
    _call("output_cost_forward", {"loss": loss, "targets": targets, "out": out}, kind=kind)


def output_cost_backward(
    dout: Array,
    targets: Array | None,
    out: Array,
    *,
    kind: str,
    coeff: float,
    accumulate: bool = False,
) -> None:
    """dout (+)= d(coeff * mean loss) / dout; arrays as in `output_cost_forward`; dout may be out."""
    _call(
        "output_cost_backward",
        {"dout": dout, "targets": targets, "out": out},
        kind=kind,
        coeff=coeff,
        accumulate=accumulate,
    )


# ---- tica, multi_softmax: costs of cuda-convnet's that are more than sums over outputs


def tica_forward(loss: Array, norms: Array, inp: Array, *, size: int) -> None:
    """Topographic ICA: loss (images,) = sum over all pixels of s - e log(1 + s / e), e = 0.001.

    s = sqrt(sum of inp^2) over the size x size pixels of the same map from (y - size//2, x - size//2)
    on that exist; kept for `tica_backward` in norms, (channels, height, width, images) as inp. size is
    at most 128.
    """
    _call("tica_forward", {"loss": loss, "norms": norms, "inp": inp}, size=size)


def tica_backward(
    dinp: Array, inp: Array, norms: Array, *, size: int, coeff: float, accumulate: bool = False
) -> None:
    """dinp [+]= coeff / images * inp * sum of 1 / (e + s) over the windows that inp's pixel is in."""
    _call(
        "tica_backward",
        {"dinp": dinp, "inp": inp, "norms": norms},
        size=size,
        coeff=coeff,
        accumulate=accumulate,
    )


def multi_softmax(
    probs: Array, lattice: Array, inp: Array, given: Array | None = None, *, size: int
) -> None:
    """How probable each class is to be in a set of `size` classes, (classes, images) as inp.

    A set is as probable as the exp of the sum of its classes' inp says. given (images,) int32: on the
    condition that this class of each picture is in it. lattice (classes, size, images) is scratch. size
    is at most 32 and below the number of classes.
    """
    _call("multi_softmax", {"probs": probs, "lattice": lattice, "inp": inp, "given": given}, size=size)


# ---- sgd: momentum and weight decay (paper, section 5)


def sgd_step(
    weights: Sequence[Array],
    velocity: Sequence[Array],
    gradient: Sequence[Array],
    settings: Array,
    rounded: Sequence[Array | None] | None = None,
) -> None:
    """velocity = momentum * velocity - rate * decay * weights - rate * gradient; weights += velocity.

    For many tensors in one launch, in place: the arrays of each are of one shape. settings (tensors, 3)
    are its rate, momentum and decay. rounded: bfloat16 arrays, or None for some, where the new weights
    are stored too.
    """
    rounded = [None] * len(weights) if rounded is None else rounded
    tensors = {"weights": weights, "velocity": velocity, "gradient": gradient, "rounded": rounded}
    named = [(argument, array) for argument, arrays in tensors.items() for array in arrays]
    device = _shared_device("sgd_step", [*named, ("settings", settings)])
    data = {
        argument: [None if array is None else array.data for array in arrays]
        for argument, arrays in tensors.items()
    }
    op = partial(device.module.sgd_step, **data, settings=settings.data, stream=device.stream)
    _give(device, op, "sgd_step")


# ---- put: numbers from the host


def put(out: Array, *, values: np.ndarray) -> None:
    """out = values, a few numbers of out's shape, float32 or int32; nobody waits for anything.

    They are taken as they are now, and out changes after the work that its device has been given.
    """
    _call("put", {"out": out}, values=values)


# ---- limit_norms: the lengths of filters (cuda-convnet's wball and wcNorm)


def limit_norms(
    weights: Array, *, least: float = 0.0, most: float = 0.0, centred: bool = False
) -> None:
    """Scales each column of weights (rows, filters), in place, so that its length lies in least..most.

    centred: so that its length less its mean does. most = 0 sets no limit; a length of 0 stays so.
    """
    _call("limit_norms", {"weights": weights}, least=least, most=most, centred=centred)


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
        out: (channels, h, w, images), float32 or bfloat16.
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
