"""Fully-connected layers that teams of ranks share, parallel/hybrid.py: whole nets; what is refused."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from alexnet_raw.cut_network import CutNetwork
from alexnet_raw.device import parse_devices
from alexnet_raw.layers.cut_fc import CutFc
from alexnet_raw.network import Network
from alexnet_raw.parallel import RanksError
from alexnet_raw.parallel.hybrid import Hybrid
from alexnet_raw.tuner import Tuner
from tests import hybrid_program
from tests.test_network import NetText
from tests.test_parallel import Others
from tests.test_ranks import MPIEXEC, ROOT
from tests.test_ranks import pytestmark as needs_mpi


@needs_mpi
@pytest.mark.parametrize(
    ("ranks", "how"),
    [
        (2, "cpu"),
        (3, "cpu,cpu"),
        (4, "cpu,cpu"),
        (2, "cuda:0 early"),
        (2, "cuda:0,cuda:0 late"),
        (3, "cuda:0,cuda:1 late"),
        (2, "cuda:0,cuda:1 early"),
    ],
)
def test_nets_of_teams_are_those_of_one_rank(ranks, how):
    """What teams of all sizes compute, step by step, of nets of all kinds."""
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "tests.hybrid_program", *how.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    assert done.stdout.count("\n") >= len([*hybrid_program.nets()])


class Team(Others):
    def teams(self, size):
        return Others(self.rank % size, size), Others(self.rank // size, self.size // size)


def test_what_a_rank_has():
    """The third of the outputs, and all of the layers that are not cut."""
    spec, cpu, shape = hybrid_program.towers(), parse_devices("cpu"), (3, 9, 9)
    net = CutNetwork(Hybrid(Team(4, 6), 3), spec, cpu, 4, input_shape=shape)
    whole = Network(spec, cpu, 4, input_shape=shape)
    assert {layer.name for layer in net.spec if isinstance(layer, CutFc)} == {
        *("fc2a", "fc2b", "fc3a", "fc3b", "fc4")
    }
    for name, parameter in net.parameters.items():
        value = whole.parameters[name].value.numpy()
        outputs = value.shape[-1]
        own = slice(outputs // 3, outputs * 2 // 3) if name.startswith("fc") else slice(None)
        np.testing.assert_array_equal(parameter.value.numpy(), value[..., own])
    for refused in (net.forward, net.backward, net.update):
        with pytest.raises(RuntimeError, match="is for train_step: load its state in a whole"):
            refused()


def cut(net: NetText, ranks: int = 2) -> set[str]:
    spec = Hybrid(Team(0, ranks), ranks).cut(net.spec())
    return {layer.name for layer in spec if isinstance(layer, CutFc)}


def chain(*more: tuple[str, str, int, str]) -> NetText:
    net = NetText()
    net.weights("conv1", "data", "type=conv channels=3 filters=5 filterSize=1 initW=0.2 gpu=0")
    for name, inputs, outputs, settings in more:
        hybrid_program.fc(net, name, inputs, outputs, settings)
    return net


def test_what_is_cut():
    """Not a layer of too few outputs; nor one whose map, or whose weights, such a layer has too."""
    net = chain(("fc2", "conv1", 9, ""), ("fc3", "fc2", 3, ""), ("fc4", "fc3", 9, ""))
    assert cut(net) == {"fc2", "fc3", "fc4"}
    assert cut(net, 4) == {"fc2", "fc4"}
    net = chain(("fc2", "conv1", 9, ""), ("fc3", "fc2", 3, ""), ("fc4", "fc2", 9, ""))
    assert cut(net, 4) == {"fc2"}
    net = chain(("fc2", "data", 9, ""), ("fc3", "fc2", 9, ""), ("few", "fc3", 3, ""))
    hybrid_program.fc(net, "fc4", "few,fc3", 9, "weightSource=,fc3[0]")
    assert cut(net, 4) == {"fc2"}, "fc4 reads what few reads, and has the weights of fc3"


def test_what_is_refused():
    with pytest.raises(
        RanksError, match=r"--hybrid 4 does not divide the number of ranks, 6: give one"
    ):
        Hybrid(Team(0, 6), 4)
    with pytest.raises(RanksError, match="no fully-connected layer that can be cut over 3 ranks"):
        cut(chain(("fc2", "conv1", 2, "")), 3)
    how = {"batch_size": 4, "input_shape": (3, 9, 9)}
    devices, spec = parse_devices("cpu"), hybrid_program.branches()
    with pytest.raises(ValueError, match="input_gradient is of whole nets"):
        CutNetwork(Hybrid(Team(0, 2), 2), spec, devices, input_gradient=True, **how)
    devices[0].tuner = Tuner(devices[0])
    with pytest.raises(RanksError, match=r"all of a team compute \w+, .* but --tune lets each"):
        CutNetwork(Hybrid(Team(0, 2), 2), spec, devices, **how)
    CutNetwork(Hybrid(Team(0, 2), 2), hybrid_program.towers(), devices, **how)
    net = chain(("fc2", "conv1", 5, ""))
    net.weights("conv3", "data", "type=conv channels=3 filters=5 filterSize=1 initW=0.2")
    more = "type=conv channels=5 filters=5 filterSize=1 initW=0.2 weightSource=conv4[0]"
    net.weights("conv4", "conv3", "type=conv channels=5 filters=5 filterSize=1 initW=0.2")
    net.weights("conv5", "fc2", more)
    with pytest.raises(RanksError, match="conv5 and conv4 have the same weights, but only one of them"):
        cut(net)
