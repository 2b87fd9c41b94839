"""Several processes train and evaluate as one does."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from alexnet_raw import checkpoint
from alexnet_raw.run import SAMPLE
from tests import tiny_run
from tests.test_training import same

ROOT = Path(__file__).parent.parent
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
# 45 pictures: four batches that no number of ranks divides, and one of a single picture.
BATCH, EPOCHS, STEPS = 11, 2, 10

pytestmark = pytest.mark.skipif(
    MPIEXEC is None or find_spec("mpi4py") is None,
    reason="no mpiexec or no mpi4py: pip install 'alexnet-raw[mpi]'",
)


@dataclass
class Done:
    """A job that has ended."""

    returncode: int
    stdout: str
    stderr: str
    ended: float  # when

    def stopped_after(self) -> float:
        """Seconds from what went wrong to the end of the job."""
        (when,) = re.findall(r"fault at ([0-9.]+)", self.stderr)
        return self.ended - float(when)


def start(ranks: int, *arguments: str | Path, under: Sequence[str] = (), **happens: str | Path) -> Done:
    """Runs `alexnet-raw` as that many processes of one thread each (1: without mpiexec).

    On the CPU, unless they are told otherwise, or GPUs have stand-ins. under: a command before it all.
    """
    if "--devices" not in arguments and "RANK_GPUS" not in happens:
        arguments = (*arguments, "--devices", "cpu")
    command = [sys.executable, "-m", "tests.rank_program", *map(str, arguments), "--threads", "1"]
    if ranks > 1:
        command = [MPIEXEC, "-n", str(ranks), *command]
    environment = {**os.environ, **{name: str(value) for name, value in happens.items()}}
    done = subprocess.run(
        [*under, *command], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    return Done(done.returncode, done.stdout, done.stderr, time.time())


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("tiny")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    numbers = ["--batch-size", str(BATCH), "--epochs", str(EPOCHS)]
    return ["--net", net, "--params", params, "--data", pictures, *numbers]


def train(ranks: int, settings: list[str], folder: Path, *arguments: str, **happens: str) -> Path:
    done = start(ranks, "train", *settings, "--output", folder, *arguments, **happens)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory) -> Path:
    return train(1, settings, tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def three(settings, tmp_path_factory) -> Path:
    """A run of three ranks, who left their weights in a folder of it."""
    folder = tmp_path_factory.mktemp("three")
    (folder / "ranks").mkdir()
    return train(3, settings, folder, RANK_DUMP=folder / "ranks")


def losses(folder: Path) -> np.ndarray:
    """Of each batch."""
    return np.array([json.loads(line)["loss"] for line in (folder / "batches.jsonl").open()])


def alike(one: Path, other: Path, tolerance: float = 1e-5) -> None:
    """The same run but for rounding: sums over images in another order."""
    np.testing.assert_allclose(losses(one), losses(other), rtol=tolerance)
    assert len(losses(one)) == STEPS
    a, b = checkpoint.load(one), checkpoint.load(other)
    assert a.tensors.keys() == b.tensors.keys()
    for name, array in a.tensors.items():
        scale = np.abs(array).max()
        np.testing.assert_allclose(b.tensors[name], array, atol=tolerance * scale, err_msg=name)
    for x, y in zip(a.metadata["run"]["history"], b.metadata["run"]["history"], strict=True):
        assert x["train"]["pictures"] == y["train"]["pictures"] == tiny_run.TRAIN
        assert x["validation"]["top1"] == pytest.approx(y["validation"]["top1"], rel=1e-12)
        assert x["validation"]["loss"] == pytest.approx(y["validation"]["loss"], rel=tolerance)


# ---- training


def test_three_ranks_train_as_one(alone, three):
    """Shares of 3 and 4 pictures, and steps in which two ranks have none."""
    alike(alone, three)


@pytest.mark.parametrize(("ranks", "devices"), [(2, "cpu"), (4, "cpu"), (2, "cpu,cpu")])
def test_ranks_train_as_one(settings, alone, tmp_path, ranks, devices):
    """Also where each of them is two towers."""
    alike(alone, train(ranks, settings, tmp_path, "--devices", devices))


def test_all_ranks_have_the_same_weights(three):
    saved = checkpoint.load(three).tensors
    for rank in range(3):
        own = np.load(three / "ranks" / f"{rank}.npz")
        assert len(own.files) > 20
        for name in own.files:
            np.testing.assert_array_equal(own[name], saved[name], err_msg=f"{rank} {name}")


def test_ranks_repeat_a_run_to_the_bit(settings, three, tmp_path):
    same(three, train(3, settings, tmp_path))


def test_a_run_goes_on_on_another_number_of_ranks(settings, alone, tmp_path):
    """Stopped within epochs, once by a signal that one rank of three gets."""
    done = start(1, "train", *settings, "--output", tmp_path, RANK_STOP="2,0,SIGTERM")
    assert done.returncode == 128 + 15, done.stderr
    done = start(3, "train", "--resume", tmp_path, RANK_STOP="7,1,SIGTERM")
    assert done.returncode == 128 + 15, done.stderr
    assert "resumed in epoch 1, after batch 2" in done.stdout
    assert "in epoch 2, after batch 2 of 5" in done.stdout
    done = start(2, "train", "--resume", tmp_path)
    assert done.returncode == 0, done.stderr
    alike(alone, tmp_path)


# ---- fully-connected layers that a team shares


@pytest.mark.parametrize(
    ("ranks", "team", "devices"),
    [(2, 2, "cpu"), (3, 3, "cpu,cpu"), (4, 2, "cpu"), (4, 4, "cpu")],
)
def test_teams_train_as_one(settings, alone, tmp_path, ranks, team, devices):
    """Steps in which some, or all others, have no picture are among them. fc3's three outputs, which
    four ranks cannot share, are computed by all."""
    arguments = ["--hybrid", str(team), "--devices", devices]
    (tmp_path / "ranks").mkdir()
    done = start(
        ranks, "train", *settings, "--output", tmp_path, *arguments, RANK_DUMP=tmp_path / "ranks"
    )
    assert done.returncode == 0, done.stderr
    shared = "fc2a, fc2b" if team == 4 else "fc2a, fc2b, fc3"
    assert f"      of {shared} each has 1/{team} of the outputs\n" in done.stdout
    alike(alone, tmp_path)
    saved = checkpoint.load(tmp_path).tensors
    for rank in range(ranks):
        own = np.load(tmp_path / "ranks" / f"{rank}.npz")
        for name in own.files:
            np.testing.assert_array_equal(own[name], saved[name], err_msg=f"{rank} {name}")


def test_teams_repeat_a_run_to_the_bit(settings, tmp_path):
    for run in ("first", "again"):
        train(3, settings, tmp_path / run, "--hybrid", "3")
    same(tmp_path / "first", tmp_path / "again")


def test_a_run_goes_on_with_another_team(settings, alone, tmp_path):
    done = start(2, "train", *settings, "--output", tmp_path, "--hybrid", "2", RANK_STOP="2,0,SIGTERM")
    assert done.returncode == 128 + 15, done.stderr
    done = start(3, "train", "--resume", tmp_path, "--hybrid", "3", RANK_STOP="7,1,SIGTERM")
    assert done.returncode == 128 + 15, done.stderr
    done = start(1, "train", "--resume", tmp_path)
    assert done.returncode == 0, done.stderr
    alike(alone, tmp_path)


def test_teams_start_from_another_run(settings, alone, tmp_path):
    """Each rank takes its part of the weights."""
    for ranks, folder in ((1, tmp_path / "alone"), (2, tmp_path / "team")):
        hybrid = ["--hybrid", "2"] if ranks > 1 else []
        train(ranks, [*settings, "--init-from", str(alone)], folder, *hybrid)
    alike(tmp_path / "alone", tmp_path / "team")


@pytest.mark.parametrize(
    ("ranks", "team", "message"),
    [
        (3, 2, "--hybrid 2 does not divide the number of ranks, 3: give one that does"),
        (1, 2, "--hybrid 2 does not divide the number of ranks, 1: give one that does"),
    ],
)
def test_teams_that_cannot_be(settings, tmp_path, ranks, team, message):
    done = start(ranks, "train", *settings, "--output", tmp_path, "--hybrid", str(team))
    assert done.returncode == 2
    assert done.stderr.count(message) == 1


# ---- what is told


@pytest.mark.parametrize("launcher", ["mpiexec", "unknown"])
def test_rank_0_speaks_for_all(settings, three, tmp_path, launcher):
    told = ["--mpi"] if launcher == "unknown" else []
    happens = {"RANK_LAUNCHER": launcher} if told else {}
    done = start(2, "train", *settings, "--output", tmp_path, *told, **happens)
    assert done.stdout.count("\nepoch 1/2 | ") == 1
    assert done.stdout.count("ranks 2, 2 of them on this machine, with up to 6 pictures") == 1
    assert done.stderr.count("train 1/2: ") <= 2  # its bar, begun and cleared
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        file.name for file in three.iterdir() if file.name != "ranks"
    )


# ---- pictures


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """A folder of 45 training and 9 validation pictures, of which three cannot be read."""
    folder, rng = tmp_path_factory.mktemp("photographs"), np.random.default_rng(3)
    for split, count in (("train", tiny_run.TRAIN), ("val", 9)):
        for i in range(count):
            file = folder / split / "abc"[i % 3] / f"{i:02}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 80, (tiny_run.SIZE, tiny_run.SIZE, 3)).astype(np.uint8)
            pixels[4 * (i % 3) : 4 * (i % 3) + 4] += 150
            Image.fromarray(pixels).save(file)
    for i in (7, 20, 44):
        file = folder / "train" / "abc"[i % 3] / f"{i:02}.png"
        file.write_bytes(file.read_bytes()[:60])
    return folder


@pytest.mark.parametrize("cache", [2**31, 0])
def test_each_rank_decodes_its_share(settings, photographs, tmp_path, cache):
    """No picture is decoded by two ranks in one pass; broken ones are left out as by one rank."""
    runs, every = [], [str(file) for file in photographs.glob("train/*/*")]
    passes = (
        1 if cache else 2
    )  # the mean image, and the epoch, in which known broken ones are not tried
    for ranks in (1, 3):
        folder = tmp_path / str(ranks)
        folder.mkdir()
        happens = {"RANK_DECODED": folder, "RANK_CACHE": cache}
        own = ["--data", photographs, "--epochs", "1", "--output", folder]
        done = start(ranks, "train", *settings, *own, **happens)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("epoch 1/1 | ") == 1
        for broken in ("b/07", "c/20", "c/44"):
            assert f"{broken}.png: left out: " in done.stderr
        decoded = [(folder / f"decoded-{rank}").read_text().splitlines() for rank in range(ranks)]
        training = [[file for file in files if "/train/" in file] for files in decoded]
        times = Counter(file for files in training for file in files)
        sample = SAMPLE if ranks > 1 and not cache else 0  # that each looks at
        assert sorted(times) == sorted(every)
        assert sum(count >= passes for count in times.values()) >= 42
        assert sum(times.values()) <= passes * len(every) + ranks * sample
        assert max(map(len, training)) <= passes * (len(every) // ranks + 4) + sample
        runs.append(folder)
    one, other = (checkpoint.load(folder).metadata["run"]["history"][0] for folder in runs)
    assert one["train"]["pictures"] == other["train"]["pictures"] == 42
    np.testing.assert_allclose(losses(runs[0]), losses(runs[1]), rtol=1e-5)


# ---- GPUs


@pytest.fixture(scope="module")
def even(settings) -> list[str]:
    """Batches in which each of two ranks has pictures: see nccl_stand_in.py."""
    return [*settings, "--batch-size", "10"]


@pytest.fixture(scope="module")
def two(even, tmp_path_factory) -> Path:
    return train(2, even, tmp_path_factory.mktemp("two"))


@pytest.fixture(scope="module")
def team_of_two(even, tmp_path_factory) -> Path:
    return train(2, even, tmp_path_factory.mktemp("team"), "--hybrid", "2")


@pytest.mark.parametrize("team", [1, 2])
@pytest.mark.parametrize(
    ("devices", "when"),
    [("", "early"), ("cuda:0,cuda:0", "late"), ("cuda:0,cuda:1", "late"), ("cuda:0,cuda:1", "early")],
)
def test_ranks_on_gpus(even, two, team_of_two, tmp_path, devices, when, team):
    """Stand-ins, NCCL among them, whose streams work as late or early as they may: the same bits."""
    arguments = ["--devices", devices] if devices else []
    arguments += ["--hybrid", str(team)]
    done = start(2, "train", *even, "--output", tmp_path, *arguments, RANK_GPUS=when)
    assert done.returncode == 0, done.stderr
    same(two if team == 1 else team_of_two, tmp_path)
    assert f"outputs, on {devices.replace(',', ', ') or 'cuda:0'}\n" in done.stdout
    assert "step  not recorded as a CUDA graph: 2 ranks sum their gradients" in done.stdout


# ---- evaluation


def test_sharded_evaluation_is_the_plain_one(alone, tmp_path):
    """Score, confusions and probabilities, to the byte; seven batches for three ranks."""
    printed = []
    for ranks in (1, 3):
        files = ["--save-probs", "probs.safetensors", "--confusion", "confusion.npy"]
        files = [tmp_path / f"{ranks}-{name}" if "." in name else name for name in files]
        done = start(ranks, "eval", "--checkpoint", alone, "--batch-size", "3", *files)
        assert done.returncode == 0, done.stderr
        printed.append(done.stdout.replace(f"{tmp_path}/{ranks}-", ""))
    assert printed[0] == printed[1]
    assert "top-1 error" in printed[0] and "(20 pictures" in printed[0]
    for name in ("probs.safetensors", "confusion.npy"):
        one, three = ((tmp_path / f"{ranks}-{name}").read_bytes() for ranks in (1, 3))
        assert one == three


# ---- what goes wrong, and how soon the job ends: docs/parallel.md states these seconds

HOST = socket.gethostname()
# Of a rank whose end the launcher has taken note of before its guard could see what it was.
GONE = "has gone: it was killed, perhaps as the memory there ran out"


def test_ranks_that_differ(settings, tmp_path):
    done = start(3, "train", *settings, "--output", tmp_path, RANK_CHANGE="1")
    assert done.returncode == 2
    assert f"rank 1 on {HOST} differs from rank 0 in conv1a.weights0" in done.stderr
    assert done.stderr.count("alexnet-raw train:") == 1
    assert not (tmp_path / "checkpoint.safetensors").exists()
    assert done.stopped_after() < 3


@pytest.mark.parametrize(
    ("which", "message"), [("2", "alexnet-raw ("), ("2,code", "the code of alexnet-raw (7, not ")]
)
def test_a_rank_of_another_build(settings, tmp_path, which, message):
    done = start(3, "train", *settings, "--output", tmp_path, RANK_VERSION=which)
    assert done.returncode == 2
    assert f"rank 2 on {HOST} differs from rank 0 in {message}" in done.stderr
    assert done.stderr.count("alexnet-raw train:") == 1
    assert done.stopped_after() < 3


def test_a_rank_with_other_pictures(settings, tmp_path):
    """As many, but not the same."""
    folder = Path(tiny_run.write_pictures(tmp_path / "others"))
    labels = folder / "train-labels-idx1-ubyte"
    written = bytearray(labels.read_bytes())
    written[-1] = (written[-1] + 1) % tiny_run.CLASSES
    labels.write_bytes(written)
    other = {"RANK_DATA": f"2,{folder}"}
    done = start(3, "train", *settings, "--output", tmp_path / "run", **other)
    assert done.returncode == 2
    assert f"rank 2 on {HOST} differs from rank 0 in pixels and labels of a sample (" in done.stderr
    assert done.stopped_after() < 3


def test_an_error_of_all(settings, tmp_path):
    done = start(3, "train", *settings, "--output", tmp_path, RANK_FAIL="all")
    assert done.returncode == 2
    assert done.stderr.count("alexnet-raw") == 1
    assert "alexnet-raw train: the device is gone" in done.stderr
    assert done.stopped_after() < 3


def test_an_error_of_one_rank(settings, tmp_path):
    """The others do not wait for it, and are told who it was."""
    done = start(3, "train", *settings, "--output", tmp_path, RANK_FAIL="2")
    assert done.returncode in (2, 9)  # 9: of the others, whom mpiexec kills then
    assert done.stderr.count(f"alexnet-raw train: rank 2 on {HOST}: the device is gone") == 1
    assert done.stderr.count("alexnet-raw") == 1
    assert done.stopped_after() < 5


def test_a_mistake_that_one_rank_meets(settings, tmp_path):
    """A traceback, and whose it is."""
    done = start(3, "train", *settings, "--output", tmp_path, RANK_FAIL="2,bug")
    assert done.returncode in (1, 9)
    assert f"alexnet-raw train: rank 2 on {HOST}: \nTraceback" in done.stderr
    assert done.stopped_after() < 5


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A folder on a disk of 1 MB; skips where nobody may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder]).returncode:
        pytest.skip("to mount a disk needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def full_disk(settings: list[str], alone: Path, folder: Path, how: str | Path, message: str) -> None:
    """Rank 0 of three finds the disk full after step 7; two go on from what was saved before."""
    saving = ["--output", folder, "--save-minutes", "1e-9"]
    done = start(3, "train", *settings, *saving, RANK_FULL=f"7,0,{how}")
    assert done.returncode in (2, 9)
    assert done.stderr.count("alexnet-raw") == 1
    assert done.stderr.count(f"alexnet-raw train: rank 0 on {HOST}: {message}") == 1
    assert done.stopped_after() < 5
    (folder / "filling").unlink(missing_ok=True)
    assert not [*folder.glob(".*")]
    done = start(2, "train", "--resume", folder)
    assert done.returncode == 0, done.stderr
    assert "resumed in epoch 2, after batch 1\n" in done.stdout
    alike(alone, folder)


def test_a_full_disk(settings, alone, small_disk):
    checkpoint_file = small_disk / checkpoint.FILE_NAME
    full_disk(settings, alone, small_disk, small_disk, f"cannot write checkpoint {checkpoint_file}")


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (5000, "cannot write checkpoint "),
        (100, "FOLDER/batches.jsonl: File too large"),
    ],
)
def test_a_file_that_cannot_grow(settings, alone, tmp_path, size, message):
    """As on a full disk, for whoever may not mount one; and of another file."""
    full_disk(settings, alone, tmp_path, size, message.replace("FOLDER", str(tmp_path)))


def test_only_rank_0_writes(settings, alone, tmp_path):
    """Disks of other nodes may be full: their ranks write nothing, in training and in evaluation."""
    full = {"RANK_NO_DISK": "1,2"}
    alike(alone, train(3, settings, tmp_path, "--save-minutes", "1e-9", **full))
    files = ["--save-probs", tmp_path / "probs.safetensors", "--confusion", tmp_path / "confusion.npy"]
    done = start(3, "eval", "--checkpoint", tmp_path, *files, **full)
    assert done.returncode == 0, done.stderr


def test_full_shared_memory(settings, tmp_path):
    """MPI's own files are on every node."""
    mount = 'mount -t tmpfs -o size=64k tmpfs /dev/shm && exec "$@"'
    alone_there = ["unshare", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    if subprocess.run([*alone_there, "true"]).returncode:
        pytest.skip("nobody may mount anything")
    done = start(3, "train", *settings, "--output", tmp_path, under=alone_there)
    assert done.returncode != 0
    message = rf"alexnet-raw: rank [012] on {HOST} crashed \(SIGBUS\), as where MPI finds /dev/shm full"
    assert re.search(message, done.stderr) or GONE in done.stderr


@pytest.mark.parametrize(
    ("rank", "how", "message"),
    [
        (1, "SIGKILL", "was killed (SIGKILL): if nobody did, the memory there ran out (dmesg tells)."),
        (0, "SIGKILL", "was killed (SIGKILL)"),
        (2, "SIGSEGV", "crashed (SIGSEGV). Go on from the last checkpoint with --resume"),
    ],
)
def test_a_killed_rank(settings, alone, tmp_path, rank, how, message):
    """The others end at once, and are told who it was; nothing is lost that was saved."""
    saving = ["--output", tmp_path, "--save-minutes", "1e-9"]
    done = start(3, "train", *settings, *saving, RANK_STOP=f"7,{rank},{how}")
    assert done.returncode in (9, 11)
    who = f"alexnet-raw: rank {rank} on {HOST} "
    assert done.stderr.count(f"{who}{message}") == 1 or done.stderr.count(f"{who}{GONE}") == 1
    assert done.stderr.count("alexnet-raw") == 1
    assert done.stopped_after() < 5
    done = start(2, "train", "--resume", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "resumed in epoch 2, after batch 1\n" in done.stdout
    alike(alone, tmp_path)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("SIGSTOP", "after 4 seconds without news rank 1 on HOST does not answer: it was stopped"),
        ("sleep", "after 4 seconds without news all others wait for rank 1 on HOST: look at what"),
    ],
)
def test_a_rank_that_hangs(settings, tmp_path, how, message):
    stop = {"RANK_STOP": f"3,1,{how}"}
    done = start(3, "train", *settings, "--output", tmp_path, "--patience", "4", **stop)
    assert done.returncode in (3, 9)  # 9: of the others, whom mpiexec kills then
    assert done.stderr.count(message.replace("HOST", HOST)) == 1
    assert done.stderr.count("alexnet-raw") == 1
    assert done.stopped_after() < 4 + 10


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--batch-size", "2"], "--batch-size 2 is less than one picture for each of 3 ranks"),
        (["train", "--net", "nothing"], "nothing"),
        (["train", "--seed", "x"], "is not a whole number"),
        (["predict", "boot.png"], "'predict' works in one process: start it without mpiexec"),
    ],
)
def test_errors_of_all_are_told_once(arguments, message, tmp_path):
    done = start(3, *arguments)
    assert done.returncode == 2
    assert done.stderr.count(f"alexnet-raw {arguments[0]}: ") == 1 and message in done.stderr
