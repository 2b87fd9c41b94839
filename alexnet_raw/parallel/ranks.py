"""The processes that train one net together, and what they say to each other.

A rank is one of them. `ALONE` is the only rank of a run that neither mpiexec nor srun started: nothing
that it does needs MPI. So everything else is written for ranks, and need not ask whether there are any.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from alexnet_raw.device import Array, Device

Value = TypeVar("Value")
# What launchers let a process know: how many there are, and which one this is.
LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),  # mpiexec of MPICH and of Intel's MPI, srun --mpi=pmi2
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),  # mpiexec of Open MPI
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # srun
)


class RanksError(RuntimeError):
    """The processes that were started cannot work together; the message says why and what to do."""


class Collectives(Protocol):
    """What ranks do together with arrays of one device, beside its other work.

    Each begins with what its array holds at that place in the device's work. All ranks begin the same
    in the same order, and wait for each.
    """

    def sum(self, array: Array) -> Any:
        """Begins to make array, of float32 or bfloat16, the sum of all ranks'."""

    def sum_to(self, rank: int, array: Array, total: Array) -> Any:
        """Begins to make the sum of all ranks' arrays, as `sum`, in `total` of one rank."""

    def broadcast(self, rank: int, array: Array) -> Any:
        """Begins to make array what it is on one rank."""

    def gather(self, array: Array, rows: Sequence[slice]) -> Any:
        """Begins to make rows[i] of array, which are one behind the other, those of rank i."""

    def has_arrived(self, begun: Any) -> bool:
        """Whether `wait` would not keep the host."""

    def wait(self, begun: Any) -> None:
        """What the device is given from now on finds the result."""


class Ranks:
    """All ranks of a run, as one of them sees them.

    Attributes:
        rank, size: which one this is, of how many.
        local_rank, local_size: the same among those on this machine; not known of a team.
    """

    rank, size = 0, 1
    local_rank, local_size = 0, 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone writes and prints."""
        return self.rank == 0

    def gather(self, value: Value) -> list[Value]:
        """The values of all ranks, in their order, on each; all must call it."""
        return [value]

    def first(self, work: Callable[[], Value]) -> Value:
        """What work() returns or raises on rank 0, which alone does it; on each."""
        return work()

    def collectives(self, device: Device) -> Collectives:
        """For arrays of a device; all ranks must ask for those of their devices in the same order."""
        raise RanksError("one rank alone has nobody to send arrays to")

    def teams(self, size: int) -> tuple[Ranks, Ranks]:
        """The team of `size` ranks, one behind the other, that this one is in, and those who have its
        place in the other teams, itself among them. All must call it; size divides their number."""
        if size != 1 or self.size != 1:
            raise RanksError(f"{self.size} ranks have no teams of {size}")
        return self, self

    def all_fail(self) -> bool:
        """Whether all ranks call this within a few seconds: they met the same error."""
        return True

    def abort(self, code: int) -> None:
        """Ends all ranks, wherever they are, with this exit code; one that is alone goes on."""

    def share(self, count: int, rank: int | None = None) -> slice:
        """Which of `count` images are a rank's, this one's if not another's is asked for; no rank has
        two more than another."""
        rank = self.rank if rank is None else rank
        return slice(count * rank // self.size, count * (rank + 1) // self.size)

    def largest_share(self, count: int) -> int:
        """The most images that a rank has of `count`."""
        return -(-count // self.size)

    def rounds(self, own: Iterator[Value]) -> Iterator[list[Value]]:
        """The next item of each rank's, in their order, as long as any rank has one."""
        with closing(own):
            while items := [item for item in self.gather(next(own, None)) if item is not None]:
                yield items


ALONE = Ranks()


def launched() -> tuple[int, int] | None:
    """(rank, size) as the launcher says; None if there is none, or it started one process."""
    for size, rank in LAUNCHERS:
        if int(os.environ.get(size, 1)) > 1:
            return int(os.environ.get(rank, 0)), int(os.environ[size])
    return None


def join(wanted: bool = False, patience: float = 600.0) -> Ranks:
    """The ranks that this process was started among.

    Where no launcher is known to have started several, that is itself alone, unless MPI is `wanted`.
    patience: after so many seconds in which one does not come to where the others wait, all are ended.

    Raises:
        RanksError: mpi4py is missing, or another MPI than the launcher's.
    """
    told = launched()
    if not told and not wanted:
        return ALONE
    try:
        from alexnet_raw.parallel.mpi import MpiRanks
    except (ImportError, RuntimeError) as error:  # no mpi4py; no MPI that it can load
        raise RanksError(
            f"several processes need mpi4py and MPI ({error}): pip install 'alexnet-raw[mpi]'"
        ) from None
    ranks = MpiRanks(patience)
    if told and ranks.size != told[1]:
        raise RanksError(
            f"{told[1]} processes were started, but MPI sees {ranks.size}: start them with the mpiexec "
            "of the MPI that mpi4py uses (python -c 'import mpi4py.MPI as m; "
            "print(m.Get_library_version())'), or with srun --mpi=pmi2 (MPICH) or --mpi=pmix (Open MPI)"
        )
    return ranks
