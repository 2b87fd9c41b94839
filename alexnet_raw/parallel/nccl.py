"""What ranks do together with arrays in GPUs' memory, by NCCL."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

from alexnet_raw.device import BF16, Array, Device
from alexnet_raw.parallel.ranks import Ranks, RanksError

_streams: dict[int, Any] = {}  # of each GPU


class NcclCollectives:
    """On one GPU of each rank, by a stream beside the device's work.

    NCCL wants all ranks to begin the same in the same order. So there is one stream for all that ranks
    do with a GPU, of whatever teams, and logical devices of one GPU share its collectives.
    """

    def __init__(self, device: Device, ranks: Ranks):
        cuda = device._cupy.cuda
        self._gpu = cuda.Device(device.ordinal)
        try:
            self._nccl = importlib.import_module("cupy.cuda.nccl")
            identity = ranks.first(self._nccl.get_unique_id)
        except ImportError as error:
            release = device.module.build_info()["cuda_version"].partition(".")[0]
            raise RanksError(
                f"several ranks on GPUs need NCCL ({error}): pip install nvidia-nccl-cu{release}"
            ) from None
        with self._gpu:
            if device.ordinal not in _streams:
                _streams[device.ordinal] = cuda.Stream(non_blocking=True)
            self._comm = self._nccl.NcclCommunicator(ranks.size, identity, ranks.rank)
        self._stream = _streams[device.ordinal]

    def sum(self, array: Array) -> Any:
        place = array.data.data.ptr
        return self._begin(array, "allReduce", place, place, array.size, *self._summed(array))

    def sum_to(self, rank: int, array: Array, total: Array) -> Any:
        places = array.data.data.ptr, total.data.data.ptr
        return self._begin(array, "reduce", *places, array.size, *self._summed(array), rank)

    def broadcast(self, rank: int, array: Array) -> Any:
        place = array.data.data.ptr
        return self._begin(array, "broadcast", place, place, array.nbytes, self._nccl.NCCL_UINT8, rank)

    def gather(self, array: Array, rows: Sequence[slice]) -> Any:
        """As broadcasts from each, in one group: NCCL's own wants all to have as many rows."""
        self._nccl.groupStart()
        for rank, part in enumerate(rows):
            self.broadcast(rank, Array(array.data[part], array.device))
        self._nccl.groupEnd()
        return array.device, array.device._mark(self._stream)

    def has_arrived(self, begun: Any) -> bool:
        return True

    def wait(self, begun: Any) -> None:
        device, mark = begun
        device._stream.wait_event(mark)

    def _summed(self, array: Array) -> tuple[int, int]:
        dtype = self._nccl.NCCL_BFLOAT16 if array.dtype == BF16 else self._nccl.NCCL_FLOAT32
        return dtype, self._nccl.NCCL_SUM

    def _begin(self, array: Array, name: str, *arguments: Any) -> Any:
        """One behind the array's work."""
        self._stream.wait_event(array.device._mark(array.device._stream))
        with self._gpu:
            getattr(self._comm, name)(*arguments, self._stream.ptr)
        return array.device, array.device._mark(self._stream)
