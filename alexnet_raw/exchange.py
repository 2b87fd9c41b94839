"""The way of activations and gradients from one device to another."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Array, Device
from alexnet_raw.layers import Shape
from alexnet_raw.layers.base import Gradient
from alexnet_raw.memory import Slot
from alexnet_raw.neuron import IDENT, Neuron

if TYPE_CHECKING:
    from alexnet_raw.backward_plan import Turn

Find = Callable[[Slot], Array]  # gives the array of a slot, for the batch at hand


class Delivery:
    """An array on its way to an equal one, on the same device or another, from now on.

    What is copied from device to device goes beside the work of both.

    Args:
        target, source: of one shape and dtype; the same array if it need not move.
        half: arrays of float16 on the source's and on the target's device, the same one if that is one
            device: it goes in half precision (`quantF=half`).
        total: add it to this array once it is there.
    """

    def __init__(
        self,
        target: Array,
        source: Array,
        *,
        half: tuple[Array, Array] | None = None,
        total: Array | None = None,
    ):
        self._target, self._source, self._total = target, source, total
        self._received: Array | None = None  # what remains to be converted
        self._copied = None
        self._is_due = self._is_held = True
        if half:
            source, self._received = half
            source.cast_from(self._source)
            target = self._received
        if target.device is not source.device:
            self._copied = target.begin_copy_from(source)

    def receive(self) -> None:
        """What the target's device is given from now on finds it there."""
        if not self._is_due:
            return
        self._is_due = False
        self._target.device.wait(self._copied)
        if self._received:
            self._target.cast_from(self._received)
        if self._total:
            ops.add(self._total, self._target)

    def release(self) -> None:
        """What the source's device is given from now on may overwrite the source."""
        if self._is_held:
            self._is_held = False
            self._source.device.wait(self._copied)


def half_slots(name: Hashable, shape: Shape, source: Device, target: Device) -> tuple[Slot, Slot]:
    """What is sent in half precision, where it is and where it arrives; the same on one device."""
    sent, received = (Slot(("half", name), device, shape, np.float16) for device in (source, target))
    return sent, received


@dataclass(frozen=True)
class Route:
    """The way of a gradient from a layer back to one of its inputs.

    The layer computes it in its place at once, if the input is on the same device, or else beside it.
    Either way the sums are the same, bit for bit: the gradient of one reader, rounded, plus what the
    readers before it left.

    What is not computed in its place is on its way until it is received, at the latest when somebody
    wants what is in that place.
    """

    name: Hashable  # of the layer and its input
    computed: Slot  # where the layer computes it
    arrived: Slot  # where it comes on the input's device
    target: Slot  # where it belongs
    before: tuple[Route, ...]  # those on their way to the same place, which are received first
    first: bool  # nothing is there yet
    half: bool  # it goes in half precision (`quantB=half`), even to its own device
    below: Neuron = IDENT  # of the input; if not ident, the layer computes the gradient before it

    @classmethod
    def plan(
        cls,
        name: Hashable,
        device: Device,
        target: Slot,
        *,
        before: tuple[Route, ...],
        first: bool,
        in_place: bool,
        half: bool,
        below: Neuron = IDENT,
    ) -> Route:
        """For a layer on `device`. in_place: it can add to what is there, should it have to."""
        stays = target.device is device and not half
        computed = target
        if not (stays and (first or in_place)):
            computed = Slot(("gradient to send", name), device, target.shape, target.dtype)
        arrived = target
        if not first:
            received = target._replace(name=("received gradient", name))
            arrived = computed if stays else received
        return cls(name, computed, arrived, target, before, first, half, below)

    @property
    def is_in_place(self) -> bool:
        return self.computed == self.target

    @property
    def travels(self) -> bool:
        """To another device."""
        return self.computed.device is not self.target.device

    @property
    def slots(self) -> list[Slot]:
        """All that it needs memory for."""
        return [self.target, self.computed, self.arrived, *(self._halves if self.half else ())]

    @property
    def received_slots(self) -> list[Slot]:
        """Those of them that it needs until it is received."""
        return [self.target, self.arrived, *(self._halves[1:] if self.half else ())]

    @property
    def _halves(self) -> tuple[Slot, Slot]:
        return half_slots(self.name, self.target.shape, self.computed.device, self.target.device)

    def send(self, find: Find) -> Delivery:
        """Send the gradient to its place, once the layer has computed it elsewhere."""
        return Delivery(
            find(self.arrived),
            find(self.computed),
            half=tuple(map(find, self._halves)) if self.half else None,
            total=None if self.arrived == self.target else find(self.target),
        )


class Returns:
    """The gradients of one backward pass, back from layers to what they read."""

    def __init__(self, find: Find):
        self._find = find
        self._coming: dict[Hashable, Delivery] = {}  # by the name of their route
        self._held: list[Delivery] = []  # whose source must not be overwritten yet

    def gradient(self, route: Route) -> Gradient:
        """Where a layer computes the gradient, and whether it adds it to what is there."""
        return Gradient(
            self._find(route.computed),
            route.is_in_place and not route.first,
            route.below,
            begin=partial(self.receive, route.before),
            end=partial(self._send, route),
        )

    def begin(self, turn: Turn) -> None:
        """What the device of a layer is given from now on finds the gradient of its output whole."""
        self.receive(turn.before)

    def receive(self, routes: Iterable[Route]) -> None:
        """What their targets' device is given from now on finds these gradients there."""
        for route in routes:
            self._coming.pop(route.name).receive()

    def release(self) -> None:
        """What devices are given from now on may overwrite what they have sent."""
        while self._held:
            self._held.pop().release()

    def _send(self, route: Route) -> None:
        if not route.is_in_place:
            delivery = self._coming[route.name] = route.send(self._find)
            self._held.append(delivery)
