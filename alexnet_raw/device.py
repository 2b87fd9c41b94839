"""Logical devices and the arrays that live on them.

A logical device is ``cpu`` or ``cuda:N``. Several may share one physical device (``cpu,cpu``): the
two-tower network then runs, exchanges and all, on any machine. An `Array` remembers its logical
device, so that reading another tower's array without an exchange is an error and not a coincidence.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from ml_dtypes import bfloat16

from alexnet_raw import info, interchange
from alexnet_raw.cpu_stream import CpuStream

if TYPE_CHECKING:
    from alexnet_raw.tuner import Tuner

PRECISIONS = ("fp32", "tf32", "bf16")  # of products: see Device.precision
BF16 = np.dtype(bfloat16)  # of activations that are stored in half the memory
URGENT = -1  # a stream's priority before the others, whose is 0
ALIGNMENT = 64  # bytes, of all arrays on the CPU: a cache line, and its widest vector


class DeviceError(RuntimeError):
    """A device that was asked for cannot be used; the message says why and what to do."""


class Device:
    """One logical device.

    Attributes:
        name: ``"cpu"`` or ``"cuda:N"``.
        index: position in the list that `parse_devices` returned; the ``gpu=`` of layer files.
        module: the extension whose kernels run here.
        stream: the handle that ops pass to kernels (0 on the CPU); see `using_stream`.
        precision: how convolutions and fully-connected layers multiply where an op is not told:
            "fp32", or rounded to "tf32" or "bf16" on tensor cores (`set_precision`).
        tuner: chooses the algorithms of convolutions where an op is not told; None: sizes alone do.
    """

    def __init__(self, name: str, index: int = 0):
        self.name, self.index = name, index
        kind, _, ordinal = name.partition(":")
        if kind not in ("cpu", "cuda") or (kind == "cpu" and ordinal):
            raise ValueError(f"device '{name}' is not known: use cpu or cuda:N")
        if kind == "cuda" and not (ordinal or "0").isdecimal():
            raise ValueError(f"device '{name}': '{ordinal}' is not a GPU's number; use cuda:0")
        self.ordinal = int(ordinal or 0)
        self.is_cuda = kind == "cuda"
        self.module = _extension("_cuda" if self.is_cuda else "_cpu")
        self.stream, self._stream = 0, None
        self.precision = "fp32"
        self.tuner: Tuner | None = None
        self._scratch: Array | None = None
        self._side, self._is_forked = None, False  # the second stream; whether work on it goes on
        self._copies: dict[Device, Any] = {}  # a stream for copies from each other device
        self._queue: CpuStream | None = None  # of a CPU device, see `begin_queue`
        if self.is_cuda:
            self._cupy = _cupy(self.module, name, self.ordinal)
            with self._cupy.cuda.Device(self.ordinal):
                self._own_stream = self._cupy.cuda.Stream(non_blocking=True, priority=URGENT)
            self._stream = self._own_stream
            self.stream = self._stream.ptr

    def __repr__(self) -> str:
        return f"{self.name} (#{self.index})"

    @property
    def is_on_own_stream(self) -> bool:
        """Whether its work is not on a caller's stream (`using_stream`)."""
        return not self.is_cuda or self._stream is self._own_stream

    @property
    def bus_id(self) -> str:
        """Which GPU of the machine it is, whatever its number here."""
        return self._cupy.cuda.Device(self.ordinal).pci_bus_id

    @property
    def has_tensor_cores(self) -> bool:
        """Whether it multiplies TF32 and bfloat16 faster than float32."""
        if not self.is_cuda:
            return False
        return int(self._cupy.cuda.Device(self.ordinal).compute_capability) >= 80

    @property
    def machine(self) -> str:
        """What it is: the GPU's name, or the processor's and how many threads are used."""
        if not self.is_cuda:
            return f"{info.cpu_model()}, {self.module.threads()} threads"
        return self._cupy.cuda.runtime.getDeviceProperties(self.ordinal)["name"].decode()

    def empty(self, shape: int | tuple[int, ...], dtype: Any = np.float32) -> Array:
        """An array with undefined contents."""
        if not self.is_cuda:
            return Array(_aligned(shape, dtype), self)
        # Always of the own stream's pool: work on any other stream is in order with that stream's, so
        # that memory that was let go can be given out again without waiting.
        with self._cupy.cuda.Device(self.ordinal), self._own_stream:
            return Array(self._cupy.ndarray(shape, dtype), self)

    def zeros(self, shape: int | tuple[int, ...], dtype: Any = np.float32) -> Array:
        array = self.empty(shape, dtype)
        array.fill(0)
        return array

    def upload(self, values: np.ndarray) -> Array:
        """A copy of a host array, with its shape and dtype."""
        values = np.ascontiguousarray(values)
        array = self.empty(values.shape, values.dtype)
        array.copy_from(values)
        return array

    def view(self, foreign: Any) -> Array:
        """An Array over foreign memory, without a copy.

        Args:
            foreign: a PyTorch tensor, a CuPy or NumPy array, or anything else on this device that has
                `__dlpack__`, `__cuda_array_interface__` or `__array_interface__`. The Array keeps it
                alive. On a GPU what the device is given from now on begins when the work that the
                owner's current stream has been given so far has ended; the host does not wait.
                Read-only memory can be viewed on the CPU, but not written: that is a ValueError.

        Raises:
            TypeError: it is no array, of a dtype that ops do not take (float32, bfloat16, int32 and
                uint8 they do), or its owner does not give it: tensors that require gradients,
                read-only memory of a GPU.
            ValueError: it is on another device, or not C-contiguous.
        """
        return Array(interchange.view(foreign, self), self)

    @contextmanager
    def using_stream(self, stream: Any) -> Iterator[None]:
        """Has this device's work done by the caller's stream, within the `with` block.

        That stream first waits for what the device has been given before, and what the device is given
        after the block waits for what it was given within. The host never waits.

        Args:
            stream: a `torch.cuda.Stream`, a CuPy stream or the number of a cudaStream_t, of this GPU.
                None changes nothing, and is all that a CPU takes.

        Raises:
            TypeError: not a stream.
            ValueError: a stream of another GPU, or any on the CPU.
        """
        if stream is None:
            yield
            return
        before = self._stream
        self._go_on_with(interchange.stream(stream, self))
        try:
            yield
        finally:
            self._go_on_with(before)

    def _go_on_with(self, stream: Any) -> None:
        stream.wait_event(self._mark(self._stream))
        self._stream, self.stream = stream, stream.ptr

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Has what this device is given within the `with` block done by a second stream of its own.

        It begins after what the device was given before, and goes on beside what it is given later,
        which comes first where both want the GPU's cores, until `join`. On the CPU it is done at once.
        """
        if not self.is_cuda:
            yield
            return
        if self._side is None:
            self._side = self._new_stream()
        main = self._stream
        self._side.wait_event(self._mark(main))
        self._stream, self.stream, self._is_forked = self._side, self._side.ptr, True
        try:
            yield
        finally:
            self._stream, self.stream = main, main.ptr

    def join(self) -> None:
        """What this device is given from now on begins when what went `beside` has ended."""
        if self._is_forked:
            self._stream.wait_event(self._mark(self._side))
            self._is_forked = False

    @property
    def is_queued(self) -> bool:
        """Whether its work goes on beside the host's: always on a GPU, on a CPU from `begin_queue`."""
        return self._stream is not None

    def begin_queue(self, cores: int) -> None:
        """Has a CPU device's work done by a thread of its own, on so many cores, until `end_queue`."""
        self._queue = self._queue or CpuStream()
        self._stream = self._queue
        self._stream.give(partial(self.module.set_core_share, cores))

    def end_queue(self, reason: BaseException | None = None) -> BaseException | None:
        """Waits for it, or with a reason for what it is doing only; returns what went wrong."""
        streams = [self._stream, *self._copies.values()]
        self._stream = None
        if reason:
            for stream in streams:
                stream.abandon(reason)
        errors = []
        for stream in streams:
            try:
                stream.synchronize()
            except BaseException as error:
                errors.append(error)
        return next(iter(errors), None)

    def do(self, job: Callable[[], None], name: str = "") -> None:
        """Has a CPU device do it: now, or in the order of its work. name: of an op."""
        if self._stream:
            self._stream.give(job, name)
        else:
            job()

    def wait(self, copied: Any) -> None:
        """What this device is given from now on begins when `Array.begin_copy_from` has ended."""
        if copied is not None:
            self._stream.wait_event(copied)

    def _copies_from(self, other: Device) -> Any:
        """The stream that copies arrays of another GPU, or of another device on this one, to this."""
        if other not in self._copies:
            self._copies[other] = self._new_stream()
        return self._copies[other]

    def _new_stream(self) -> Any:
        """One more, for what goes on beside its work."""
        if not self.is_cuda:
            return CpuStream()
        with self._cupy.cuda.Device(self.ordinal):
            return self._cupy.cuda.Stream(non_blocking=True)

    def pinned(self, shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """A host array in memory that this device can copy from while the host goes on."""
        if not self.is_cuda:
            return np.empty(shape, dtype)
        values = int(np.prod(shape))
        with self._cupy.cuda.Device(self.ordinal):
            memory = self._cupy.cuda.alloc_pinned_memory(values * np.dtype(dtype).itemsize)
        return np.frombuffer(memory, dtype, values).reshape(shape)

    def scratch(self, floats: int) -> Any:
        """Raw float32 memory for the inside of one op; the next op on this device may reuse it."""
        if self._scratch is None or self._scratch.size < floats:
            self._scratch = self.empty(floats)
        return self._scratch.data

    def synchronize(self) -> None:
        """Waits until all work given to this device is done; raises its errors."""
        if self.is_queued:
            self._stream.synchronize()

    def settle(self) -> None:
        """Waits until the GPU is idle, whoever gave it work."""
        if self.is_cuda:
            self._cupy.cuda.Device(self.ordinal).synchronize()

    def _mark(self, stream: Any) -> Any:
        """An event behind the work that a stream of this GPU has been given."""
        if not self.is_cuda:
            return stream.record()
        with self._cupy.cuda.Device(self.ordinal):  # a stream records events of its own GPU only
            return stream.record()

    @contextmanager
    def _current(self) -> Iterator[None]:
        """Within, this GPU and the stream of its work are CuPy's current ones."""
        if self.is_cuda:
            with self._cupy.cuda.Device(self.ordinal), self._stream:
                yield
        else:
            yield


class Array:
    """A C-contiguous array on one logical device.

    ``data`` is a `numpy.ndarray` on the CPU and a `cupy.ndarray` on a GPU. Other libraries share its
    memory: `torch.from_dlpack(array)`, `cupy.from_dlpack(array)`, `numpy.asarray(array)`. The way in is
    `Device.view`; docs/interchange.md has examples, and what to know about streams.
    """

    __slots__ = ("data", "device")

    def __init__(self, data: Any, device: Device):
        self.data, self.device = data, device

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def size(self) -> int:
        return self.data.size

    @property
    def nbytes(self) -> int:
        return self.data.nbytes

    def __repr__(self) -> str:
        return f"Array({self.shape}, {self.dtype}, {self.device})"

    def reshape(self, *shape: int) -> Array:
        """The same memory under another shape."""
        return Array(self.data.reshape(*shape), self.device)

    def __dlpack__(
        self,
        stream: int | None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        """A DLPack capsule, as the Python array API standard has it, for `from_dlpack` of others.

        stream: the reader's. It waits for the work that this device has been given so far, unless it is
        -1; None is CUDA's default stream, and all that a CPU takes.
        """
        arguments = dict(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)
        given = {name: value for name, value in arguments.items() if value is not None}
        with self.device._current():  # CuPy lets the reader's stream wait for its current one
            return self.data.__dlpack__(**given)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.data.__dlpack_device__()

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """NumPy's, on the CPU alone (AttributeError)."""
        return self.data.__array_interface__

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        """Numba's, on GPUs alone (AttributeError); with the stream that does the device's work."""
        with self.device._current():
            return self.data.__cuda_array_interface__

    def fill(self, value: int) -> None:
        """Sets every element to 0 (the only value that needs no kernel)."""
        if value != 0:
            raise ValueError(f"fill({value}): only 0 is supported")
        if self.device.is_cuda:
            with self.device._current():
                self.data.data.memset_async(0, self.nbytes, self.device._stream)
        else:
            self.device.do(partial(self.data.fill, 0))

    def numpy(self) -> np.ndarray:
        """A copy on the host; waits for the work that produces it."""
        if not self.device.is_cuda:
            return self._on_host().copy()
        host = self.data.get(stream=self.device._stream)
        self.device.synchronize()
        return host

    def _on_host(self) -> np.ndarray:
        """What it holds, not to be written; waits for the work that produces it."""
        if self.device.is_cuda:
            return self.numpy()
        self.device.synchronize()
        return self.data

    def copy_from(self, source: Array | np.ndarray) -> None:
        """Copies an array of equal shape and dtype from the host or from any device."""
        self._check_alike(source)
        ours, theirs = self.device, source.device if isinstance(source, Array) else None
        stream = ours._stream
        if theirs is ours and not ours.is_cuda:
            ours.do(partial(np.copyto, self.data, source.data))
        elif theirs is ours:
            self.data.data.copy_from_device_async(source.data.data, self.nbytes, stream)
        elif theirs and theirs.is_cuda and ours.is_cuda:
            stream.wait_event(theirs._mark(theirs._stream))
            self.data.data.copy_from_device_async(source.data.data, self.nbytes, stream)
            theirs._stream.wait_event(ours._mark(stream))  # before its buffer is reused
        else:
            host = source._on_host() if theirs else source
            if ours.is_cuda:
                self.data.set(np.ascontiguousarray(host), stream=stream)
                stream.synchronize()  # the caller may now change its array
            else:
                ours.synchronize()
                np.copyto(self.data, host)

    def begin_copy_from(self, source: Array) -> Any:
        """Begins to copy an array of another device, beside the work that both are given from now on.

        This is the exchange between towers (paper, section 3.2). The copy waits for what both devices
        were given before. Returns what both are to `Device.wait` for, this one before it reads the copy
        and the other before it overwrites the source; None if one is a CPU, where it is done at once.

        From GPU to GPU it is a peer copy: CuPy lets those access each other's memory that can, when it
        copies between them first; between others the driver goes by way of pinned memory of the host.
        """
        self._check_alike(source)
        ours, theirs = self.device, source.device
        if not (ours.is_queued and theirs.is_queued and ours.is_cuda == theirs.is_cuda):
            self.copy_from(source)
            return None
        stream = ours._copies_from(theirs)
        stream.wait_event(theirs._mark(theirs._stream))
        stream.wait_event(ours._mark(ours._stream))
        if ours.is_cuda:
            self.data.data.copy_from_device_async(source.data.data, self.nbytes, stream)
        else:
            stream.give(partial(np.copyto, self.data, source.data))
        return ours._mark(stream)

    def _check_alike(self, source: Array | np.ndarray) -> None:
        if source.shape != self.shape or source.dtype != self.dtype:
            raise ValueError(
                f"cannot copy {source.shape} {source.dtype} into {self.shape} {self.dtype}"
            )

    def cast_from(self, source: Array) -> None:
        """Converts an array of equal shape on the same device to this one's dtype."""
        if source.shape != self.shape or source.device is not self.device:
            raise ValueError(f"cannot convert {source} into {self}")
        if self.device.is_cuda:
            with self.device._current():
                self.data[...] = source.data
        else:
            self.device.do(partial(_cast, self.data, source.data))


def _cast(target: np.ndarray, source: np.ndarray) -> None:
    with np.errstate(over="ignore"):  # beyond the range: infinite, as on a GPU
        target[...] = source


def read_later(arrays: Sequence[Array]) -> Callable[[], list[np.ndarray]]:
    """What arrays of one device hold after the work that it has been given so far, once called.

    Nobody waits before the call. Small arrays only: on a GPU they come into pinned memory.
    """
    device = arrays[0].device
    if not device.is_cuda:
        device.synchronize()
        values = [array.data.copy() for array in arrays]
        return lambda: values
    values = [device.pinned(array.shape, array.dtype) for array in arrays]
    with device._current():
        for host, array in zip(values, arrays, strict=True):
            array.data.data.copy_to_host_async(host.ctypes.data, array.nbytes, device._stream)
    copied = device._mark(device._stream)

    def read() -> list[np.ndarray]:
        copied.synchronize()
        return values

    return read


def gpu_count() -> int:
    """How many GPUs can be used here."""
    try:
        return _extension("_cuda").device_count()
    except (DeviceError, RuntimeError):
        return 0


def parse_devices(text: str) -> list[Device]:
    """The devices of a comma list such as ``cpu``, ``cpu,cpu`` or ``cuda:0,cuda:1``.

    Raises:
        ValueError: an entry is not a device name.
        DeviceError: a device is named correctly and cannot be used here.
    """
    names = [name.strip().lower() for name in text.split(",")]
    if not all(names):
        raise ValueError(f"devices '{text}': an entry is empty; write for example cpu,cpu")
    return [Device(name, index) for index, name in enumerate(names)]


def set_precision(devices: list[Device], precision: str) -> None:
    """Lets the devices multiply in this precision, one of `PRECISIONS`.

    Raises:
        ValueError: there is no such precision.
        DeviceError: a device has no tensor cores for it.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision '{precision}' is not known: use {', '.join(PRECISIONS)}")
    for device in devices:
        if precision != "fp32" and not device.has_tensor_cores:
            raise DeviceError(
                f"precision {precision} needs tensor cores, those of a GPU of compute capability 8.0 "
                f"or newer, but {device.name} has none: use fp32 "
                "(--precision fp32)"
            )
        device.precision = precision


def precision_of(devices: Iterable[Device]) -> str:
    """What `set_precision` gave these devices; ValueError where they differ."""
    precisions = {device.precision for device in devices}
    if len(precisions) > 1:
        raise ValueError(f"devices differ in precision, {sorted(precisions)}: give all the same")
    return precisions.pop()


def _aligned(shape: int | tuple[int, ...], dtype: Any) -> np.ndarray:
    """As np.empty, but beginning on a cache line: vectors of an array then do not straddle two."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + ALIGNMENT, np.uint8)
    begin = -memory.ctypes.data % ALIGNMENT
    return memory[begin : begin + nbytes].view(dtype).reshape(shape)


def _extension(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"alexnet_raw.{name}")
    except ImportError as error:
        remedy = (
            "install the CUDA toolkit and reinstall with ALEXNET_RAW_CUDA=on pip install ."
            if name == "_cuda"
            else "reinstall alexnet-raw: pip install ."
        )
        raise DeviceError(f"alexnet_raw.{name} cannot be loaded ({error}): {remedy}") from None


def _cupy(module: ModuleType, name: str, ordinal: int) -> ModuleType:
    """CuPy, once it is known that this GPU can be used."""
    try:
        count = module.device_count()
    except RuntimeError as error:
        raise DeviceError(f"{name}: no usable GPU or driver: {error}") from None
    if ordinal >= count:
        raise DeviceError(f"{name}: this machine has {count} GPUs, cuda:0 to cuda:{count - 1}")
    try:
        return importlib.import_module("cupy")
    except ImportError as error:
        extra = "cuda" + module.build_info()["cuda_version"].partition(".")[0]
        raise DeviceError(f"{name} needs CuPy ({error}): pip install 'alexnet-raw[{extra}]'") from None
