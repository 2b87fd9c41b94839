"""A stand-in for a whole GPU where there is none: of CuPy, and of the CUDA extension.

Its memory is the host's and its kernels are those of the CPU target, but its streams keep their work
as a GPU's may: until somebody waits, or doing at once whatever does not have to wait. So what is read
too early or overwritten too soon is seen, and so is a number that a recorded graph should not have
kept. `counts` holds what costs time: allocations, and waits of the host.
"""

from __future__ import annotations

import ctypes
import weakref
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from alexnet_raw import _cpu, device
from tests import cupy_stand_in
from tests.cupy_stand_in import Gpu

counts: Counter[str] = Counter()
after_waits: list[Callable[[], None]] = []  # what else is done before the host goes on
GPUS = 8


class Event(cupy_stand_in.Event):
    def __init__(self, stream: Stream, graph: Graph | None):
        self.stream, self.place, self.graph = stream, len(stream.work), graph
        self.step = Stream.step

    def synchronize(self) -> None:
        assert self.graph is None, "the host waits for an event of a recording"
        counts["waits for the step's own work"] += self.step == Stream.step
        super().synchronize()
        for work in after_waits:
            work()


class Stream(cupy_stand_in.Stream):
    step = 0  # of the test: events of the same step are young
    eager_priorities: tuple[int, ...] = ()  # of streams that are eager though others are not

    def __init__(self, non_blocking: bool = True, priority: int = 0):
        super().__init__(non_blocking, priority)
        self.eager = self.eager or priority in self.eager_priorities
        self.graph: Graph | None = None  # that records what is given

    def give(self, job: Callable[[], None] | Event) -> None:
        if self.graph:
            self.graph.branch(self).work.append(job)
        else:
            super().give(job)

    def record(self) -> Event:
        assert self.device_id == Gpu.current[-1], "an event of another GPU than the stream's"
        return Event(self.graph.branch(self) if self.graph else self, self.graph)

    def wait_event(self, event: Event) -> None:
        if event.graph and not self.graph:
            assert not event.graph.ended, "waits for a recording that has ended"
            self.graph = event.graph  # it joins
        assert self.graph is event.graph, "a recording waits for work outside of it"
        self.give(event)

    def synchronize(self) -> None:
        assert self.graph is None, "the host waits for a recording"
        counts["synchronisations"] += 1
        self.run_to(len(self.work))
        for work in after_waits:
            work()

    def begin_capture(self) -> None:
        self.graph = Graph(self)

    def end_capture(self) -> Graph:
        graph = self.graph
        graph.ended = True
        for stream in graph.branches:
            stream.graph = None
        return graph


class Graph:
    """What was given to streams, with the arguments of then; each is a branch, ordered by events."""

    def __init__(self, origin: Stream):
        self.origin, self.ended = origin, False
        self.branches: dict[Stream, Stream] = {}
        self.branch(origin)

    def branch(self, stream: Stream) -> Stream:
        if stream not in self.branches:
            self.branches[stream] = Stream()
        return self.branches[stream]

    def launch(self, stream: Stream) -> None:
        counts["graph launches"] += 1
        stream.give(self.run)

    def run(self) -> None:
        for branch in self.branches.values():
            branch.done = 0
        if self.origin.eager:
            for branch in reversed(self.branches.values()):
                branch.run_to(len(branch.work))
        origin = self.branch(self.origin)
        origin.run_to(len(origin.work))
        assert all(b.done == len(b.work) for b in self.branches.values()), "a branch was not joined"


class ndarray(np.ndarray):
    def __new__(cls, shape: Any, dtype: Any) -> ndarray:
        counts["allocations"] += 1
        assert not any(getattr(stream, "graph", None) for stream in Stream.known.values()), (
            "memory in a recording"
        )
        array = np.empty(shape, dtype)
        array.view(np.uint8).fill(0xA5)
        return array.view(cls)

    @property
    def data(self) -> MemoryPointer:
        return MemoryPointer(self)

    def set(self, values: np.ndarray, stream: Stream) -> None:
        """From pinned memory it reads when it runs, without keeping it; others it waits for."""
        if is_pinned(values.ctypes.data):
            source, size = values.ctypes.data, values.nbytes
            stream.give(lambda: ctypes.memmove(self.ctypes.data, source, size))
        else:
            stream.synchronize()
            np.copyto(self, values)

    def get(self, stream: Stream) -> np.ndarray:
        stream.synchronize()
        return np.array(self)

    def __setitem__(self, where: Any, values: np.ndarray) -> None:
        Stream.current[-1].give(lambda: np.ndarray.__setitem__(self, where, values))


class MemoryPointer:
    def __init__(self, array: ndarray):
        self.array, self.ptr = array, array.ctypes.data

    def memset_async(self, value: int, size: int, stream: Stream) -> None:
        array = self.array
        stream.give(lambda: ctypes.memset(array.ctypes.data, value, size))

    def copy_from_device_async(self, source: MemoryPointer, size: int, stream: Stream) -> None:
        ours, theirs = self.array, source.array
        stream.give(lambda: ctypes.memmove(ours.ctypes.data, theirs.ctypes.data, size))

    def copy_to_host_async(self, target: int, size: int, stream: Stream) -> None:
        array = self.array
        assert is_pinned(target)
        stream.give(lambda: ctypes.memmove(target, array.ctypes.data, size))


_pinned: list[bytearray] = []  # all that was ever given out
_free: dict[int, list[bytearray]] = {}


def address(memory: bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def is_pinned(pointer: int) -> bool:
    return any(0 <= pointer - address(memory) < len(memory) for memory in _pinned)


def alloc_pinned_memory(size: int) -> memoryview:
    """Memory that is used again once nobody holds it, as in CuPy's pool."""
    free = _free.setdefault(size, [])
    if not free:
        counts["allocations"] += 1
        free.append(bytearray(size))
        _pinned.append(free[-1])
    memory = free.pop()
    holder = (ctypes.c_char * size).from_buffer(memory)
    weakref.finalize(holder, free.append, memory).atexit = False
    return memoryview(holder)


class Extension:
    """The kernels, each given to a stream; as CUDA's they keep the arguments that they were given."""

    def scratch(self, floats: int) -> np.ndarray:
        """In place of the device's, which a late launch would ask for late."""
        self._scratch = np.full(floats, np.nan, np.float32)
        return self._scratch

    def device_count(self) -> int:
        return GPUS

    def __getattr__(self, name: str) -> Callable[..., None]:
        op = getattr(_cpu, name)

        def launch(*, stream: int, **arguments: Any) -> None:
            if "scratch" in arguments:
                arguments["scratch"] = self.scratch
            if "values" in arguments:
                arguments["values"] = arguments["values"].copy()
            counts["launches"] += 1
            job = lambda: op(**arguments, stream=0)  # noqa: E731
            job.op = name
            Stream.known[stream].give(job)

        return launch


class Cupy:
    ndarray = ndarray

    class cuda:
        Stream = Stream
        Device = Gpu
        runtime = SimpleNamespace(getDeviceProperties=lambda ordinal: {"name": b"a stand-in"})
        alloc_pinned_memory = staticmethod(alloc_pinned_memory)


def install(monkeypatch: Any) -> None:
    """From now on cuda:N is this."""
    counts.clear()
    legacy = cupy_stand_in.LEGACY
    monkeypatch.setattr(cupy_stand_in.Stream, "known", {legacy.ptr: legacy})
    monkeypatch.setattr(device, "_extension", lambda name: Extension() if name == "_cuda" else _cpu)
    monkeypatch.setattr(device, "_cupy", lambda module, name, ordinal: Cupy)
