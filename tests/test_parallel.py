"""The parts of `alexnet_raw.parallel` that need no second process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from alexnet_raw import layer_file, parallel
from alexnet_raw.device import DeviceError, parse_devices
from alexnet_raw.network import Network
from alexnet_raw.parallel import ALONE, Ranks, RanksError, buckets, checks, guard, placing
from alexnet_raw.parallel import ranks as module
from alexnet_raw.parallel.nccl import NcclCollectives
from alexnet_raw.parameters import Parameter, Rate
from tests import gpu_stand_in, tiny_run


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch):
    for names in module.LAUNCHERS:
        for name in names:
            monkeypatch.delenv(name, raising=False)


class Others(Ranks):
    """A rank among others, of whom it hears what they are said to say."""

    def __init__(self, rank: int = 0, size: int = 2, heard=None):
        self.rank = self.local_rank = rank
        self.size = self.local_size = size
        self.heard, self.started, self.awaited = heard, [], set()

    def gather(self, value):
        return [value] + self.heard if self.heard is not None else [value] * self.size

    def collectives(self, device):
        return self

    def sum(self, array):
        """Everything is sent twice: the sum of two ranks alike."""
        self.started.append(array.data.copy())
        array.data *= 2
        return len(self.started)

    def has_arrived(self, begun):
        return begun < len(self.started)  # when the next one has begun

    def wait(self, begun):
        self.awaited.add(begun)


# ---- what launchers tell


@pytest.mark.parametrize(
    ("told", "want"),
    [
        ({}, None),
        ({"PMI_SIZE": "1", "PMI_RANK": "0"}, None),
        ({"PMI_SIZE": "4", "PMI_RANK": "3"}, (3, 4)),
        ({"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}, (1, 2)),
        ({"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "5"}, (5, 8)),
        ({"SLURM_NTASKS": "8", "SLURM_PROCID": "0"}, None),  # a batch script, which srun did not start
    ],
)
def test_launched(monkeypatch, told, want):
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert parallel.launched() == want


def test_mpi4py_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "alexnet_raw.parallel.mpi", raising=False)
    assert parallel.join() is ALONE
    monkeypatch.setenv("PMI_SIZE", "2")
    with pytest.raises(RanksError, match=r"need mpi4py and MPI .*pip install 'alexnet-raw\[mpi\]'"):
        parallel.join()


def test_another_mpi_than_the_launchers(monkeypatch):
    """srun without --mpi, say: each process believes to be alone."""
    pytest.importorskip("mpi4py")
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    program = "from alexnet_raw import parallel; parallel.join()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "4 processes were started, but MPI sees 1" in done.stderr
    assert "srun --mpi=pmi2" in done.stderr


def test_one_process_never_loads_mpi4py(tmp_path):
    program = (
        "import sys; from alexnet_raw import cli; code = cli.main(); "
        "assert code == 0 and not any(name.startswith('mpi4py') for name in sys.modules)"
    )
    net, params = tiny_run.write_net(tmp_path)
    flags = ["--net", net, "--params", params, "--data", tiny_run.write_pictures(tmp_path / "data")]
    command = [sys.executable, "-c", program, "train", *flags, "--epochs", "1", "--output", tmp_path]
    subprocess.run(command, check=True, capture_output=True)


# ---- shares


@pytest.mark.parametrize("count", [0, 1, 3, 10, 128])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7])
def test_shares(count, size):
    """All images, each once, in order; no rank has two more than another."""
    shares = [Others(rank, size).share(count) for rank in range(size)]
    lengths = [len(range(count)[share]) for share in shares]
    assert [i for share in shares for i in range(count)[share]] == list(range(count))
    assert max(lengths) - min(lengths) <= 1
    assert max(lengths) == Others(0, size).largest_share(count)


# ---- buckets


def learning(net: Network) -> dict[str, Parameter]:
    return {name: p for name, p in net.parameters.items() if p.rate.eps}


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_buckets(tmp_path, monkeypatch, devices, rng):
    """They hold all gradients, in the order of the backward pass: those of turns until there are BYTES.
    What is summed is what a rank alone has, and what moves its weights the sum."""
    monkeypatch.setattr(buckets, "BYTES", 1024)
    spec = layer_file.load(*tiny_run.write_net(tmp_path))
    size, shape = tiny_run.SIZE, (3, tiny_run.SIZE, tiny_run.SIZE)
    plain, summed = (Network(spec, parse_devices(devices), 4, 1, shape) for _ in range(2))
    ranks = Others()
    summed.sum_over(ranks)
    assert {p.bucket.parameters[0].value.device for p in learning(summed).values()} == {
        *summed.places.values()
    }
    images = rng.standard_normal((3, size, size, 4), np.float32)
    for net in (plain, summed):
        device = net.input_device
        labels = device.upload(np.array([0, 1, 2, 0], np.int32))
        net.train_step(device.upload(images), labels, step=0, progress=0.0)
    turns = [summed._finished[turn.layer.name] for turn in summed._turns]
    order = list(dict.fromkeys(p.bucket for turn in turns for p in turn))
    assert len(ranks.started) == len(order) > 2
    assert {p.name for bucket in order for p in bucket.parameters} == set(learning(summed))
    for bucket in order:
        *before, _ = (turn for turn in turns if {p.bucket for p in turn} == {bucket})
        assert sum(p.value.nbytes for turn in before for p in turn) < 1024
    for name, p in learning(summed).items():
        assert np.shares_memory(p.gradient.data, p.bucket._memory.data)
        assert p.gradient.data.ctypes.data % 64 == 0
        np.testing.assert_array_equal(p.gradient.numpy(), 2 * plain.parameters[name].gradient.numpy())


def test_sums_of_what_does_not_move_end_with_the_step(tmp_path, monkeypatch):
    """Before the next gradients come into their memory: a schedule may have frozen a layer."""
    monkeypatch.setattr(buckets, "BYTES", 1)
    spec = layer_file.load(*tiny_run.write_net(tmp_path))
    net = Network(spec, parse_devices("cpu"), 4, 1, (3, tiny_run.SIZE, tiny_run.SIZE))
    for name in ("weights0", "biases"):
        net.parameters[f"conv1a.{name}"].rate = Rate(0.0, 0.9)
    ranks = Others()
    net.sum_over(ranks)
    device = net.input_device
    images = device.zeros((3, tiny_run.SIZE, tiny_run.SIZE, 4))
    net.train_step(images, device.zeros((4,), np.int32), step=0, progress=0.0)
    assert len(ranks.started) > 5 and ranks.awaited == set(range(1, len(ranks.started) + 1))


def test_parameters_move_as_their_sums_arrive(monkeypatch):
    """And all of them once; Others' sums arrive when the next has begun."""
    monkeypatch.setattr(buckets, "BYTES", 1)
    [cpu] = parse_devices("cpu")
    spec = layer_file.load_packaged("alexnet-mini")
    net = Network(spec, [cpu], 1, 1, (3, 32, 32))
    turns = [net._finished[turn.layer.name] for turn in net._turns]
    others = Others()
    planned = buckets.Buckets([(parameters, others) for parameters in turns])
    moved = [names for parameters in planned.sum(turns) if (names := {p.name for p in parameters})]
    assert len(moved) > 5
    assert moved[0] == {p.name for p in next(turn for turn in turns if turn)}
    last = {p.name for p in turns[-1]}  # whose sum is still under way
    assert sum(map(len, moved)) == len(set().union(*moved))
    assert set().union(*moved) == set(learning(net)) - last


