"""Ranks wait for each other without end; what watches over them ends all when one does not get on.

A thread of each rank counts the meetings that it comes to. Where it comes to no more for too long the
threads tell each other their counts: whoever is behind, or does not answer, is who the others wait for.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence

from mpi4py import MPI

from alexnet_raw.parallel import guard

ANSWER = 5  # seconds for a thread to tell its count
CODE = 3  # the exit code of a job that was given up


class Watch:
    """Watches over this rank from now on."""

    def __init__(self, comm: MPI.Comm, hosts: Sequence[str], patience: float):
        """comm: for these threads alone. hosts: of all ranks. patience: seconds between meetings."""
        self._comm, self._hosts, self._patience = comm, hosts, patience
        self._meetings = 0
        self._is_over = threading.Event()
        threading.Thread(target=self._watch, name="alexnet-watch", daemon=True).start()

    def meet(self) -> None:
        """This rank comes to a meeting of all."""
        self._meetings += 1

    def end(self) -> None:
        """There is nothing to watch any more: MPI is about to end."""
        self._is_over.set()

    def _watch(self) -> None:
        seen, since = self._meetings, time.monotonic()
        while not self._is_over.wait(min(1.0, self._patience / 4)):
            if self._meetings != seen:
                seen, since = self._meetings, time.monotonic()
            elif time.monotonic() - since > self._patience:
                counts = self._counts()
                if self._meetings == seen and (reason := stuck(counts, self._hosts)):
                    if self._comm.rank == min(counts):
                        text = f"alexnet-raw: after {self._patience:g} seconds without news {reason}"
                        print(text, file=sys.__stderr__, flush=True)
                    else:
                        time.sleep(2 * ANSWER)  # who speaks comes first
                    guard.dismiss()
                    self._comm.Abort(CODE)
                since = time.monotonic()

    def _counts(self) -> dict[int, int]:
        """How many meetings each rank that answers has come to."""
        others = [rank for rank in range(self._comm.size) if rank != self._comm.rank]
        for rank in others:
            self._comm.isend(self._meetings, rank)
        counts, until = {self._comm.rank: self._meetings}, time.monotonic() + ANSWER
        while len(counts) < self._comm.size and time.monotonic() < until:
            status = MPI.Status()
            if self._comm.iprobe(status=status):
                counts[status.source] = self._comm.recv(source=status.source)
            else:
                time.sleep(0.01)
        return counts


def stuck(counts: Mapping[int, int], hosts: Sequence[str]) -> str | None:
    """Which ranks the others wait for, to be said; None if that is nobody: all may be busy.

    counts: of those that answer, by rank.
    """

    def named(ranks: Sequence[int]) -> str:
        return ", ".join(f"rank {rank} on {hosts[rank]}" for rank in ranks)

    if silent := [rank for rank in range(len(hosts)) if rank not in counts]:
        return (
            f"{named(silent)} does not answer: it was stopped, or its machine is not reached. Go on "
            "from the last checkpoint with --resume"
        )
    if len(set(counts.values())) > 1:  # of those who wait some may have come further than others
        behind = [rank for rank, count in counts.items() if count == min(counts.values())]
        return (
            f"all others wait for {named(behind)}: look at what it does there. Go on from the last "
            "checkpoint with --resume, or wait longer with --patience"
        )
    return None
