"""A command that several processes run: rank 0 speaks for all, and none is left waiting for another."""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import sys
from collections.abc import Iterator

from alexnet_raw import parallel
from alexnet_raw.parallel import Ranks


def is_another() -> bool:
    """Whether a launcher started this process as one of several, not the first."""
    told = parallel.launched()
    return told is not None and told[0] > 0


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Nothing is printed within."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        yield


def join(args: argparse.Namespace) -> Ranks:
    """The ranks that the launcher started for a command. RanksError where that is for one process."""
    if not args.takes_ranks and parallel.launched():
        if is_another():  # rank 0 says it
            sys.exit(2)
        raise parallel.RanksError(
            f"'{args.command}' works in one process: start it without mpiexec or srun, which are for "
            "train and eval"
        )
    return parallel.join(args.mpi, args.patience) if args.takes_ranks else parallel.ALONE


def name(ranks: Ranks) -> str:
    """What to call this one in a message."""
    return f"rank {ranks.rank} on {socket.gethostname()}: "
