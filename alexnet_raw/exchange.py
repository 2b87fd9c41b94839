"""The way of activations and gradients from one device to another."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Array, Device
from alexnet_raw.layers import Shape
from alexnet_raw.layers.base import Gradient
from alexnet_raw.memory import Slot
from alexnet_raw.neuron import IDENT, Neuron

Find = Callable[[Slot], Array]  # gives the array of a slot, for the batch at hand


def half_slots(name: Hashable, shape: Shape, source: Device, target: Device) -> tuple[Slot, Slot]:
    """What is sent in half precision, where it is and where it arrives; the same on one device."""
    sent, received = (Slot(("half", name), device, shape, np.float16) for device in (source, target))
    return sent, received


def copy_as_half(target: Array, source: Array, name: Hashable, find: Find) -> None:
    """target = source in half precision (`quantF=half`): what goes from device to device is float16."""
    slots = half_slots(name, source.shape[:-1], source.device, target.device)
    sent, received = map(find, slots)
    sent.cast_from(source)
    if received.device is not sent.device:
        received.copy_from(sent)
    target.cast_from(received)


@dataclass(frozen=True)
class Route:
    """The way of a gradient from a layer back to one of its inputs.

    The layer computes it in its place at once, if the input is on the same device, or else beside it.
    Either way the sums are the same, bit for bit: the gradient of one reader, rounded, plus what the
    readers before it left.
    """

    name: Hashable  # of the layer and its input
    computed: Slot  # where the layer computes it
    arrived: Slot  # where it comes on the input's device
    target: Slot  # where it belongs
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
        return cls(name, computed, arrived, target, first, half, below)

    @property
    def slots(self) -> list[Slot]:
        """All that it needs memory for."""
        halves = half_slots(self.name, self.target.shape, self.computed.device, self.target.device)
        return [self.target, self.computed, self.arrived, *(halves if self.half else ())]

    def gradient(self, find: Find) -> Gradient:
        """Where the layer computes the gradient, and whether it adds it to what is there."""
        accumulate = self.computed == self.target and not self.first
        return Gradient(find(self.computed), accumulate, self.below)

    def deliver(self, find: Find) -> None:
        """Bring the gradient to its place, once the layer has computed it."""
        if self.computed == self.target:
            return
        if self.half:
            copy_as_half(find(self.arrived), find(self.computed), self.name, find)
        elif self.arrived != self.computed:
            find(self.arrived).copy_from(find(self.computed))
        if self.arrived != self.target:
            ops.add(find(self.target), find(self.arrived))