# ---- places


@pytest.fixture
def gpus(monkeypatch):
    gpu_stand_in.install(monkeypatch)


@pytest.mark.parametrize(
    ("wish", "rank", "want"),
    [
        (None, 0, "cuda:0"),
        (None, 3, "cuda:3"),
        ("cpu,cpu", 3, "cpu,cpu"),
        ("cuda:0,cuda:1", 1, "cuda:2,cuda:3"),
        ("cuda:0,cuda:0", 2, "cuda:2,cuda:2"),
        ("CUDA:1", 1, "cuda:3"),
        (None, 9, "cuda:1"),
    ],
)
def test_devices_of_ranks(gpus, wish, rank, want):
    assert placing.devices(wish, Others(rank, 10)) == want


def test_devices_without_gpus_or_others(monkeypatch):
    monkeypatch.setattr(placing, "gpu_count", lambda: 0)
    assert placing.devices(None, ALONE) == placing.devices(None, Others(1)) == "cpu"
    assert placing.devices("cuda:0", Others(1)) == "cuda:0"  # and the device will say what is wrong


def test_two_ranks_on_one_gpu(gpus):
    own, other = parse_devices("cuda:0"), parse_devices("cuda:1")
    placing.check_apart(own, ALONE)
    with pytest.raises(DeviceError, match=r"2 ranks use the GPU 0000:00:00.0 of .*start as many"):
        placing.check_apart(own, Others())
    host = socket.gethostname()
    placing.check_apart(other, Others(heard=[{(host, "0000:00:00.0")}, {("another", "0000:01:00.0")}]))


