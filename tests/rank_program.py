"""`alexnet-raw` as the tests of ranks run it: no plots, the loss of every batch on disk, and several
buckets and early steps in a tiny net too.

    mpiexec -n 3 python -m tests.rank_program train ...

The environment lets something happen:

    RANK_DUMP=FOLDER         each rank writes its net's state into FOLDER/RANK.npz at the end
    RANK_STOP=STEP,RANK,HOW  that rank alone, after that step, gets a signal (SIGTERM ...) or sleeps
    RANK_CHANGE=RANK         that rank's first weights are others than those of the others
    RANK_LAUNCHER=unknown    whoever started the ranks is not known: --mpi
    RANK_FAIL=RANK           that rank cannot use its devices
    RANK_DATA=RANK,FOLDER    that rank finds other pictures in place of --data
    RANK_GPUS=late, early    cuda:N is a stand-in, whose streams work so
    RANK_DECODED=FOLDER      each rank lists the picture files that it decodes in FOLDER/decoded-RANK
    RANK_CACHE=BYTES         pictures of a folder that are kept in memory
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np

sys.modules["alexnet_raw.plots"] = ModuleType("plots")  # to load matplotlib takes longer than the rest

from alexnet_raw import cli, metrics, optimizer, run_report, training  # noqa: E402
from alexnet_raw.cli import options  # noqa: E402
from alexnet_raw.data import picture_folder  # noqa: E402
from alexnet_raw.device import DeviceError  # noqa: E402
from alexnet_raw.network import Network  # noqa: E402
from alexnet_raw.parallel import buckets, launched  # noqa: E402
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
        step, who, how = stop.split(",")
        train_batch = training.train_batch

        def train_batch_and_stop(run, batch, counts):
            score = train_batch(run, batch, counts)
            if (run.step, rank) == (int(step), int(who)):
                time.sleep(1000) if how == "sleep" else os.kill(os.getpid(), signal.Signals[how])
            return score

        training.train_batch = train_batch_and_stop
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
    if happens.get("RANK_FAIL") == str(rank):

        def fail(args):
            raise DeviceError("the device is gone: look for it")

        options.devices = fail
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
