"""Memory by name and device. Arrays of the backward pass that are never needed together share it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from alexnet_raw.device import ALIGNMENT, Array, Device
from alexnet_raw.layers import Shape


class Slot(NamedTuple):
    """An array before it has memory. Its last axis, the images of a batch, is not in its shape."""

    name: Hashable
    device: Device
    shape: Shape
    dtype: Any = np.float32

    def nbytes(self, images: int) -> int:
        return prod(self.shape) * images * np.dtype(self.dtype).itemsize


class Memory:
    """Arrays that keep their place between passes.

    Each has room for `batch_size` images, and smaller batches use the front of it.

    Args:
        batch_size: the most images of one batch.
        turns: the slots that each turn of the backward pass reads or writes, turn after turn. From
            its first turn to its last a slot has its memory for itself; before and after others may.
            Slots in no turn always have their own.
    """

    def __init__(self, batch_size: int, turns: Sequence[Iterable[Slot]] = ()):
        self.batch_size = batch_size
        self.lives = lifetimes(turns)
        sizes = {slot: _rounded_up(slot.nbytes(batch_size)) for slot in self.lives}
        self.places = pack(self.lives, sizes)
        self.arena_sizes: dict[Device, int] = {}  # bytes
        for slot, begin in self.places.items():
            end = begin + sizes[slot]
            self.arena_sizes[slot.device] = max(end, self.arena_sizes.get(slot.device, 0))
        self._blocks: dict[Slot | Device, Array] = {}  # of a slot by itself, of a device's others

    def array(self, slot: Slot, images: int) -> Array:
        """The array of `slot` for so many images; its contents are whatever was there."""
        if slot in self.places:
            block = self._block(slot.device, slot.device, self.arena_sizes[slot.device])
        else:
            block = self._block(slot, slot.device, slot.nbytes(self.batch_size))
        begin = self.places.get(slot, 0)
        part = block.data[begin : begin + slot.nbytes(images)]
        return Array(part.view(slot.dtype).reshape(*slot.shape, images), slot.device)

    def _block(self, key: Slot | Device, device: Device, nbytes: int) -> Array:
        if key not in self._blocks:
            self._blocks[key] = device.empty((nbytes,), np.uint8)
        return self._blocks[key]


def lifetimes(turns: Iterable[Iterable[Slot]]) -> dict[Slot, tuple[int, int]]:
    """The first and the last turn of each slot."""
    lives: dict[Slot, tuple[int, int]] = {}
    for turn, slots in enumerate(turns):
        for slot in slots:
            first, _ = lives.get(slot, (turn, turn))
            lives[slot] = (first, turn)
    return lives


def pack(lives: dict[Slot, tuple[int, int]], sizes: dict[Slot, int]) -> dict[Slot, int]:
    """Where each slot begins in its device's memory, so that those that live together lie apart.

    Largest first, each in the tightest gap that the slots placed before it leave while it lives.
    """
    places: dict[Slot, int] = {}
    for slot in sorted(lives, key=lambda slot: -sizes[slot]):
        first, last = lives[slot]
        taken = sorted(
            (begin, begin + sizes[other])
            for other, begin in places.items()
            if other.device is slot.device and lives[other][0] <= last and first <= lives[other][1]
        )
        gaps, end = [], 0
        for begin, until in taken:
            if begin - end >= sizes[slot]:
                gaps.append((begin - end, end))
            end = max(end, until)
        _, places[slot] = min(gaps, default=(0, end))
    return places


def _rounded_up(nbytes: int) -> int:
    return -(-nbytes // ALIGNMENT) * ALIGNMENT
