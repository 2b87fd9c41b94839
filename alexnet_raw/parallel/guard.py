"""A process that is killed says nothing. Beside each rank waits a second one, its guard, that says it.

The launcher's own message names a process, not a rank, and the other ranks have no time for one:
MPICH's mpiexec kills them as soon as it sees that one has gone. It sees that by the connection which
it gave to the rank. The guard has it too, so it sees nothing before the guard has spoken and ended.

The guard is the rank's child, not its parent: signals, exit codes and the launcher's messages stay as
they are without one. It is in the same process group, so what kills a whole rank kills it, too, and
only a rank that died by itself is spoken of.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from contextlib import suppress

from alexnet_raw.parallel.ranks import launched

# By which people and launchers end a program on purpose: all ranks, of which none is to blame.
WANTED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_pipe: int | None = None  # its other end tells the guard that this process has gone


def begin() -> None:
    """Gives this process a guard, if a launcher says that it is one of several.

    To be called before anything, MPI too, makes threads or connections.
    """
    global _pipe
    if not (told := launched()):
        return
    end, _pipe = os.pipe()
    process = os.getpid()
    if os.fork():
        os.close(end)
        atexit.register(dismiss)
        return
    try:
        os.close(_pipe)
        _guard(told[0], process, end)
    finally:
        os._exit(0)


def dismiss() -> None:
    """This process is about to end, and needs nobody to say so."""
    if _pipe is not None:
        with suppress(OSError):  # the guard has gone
            os.write(_pipe, b".")


def _guard(rank: int, process: int, end: int) -> None:
    came = []
    for number in WANTED:
        signal.signal(number, lambda number, _frame: came.append(number))
    with suppress(OSError), open("/proc/self/comm", "w") as name:  # in lists of processes
        name.write("alexnet-guard")
    if os.read(end, 1):
        return
    cause = _cause(process)
    if cause in (0, *WANTED) or (cause is None and came):
        return
    text = f"rank {rank} on {socket.gethostname()} {_told(cause)}"
    text = f"\nalexnet-raw: {text}. Go on from the last checkpoint with --resume\n"
    os.write(sys.__stderr__.fileno(), text.encode())  # below a progress bar


def _cause(process: int) -> int | None:
    """The signal that ended a process, 0 if it ended by itself, None if nothing is left of it.

    Linux keeps that until the launcher asks for it, as the last number of its line.
    """
    try:
        with open(f"/proc/{process}/stat") as file:
            return int(file.read().split()[-1]) & 0x7F
    except (OSError, ValueError):
        return None


def _told(cause: int | None) -> str:
    if cause is None:
        return "has gone: it was killed, perhaps as the memory there ran out (dmesg tells), or crashed"
    name = signal.Signals(cause).name
    if cause == signal.SIGKILL:
        return f"was killed ({name}): if nobody did, the memory there ran out (dmesg tells)"
    if cause == signal.SIGBUS:
        return f"crashed ({name}), as where MPI finds /dev/shm full"
    return f"crashed ({name})"
