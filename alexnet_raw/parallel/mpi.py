"""Ranks that MPI connects, and what they do together with arrays in the host's memory."""

from __future__ import annotations

import atexit
import math
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from mpi4py import MPI

from alexnet_raw.device import BF16, Array, Device
from alexnet_raw.parallel import guard
from alexnet_raw.parallel.ranks import Collectives, Ranks
from alexnet_raw.parallel.watch import Watch

Value = TypeVar("Value")
PATIENCE = 3  # seconds for an error to reach all ranks


class Team(Ranks):
    """The processes of one of MPI's communicators."""

    def __init__(self, comm: MPI.Comm, watch: Watch):
        self._comm, self._watch = comm, watch
        self.rank, self.size = comm.rank, comm.size
        self._collectives: dict[str, Collectives] = {}

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

    def collectives(self, device: Device) -> Collectives:
        if device.name not in self._collectives:
            self._collectives[device.name] = self._new_collectives(device)
        return self._collectives[device.name]

    def _new_collectives(self, device: Device) -> Collectives:
        if not device.is_cuda:
            return MpiCollectives(self._comm.Dup())
        from alexnet_raw.parallel.nccl import NcclCollectives

        return NcclCollectives(device, self)


class MpiRanks(Team):
    """All processes of MPI's world."""

    def __init__(self, patience: float) -> None:
        """patience: seconds in which each must come to a meeting, or all are ended."""
        self._failures = MPI.COMM_WORLD.Dup()  # where ranks meet that do not get on
        comm = MPI.COMM_WORLD.Dup()  # others of this process may use the world
        machine = comm.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.local_size = machine.rank, machine.size
        machine.Free()
        hosts = comm.allgather(socket.gethostname())
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:  # whoever began MPI did not want threads
            patience = math.inf
        super().__init__(comm, Watch(MPI.COMM_WORLD.Dup(), hosts, patience))
        atexit.register(self._watch.end)  # before mpi4py ends MPI

    def teams(self, size: int) -> tuple[Ranks, Ranks]:
        colours = self.rank // size, self.rank % size
        return tuple(Team(self._comm.Split(colour, self.rank), self._watch) for colour in colours)

    def all_fail(self) -> bool:
        meeting, patience = self._failures.Ibarrier(), time.monotonic() + PATIENCE
        while not meeting.Test():
            if time.monotonic() > patience:
                return False
            time.sleep(0.01)
        return True

    def abort(self, code: int) -> None:
        guard.dismiss()
        self._comm.Abort(code)


class MpiCollectives:
    """On the CPU. They go on while MPI is called: whenever one asks whether they have arrived."""

    def __init__(self, comm: MPI.Comm):
        self._comm = comm

    def sum(self, array: Array) -> _Begun:
        own = _summands(array)
        return _Begun(self._comm.Iallreduce(MPI.IN_PLACE, own), own, array)

    def sum_to(self, rank: int, array: Array, total: Array) -> _Begun:
        own = _summands(array)
        if self._comm.rank != rank:
            return _Begun(self._comm.Ireduce(own, None, root=rank))
        result = np.empty_like(own) if total.dtype == BF16 else total.data
        return _Begun(self._comm.Ireduce(own, result, root=rank), result, total)

    def broadcast(self, rank: int, array: Array) -> _Begun:
        return _Begun(self._comm.Ibcast(_bytes(array), root=rank))

    def gather(self, array: Array, rows: Sequence[slice]) -> _Begun:
        row = array.nbytes // array.shape[0]
        counts = [row * (part.stop - part.start) for part in rows]
        places = [row * part.start for part in rows]
        whole = [_bytes(array), counts, places, MPI.BYTE]
        return _Begun(self._comm.Iallgatherv(MPI.IN_PLACE, whole))

    def has_arrived(self, begun: _Begun) -> bool:
        return begun.request.Test()

    def wait(self, begun: _Begun) -> None:
        begun.request.Wait()
        if begun.target and begun.result is not begun.target.data:
            np.copyto(begun.target.data, begun.result, casting="unsafe")


@dataclass
class _Begun:
    request: MPI.Request
    result: np.ndarray | None = None  # what is to be in the target, once it has arrived
    target: Array | None = None


def _summands(array: Array) -> np.ndarray:
    """What MPI can add: a copy in float32, if it is not that."""
    return array.data.astype(np.float32, copy=False)


def _bytes(array: Array) -> np.ndarray:
    return array.data.reshape(-1).view(np.uint8)
