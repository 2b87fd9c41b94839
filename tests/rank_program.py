"""`alexnet-raw` as the tests of ranks run it: no plots, the loss of every batch on disk, and several
buckets and early steps in a tiny net too.

    mpiexec -n 3 python -m tests.rank_program train ...

The environment lets something happen:

    RANK_DUMP=FOLDER         each rank writes its net's state into FOLDER/RANK.npz at the end
    RANK_STOP=STEP,RANK,HOW  that rank alone, after that step, gets a signal (SIGTERM ...) or sleeps
    RANK_FULL=STEP,RANK,HOW  after that step that rank's disk is full: HOW is a number of bytes, more
                             than which no file of it can have, or a folder whose disk is filled
    RANK_NO_DISK=RANK,...    those ranks cannot write a single byte to a file, from the first on
    RANK_VERSION=RANK        that rank is of another version; RANK,code: of this one, but not the same
    RANK_CHANGE=RANK         that rank's first weights are others than those of the others
    RANK_LAUNCHER=unknown    whoever started the ranks is not known: --mpi
    RANK_FAIL=RANK           that rank, or all, cannot use its devices; RANK,bug: it meets a bug there
    RANK_DATA=RANK,FOLDER    that rank finds other pictures in place of --data
    RANK_GPUS=late, early    cuda:N is a stand-in, whose streams work so
    RANK_DECODED=FOLDER      each rank lists the picture files that it decodes in FOLDER/decoded-RANK
    RANK_CACHE=BYTES         pictures of a folder that are kept in memory

Of a signal, a sleep, a full disk, a device that cannot be used, and when it is seen that ranks differ,
stderr has the time: `fault at T`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

from alexnet_raw.parallel import guard

if __name__ == "__main__":
    guard.begin()  # as alexnet_raw.__main__ does: before NumPy makes threads

import numpy as np

sys.modules["alexnet_raw.plots"] = ModuleType("plots")  # to load matplotlib takes longer than the rest

from alexnet_raw import cli, info, metrics, optimizer, run, run_report, training  # noqa: E402
from alexnet_raw.cli import options  # noqa: E402
from alexnet_raw.data import picture_folder  # noqa: E402
from alexnet_raw.device import DeviceError  # noqa: E402
from alexnet_raw.network import Network  # noqa: E402
from alexnet_raw.parallel import RanksError, buckets, checks, launched  # noqa: E402
from alexnet_raw.parallel import ranks as ranks_module  # noqa: E402


def main() -> int:
    rank, ranks = launched() or (0, 1)
    if ranks > 1:
        from alexnet_raw.parallel import watch

        watch.ANSWER = 1
    run_report.draw = lambda *_: None
    metrics.BATCHES, buckets.BYTES, optimizer.LARGE = 1, 1024, 100
    happens = os.environ
    if "RANK_LAUNCHER" in happens:
        ranks_module.LAUNCHERS = ()
    if dump := happens.get("RANK_DUMP"):
        train = training.train

        def train_and_dump(run):
            code = train(run)
            np.savez(Path(dump) / f"{rank}.npz", **run.model.net.state())
            return code

        training.train = train_and_dump
    if stop := happens.get("RANK_STOP"):
        after(rank, stop, stop_here)
    if full := happens.get("RANK_FULL"):
        after(rank, full, lambda how: limit_files(int(how)) if how.isdigit() else fill(Path(how)))
    if str(rank) in happens.get("RANK_NO_DISK", "").split(","):
        join = cli.ranks.join

        def join_and_limit(args):
            joined = join(args)  # MPI's memory that ranks share is files to the system
            limit_files(0)
            return joined

        cli.ranks.join = join_and_limit
    if rank == 0:
        check_same = run.check_same

        def check_and_tell(*arguments):
            try:
                check_same(*arguments)
            except RanksError:
                fault()
                raise

        run.check_same = check_and_tell
    who, _, same_version = happens.get("RANK_VERSION", "").partition(",")
    if who == str(rank):
        if same_version:
            checks.code = lambda: 7
        else:
            checks.version = lambda: f"{info.version()}.another"
    if happens.get("RANK_CHANGE") == str(rank):
        sum_over = Network.sum_over

        def change(net, ranks):
            net.parameters["conv1a.weights0"].value.data[0, 0, 0, 0] += 1
            sum_over(net, ranks)

        Network.sum_over = change
    if own := happens.get("RANK_DATA"):
        who, where = own.split(",")
        if who == str(rank):
            sys.argv[sys.argv.index("--data") + 1] = where
    if when := happens.get("RANK_GPUS"):
        from tests import gpu_stand_in, nccl_stand_in

        sys.modules["cupy.cuda.nccl"] = nccl_stand_in
        gpu_stand_in.Stream.eager = when == "early"
        gpu_stand_in.install(SimpleNamespace(setattr=setattr))
    if lists := happens.get("RANK_DECODED"):
        prepare = picture_folder.prepare_file

        def prepare_and_list(file, *arguments):
            with (Path(lists) / f"decoded-{rank}").open("a") as decoded:
                decoded.write(f"{file}\n")
            return prepare(file, *arguments)

        picture_folder.prepare_file, picture_folder._CHUNK = prepare_and_list, 4
    if size := happens.get("RANK_CACHE"):
        picture_folder.PictureFolder.__init__.__kwdefaults__["cache_bytes"] = int(size)
    who, _, bug = happens.get("RANK_FAIL", "").partition(",")
    if who in (str(rank), "all"):

        def fail(args):
            if who != "all" or rank == 0:
                fault()
            raise AssertionError if bug else DeviceError("the device is gone: look for it")

        options.devices = fail
    return cli.main()


def fault() -> None:
    """Says when what goes wrong does."""
    print(f"fault at {time.time()}", file=sys.__stderr__, flush=True)


def after(rank: int, what: str, happen: Callable[[str], None]) -> None:
    """Lets `HOW` of "STEP,RANK,HOW" happen to that rank, after that step."""
    step, who, how = what.split(",")
    train_batch = training.train_batch

    def train_batch_and_more(run, batch, counts):
        score = train_batch(run, batch, counts)
        if (run.step, rank) == (int(step), int(who)):
            fault()
            happen(how)
        return score

    training.train_batch = train_batch_and_more


def stop_here(how: str) -> None:
    """A signal to this process, or a long sleep."""
    time.sleep(1000) if how == "sleep" else os.kill(os.getpid(), signal.Signals[how])


def limit_files(size: int) -> None:
    """No file can be written beyond that size from now on."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def fill(folder: Path) -> None:
    """Leaves no space on a disk."""
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 12))


if __name__ == "__main__":
    sys.exit(main())
