"""The part of CuPy that the tests of ops need, over the emulator's device memory.

`tools/emulate_cuda.py` puts this folder on the path of the tests that it runs. The allocations are
exact, so that the emulator sees an access beside an array. Streams are names only: the emulator has
finished a launch when the launch returns.
"""

from __future__ import annotations

import ctypes
import math
from types import SimpleNamespace
from typing import Any

import numpy as np

from alexnet_raw import _cuda

_runtime = ctypes.CDLL(_cuda.__file__)  # the extension has the stand-in for the CUDA runtime in it
_COPY_BY_ADDRESS = 4  # cudaMemcpyDefault


def _call(name: str, *arguments: Any) -> None:
    status = getattr(_runtime, name)(*arguments)
    if status:
        raise RuntimeError(f"{name} failed with CUDA error {status}")


class _Memory:
    def __init__(self, size: int):
        pointer = ctypes.c_void_p()
        _call("emulated_malloc", ctypes.byref(pointer), ctypes.c_size_t(size))
        self.ptr = pointer.value

    def __del__(self):
        _runtime.emulated_free(ctypes.c_void_p(self.ptr))


class MemoryPointer:
    def __init__(self, memory: _Memory, ptr: int):
        self.memory, self.ptr = memory, ptr

    def memset_async(self, value: int, size: int, stream: Stream) -> None:
        _call("cudaMemset", ctypes.c_void_p(self.ptr), value, ctypes.c_size_t(size))

    def copy_from_device_async(self, source: MemoryPointer, size: int, stream: Stream) -> None:
        _copy(self.ptr, source.ptr, size)


def _copy(target: int, source: int, size: int) -> None:
    pointers = ctypes.c_void_p(target), ctypes.c_void_p(source)
    _call("cudaMemcpy", *pointers, ctypes.c_size_t(size), _COPY_BY_ADDRESS)


class ndarray:
    def __init__(self, shape: int | tuple[int, ...], dtype: Any, data: MemoryPointer | None = None):
        self.shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self.dtype = np.dtype(dtype)
        self.size = math.prod(self.shape)
        self.nbytes = self.size * self.dtype.itemsize
        if data is None:
            memory = _Memory(self.nbytes)
            data = MemoryPointer(memory, memory.ptr)
        self.data = data

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.data.ptr, False),
            "strides": None,
            "version": 3,
        }

    def reshape(self, *shape: Any) -> ndarray:
        shape = shape[0] if isinstance(shape[0], tuple) else shape
        shape = tuple(-self.size // math.prod(shape) if n == -1 else n for n in shape)
        assert math.prod(shape) == self.size, f"{self.shape} as {shape}"
        return ndarray(shape, self.dtype, self.data)

    def view(self, dtype: Any) -> ndarray:
        values = self.nbytes // np.dtype(dtype).itemsize
        return ndarray((*self.shape[:-1], values // math.prod(self.shape[:-1])), dtype, self.data)

    def __getitem__(self, part: slice) -> ndarray:
        start, stop, step = part.indices(self.shape[0])
        assert step == 1
        row = self.nbytes // self.shape[0]
        data = MemoryPointer(self.data.memory, self.data.ptr + start * row)
        return ndarray((max(0, stop - start), *self.shape[1:]), self.dtype, data)

    def get(self, stream: Stream | None = None) -> np.ndarray:
        host = np.empty(self.shape, self.dtype)
        _copy(host.ctypes.data, self.data.ptr, self.nbytes)
        return host

    def set(self, values: np.ndarray, stream: Stream | None = None) -> None:
        assert values.shape == self.shape and values.flags.c_contiguous
        _copy(self.data.ptr, values.ctypes.data, self.nbytes)


class _Context:
    def __enter__(self) -> _Context:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Device(_Context):
    def __init__(self, ordinal: int):
        self.id = ordinal


class Stream(_Context):
    ptr = 1

    def __init__(self, non_blocking: bool = False, priority: int = 0):
        pass

    def synchronize(self) -> None:
        _call("cudaDeviceSynchronize")

    def record(self) -> None:
        return None

    def wait_event(self, event: None) -> None:
        pass


cuda = SimpleNamespace(Device=Device, Stream=Stream)
