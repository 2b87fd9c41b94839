"""A stand-in for cupy.cuda.nccl, beside that for CuPy: MPI sums what lies in the host's memory.

A sum is work of the stream that it was given to, and no earlier than its turn there. That of real NCCL
goes on by itself; this one is done when somebody waits, so that all ranks must come to wait alike.
"""

from __future__ import annotations

import ctypes
import os

import numpy as np
from mpi4py import MPI

from tests.cupy_stand_in import Gpu
from tests.gpu_stand_in import Stream

NCCL_FLOAT32, NCCL_SUM = 7, 0


def get_unique_id() -> tuple[int, ...]:
    return tuple(np.frombuffer(os.urandom(128), np.int8).tolist())


class NcclCommunicator:
    def __init__(self, ndev: int, commId: tuple[int, ...], rank: int):
        self._comm, self._gpu = MPI.COMM_WORLD.Dup(), Gpu.current[-1]
        assert (ndev, rank) == (self._comm.size, self._comm.rank)
        assert isinstance(commId, tuple) and len(commId) == 128
        assert self._comm.allgather(commId) == [commId] * ndev, "not the identity that rank 0 was given"
        gpus = self._comm.allgather(self._gpu)
        assert len(set(gpus)) == ndev, f"duplicate GPU: {gpus}"

    def allReduce(
        self, sendbuf: int, recvbuf: int, count: int, datatype: int, op: int, stream: int
    ) -> None:
        assert (sendbuf, datatype, op) == (recvbuf, NCCL_FLOAT32, NCCL_SUM)
        assert Gpu.current[-1] == self._gpu == Stream.known[stream].device_id
        array = np.ctypeslib.as_array((ctypes.c_float * count).from_address(recvbuf))
        Stream.known[stream].give(lambda: self._comm.Allreduce(MPI.IN_PLACE, array))
