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

    @classmethod
    def plan(
        cls, key: Hashable, device: Device, target: Array, first: bool, in_place: bool, memory: Memory
    ) -> Route:
        """For a layer on `device`. in_place: it can add to what is there, should it have to."""
        if target.device is device and (first or in_place):
            return cls(key, Gradient(target, accumulate=not first), target, first)
        beside = memory.array(("gradient to send", key), device, target.shape)
        return cls(key, Gradient(beside, accumulate=False), target, first)

    def deliver(self, memory: Memory) -> None:
        """Bring the gradient to its place, once the layer has computed it."""
        computed, target = self.gradient.array, self.target
        if computed is target:
            return
        if self.first:
            target.copy_from(computed)
            return
        if computed.device is not target.device:
            received = memory.array(("received gradient", self.key), target.device, target.shape)
            received.copy_from(computed)
            computed = received
        ops.add(target, computed)
