"""A training step as one CUDA graph: recorded once, and then given to the GPU as a single launch.

A recorded launch repeats its arguments. So what differs between steps is in memory (`DeviceNumbers`):
the kernels stay plain, and whether a step is recorded changes no bit.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

from alexnet_raw.device import Device

KINDS = 4  # of work that are kept: an epoch's whole and last batches, before and after a layer freezes
Result = TypeVar("Result")
log = logging.getLogger(__name__)


class Graph:
    """Work of logical devices on one GPU. Their streams branch off the first's and join it again."""

    def __init__(self, devices: Sequence[Device], work: Callable[[], None]):
        """Records work, without doing it. RuntimeError if something in it cannot be recorded."""
        self._first, *self._others = devices
        origin = self._first._stream
        with self._first._current():
            origin.begin_capture()
            try:
                self._fork()
                work()
                self._join()
            except BaseException:
                with contextlib.suppress(RuntimeError):  # the one above tells more
                    origin.end_capture()
                for device in devices:
                    device._is_forked = False  # what went beside was recorded, and is not done
                raise
            self._graph = origin.end_capture()
        self._memory = [device._scratch for device in devices]  # may be replaced by more; this is used

    def launch(self) -> None:
        """Gives the work to the GPU, between what the devices were given before and what follows."""
        self._join()
        with self._first._current():
            self._graph.launch(self._first._stream)
        self._fork()

    def _fork(self) -> None:
        for device in self._others:
            device._stream.wait_event(self._first._mark(self._first._stream))

    def _join(self) -> None:
        for device in self._others:
            self._first._stream.wait_event(device._mark(device._stream))


class Recordings:
    """Does work of several kinds, which is recorded when it comes again.

    Attributes:
        refusal: why nothing is recorded; None if it is.
    """

    def __init__(self, devices: Sequence[Device], refusal: str | None = None):
        self._devices = devices
        self.refusal = refusal or _refusal(devices)
        self._kinds: dict[Hashable, tuple[Graph, Any] | None] = {}

    def run(self, kind: Hashable, work: Callable[[], Result]) -> Result:
        """work(), which must launch the same on the same arrays whenever it is of the same kind.

        Returns what it returned, if need be when it was recorded.
        """
        if self.refusal or not all(device.is_on_own_stream for device in self._devices):
            return work()  # a caller's stream may be one that records nothing
        if kind not in self._kinds:  # its first time allocates what it needs
            self._kinds[kind] = None
            if len(self._kinds) > KINDS:
                del self._kinds[next(iter(self._kinds))]
            return work()
        if self._kinds[kind] is None:
            try:
                self._kinds[kind] = self._record(work)
            except RuntimeError as error:  # a driver or a CuPy that cannot: all works without
                self.refusal = f"it failed: {error}"
                log.warning("steps are not recorded as CUDA graphs: %s", self.refusal)
                return work()
        graph, result = self._kinds[kind] = self._kinds.pop(kind)  # the latest, forgotten last
        graph.launch()
        return result

    def _record(self, work: Callable[[], Result]) -> tuple[Graph, Result]:
        results = []
        graph = Graph(self._devices, lambda: results.append(work()))
        return graph, results[0]


def _refusal(devices: Sequence[Device]) -> str | None:
    if not all(device.is_cuda for device in devices):
        return "its devices are not all GPUs"
    if len({device.ordinal for device in devices}) > 1:
        return "its devices are several GPUs"
    return None
