"""A network at work: its layers placed on devices, forward, backward and update.

Each layer works on the device of its `gpu=`. Where it reads a layer of another device, the
activations are copied over (the exchange between towers, paper §3.2) as soon as they are there, and
its gradient is copied back, while the devices work on what does not depend on it: docs/two_gpus.md.
Every sum has one fixed order, so that results do not depend on the split, bit for bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import numpy as np

from alexnet_raw import ops, storage
from alexnet_raw.backward_plan import Turn, gradient_slots, plan_backward, scratch_slots
from alexnet_raw.costs import Cost, read_costs
from alexnet_raw.cpu_stream import side_by_side
from alexnet_raw.device import BF16, Array, Device, precision_of
from alexnet_raw.device_numbers import DeviceNumbers
from alexnet_raw.exchange import Delivery, Find, Returns, half_slots
from alexnet_raw.layers import Layer, Shape, Site
from alexnet_raw.layers.cost import MultiSoftmax
from alexnet_raw.layers.data import Data
from alexnet_raw.memory import Memory, Slot
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.optimizer import Optimizer
from alexnet_raw.parallel import ALONE, Ranks
from alexnet_raw.parallel.buckets import Buckets
from alexnet_raw.parallel.hybrid import Arrival
from alexnet_raw.parameters import Parameter, ParameterSpec
from alexnet_raw.recording import Recordings


def concurrently(method: Callable) -> Callable:
    """Lets the towers work side by side, on CPUs too, until all that the method gave them is done."""

    @wraps(method)
    def call(net: Network, *args: Any, **kwargs: Any) -> Any:
        with side_by_side(list(net._steps) if net.is_concurrent else []):
            return method(net, *args, **kwargs)

    return call


class Network:
    """A `NetSpec` with arrays.

    Args:
        spec: the layers, from `layer_file`.
        devices: a layer with gpu=g sits on devices[g % len(devices)]. Their precision (`set_precision`)
            decides now how maps are stored.
        batch_size: the most pictures of one pass; fewer are fine.
        seed: of the initial weights, the dropout masks, randSparse connections and other draws.
        input_shape: (channels, height, width) of the pictures, if the files do not tell.
        classes: resize the last fc layer to so many outputs (told in `spec.notes`).
        input_gradient: let `backward` compute the gradient of the pictures too.
        initialise: False leaves all parameters 0, for a state that will be loaded.

    Attributes:
        parameters: name such as "conv1a.weights0" -> Parameter, in layer order.
        input_device: where `forward` wants pictures and labels.
        wants_gradient: names of the layers whose outputs get a gradient in `backward`.
        rate_scale: multiplies every learning rate (plateaus, `--lr`, `--scale-lr`); 1 to begin with.
        recordings: of whole steps, on a GPU.
        is_concurrent: whether towers on several CPU devices work side by side, each on its share of the
            cores, or by turns on all of them.
    """

    def __init__(
        self,
        spec: NetSpec,
        devices: list[Device],
        batch_size: int,
        seed: int = 0,
        input_shape: Shape | None = None,
        classes: int | None = None,
        input_gradient: bool = False,
        initialise: bool = True,
    ):
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, but must be at least 1")
        self.spec = spec if classes is None else spec.with_classes(classes)
        self.devices, self.batch_size, self.seed = devices, batch_size, seed
        self.shapes = self.spec.shapes(input_shape)
        self.rate_scale, self.is_concurrent = 1.0, True
        gpus = self._gpus = self.spec.places()
        self._layers = {layer.name: layer for layer in self.spec}
        self.input_device = devices[gpus[self.spec.pictures.name] % len(devices)]
        self.places = {
            layer.name: self.input_device
            if isinstance(layer, Data)
            else devices[gpus[layer.name] % len(devices)]
            for layer in self.spec
        }
        dtypes = storage.dtypes(self.spec, precision_of(self.places.values()))
        self._outputs = {
            name: Slot(("out", name), device, self.shapes[name], dtypes[name])
            for name, device in self.places.items()
        }
        self.parameters: dict[str, Parameter] = {}
        self._learns = {
            layer.name: self._new_parameters(layer, seed if initialise else None) for layer in self.spec
        }
        for layer in self.spec:
            if layer.learns and dtypes[layer.inputs[0]] == BF16:
                for name, parameter in self._learns[layer.name].items():
                    if name != "biases":
                        parameter.keep_rounded()
        self._constants = {
            layer.name: {
                name: self.places[layer.name].upload(values)
                for name, values in layer.constants(seed, initialise).items()
            }
            for layer in self.spec
        }
        self.wants_gradient = self.spec.wants_gradient(input_gradient)
        self._fused = self._as_it_runs(self.spec.fused(self.places))
        self._readers = {layer.name: self._fused.readers(layer.name) for layer in self._fused}
        self._turns = plan_backward(self._fused, self._outputs, self.wants_gradient)
        used = [turn.slots for turn in self._turns]
        if self.spec.pictures.name in self.wants_gradient:
            used.append([self._picture_gradient])  # `input_gradient` reads it after the last turn
        self._memory = Memory(batch_size, used)
        self._sites: dict[int, list[Site]] = {}
        self._now: Pass | None = None
        self._optimizer = Optimizer()
        used = list(dict.fromkeys(self.places.values()))
        self._steps = {device: DeviceNumbers(device, (1,), np.int32) for device in used}
        last = {p: turn.layer.name for turn in self._turns for p in self._learnt(turn)}
        self._finished: dict[str, set[Parameter]] = defaultdict(set)  # with a layer's turn in backward
        for parameter, layer in last.items():
            self._finished[layer].add(parameter)
        self._learning = {p.name: p for turn in self._turns for p in self._learnt(turn)}
        drawing = [layer for layer in self.spec if layer.draws_on_host]
        refusal = f"{drawing[0].name} of type {drawing[0].type} draws on the host" if drawing else None
        self.recordings = Recordings(used, refusal)
        self._ranks, self._buckets = ALONE, None
        self._sites_for(batch_size)

    def _as_it_runs(self, spec: NetSpec) -> NetSpec:
        """The layers, of which some are fused, in the order in which they run."""
        return spec

    # ---- a pass over the layers

    @concurrently
    def forward(
        self,
        images: Array,
        labels: Array | None,
        train: bool,
        step: int = 0,
        share: ops.Share = None,
    ) -> None:
        """Run all layers on a batch.

        images: (channels, height, width, N) float32 or bfloat16, labels: (N,) int32, on `input_device`;
        without labels no cost is computed. Costs against targets (crossent, crossent2, rflickr) also
        take (outputs, N) float32 in place of labels. train: drop units, with the masks of `step`.
        share: (first, batch) where the images are those from `first` on of a batch of so many, of which
        other ranks have the others: masks and gradients are those of this part.
        """
        self._check_batch(images, labels)
        if train:
            self._set_step(step)
        self._now = self._begin(images, labels, train)
        self._compute(self._now.sites, step, share)

    def _check_batch(self, images: Array, labels: Array | None) -> None:
        pictures = self.spec.pictures.name
        if images.shape[:-1] != self.shapes[pictures] or images.device is not self.input_device:
            raise ValueError(
                f"images are {images.shape} on {images.device}, but the net wants "
                f"{(*self.shapes[pictures], 'N')} on {self.input_device}"
            )
        count = images.shape[-1]
        if labels is not None and (labels.shape[-1:] != (count,) or len(labels.shape) > 2):
            raise ValueError(f"labels are {labels.shape}, but must be ({count},) as the images")
        if labels is not None and len(labels.shape) == 2:
            self._check_targets(labels.shape[0])

    def _begin(self, images: Array, labels: Array | None, train: bool) -> Pass:
        """A pass over a batch, whose layers have yet to compute."""
        now = Pass(self._sites_for(images.shape[-1]), train, labels is not None)
        now.idle = self._fused.without_labels() if labels is None else set()
        for layer in self.spec:
            if isinstance(layer, Data):
                arrived = labels if layer.is_labels else self._as_stored(layer.name, images)
                now.outputs[layer.name, self.input_device] = arrived
        return now

    def _compute(self, sites: Iterable[Site], step: int, share: ops.Share) -> None:
        """What these layers make of the pass at hand."""
        now = self._now
        for name, device in [*now.outputs]:
            if self.places.get(name) is device:
                self._send(name)
        for site in sites:
            layer, inputs = site.layer, range(len(site.layer.inputs))
            now.outputs[layer.name, site.device] = None if layer.name in now.idle else site.out
            if layer.name in now.idle:
                continue
            site.train, site.step, site.share = now.train, step, share
            site.inputs = [self._fetch(name, layer) for name in layer.inputs]
            site.arrivals = [now.arrivals.get(self._as_read(name, layer)) for name in layer.inputs]
            if not layer.overlaps:
                for i in inputs:
                    site.input(i)
            layer.forward(site)
            self._send(layer.name)
        for delivery in now.arrivals.values():
            delivery.release()

    @property
    def running(self) -> NetSpec:
        """The layers that run: those of `spec`, some as one with the layer below."""
        return self._fused

    @property
    def input_dtype(self) -> np.dtype:
        """In which the layers read pictures; others are converted."""
        return self._outputs[self.spec.pictures.name].dtype

    def _as_stored(self, pictures: str, images: Array) -> Array:
        """The pictures in the dtype in which the layers read them."""
        slot = self._outputs[pictures]
        if images.dtype == slot.dtype:
            return images
        converted = self._memory.array(slot, images.shape[-1])
        ops.add(converted, images, accumulate=False)
        return converted

    def _set_step(self, step: int) -> None:
        for numbers in self._steps.values():
            numbers.set(np.array([step], np.uint32).view(np.int32))

    def _check_targets(self, outputs: int) -> None:
        """Targets must be as many as the layers that read them have other inputs' outputs."""
        for layer in self.spec:
            shapes = {name: self.shapes[name] for name in layer.inputs}
            if () in shapes.values():
                wanted = max(math.prod(shape) for shape in shapes.values())
                if not layer.takes_targets:
                    raise ValueError(f"{layer.name} of type {layer.type} takes labels, not targets")
                if outputs != wanted:
                    raise ValueError(f"targets have {outputs} outputs, but {layer.name} wants {wanted}")

    @concurrently
    def backward(self) -> None:
        """Gradients of all costs' sum for the batch of the last `forward`, into the parameters."""
        for _ in self._backward():
            pass

    def _backward(self) -> Iterator[set[Parameter]]:
        """The same turn by turn: yields the parameters whose gradients have become whole."""
        now = self._now
        if now is None or not (now.train and now.has_labels):
            raise RuntimeError("backward needs a forward with train=True and labels before it")
        self._begin_gradients()
        yield from self._take(self._turns, Returns(self._find(now)))

    def _begin_gradients(self) -> None:
        """What the backward pass computes first of each gradient replaces what is there."""
        for parameter in self.parameters.values():
            parameter.is_begun = False

    def _find(self, now: Pass) -> Find:
        return partial(self._memory.array, images=now.sites[0].images)

    def _take(self, turns: Iterable[Turn], returns: Returns) -> Iterator[set[Parameter]]:
        """Lets layers have their turns in the pass at hand."""
        now = self._now
        now.has_gradients = True
        sites, find = {site.layer.name: site for site in now.sites}, self._find(now)
        for turn in turns:
            site = sites[turn.layer.name]
            returns.begin(turn)
            if turn.cost:
                coeff = site.weighted(turn.cost.coeff)
                site.fused_cost = (self._arrived(turn.cost.inputs[0], turn.layer), coeff)
            site.dout, site.dz = turn.dout and find(turn.dout), turn.dz and find(turn.dz)
            site.neuron = turn.neuron
            site.dinputs = [route and returns.gradient(route) for route in turn.routes]
            site.scratch |= {name: find(slot) for name, slot in turn.scratch.items()}
            gradients = [] if turn.layer.overlaps else [g for g in site.dinputs if g]
            for gradient in gradients:
                gradient.begin()
            turn.layer.backward(site)
            for gradient in gradients:
                gradient.end()
            returns.receive(turn.after)
            returns.release()
            yield self._finished[turn.layer.name]

    def update(self, progress: float) -> None:
        """One step of gradient descent; progress runs from 0 to 1 over the training."""
        if self._now is None or not self._now.has_gradients:
            raise RuntimeError("update needs a backward before it")
        self._optimizer.step(self._learning.values(), progress, self.rate_scale)

    def sum_over(self, ranks: Ranks) -> None:
        """From now on gradients of `train_step` are sums over these ranks, who all take the same steps.

        Before the first step. Steps with sums in them are not recorded.
        """
        self._ranks = ranks
        names = [turn.layer.name for turn in self._turns]
        self._buckets = Buckets([(self._finished[name], self._summed_over(name)) for name in names])
        self.recordings.refusal = f"{ranks.size} ranks sum their gradients"
        self.is_concurrent = False  # a sum begins where the host has come to

    def _summed_over(self, layer: str) -> Ranks:
        """Who sum the gradients of a layer's parameters."""
        return self._ranks

    def train_step(
        self,
        images: Array | None,
        labels: Array,
        step: int,
        progress: float,
        counts: Sequence[int] | None = None,
        read: Callable[[], Any] = lambda: None,
    ) -> Any:
        """forward, backward and update; on a GPU at little cost for arrays that come again.

        counts: after `sum_over`, how many images of the batch each rank has. Where this one has none,
        images are None and labels, or targets, have none.
        read: asks for the results of the images (`costs_later`, `probabilities`), which is what this
        returns; None without images.
        """
        self._set_step(step)
        moving = self._optimizer.set_rates(self._learning.values(), progress, self.rate_scale)
        return self._train(moving, images, labels, step, counts, read)

    def _train(
        self,
        moving: tuple[str, ...],
        images: Array | None,
        labels: Array,
        step: int,
        counts: Sequence[int] | None,
        read: Callable[[], Any],
    ) -> Any:
        """A step that moves these parameters, whose rates are set; the rest as in `train_step`."""
        self._step(images, labels, step, moving, counts)
        return read() if images else None

    @concurrently
    def _step(
        self,
        images: Array | None,
        labels: Array,
        step: int,
        moving: tuple[str, ...],
        counts: Sequence[int] | None,
    ) -> None:
        share = (sum(counts[: self._ranks.rank]), sum(counts)) if counts else None

        def work() -> Pass | None:
            self._optimizer.begin(moving)
            if images:
                self.forward(images, labels, train=True, step=step, share=share)
            self._learn(self._backward() if images else self._no_gradients(self._turns))
            return self._now

        precisions = tuple(device.precision for device in self._steps)
        self._now = self.recordings.run((images, labels, moving, precisions), work)

    def _no_gradients(self, turns: Iterable[Turn]) -> Iterator[set[Parameter]]:
        """Those of a rank that has no image of the batch, and moves as the others do."""
        for turn in turns:
            for parameter in self._finished[turn.layer.name]:
                parameter.gradient.fill(0)
            yield self._finished[turn.layer.name]

    def _learn(self, turns: Iterator[set[Parameter]]) -> None:
        """Moves the parameters while their gradients are made, turn by turn."""
        for finished in self._buckets.sum(turns) if self._buckets else turns:
            self._optimizer.step_early(finished)
        self._optimizer.step_due()
        for device in self._steps:
            device.join()

    # ---- results, on the host

    def costs(self) -> dict[str, Cost]:
        """Loss and errors of each cost layer, means over the batch of the last forward."""
        return self.costs_later()()

    def costs_later(self) -> Callable[[], dict[str, Cost]]:
        """The same of what is the last forward now, once called: nobody waits before."""
        now = self._last()
        if not now.has_labels:
            raise RuntimeError("no cost was computed: give forward the labels")
        return read_costs(site for site in now.sites if site.layer.is_cost)

    def counts_errors(self, cost: Layer) -> bool:
        """Whether a cost layer counts errors, beside its loss."""
        return "top1" in cost.scratch([self.shapes[name] for name in cost.inputs])

    def probabilities(self) -> np.ndarray:
        """(N, outputs) float32, what the first softmax made of the last forward's pictures.

        In a net without one, what its main cost judges; with cost.msm, how probable each class is to be
        in the set.
        """
        for site in self._last().sites:
            if isinstance(site.layer, MultiSoftmax) and site.layer.name == self.spec.main_cost:
                energies = self._arrived(site.layer.inputs[1], site.layer)
                return np.ascontiguousarray(site.layer.marginals(site, energies).numpy().T)
        if (name := self.spec.outlet) is None:
            raise RuntimeError(f"net {self.spec.name} has neither a softmax layer nor a cost")
        outputs = self.activations(name)
        return outputs.reshape(len(outputs), -1)

    def activations(self, name: str) -> np.ndarray:
        """(N, channels, height, width) float32, the output of layer `name` in the last forward."""
        maps = np.moveaxis(self.activation_array(name).numpy(), -1, 0)
        return np.ascontiguousarray(maps, np.float32)

    def activation_array(self, name: str) -> Array:
        """(channels, height, width, N), what `activations` copies: the net's own array.

        float32, or bfloat16 where storage.py says so in precision bf16. The next forward overwrites it.
        """
        layer = self.spec[name]
        runs = any(layer.name == name for layer in self._fused)
        out = self._last().outputs.get((name, self.places[name])) if runs else self._unfused(layer)
        if out is None or len(out.shape) != 4:
            raise ValueError(f"layer {name!r} of type {layer.type} has no activations")
        return out

    def _unfused(self, layer: Layer) -> Array:
        """The output of a layer that is fused with its reader, in the last forward: computed now."""
        site = self._new_site(layer, self._last().sites[0].images)
        site.inputs = [self._arrived(name, layer) for name in layer.inputs]
        layer.forward(site)
        return site.out

    def input_gradient(self) -> np.ndarray:
        """(channels, height, width, N) float32, the gradient of the last backward's pictures."""
        if self.spec.pictures.name not in self.wants_gradient:
            raise RuntimeError(
                "make the Network with input_gradient=True, of layers that all pass gradients"
            )
        now = self._last()
        if not now.has_gradients:
            raise RuntimeError("input_gradient needs a backward before it")
        return self._memory.array(self._picture_gradient, now.sites[0].images).numpy()

    @property
    def _picture_gradient(self) -> Slot:
        return gradient_slots(self.spec, self._outputs)[self.spec.pictures.name]

    def state(self) -> dict[str, np.ndarray]:
        """Copies of all values and velocities: name and name + ".velocity".

        Which channels randSparse layers see is not among them where it follows from the seed.
        """
        return {name: array.numpy() for name, array in self._state().items()}

    def _state(self, velocities: bool = True) -> dict[str, Array]:
        arrays = {name: p.value for name, p in self.parameters.items()}
        if velocities:
            arrays |= {f"{name}.velocity": p.velocity for name, p in self.parameters.items()}
        for layer in self.spec:
            if layer.saves_constants:
                constants = self._constants[layer.name].items()
                arrays |= {f"{layer.name}.{name}": array for name, array in constants}
        return arrays

    def load_state(self, state: Mapping[str, np.ndarray], velocities: bool = True) -> None:
        """Set all values and velocities from what `state` gave; ValueError where they differ.

        velocities: False leaves them out, and without memory, for a net that will not be trained on.
        """
        if not velocities:
            skipped = {f"{name}.velocity" for name in self.parameters}
            state = {name: array for name, array in state.items() if name not in skipped}
        arrays = self._state(velocities)
        for name in sorted(arrays.keys() ^ state.keys()):
            where = "the saved state" if name in arrays else f"net {self.spec.name}"
            raise ValueError(f"{name} is missing in {where}: the state is of another net")
        owners = {f"{name}{end}": p for name, p in self.parameters.items() for end in ("", ".velocity")}
        for name, array in arrays.items():
            shape = owners[name].shape if name in owners else array.shape
            if state[name].shape != shape:
                raise ValueError(
                    f"{name} is {state[name].shape} in the saved state, but {shape} in net "
                    f"{self.spec.name}: the state is of another net"
                )
        for name, array in arrays.items():
            whole = np.asarray(state[name], array.dtype)
            array.copy_from(owners[name].own(whole) if name in owners else whole)
        for parameter in self.parameters.values():
            parameter.round()

    # ---- arrays and exchanges

    def _send(self, name: str) -> None:
        """Sends the output of layer `name`, once that is given to its device, to whatever reads it."""
        for reader in self._readers[name]:
            if reader.name not in self._now.idle:
                self._fetch(name, reader)

    def _fetch(self, name: str, reader: Layer) -> Array:
        """The output of layer `name` as `reader` reads it: exchanged, at most once in a pass.

        If it is, it is there once that which is in `Pass.arrivals` is received.
        """
        now, key = self._now, self._as_read(name, reader)
        if key not in now.outputs:
            source, device = now.outputs[name, self.places[name]], key[1]
            *shape, images = source.shape
            if gathered := now.arrivals.get((name, source.device)):
                gathered.receive()
            find = partial(self._memory.array, images=images)
            place = (now.exchange, key[0])
            half = key[0] != name and half_slots(place, tuple(shape), source.device, device)
            copy = find(Slot(place, device, tuple(shape), source.dtype))
            now.arrivals[key] = Delivery(copy, source, half=tuple(map(find, half)) if half else None)
            now.outputs[key] = copy
        return now.outputs[key]

    def _arrived(self, name: str, reader: Layer) -> Array:
        """The same, there already."""
        array = self._fetch(name, reader)
        if arrival := self._now.arrivals.get(self._as_read(name, reader)):
            arrival.receive()
            arrival.release()
        return array

    def _as_read(self, name: str, reader: Layer) -> tuple[str, Device]:
        """What of `Pass.outputs` is the output of layer `name` for a layer that may be elsewhere.

        In half precision it goes to another gpu=, be that on the same device or not.
        """
        half = self._layers[name].half_forward and self._gpus[name] != self._gpus[reader.name]
        return (f"{name} as half" if half else name, self.places[reader.name])

    def _sites_for(self, images: int) -> list[Site]:
        """The sites of all layers that run but data, in order, for batches of `images`."""
        if images > self.batch_size or images < 1:
            raise ValueError(f"{images} images, but the net was made for 1 to {self.batch_size}")
        if images not in self._sites:
            layers = (layer for layer in self._fused if not isinstance(layer, Data))
            self._sites[images] = [self._new_site(layer, images) for layer in layers]
        return self._sites[images]

    def _new_site(self, layer: Layer, images: int) -> Site:
        device = self.places[layer.name]
        inputs = [self.shapes[name] for name in layer.inputs]
        find = partial(self._memory.array, images=images)
        scratch = scratch_slots(layer, layer.scratch(inputs), device)
        return Site(
            layer,
            device,
            images,
            inputs=[],
            out=find(self._outputs[layer.name]),
            parameters=self._learns[layer.name],
            scratch={name: find(slot) for name, slot in scratch.items()},
            constants=self._constants[layer.name],
            seed=self.seed,
            own=[self._gpus[name] == self._gpus[layer.name] for name in layer.inputs],
            arrivals=[None for _ in layer.inputs],
            step_on_device=self._steps[device].array,
        )

    def _last(self) -> Pass:
        if self._now is None:
            raise RuntimeError("there is no result before the first forward")
        return self._now

    def _new_parameters(self, layer: Layer, seed: int | None) -> dict[str, Parameter]:
        """The layer's parameters, new ones or, where it shares weights, those of its source."""
        parameters = {}
        for spec in layer.parameters([self.shapes[name] for name in layer.inputs]):
            if spec.source:
                parameters[spec.name] = self._shared(layer, spec)
                continue
            parameter = Parameter(spec, layer.name, self.places[layer.name], seed)
            parameters[spec.name] = self.parameters[parameter.name] = parameter
        return parameters

    def _learnt(self, turn: Turn) -> Iterable[Parameter]:
        return self._learns[turn.layer.name].values()

    def _shared(self, layer: Layer, spec: ParameterSpec) -> Parameter:
        source = self.parameters.get(spec.source)
        what = f"{spec.source.replace('.weights', '[')}]"
        if source is None:
            raise layer.error("weightSource", f"there are no weights {what} before this layer")
        if source.shape != spec.shape:
            raise layer.error(
                "weightSource",
                f"{what} has weights {source.shape}, not {spec.shape} as needed here",
            )
        if source.value.device is not self.places[layer.name]:
            raise layer.error(
                "weightSource",
                f"{what} lies on {source.value.device}, this layer on {self.places[layer.name]}: give "
                "both the same gpu=",
            )
        if (source.rate.eps == 0) != (spec.rate.eps == 0):  # otherwise those of the source count
            raise layer.error(
                "weightSource",
                f"{what} learns at rate {source.rate.eps:g}, this layer at {spec.rate.eps:g}: let both "
                "be 0, or neither",
            )
        return source


@dataclass
class Pass:
    """What belongs to the last forward and backward."""

    sites: list[Site]
    train: bool
    has_labels: bool
    exchange: str = "exchange"  # where exchanged maps are, which own images' must keep

    def __post_init__(self) -> None:
        self.outputs: dict[tuple[str, Device], Array | None] = {}
        # Of those that are exchanged, or come from other ranks:
        self.arrivals: dict[tuple[str, Device], Delivery | Arrival] = {}
        self.idle: set[str] = set()  # layers that do not run, for want of labels
        self.has_gradients = False
