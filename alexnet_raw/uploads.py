"""Batches on their way to a GPU while it computes.

Two sets of device memory are filled by turns: while the net works on one batch, the next is copied by
a stream of its own, from pinned memory: that of the loader, if it was given `Device.pinned`, for
pictures, and for the small fields memory of each set. On the CPU a batch is used where it lies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from alexnet_raw.data import Batch
from alexnet_raw.device import Array, Device

FIELDS = ("pictures", "labels", "offsets", "flips", "noise")  # of a Batch, that the device needs


class CopyStream:
    """Copies from the host to a device beside the device's work. On the CPU nothing is copied."""

    def __init__(self, device: Device):
        self._device = device
        self.uses_memory = device.is_cuda
        if device.is_cuda:
            with device._cupy.cuda.Device(device.ordinal):
                self._stream = device._cupy.cuda.Stream(non_blocking=True)

    def send(self, values: np.ndarray, memory: Array | None = None) -> Array:
        """A C-contiguous host array on the device, in `memory` of its shape and dtype if given.

        The host array must stay as it is until the copies are finished. On the CPU it is the result.
        Of memory that is not pinned the copy waits for what was sent before, and the host for the copy.
        """
        if not self._device.is_cuda:
            return Array(values, self._device)
        array = memory or self._device.empty(values.shape, values.dtype)
        array.data.set(values, stream=self._stream)
        return array

    def mark(self) -> Any:
        """A place behind the copies sent so far."""
        return self._device._mark(self._stream) if self._device.is_cuda else None

    def after_work(self) -> None:
        """Copies sent from now on begin when the device's work so far has ended."""
        if self._device.is_cuda:
            self._stream.wait_event(self._device._mark(self._device._stream))

    def before_work(self, mark: Any) -> None:
        """The device's work from now on begins when the copies before the mark have ended."""
        if self._device.is_cuda:
            self._device._stream.wait_event(mark)

    def finish(self, mark: Any) -> None:
        """Waits for the copies before the mark."""
        if self._device.is_cuda:
            mark.synchronize()


@dataclass(frozen=True)
class _Sent:
    batch: Batch  # held until it is copied
    arrays: dict[str, Array]
    filled: Any  # the copy stream's mark behind them


class Uploads:
    """Sends batches to a device: each one early with `ahead`, otherwise when it is received.

    targets: send those too, as (outputs, pictures), where batches have some.
    """

    def __init__(self, device: Device, targets: bool = False):
        self._device, self._targets = device, targets
        self._copies = CopyStream(device)
        self._turn = 0
        self._memory: tuple[dict, dict] = ({}, {})  # of each set: (field, shape) -> Array
        self._pinned: tuple[dict, dict] = ({}, {})  # the same on the host, of small fields
        self._sent: list[_Sent | None] = [None, None]

    def ahead(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches, each yielded when the one after it is on its way."""
        with closing(batches):
            waiting = None
            for batch in batches:
                if len(batch):  # a rank's share of it may be none
                    self._send(batch)
                if waiting is not None:
                    yield waiting
                waiting = batch
            if waiting is not None:
                yield waiting

    def sends_targets(self, batch: Batch) -> bool:
        return self._targets and batch.targets is not None

    def receive(self, batch: Batch) -> dict[str, Array]:
        """A batch's arrays by field, filled before what the device is given from now on.

        They are overwritten when the second batch after this one is sent.
        """
        sent = next((s for s in self._sent if s and s.batch is batch), None) or self._send(batch)
        self._copies.before_work(sent.filled)
        return sent.arrays

    def _send(self, batch: Batch) -> _Sent:
        self._turn = 1 - self._turn
        if before := self._sent[self._turn]:
            self._copies.finish(before.filled)
        # The work that the device has been given so far may read this memory: it is to end first. The
        # batch between is not among it yet, so that its work and these copies go on together.
        self._copies.after_work()
        arrays = {}
        for field, values in self._values(batch).items():
            memory = self._memory[self._turn].get((field, values.shape))
            arrays[field] = self._copies.send(values, memory)
        if self._copies.uses_memory:
            self._memory[self._turn].update({(f, a.shape): a for f, a in arrays.items()})
        sent = self._sent[self._turn] = _Sent(batch, arrays, self._copies.mark())
        return sent

    def _values(self, batch: Batch) -> dict[str, np.ndarray]:
        """The fields, C-contiguous, in memory that copies do not wait for."""
        values = {field: np.ascontiguousarray(getattr(batch, field)) for field in FIELDS}
        if self.sends_targets(batch):
            values["targets"] = np.ascontiguousarray(batch.targets.T)
        if not self._copies.uses_memory:
            return values
        pinned = self._pinned[self._turn]
        for field in values.keys() - {"pictures"}:
            array = values[field]
            if (field, array.shape) not in pinned:
                pinned[field, array.shape] = self._device.pinned(array.shape, array.dtype)
            np.copyto(pinned[field, array.shape], array)
            values[field] = pinned[field, array.shape]
        return values
