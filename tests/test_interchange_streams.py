"""Memory shared on GPUs, and callers' streams, on a stand-in for CuPy that shows who waits for whom."""

from __future__ import annotations

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from alexnet_raw import device as device_module
from alexnet_raw import ops
from alexnet_raw.device import Device
from tests.cupy_stand_in import LEGACY, Cupy, Gpu, GpuArray, Stream
from tests.test_interchange import SpeaksInterface


@pytest.fixture
def gpu(monkeypatch) -> Device:
    """cuda:0 of the stand-in; all its work waits until somebody does."""
    monkeypatch.setattr(device_module, "_extension", lambda name: SimpleNamespace())
    monkeypatch.setattr(device_module, "_cupy", lambda module, name, ordinal: Cupy)
    return Device("cuda:0")


class Tensor:
    """A tensor of PyTorch's on a GPU: DLPack alone, refused where another GPU is the current one."""

    def __init__(self, values: np.ndarray, ordinal: int = 0):
        with Gpu(ordinal):
            self.memory, self.stream = GpuArray(values.shape, values.dtype), Stream()
        self.memory.values = values
        self.__dlpack_device__ = self.memory.__dlpack_device__

    def __dlpack__(self, *, stream):
        assert Gpu.current[-1] == self.memory.ordinal
        Stream.known[stream].wait_event(self.stream.record())
        return self.memory


class Numbas:
    """An array with `__cuda_array_interface__` alone."""

    def __init__(self, values: np.ndarray, ordinal: int = 0, read_only: bool = False, **more):
        with Gpu(ordinal):
            self.stream = Stream()
        self.values, self.ordinal = values, ordinal
        interface = {**values.__array_interface__, "data": (values.ctypes.data, read_only)}
        self.__cuda_array_interface__ = {**interface, "stream": self.stream.ptr, **more}


@pytest.mark.parametrize("kind", [Tensor, Numbas])
@pytest.mark.parametrize("ordinal", [0, 1])
def test_the_device_waits_for_the_owners_stream(gpu, kind, ordinal):
    gpu = Device(f"cuda:{ordinal}")
    foreign, seen = kind(np.zeros(3, np.float32), ordinal), []
    foreign.stream.give(lambda: seen.append("written"))
    array = gpu.view(foreign)
    gpu._stream.give(lambda: seen.append("read"))
    assert not seen  # the host did not wait
    gpu.synchronize()
    assert seen == ["written", "read"]
    assert array.shape == (3,) and array.device is gpu


def test_the_device_waits_for_cupys_current_stream(gpu):
    """And not for its own, which is current while CuPy works for it."""
    with Stream() as mine:
        foreign, seen = GpuArray((2, 2), np.float32), []
        mine.give(lambda: seen.append("written"))
        array = gpu.view(foreign)
    gpu._stream.give(lambda: seen.append("read"))
    gpu.synchronize()
    assert seen == ["written", "read"] and array.data is foreign


def test_an_interface_without_a_stream_is_not_waited_for(gpu):
    foreign = Numbas(np.zeros(3, np.float32), stream=None)
    foreign.stream.give(lambda: pytest.fail("nobody asked for this"))
    gpu.view(foreign)
    gpu.synchronize()


def test_a_gpus_view_shares_memory_and_keeps_its_owner(gpu):
    values = np.zeros((2, 3), np.float32)
    foreign = Numbas(values)
    watched = weakref.ref(foreign)
    array = gpu.view(foreign)
    del foreign
    gc.collect()
    assert watched() is not None
    values[...] = 4
    assert (array.data.values == 4).all()
    del array
    gc.collect()
    assert watched() is None


def test_the_reader_waits_for_the_device(gpu):
    array, seen = gpu.empty((2, 3)), []
    gpu._stream.give(lambda: seen.append("written"))
    unordered, reader = Stream(), Stream()
    array.__dlpack__(stream=-1)
    assert array.__dlpack__(stream=reader.ptr) is array.data
    unordered.synchronize()
    reader.synchronize()
    assert seen == ["written"]
    gpu._stream.give(lambda: seen.append("written again"))
    array.__dlpack__()  # no stream is the default one
    assert seen == ["written"]
    LEGACY.synchronize()
    assert seen == ["written", "written again"]
    assert array.__dlpack_device__() == (2, 0)


