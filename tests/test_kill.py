"""Killed without warning, again and again: nothing is lost, nothing corrupt, the result the same.

ALEXNET_RAW_TEST_KILLS sets how often a training is killed (3; 20 takes a minute).
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from alexnet_raw import checkpoint
from tests import tiny_run

KILLS = int(os.environ.get("ALEXNET_RAW_TEST_KILLS", "3"))
EPOCHS = 100
ROOT = Path(__file__).parents[1]


def start(*arguments: str) -> subprocess.Popen:
    """alexnet-raw train with two threads of its own and a checkpoint after nearly every batch."""
    command = [sys.executable, "-m", "alexnet_raw", "train", "--save-minutes", "0.0002", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def test_kill_9_at_random_moments(tmp_path, seed):
    net, params = tiny_run.write_net(tmp_path)
    pictures = tiny_run.write_pictures(tmp_path / "pictures")
    new = ["--net", net, "--params", params, "--data", str(pictures), "--epochs", str(EPOCHS)]
    new += ["--batch-size", "10", "--keep", "2", "--output"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(*new, str(whole))
    assert process.wait(timeout=300) == 0, process.stderr.read()

    chance, kills = random.Random(seed), 0
    deadline = time.monotonic() + 60 + 30 * KILLS
    while kills < KILLS:
        assert time.monotonic() < deadline, f"only {kills} kills met a training at work"
        begun = (killed / checkpoint.FILE_NAME).exists()
        process = start("--resume", str(killed)) if begun else start(*new, str(killed))
        before = position(killed)
        while process.poll() is None and position(killed) == before:
            time.sleep(0.005)  # until it is at work
        time.sleep(chance.random() * 0.05)
        if process.poll() is not None:  # it was through
            process.communicate()
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
    if position(killed) != (EPOCHS, 0):
        process = start("--resume", str(killed))
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert kills == KILLS
    one, other = (checkpoint.load(folder) for folder in (whole, killed))
    assert one.tensors.keys() == other.tensors.keys()
    for name, array in one.tensors.items():
        np.testing.assert_array_equal(array, other.tensors[name], err_msg=name)
    for name in (checkpoint.BEST, "epoch-0099.safetensors", "epoch-0100.safetensors"):
        one, other = (checkpoint.load(folder / name) for folder in (whole, killed))
        for tensor, array in one.tensors.items():
            np.testing.assert_array_equal(array, other.tensors[tensor], err_msg=f"{name} {tensor}")


def position(folder: Path) -> tuple[int, int] | None:
    """Epoch and batch of the newest checkpoint, which must always be a whole one."""
    try:
        run = checkpoint.load_metadata(folder)["run"]
    except checkpoint.CheckpointError:
        assert not (folder / checkpoint.FILE_NAME).exists(), "a checkpoint that cannot be read"
        return None
    return run["epoch"], run["batch"]
