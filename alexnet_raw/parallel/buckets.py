"""Gradients that the ranks sum while the backward pass goes on.

They lie one behind the other in buckets of a few megabytes, in the order in which the backward pass
makes them. When a bucket is whole its sum over the ranks begins, beside the rest of the pass; who
moves a parameter first waits for its bucket. There is no average to take: each rank's gradient is that
of its images' part of the mean cost (`Site.weighted`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from alexnet_raw.device import Array, Device
from alexnet_raw.parallel.ranks import Collectives, Ranks
from alexnet_raw.parameters import Parameter

BYTES = 4 << 20  # that a bucket holds, if not one gradient alone has more
STEP = 64  # elements: each gradient begins at a multiple, as aligned as one of its own


class Bucket:
    """Parameters of one device whose gradients are summed together. They get their memory here."""

    def __init__(self, parameters: Sequence[Parameter], collectives: Collectives):
        self.parameters, self._collectives = parameters, collectives
        sizes = [-(-p.value.size // STEP) * STEP for p in parameters]
        device = parameters[0].value.device
        self._memory = device.zeros(sum(sizes))
        for p, end, size in zip(parameters, np.cumsum(sizes), sizes, strict=True):
            own = self._memory.data[end - size : end - size + p.value.size]
            p.gradient, p.bucket = Array(own.reshape(p.value.shape), device), self
        self._sum: Any = None  # that is on its way

    def start(self) -> None:
        """Begins the sum: all gradients are made, or will be by what the device has been given."""
        self._sum = self._collectives.sum(self._memory)

    def has_arrived(self) -> bool:
        """Whether `wait` would not keep the host; to ask also lets sums go on."""
        return self._sum is None or self._collectives.has_arrived(self._sum)

    def wait(self) -> None:
        """What the device is given from now on finds the sum in the parameters' gradients."""
        if self._sum is not None:
            self._collectives.wait(self._sum)


class Buckets:
    """The buckets of a net. All ranks begin the same ones in the same order."""

    def __init__(self, turns: Iterable[tuple[Collection[Parameter], Ranks]]):
        """turns: the parameters whose gradients each turn of the backward pass makes whole, and who
        sums them."""
        self._whole: list[list[Bucket]] = []  # after each turn
        waiting: dict[tuple[Ranks, Device], list[Parameter]] = {}

        def close(key: tuple[Ranks, Device]) -> Bucket:
            ranks, device = key
            return Bucket(waiting.pop(key), ranks.collectives(device))

        for parameters, ranks in turns:
            for p in sorted(parameters, key=lambda p: p.name):  # a set's order differs between ranks
                waiting.setdefault((ranks, p.value.device), []).append(p)
            full = [key for key, ps in waiting.items() if sum(p.value.nbytes for p in ps) >= BYTES]
            self._whole.append([close(key) for key in full])
        self._whole[-1] += [close(key) for key in [*waiting]]

    def sum(self, turns: Iterable[Collection[Parameter]]) -> Iterator[list[Parameter]]:
        """Lets the turns of a backward pass happen, and sums begin as it goes.

        Yields after each turn the parameters that can be moved without keeping the host; who moves them
        calls `Bucket.wait`. In the end waits for all: who does not move has its sum under way, too.
        """
        under_way: list[Bucket] = []
        for _, whole in zip(turns, self._whole, strict=True):
            for bucket in whole:
                bucket.start()
            under_way += whole
            arrived = [bucket for bucket in under_way if bucket.has_arrived()]
            yield [p for bucket in arrived for p in bucket.parameters]
            under_way = [bucket for bucket in under_way if bucket not in arrived]
        for bucket in (bucket for whole in self._whole for bucket in whole):
            bucket.wait()
