"""Sums of arrays in GPUs' memory, by NCCL."""

from __future__ import annotations

import importlib
from typing import Any

from alexnet_raw.device import Array, Device
from alexnet_raw.parallel.ranks import Ranks, RanksError


class NcclSums:
    """Sums on one GPU of each rank. They have a stream of their own, beside the device's work.

    Logical devices of one GPU share it: NCCL wants all ranks to begin all sums in the same order.
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
            self._stream = cuda.Stream(non_blocking=True)
            self._comm = self._nccl.NcclCommunicator(ranks.size, identity, ranks.rank)

    def start(self, array: Array) -> Any:
        self._stream.wait_event(array.device._mark(array.device._stream))
        place, kind = array.data.data.ptr, (self._nccl.NCCL_FLOAT32, self._nccl.NCCL_SUM)
        with self._gpu:
            self._comm.allReduce(place, place, array.size, *kind, self._stream.ptr)
        return array.device, array.device._mark(self._stream)

    def has_arrived(self, sum: Any) -> bool:
        return True

    def wait(self, sum: Any) -> None:
        device, mark = sum
        device._stream.wait_event(mark)
