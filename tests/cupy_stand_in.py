"""A stand-in for the part of CuPy that devices use, whose streams run as late or as early as they may.

There need not be a GPU to see that nothing is read too early or overwritten too soon: a stream's work
is a list of functions, done when somebody waits for it, in the order that events ask for. Arrays are
NumPy's underneath. There are as many GPUs as one likes, and, as with real ones, a stream can only
record an event that was made while its GPU was the current one.
"""

from __future__ import annotations

from itertools import count
from operator import attrgetter
from types import SimpleNamespace

import numpy as np


class Event:
    def __init__(self, stream, place):
        assert stream.device_id == Gpu.current[-1], "an event of another GPU than the stream's"
        self.stream, self.place = stream, place

    @property
    def happened(self) -> bool:
        return self.stream.done >= self.place

    def synchronize(self):
        self.stream.run_to(self.place)


class Gpu:
    """cupy.cuda.Device"""

    current = [0]  # noqa: RUF012

    def __init__(self, ordinal: int):
        self.id, self.pci_bus_id = ordinal, f"0000:{ordinal:02X}:00.0"

    def __enter__(self):
        self.current.append(self.id)

    def __exit__(self, *_):
        self.current.pop()

    def synchronize(self):
        for stream in list(Stream.known.values()):
            if stream.device_id == self.id:
                stream.run_to(len(stream.work))


class Stream:
    """Keeps its work until somebody waits; an eager one does whatever does not have to wait."""

    eager = False
    handles = count(16)
    known: dict[int, Stream] = {}  # noqa: RUF012
    current: list[Stream] = []  # noqa: RUF012

    def __init__(self, non_blocking=True, priority=0):
        self.work, self.done = [], 0
        self.ptr, self.device_id = next(self.handles), Gpu.current[-1]
        self.known[self.ptr] = self

    def give(self, job):
        self.work.append(job)
        while self.eager and self.done < len(self.work):
            job = self.work[self.done]
            if isinstance(job, Event) and not job.happened:
                break
            self.run_to(self.done + 1)

    def run_to(self, place):
        while self.done < place:
            job = self.work[self.done]
            job.stream.run_to(job.place) if isinstance(job, Event) else job()
            self.done += 1

    def record(self):
        return Event(self, len(self.work))

    wait_event = give

    def synchronize(self):
        self.run_to(len(self.work))

    def __enter__(self):
        assert self.device_id == Gpu.current[-1], "a stream of another GPU than the current one"
        self.current.append(self)
        return self

    def __exit__(self, *_):
        self.current.pop()


LEGACY = Stream()  # CUDA's default stream
LEGACY.ptr = 1
Stream.known[LEGACY.ptr] = LEGACY
Stream.current.append(LEGACY)


class UnownedMemory:
    """cupy.cuda.UnownedMemory. It asks the driver for the GPU; here the owner tells."""

    def __init__(self, ptr, size, owner):
        self.ptr, self.size, self.owner, self.device_id = ptr, size, owner, owner.ordinal


class GpuArray:
    """cupy.ndarray. It is its own MemoryPointer and its own DLPack capsule."""

    shape, dtype, nbytes, flags = (
        property(attrgetter(f"values.{name}")) for name in ("shape", "dtype", "nbytes", "flags")
    )

    def __init__(self, shape, dtype, memptr=None, strides=None):
        if memptr is None:
            self.values, self.ordinal = np.zeros(shape, dtype), Gpu.current[-1]
        else:
            foreign = {"data": (memptr.ptr, False), "typestr": np.dtype(dtype).str, "version": 3}
            foreign |= {"shape": shape, "strides": strides}
            self.values = np.asarray(SimpleNamespace(__array_interface__=foreign, memory=memptr))
            self.ordinal = memptr.device_id
        self.data, self.pool = self, Stream.current[-1]

    def __dlpack_device__(self):
        return 2, self.ordinal

    def __dlpack__(self, stream=None):
        """What the reader's stream does from now on follows what the current one was given."""
        if stream != -1:
            Stream.known[stream or LEGACY.ptr].wait_event(Stream.current[-1].record())
        return self

    @property
    def __cuda_array_interface__(self):
        stream, values = Stream.current[-1].ptr, self.values.__array_interface__
        return {**values, "version": 3, "stream": stream}

    def set(self, values, stream):
        """Reads the host's memory when it runs, and does not keep pictures from being let go."""
        if values.dtype == np.uint8 and values.ndim == 4:
            memory = next(m for m in PINNED if values.ctypes.data == address(m))
            count = values.nbytes
            read = lambda: np.frombuffer(memory, np.uint8, count).reshape(self.shape)  # noqa: E731
        else:
            read = lambda: values  # noqa: E731
        stream.give(lambda: np.copyto(self.values, read()))

    def copy_from_device_async(self, source, size, stream):
        stream.give(lambda: np.copyto(self.values, source.values))


PINNED: list[bytearray] = []  # all that was ever given out


def address(memory: bytearray) -> int:
    return np.frombuffer(memory, np.uint8).ctypes.data


def pinned(size: int) -> bytearray:
    PINNED.append(bytearray(size))
    return PINNED[-1]


class Cupy:
    ndarray = GpuArray
    from_dlpack = staticmethod(lambda capsule: capsule)

    class cuda:
        Stream = Stream
        ExternalStream = staticmethod(lambda ptr, device_id: Stream.known[ptr])
        Device = Gpu
        UnownedMemory = UnownedMemory
        MemoryPointer = staticmethod(lambda memory, offset: memory)
        alloc_pinned_memory = staticmethod(pinned)