def test_cores_are_shared(monkeypatch):
    monkeypatch.setattr(placing, "default_threads", lambda: 9)
    assert placing.threads(ALONE) is None
    assert placing.threads(Others(0, 4)) == 2  # all on the same cores
    assert placing.threads(Others(0, 4, heard=[("here", (1,)), ("there", (2,))])) is None
    assert placing.threads(Others(0, 20)) == 1


def test_nccl_is_missing(gpus, monkeypatch):
    monkeypatch.setattr(
        gpu_stand_in.Extension, "build_info", lambda self: {"cuda_version": "13.0"}, raising=False
    )
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", None)
    with pytest.raises(RanksError, match=r"need NCCL \(.*\): pip install nvidia-nccl-cu13"):
        NcclCollectives(parse_devices("cuda:0")[0], Others())


# ---- that ranks have the same


@pytest.mark.parametrize(
    ("facts", "changed", "message"),
    [
        ({"pictures": 6}, {}, r"rank 1 on HOST differs from rank 0 in pictures \(6, not 5\)"),
        ({"pictures": 5}, {"w": np.array([0, 1, 2, 4.0])}, "rank 1 on HOST differs from rank 0 in w:"),
        ({"pictures": 5}, {"x": np.zeros(3)}, r"rank 1 on HOST differs from rank 0 in x \("),
    ],
)
def test_check_same(facts, changed, message):
    arrays = {"w": np.arange(4.0), "v": np.zeros(3)}
    checks.check_same(Others(), {"pictures": 5}, arrays)

    class Listener(Others):
        def gather(self, value):
            self.heard = value
            return [value]

    other = Listener()
    checks.check_same(other, facts, {**arrays, **changed})
    with pytest.raises(RanksError, match=message.replace("HOST", socket.gethostname())):
        checks.check_same(Others(heard=[other.heard]), {"pictures": 5}, arrays)


# ---- who was killed


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "was killed (SIGKILL): if nobody did, the memory"),
        ("os.kill(os.getpid(), signal.SIGABRT)", "crashed (SIGABRT). Go on from the last checkpoint"),
        ("os.kill(os.getpid(), signal.SIGTERM)", None),
        ("os.killpg(0, signal.SIGKILL)", None),
        ("guard.dismiss(); os.kill(os.getpid(), signal.SIGKILL)", None),
        ("sys.exit(3)", None),
        ("os._exit(3)", None),
    ],
)
def test_the_guard_of_a_rank(end, told):
    """It speaks of a rank that went without a word, of no other, and does not stay."""
    code = f"import os, signal, sys; from alexnet_raw.parallel import guard; guard.begin(); {end}"
    launched = {**os.environ, "PMI_SIZE": "4", "PMI_RANK": "2"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=launched,
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        start_new_session=True,
    )
    assert done.returncode != 0
    if told is None:
        assert done.stderr == ""
    else:
        assert done.stderr.startswith(f"\nalexnet-raw: rank 2 on {socket.gethostname()} {told}")


def test_what_the_guard_knows_of_a_rank_that_nobody_remembers():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert guard._cause(process.pid) is None
    assert guard._told(None).startswith("has gone")


# ---- who is waited for


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({0: 7, 1: 7, 2: 7}, None),
        ({0: 7, 2: 7}, "rank 1 on b does not answer"),
        ({0: 7, 1: 6, 2: 6}, "all others wait for rank 1 on b, rank 2 on c: look"),
        ({0: 8, 1: 7, 2: 9, 3: 9}, "all others wait for rank 1 on b: look"),  # 0 waits in a team
        ({2: 5}, "rank 0 on a, rank 1 on b does not answer"),
    ],
)
def test_who_is_waited_for(counts, message):
    watch = pytest.importorskip("alexnet_raw.parallel.watch", exc_type=ImportError)
    said = watch.stuck(counts, "abcd" if 3 in counts else "abc")
    assert said is None if message is None else said.startswith(message)
