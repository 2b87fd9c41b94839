"""The backward pass of a net before it runs: whose turn comes when, and where the gradients go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from alexnet_raw.device import Device
from alexnet_raw.exchange import Route
from alexnet_raw.layers import Layer, Shape
from alexnet_raw.layers.data import Data
from alexnet_raw.memory import Slot
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.neuron import IDENT, RELU, Neuron


@dataclass(frozen=True)
class Turn:
    """A layer's turn in the backward pass."""

    layer: Layer
    cost: Layer | None  # the one above, where the layer computes the gradient of both (fused)
    dout: Slot | None  # None: a cost, or fused with one
    dz: Slot | None  # for the gradient before the neuron, where `dout` has not the inputs' dtype
    neuron: Neuron  # what dout has yet to go through
    routes: tuple[Route | None, ...]  # of the inputs' gradients; None: nobody wants it
    scratch: dict[str, Slot]
    before: tuple[Route, ...]  # of gradients that are received before it: parts of dout
    after: tuple[Route, ...]  # and after it

    @property
    def slots(self) -> list[Slot]:
        """All that is read or written."""
        own = [*filter(None, self.routes)]
        received = [*self.before, *self.after, *(other for route in own for other in route.before)]
        routes = [slot for route in own for slot in route.slots]
        routes += [slot for route in received for slot in route.received_slots]
        return [*filter(None, (self.dout, self.dz)), *routes, *self.scratch.values()]


def gradient_slots(spec: NetSpec, outputs: dict[str, Slot]) -> dict[str, Slot]:
    """For the gradient of each layer's output, of its dtype; that of pictures is float32."""
    slots = {name: slot._replace(name=("gradient", name)) for name, slot in outputs.items()}
    pictures = spec.pictures.name
    return slots | {pictures: slots[pictures]._replace(dtype=np.float32)}


def scratch_slots(layer: Layer, shapes: dict[str, Shape], device: Device) -> dict[str, Slot]:
    """For arrays of these names and shapes that `layer` alone uses."""
    return {name: Slot(("scratch", layer.name, name), device, shape) for name, shape in shapes.items()}


def plan_backward(spec: NetSpec, outputs: dict[str, Slot], wanted: set[str]) -> list[Turn]:
    """The turns of the layers that a cost depends on and whose gradient is `wanted`, last to first.

    outputs: where each layer's output lies. Of a layer's readers the first that has its turn writes the
    gradient and the others add theirs.
    """
    gpus, fused, gradients = spec.places(), spec.fused_costs(), gradient_slots(spec, outputs)
    begun: set[str] = set()  # layers whose gradient holds something
    passed: set[str] = set()  # those of them whose gradient is before their neuron already
    coming: dict[str, tuple[Route, ...]] = {}  # gradients on their way to these layers, in order

    def neuron_below(layer: Layer, name: str) -> Neuron:
        """That of layer `name`, a relu, if `layer` can go through it in the same pass."""
        source = spec[name]
        in_one_pass = (
            layer.goes_below
            and source.takes_dz
            and source.neuron == RELU
            and spec.readers(name) == [layer]
            and gpus[name] == gpus[layer.name]
        )
        if not in_one_pass:
            return IDENT
        passed.add(name)
        return source.neuron

    def route(layer: Layer, i: int) -> Route | None:
        name = layer.inputs[i]
        if name not in wanted:
            return None
        first = name not in begun
        begun.add(name)
        source = spec[name]
        route = Route.plan(
            (layer.name, i),
            outputs[layer.name].device,
            gradients[name],
            before=coming.get(name, ()),
            first=first,
            in_place=layer.can_accumulate,
            half=source.half_backward and gpus[name] != gpus[layer.name],
            below=neuron_below(layer, name),
        )
        if route.is_in_place:
            coming.pop(name, None)
            return route
        coming[name] = (*route.before, route)
        return replace(route, before=())

    def received_after(layer: Layer, routes: tuple[Route | None, ...]) -> tuple[Route, ...]:
        """Those received at once: by a layer without a turn, or where nothing is waited for."""
        received: tuple[Route, ...] = ()
        for name, route in zip(layer.inputs, routes, strict=True):
            if route and (name == spec.pictures.name or not (route.is_in_place or route.travels)):
                received += coming.pop(name, ())
        return received

    turns = []
    for layer in reversed(spec.layers):
        cost = fused.get(layer.name)
        has_gradient = layer.is_cost or cost or layer.name in begun
        if isinstance(layer, Data) or layer.name not in wanted or not has_gradient:
            continue
        if layer.is_cost and layer.inputs[-1] in fused:
            continue
        dout = None if layer.is_cost or cost else gradients[layer.name]
        dz = None
        if layer.learns and dout.dtype != (dtype := outputs[layer.inputs[0]].dtype):
            dz = dout._replace(name=("dz", layer.name), dtype=dtype)
        before = coming.pop(layer.name, ())
        routes = tuple(route(layer, i) for i in range(len(layer.inputs)))
        after = received_after(layer, routes)
        scratch = layer.backward_scratch([outputs[name].shape for name in layer.inputs])
        slots = scratch_slots(layer, scratch, outputs[layer.name].device)
        neuron = IDENT if layer.name in passed else layer.neuron
        turns.append(Turn(layer, cost, dout, dz, neuron, routes, slots, before, after))
    return turns
