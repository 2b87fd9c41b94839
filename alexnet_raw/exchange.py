"""Memory by name and device, and the way of gradients back from one device to another."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Array, Device
from alexnet_raw.layers import Shape
from alexnet_raw.layers.base import Gradient


class Memory:
    """Arrays that keep their place between passes. Their last axis is the images of a batch;
    each has room for `batch_size`, and smaller batches use the front of it."""

    def __init__(self, batch_size: int):
        self.batch_size = batch_size
        self._arrays: dict[tuple[Hashable, Device], Array] = {}

    def array(self, key: Hashable, device: Device, shape: Shape, dtype: Any = np.float32) -> Array:
        """The array called `key` on `device`; its contents are whatever was there."""
        if (key, device) not in self._arrays:
            room = int(np.prod(shape[:-1])) * self.batch_size
            self._arrays[key, device] = device.empty((room,), dtype)
        front = self._arrays[key, device].data[: int(np.prod(shape))]
        return Array(front.reshape(shape), device)


def copy_as_half(target: Array, source: Array, key: Hashable, memory: Memory) -> None:
    """target = source in half precision (`quantF=half`): what goes from device to device is float16."""
    sent = memory.array(("half to send", key), source.device, source.shape, np.float16)
    sent.cast_from(source)
    received = sent
    if target.device is not source.device:
        received = memory.array(("received half", key), target.device, source.shape, np.float16)
        received.copy_from(sent)
    target.cast_from(received)


@dataclass
class Route:
    """The way of a gradient from a layer back to one of its inputs.

    The layer computes it in `gradient`: in its place at once, if the input is on the same device,
    or else beside it. Either way the sums are the same, bit for bit: the gradient of one reader,
    rounded, plus what the readers before it left.
    """

    key: Hashable  # of the input, apart from the layer's other inputs
    gradient: Gradient  # where the layer computes it
    target: Array  # where it belongs
    first: bool  # nothing is there yet
    half: bool  # it goes in half precision (`quantB=half`), even to its own device

    @classmethod
    def plan(
        cls,
        key: Hashable,
        device: Device,
        target: Array,
        memory: Memory,
        *,
        first: bool,
        in_place: bool,
        half: bool,
    ) -> Route:
        """For a layer on `device`. in_place: it can add to what is there, should it have to."""
        if target.device is device and (first or in_place) and not half:
            return cls(key, Gradient(target, accumulate=not first), target, first, half)
        beside = memory.array(("gradient to send", key), device, target.shape)
        return cls(key, Gradient(beside, accumulate=False), target, first, half)

    def deliver(self, memory: Memory) -> None:
        """Bring the gradient to its place, once the layer has computed it."""
        computed, target = self.gradient.array, self.target
        if computed is target:
            return
        if not (self.first or self.half) and computed.device is target.device:
            ops.add(target, computed)
            return
        arrived = target
        if not self.first:
            arrived = memory.array(("received gradient", self.key), target.device, target.shape)
        if self.half:
            copy_as_half(arrived, computed, self.key, memory)
        else:
            arrived.copy_from(computed)
        if not self.first:
            ops.add(target, arrived)
