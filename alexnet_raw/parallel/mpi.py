"""Ranks that MPI connects, and sums of arrays in the host's memory."""

from __future__ import annotations

import atexit
import math
import socket
import time
from collections.abc import Callable
from typing import TypeVar

from mpi4py import MPI

from alexnet_raw.device import Array, Device
from alexnet_raw.parallel.ranks import Ranks, Sums
from alexnet_raw.parallel.watch import Watch

Value = TypeVar("Value")
PATIENCE = 3  # seconds for an error to reach all ranks


class MpiRanks(Ranks):
    """All processes of MPI's world."""

    def __init__(self, patience: float) -> None:
        """patience: seconds in which each must come to a meeting, or all are ended."""
        self._comm = MPI.COMM_WORLD.Dup()  # others of this process may use the world
        self._failures = MPI.COMM_WORLD.Dup()  # where ranks meet that do not get on
        self.rank, self.size = self._comm.rank, self._comm.size
        machine = self._comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = machine.rank, machine.size
        machine.Free()
        hosts = self._comm.allgather(socket.gethostname())
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:  # whoever began MPI did not want threads
            patience = math.inf
        self._watch = Watch(MPI.COMM_WORLD.Dup(), hosts, patience)
        atexit.register(self._watch.end)  # before mpi4py ends MPI
        self._sums: dict[str, Sums] = {}

    def gather(self, value: Value) -> list[Value]:
        self._watch.meet()
        return self._comm.allgather(value)

    def first(self, work: Callable[[], Value]) -> Value:
        result, error = None, None
        if self.is_first:
            try:
                result = work()
            except Exception as caught:
                error = caught
        self._watch.meet()
        result, error = self._comm.bcast((result, error))
        if error is not None:
            raise error
        return result

    def sums(self, device: Device) -> Sums:
        if device.name not in self._sums:
            self._sums[device.name] = self._new_sums(device)
        return self._sums[device.name]

    def _new_sums(self, device: Device) -> Sums:
        if not device.is_cuda:
            return MpiSums(self._comm.Dup())
        from alexnet_raw.parallel.nccl import NcclSums

        return NcclSums(device, self)

    def all_fail(self) -> bool:
        meeting, patience = self._failures.Ibarrier(), time.monotonic() + PATIENCE
        while not meeting.Test():
            if time.monotonic() > patience:
                return False
            time.sleep(0.01)
        return True

    def abort(self, code: int) -> None:
        self._comm.Abort(code)


class MpiSums:
    """Sums on the CPU, which go on while MPI is called: whenever one asks whether they have arrived."""

    def __init__(self, comm: MPI.Comm):
        self._comm = comm

    def start(self, array: Array) -> MPI.Request:
        return self._comm.Iallreduce(MPI.IN_PLACE, array.data)

    def has_arrived(self, sum: MPI.Request) -> bool:
        return sum.Test()

    def wait(self, sum: MPI.Request) -> None:
        sum.Wait()
