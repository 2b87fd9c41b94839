"""A stand-in for cupy.cuda.nccl, beside that for CuPy: MPI sums what lies in the host's memory.

What it does is work of the stream that it was given to, and no earlier than its turn there. Real NCCL
goes on by itself. This is done when a host waits: then all that was begun, in one order on all ranks,
who may wait for different things but have begun the same. So none may wait for the others by MPI while
one waits for its device.
"""

from __future__ import annotations

import ctypes
import os
import zlib
from collections.abc import Callable

import numpy as np
from ml_dtypes import bfloat16
from mpi4py import MPI

from tests import gpu_stand_in
from tests.cupy_stand_in import Gpu
from tests.gpu_stand_in import Stream

NCCL_UINT8, NCCL_FLOAT32, NCCL_BFLOAT16, NCCL_SUM = 1, 7, 9, 0
DTYPES = {NCCL_UINT8: np.uint8, NCCL_FLOAT32: np.float32, NCCL_BFLOAT16: bfloat16}

_begun: list[tuple[Stream, int]] = []  # streams, and the place in their work
_finished = 0  # how many of them
_grouped: list[Callable[[], None]] | None = None  # what waits for the end of a group


def get_unique_id() -> tuple[int, ...]:
    return tuple(np.frombuffer(os.urandom(128), np.int8).tolist())


def groupStart() -> None:
    global _grouped
    _grouped = []


def groupEnd() -> None:
    global _grouped
    works, _grouped = _grouped, None
    for work in works:
        work()


def _finish(number: int) -> None:
    """The first so many that were begun."""
    global _finished
    while _finished < number:
        stream, place = _begun[_finished]
        stream.run_to(place)
        _finished += 1


def _finish_all() -> None:
    if _finished:
        _finish(len(_begun))


gpu_stand_in.after_waits.append(_finish_all)


class NcclCommunicator:
    """All processes make one at the same time; those with the same identity belong together."""

    def __init__(self, ndev: int, commId: tuple[int, ...], rank: int):
        assert isinstance(commId, tuple) and len(commId) == 128
        team = zlib.crc32(np.array(commId, np.int8)) >> 1
        self._comm, self._gpu = MPI.COMM_WORLD.Split(team, rank), Gpu.current[-1]
        assert (ndev, rank) == (self._comm.size, self._comm.rank), "not the identity of rank 0"
        gpus = self._comm.allgather(self._gpu)
        assert len(set(gpus)) == ndev, f"duplicate GPU: {gpus}"

    def allReduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        assert (sendbuf, op) == (recvbuf, NCCL_SUM)
        self._sum(sendbuf, recvbuf, count, datatype, stream)

    def reduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, root: int, stream: int
    ) -> None:
        assert op == NCCL_SUM
        self._sum(sendbuf, recvbuf if self._comm.rank == root else None, count, datatype, stream)

    def broadcast(
        self, sendbuff: int, recvbuff: int, count: int, datatype: int, root: int, stream: int
    ) -> None:
        assert sendbuff == recvbuff
        array = self._array(recvbuff, count, datatype)
        self._give(lambda: self._comm.Bcast(array, root=root), stream)

    def _sum(self, source: int, target: int | None, count: int, datatype: int, stream: int) -> None:
        """All compute the sum, and who has a target gets it."""
        array = self._array(source, count, datatype)

        def work() -> None:
            total = array.astype(np.float32)
            self._comm.Allreduce(MPI.IN_PLACE, total)
            if target is not None:
                self._array(target, count, datatype)[:] = total

        self._give(work, stream)

    def _give(self, work: Callable[[], None], stream: int) -> None:
        found = Stream.known[stream]
        assert Gpu.current[-1] == self._gpu == found.device_id

        def give() -> None:
            number = len(_begun)
            _begun.append((found, len(found.work) + 1))
            found.give(lambda: (_finish(number), work()))

        if _grouped is None:
            give()
        else:
            _grouped.append(give)

    @staticmethod
    def _array(address: int, count: int, datatype: int) -> np.ndarray:
        dtype = np.dtype(DTYPES[datatype])
        memory = (ctypes.c_uint8 * (count * dtype.itemsize)).from_address(address)
        return np.frombuffer(memory, dtype)
