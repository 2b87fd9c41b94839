"""What all layer types share: reading their keys, their shape, and where they work.

A `Layer` is what the files say and holds no arrays. At run time it works on `Site`s, one for each
batch size, which hold its arrays on its device.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.ini import Keys, LayerFileError
from alexnet_raw.neuron import IDENT, Neuron
from alexnet_raw.parameters import Parameter, ParameterSpec

if TYPE_CHECKING:
    from alexnet_raw.device import Array, Device
    from alexnet_raw.exchange import Delivery

Shape = tuple[int, ...]  # of one picture's activations: (channels, height, width); () for labels
TYPES: dict[str, type[Layer]] = {}


def register(name: str) -> Callable[[type[Layer]], type[Layer]]:
    """Class decorator: layer files call this layer type `name`."""

    def add(layer: type[Layer]) -> type[Layer]:
        layer.type = name
        TYPES[name] = layer
        return layer

    return add


class Layer:
    """One layer as the files describe it. Subclasses read their own keys in `__init__`."""

    type: ClassVar[str]
    input_count: ClassVar[int | None] = 1  # None: one or more
    can_accumulate: ClassVar[bool] = False  # backward can add to a gradient that is there already
    goes_below: bool = False  # backward can also go through a relu below: Gradient.below
    takes_dz: ClassVar[bool] = False  # backward goes through site.neuron: its neuron, or none
    learns: ClassVar[bool] = False  # has parameters
    overlaps: ClassVar[bool] = False  # receives inputs and sends gradients itself: Site, Gradient
    passes_gradient: ClassVar[bool] = True  # or else works on data only
    saves_constants: bool = False  # its constants do not follow from the seed
    takes_targets: ClassVar[bool] = False  # in place of labels, (outputs, images)
    is_cost: ClassVar[bool] = False  # backward starts here
    is_labels: bool = False  # brings the labels, or targets
    draws_on_host: ClassVar[bool] = False  # what forward launches differs from step to step
    takes_bf16: bool = False  # its maps may be bfloat16: storage.py
    mixes_dtypes: ClassVar[bool] = False  # of its maps; or else all have one
    fuses: tuple[str, ...] = ()  # kinds of `neuron=` that the layer applies itself
    channels: int | list[int] | None = None  # of its inputs, where its file says so

    def __init__(self, keys: Keys, params: Keys):
        """keys, params: this layer's sections of the definition and the parameter file."""
        self.name = keys.section
        self.keys = keys
        keys.text("type")
        self.gpu = _read_gpu(keys)
        # Whether what leaves for a layer with another gpu, and the gradients from there, go as float16.
        self.half_forward, self.half_backward = (_is_half(params, key) for key in ("quantF", "quantB"))
        self.inputs: list[str] = keys.names("inputs") if self.input_count != 0 else []
        if self.input_count is not None and len(self.inputs) != self.input_count:
            wanted = "1 input" if self.input_count == 1 else f"{self.input_count} inputs"
            raise keys.error("inputs", f"{self.type} takes {wanted}, not {len(self.inputs)}")
        self.neuron: Neuron = IDENT
        if self.input_count != 0 and not self.is_cost:
            self.neuron = keys.parsed("neuron", Neuron.parse, IDENT)
        # Random draws follow the name, not the place in the file or the device.
        self.stream = zlib.crc32(self.name.encode())

    def output_shape(self, inputs: list[Shape]) -> Shape:
        """Shape of the output for inputs of these shapes; LayerFileError if they do not fit.

        Here that of the first input, whose channels must be those that the file says, if it does.
        """
        if isinstance(self.channels, int):
            self.check_channels(self.channels, inputs)
        else:
            self.check_maps(inputs)
        return inputs[0]

    def parameters(self, inputs: list[Shape]) -> list[ParameterSpec]:
        """What the layer learns, none by default."""
        return []

    def scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        """Further arrays a layer wants for a batch: name -> shape without the images axis."""
        return {}

    def backward_scratch(self, inputs: list[Shape]) -> dict[str, Shape]:
        """The same, for arrays that hold nothing but while `backward` runs: their memory is shared."""
        return {}

    def constants(self, seed: int, initialise: bool = True) -> dict[str, np.ndarray]:
        """Arrays that never change, none by default. They follow from the net's seed, or else
        (`saves_constants`) are part of its state; initialise: False where a state will be loaded."""
        return {}

    def mult_adds(self, inputs: list[Shape]) -> int:
        """Multiply-adds of the forward pass on one picture (of matrix products only)."""
        return 0

    def describe(self) -> str:
        """The layer's settings in a few words, for the table of `alexnet-raw show`."""
        return ""

    def fused_with(self, below: Layer, device: Device) -> Layer | None:
        """A layer that does the work of this one and of `below`, all that it reads, in one pass.

        None: there is none, or not on this device. `NetSpec.fused` asks.
        """
        return None

    def forward(self, site: Site) -> None:
        """Compute site.out from site.inputs."""
        raise NotImplementedError

    def backward(self, site: Site) -> None:
        """From site.dout (which may be overwritten) to gradients of inputs and parameters."""
        raise NotImplementedError

    def check_maps(self, inputs: list[Shape]) -> None:
        """Refuse labels where maps of numbers are needed."""
        for name, shape in zip(self.inputs, inputs, strict=True):
            if len(shape) != 3:
                raise self.error("inputs", f"{name!r} are labels, which {self.type} cannot read")

    def check_channels(self, expected: int, inputs: list[Shape], i: int = 0) -> None:
        """The `channels` written in the file must be those of input i."""
        self.check_maps(inputs)
        if expected != inputs[i][0]:
            raise self.error(
                "channels", f"is {expected}, but {self.inputs[i]!r} has {inputs[i][0]} channels"
            )

    def error(self, key: str, message: str) -> LayerFileError:
        return self.keys.error(key, message)