def test_cuda_array_interface(gpu):
    array = gpu.empty((2, 3))
    interface = array.__cuda_array_interface__
    assert interface["version"] == 3 and interface["stream"] == gpu.stream
    assert interface["data"] == (array.data.values.ctypes.data, False)
    assert not hasattr(array, "__array_interface__")
    with gpu.using_stream(0):
        assert array.__cuda_array_interface__["stream"] == LEGACY.ptr


def test_what_a_gpu_cannot_view(gpu):
    values = np.zeros((2, 3), np.float32)
    for foreign in (values, SpeaksInterface(values)):
        with pytest.raises(ValueError, match="is on cpu, not on cuda:0: copy it there"):
            gpu.view(foreign)
    for kind in (Tensor, Numbas):
        with pytest.raises(ValueError, match=f"{kind.__name__} is on cuda:1, not on cuda:0"):
            gpu.view(kind(values, 1))
        with pytest.raises(TypeError, match=f"{kind.__name__} is float64, but ops take"):
            gpu.view(kind(values.astype(np.float64)))
        with pytest.raises(ValueError, match="is not C-contiguous"):
            gpu.view(kind(values.T))
    with pytest.raises(TypeError, match="Numbas cannot be viewed: it is read-only"):
        gpu.view(Numbas(values, read_only=True))
    with pytest.raises(TypeError, match="has neither __dlpack__ nor"):
        gpu.view([1.0])


# ---- callers' streams


def test_work_goes_to_the_callers_stream_and_comes_back(gpu):
    mine, seen = Stream(), []
    own = gpu.stream
    gpu._stream.give(lambda: seen.append("before"))
    with gpu.using_stream(mine):
        assert gpu.stream == mine.ptr
        gpu._stream.give(lambda: seen.append("within"))
    assert gpu.stream == own
    gpu._stream.give(lambda: seen.append("after"))
    assert not seen  # the host did not wait
    gpu.synchronize()
    assert seen == ["before", "within", "after"]


def test_ops_get_the_callers_stream(gpu):
    seen = []
    gpu.module.add = lambda stream, **_: seen.append(stream)
    a, b, mine = gpu.empty(3), gpu.empty(3), Stream()
    ops.add(a, b)
    with gpu.using_stream(mine):
        ops.add(a, b)
    ops.add(a, b)
    assert seen == [gpu.stream, mine.ptr, gpu.stream]


def test_blocks_may_be_nested_and_left_by_errors(gpu):
    outer, inner, seen = Stream(), Stream(), []
    own = gpu.stream
    with pytest.raises(KeyError), gpu.using_stream(outer):
        with gpu.using_stream(inner):
            gpu._stream.give(lambda: seen.append("inner"))
        assert gpu.stream == outer.ptr
        gpu._stream.give(lambda: seen.append("outer"))
        raise KeyError
    assert gpu.stream == own
    gpu.synchronize()
    assert seen == ["inner", "outer"]


def test_any_librarys_stream(gpu):
    mine = Stream()
    for stream in (mine, mine.ptr, SimpleNamespace(cuda_stream=mine.ptr, device_index=0)):
        with gpu.using_stream(stream):
            assert gpu._stream is mine
    for default in (0, 1, SimpleNamespace(cuda_stream=0), SimpleNamespace(ptr=0, device_id=-1)):
        with gpu.using_stream(default):
            assert gpu._stream is LEGACY
    with gpu.using_stream(None):
        assert gpu._stream is gpu._own_stream


def test_what_is_no_stream_of_this_gpu(gpu):
    for bad in ("0", 1.5, -1, True, object()):
        with pytest.raises(TypeError, match="a stream is one of PyTorch's or CuPy's or a number"):
            gpu.using_stream(bad).__enter__()
    for bad in (SimpleNamespace(cuda_stream=20, device_index=1), SimpleNamespace(ptr=20, device_id=1)):
        with pytest.raises(ValueError, match="the stream is one of cuda:1, not of cuda:0"):
            gpu.using_stream(bad).__enter__()
    assert gpu._stream is gpu._own_stream


def test_memory_is_of_the_own_streams_pool(gpu):
    """CuPy gives memory out again in the order of the stream that it was allocated on."""
    with gpu.using_stream(Stream()):
        assert gpu.empty(3).data.pool is gpu._own_stream
