"""Arrays and streams of other libraries, as a device takes them: nothing is copied.

What `Device.view` and `Device.using_stream` do. The way out is in `Array`, which speaks the same
protocols: DLPack, `__cuda_array_interface__` and `__array_interface__`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from ml_dtypes import bfloat16

if TYPE_CHECKING:
    from alexnet_raw.device import Device

DTYPES = tuple(map(np.dtype, ("float32", bfloat16, "int32", "uint8")))  # that ops take
LEGACY = 1  # the default stream, in protocols where its other number, 0, means something else
ON_HOST, ON_GPU = (1, 3), (2, 13)  # DLPack's kDLCPU and kDLCUDAHost, kDLCUDA and kDLCUDAManaged


def view(foreign: Any, device: Device) -> Any:
    """A NumPy or CuPy array over foreign memory, which it keeps alive; see `Device.view`."""
    kind = type(foreign).__name__
    _check_place(kind, _place(foreign), device)
    try:
        data = _on_gpu(foreign, device) if device.is_cuda else _on_cpu(foreign)
    except (BufferError, NotImplementedError) as error:
        raise TypeError(f"{kind} cannot be viewed: {error}") from None
    if data.dtype not in DTYPES:
        known = "{}, {}, {} and {}".format(*DTYPES)
        raise TypeError(f"{kind} is {data.dtype}, but ops take {known}: convert it")
    if not data.flags.c_contiguous:
        raise ValueError(
            f"{kind} {data.shape} is not C-contiguous: give a copy that is, tensor.contiguous() or "
            "numpy.ascontiguousarray(array)"
        )
    return data


def stream(given: Any, device: Device) -> Any:
    """A stream of PyTorch, CuPy or plain CUDA as CuPy's; see `Device.using_stream`."""
    if not device.is_cuda:
        raise ValueError(f"{device} has no streams: its work is done when an op returns")
    number = getattr(given, "cuda_stream", getattr(given, "ptr", given))  # PyTorch's, CuPy's
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise TypeError(f"a stream is one of PyTorch's or CuPy's or a number, not {given!r}")
    ordinal = getattr(given, "device_index", getattr(given, "device_id", -1))  # CuPy's -1: any
    if ordinal not in (-1, device.ordinal):
        raise ValueError(f"the stream is one of cuda:{ordinal}, not of {device}")
    # CuPy 14 would rather have its from_external, which CuPy 13 has not, and which takes no numbers.
    return device._cupy.cuda.ExternalStream(number or LEGACY, device.ordinal)


def _on_cpu(foreign: Any) -> np.ndarray:
    if hasattr(foreign, "__array_interface__"):  # tells what is read-only, whichever NumPy it is
        return np.asarray(foreign)
    try:
        return np.from_dlpack(foreign)
    except RuntimeError as error:  # of a dtype that NumPy has not, such as bfloat16
        raise BufferError(error) from None


def _on_gpu(foreign: Any, device: Device) -> Any:
    cupy = device._cupy
    if hasattr(foreign, "__dlpack_device__"):
        # The owner lets our stream wait for its current one, that of this GPU. It is asked for DLPack
        # as it was before 1.0, when nothing was read-only: CuPy would not notice.
        with cupy.cuda.Device(device.ordinal):
            return cupy.from_dlpack(foreign.__dlpack__(stream=device.stream))
    interface = foreign.__cuda_array_interface__
    pointer, read_only = interface["data"]
    if read_only:
        raise BufferError("it is read-only, which CuPy's arrays cannot be")
    shape, dtype = interface["shape"], np.dtype(interface["typestr"])
    memory = cupy.cuda.UnownedMemory(pointer, int(np.prod(shape)) * dtype.itemsize, foreign)
    _check_place(type(foreign).__name__, f"cuda:{memory.device_id}", device)
    if interface.get("stream") is not None:
        device._stream.wait_event(device._mark(stream(interface["stream"], device)))
    return cupy.ndarray(shape, dtype, cupy.cuda.MemoryPointer(memory, 0), interface.get("strides"))


def _place(foreign: Any) -> str:
    """cpu, cuda:N, or cuda where only CuPy can tell."""
    if hasattr(foreign, "__dlpack_device__"):
        kind, ordinal = map(int, foreign.__dlpack_device__())
        if kind in ON_HOST:
            return "cpu"
        return f"cuda:{ordinal}" if kind in ON_GPU else f"a device of DLPack's type {kind}"
    if hasattr(foreign, "__cuda_array_interface__"):
        return "cuda"
    if hasattr(foreign, "__array_interface__"):
        return "cpu"
    raise TypeError(
        f"{type(foreign).__name__} has neither __dlpack__ nor __cuda_array_interface__ nor "
        "__array_interface__: Device.upload copies what NumPy can convert"
    )


def _check_place(kind: str, place: str, device: Device) -> None:
    here = f"cuda:{device.ordinal}" if device.is_cuda else "cpu"
    if place != here and not (place == "cuda" and device.is_cuda):
        raise ValueError(f"{kind} is on {place}, not on {here}: copy it there, or view it where it is")