def _read_gpu(keys: Keys) -> int | None:
    """The number of the layer's gpu; the first of several."""
    replicas = keys.names("gpu", [""])
    gpu, *others = keys.integers("gpu", len(replicas), None, least=0)
    if others:
        keys.note(
            "gpu",
            f"replicas on several gpus share their weights and split the batch: run as one, on {gpu}",
        )
    return gpu


def _is_half(params: Keys, key: str) -> bool:
    kind = params.text(key, "default").lower()
    if kind not in ("default", "half"):
        raise params.error(key, f"{kind!r} is not one of default, half")
    return kind == "half"


@dataclass
class Gradient:
    """Where a layer puts the gradient of an input: written, or added to what is there.

    `accumulate` is only ever set for layers that `can_accumulate`, `below` for those that `goes_below`,
    and not both. A layer that `overlaps` calls `begin` before it computes the gradient, to have what it
    adds to, and `end` once that is given to the device, to have it sent on; for others the net does.
    """

    array: Array
    accumulate: bool
    below: Neuron  # if not ident, the input is below(z), and the gradient of z is wanted
    begin: Callable[[], None]
    end: Callable[[], None]


@dataclass
class Site:
    """A layer's arrays on its device for one batch size. Activations are (..., images)."""

    layer: Layer
    device: Device
    images: int
    inputs: list[Array]
    out: Array
    parameters: dict[str, Parameter]
    scratch: dict[str, Array]
    constants: dict[str, Array]
    seed: int
    own: list[bool]  # whether an input comes from a layer of the same gpu=
    arrivals: list[Delivery | None]  # of the inputs that are exchanged
    dout: Array | None = None
    dz: Array | None = None  # for the gradient before the neuron, where `dout` has another dtype
    neuron: Neuron = IDENT  # what dout has yet to go through: the layer's own, where no reader did it
    dinputs: list[Gradient | None] = field(default_factory=list)  # None: nobody wants it
    fused_cost: tuple[Array, float] | None = None  # labels or targets, and coeff, of the cost above
    train: bool = False
    step: int = 0
    step_on_device: Array | None = None
    share: ops.Share = None  # (first, batch): the images are those from `first` on of a larger batch

    @property
    def draws(self) -> dict[str, Any]:
        """The stream of random numbers of this layer and step, as ops take it."""
        step = self.step_on_device
        return {"seed": self.seed, "layer": self.layer.stream, "step": step, "share": self.share}

    def weighted(self, coeff: float) -> float:
        """The coefficient of a cost whose mean over the site's images counts as their part of the mean
        over the batch that they are a share of."""
        return coeff if self.share is None else coeff * self.images / self.share[1]

    def input(self, i: int) -> Array:
        """Input i, which is there for what the device is given from now on."""
        if arrival := self.arrivals[i]:
            arrival.receive()
        return self.inputs[i]

    def own_first(self) -> list[int]:
        """The inputs of the layer's own gpu=, then the others, which may still be on their way.

        Sums over inputs have this order, which does not depend on the devices.
        """
        return sorted(range(len(self.own)), key=lambda i: not self.own[i])

    def value(self, name: str) -> Array:
        return self.parameters[name].value

    def operand(self, name: str) -> Array:
        """Weights as products take them: in the dtype of the inputs."""
        parameter = self.parameters[name]
        return parameter.rounded if self.inputs[0].dtype == BF16 else parameter.value

    def gradient(self, name: str) -> Array:
        return self.parameters[name].gradient

    def accumulates(self, name: str) -> bool:
        """Whether to add a gradient to that of another layer, which has the same weights."""
        parameter = self.parameters[name]
        was_begun, parameter.is_begun = parameter.is_begun, True
        return was_begun


def flat(array: Array) -> Array:
    """(channels, height, width, images) seen as (features, images)."""
    images = array.shape[-1]
    return array.reshape(array.size // images, images)


def as_targets(site: Site, i: int) -> Array:
    """Input i as targets (outputs, images): of labels 1 for the class, 0 for the others.

    Labels need the scratch array "targets" of (outputs,).
    """
    labels = site.inputs[i]
    if labels.dtype != "int32":
        return flat(labels)
    ops.one_hot(site.scratch["targets"], labels)
    return site.scratch["targets"]


def less_targets(dinp: Array, out: Array, targets: Array, coeff: float) -> None:
    """dinp = coeff * (out - targets) / images: the gradient through a cross-entropy and what feeds it.

    dinp, out (features, images); targets the same, or labels (images,) int32.
    """
    if targets.dtype == "int32":
        ops.softmax_logloss_backward(dinp, out, targets, coeff=coeff)
        return
    share = coeff / out.shape[1]
    ops.add(dinp, out, coeff=share, accumulate=False)
    ops.add(dinp, flat(targets), coeff=-share)
