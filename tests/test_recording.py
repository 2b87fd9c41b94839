"""Work that is recorded as a CUDA graph, on a stand-in for a GPU."""

from __future__ import annotations

import weakref
from itertools import pairwise

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.device import Device, parse_devices
from alexnet_raw.network import Network
from alexnet_raw.recording import KINDS, Graph, Recordings
from tests import gpu_stand_in
from tests.gpu_stand_in import Stream, counts

DATA = """
[data]
type=data
dataIdx=0
crop=12

[labels]
type=data
dataIdx=1
"""
OUTPUTS = """
[fc]
type=fc
inputs={inputs}
outputs=2
initW=0.1

[probs]
type=softmax
inputs=fc

[logprob]
type=cost.logreg
inputs=labels,probs
"""
RANDOM_SCALE = f"""{DATA}
[scale]
type=rscale
channels=3
inputs=data
maxScale=1.5
tgtSize=10
{OUTPUTS.format(inputs="scale")}"""
PLAIN = DATA + OUTPUTS.format(inputs="data")
RATES = """
[fc]
epsW=0.01
epsB=0.01
momW=0.9
momB=0.9
wc=0.001

[logprob]
coeff=1
"""


@pytest.fixture(params=["late", "early"])
def gpu(request, monkeypatch) -> None:
    """cuda:N is a stand-in whose streams work as late or as early as they may."""
    gpu_stand_in.install(monkeypatch)
    monkeypatch.setattr(Stream, "eager", request.param == "early")


def test_work_is_recorded_when_it_comes_again(gpu):
    recordings, calls = Recordings([Device("cuda:0")]), []
    for kind in ("a", "b", "a", "b", "a", "c"):
        assert recordings.run(kind, lambda kind=kind: calls.append(kind) or kind) == kind
    assert calls == ["a", "b", "a", "b", "c"]
    assert counts["graph launches"] == 3


def test_old_kinds_are_forgotten(gpu):
    recordings = Recordings([Device("cuda:0")])
    for kind in (*range(KINDS + 1), 0, 0):
        recordings.run(kind, lambda: None)
    assert len(recordings._kinds) == KINDS
    assert counts["graph launches"] == 1


def test_the_kind_that_always_comes_is_kept(gpu):
    recordings, calls = Recordings([Device("cuda:0")]), []
    for other in range(3 * KINDS):
        for kind in ("always", other):
            recordings.run(kind, lambda kind=kind: calls.append(kind))
    assert calls.count("always") == 2


def test_nothing_is_recorded_on_a_callers_stream(gpu):
    device, calls = Device("cuda:0"), []
    recordings, own = Recordings([device]), device._stream
    device._stream = Stream(non_blocking=True)
    for _ in range(3):
        recordings.run("kind", lambda: calls.append(device._stream.graph))
    assert calls == [None] * 3 and recordings.refusal is None
    device._stream = own
    for _ in range(3):
        recordings.run("kind", lambda: None)
    assert counts["graph launches"] == 2


def test_what_cannot_be_recorded_is_done(gpu, caplog):
    device, done = Device("cuda:0"), []

    def work() -> None:
        if device._stream.graph:
            raise RuntimeError("operation not permitted when stream is capturing")
        done.append(True)

    recordings = Recordings([device])
    for _ in range(4):
        recordings.run("kind", work)
    assert len(done) == 4 and device._stream.graph is None
    assert "not permitted" in recordings.refusal and "not permitted" in caplog.text


def test_a_graph_keeps_the_scratch_memory_that_it_uses(gpu):
    device = Device("cuda:0")
    used = weakref.ref(device.scratch(10))
    graph = Graph([device], lambda: None)
    device.scratch(100)
    assert used() is not None and graph


@pytest.mark.parametrize("count", [1, 2, 3])
def test_branches_are_ordered(gpu, count):
    """A value goes from device to device in each launch, after work before it and before work after."""
    devices = parse_devices(",".join(["cuda:0"] * count))
    arrays = [device.zeros((4,)) for device in devices]

    def work() -> None:
        for source, target in pairwise(arrays):
            target.copy_from(source)

    graph = Graph(devices, work)
    for value in (1, 2, 3):
        arrays[0].copy_from(devices[-1].upload(np.full(4, value, np.float32)))
        graph.launch()
        np.testing.assert_array_equal(arrays[-1].numpy(), value)


def test_a_net_that_draws_on_the_host_is_not_recorded(gpu):
    """What its layer launches differs from step to step."""
    nets = {}
    for device in ("cuda:0", "cpu"):
        [place] = devices = parse_devices(device)
        net = nets[device] = Network(
            layer_file.parse(RANDOM_SCALE, RATES, "scaled"), devices, 3, input_shape=(3, 12, 12)
        )
        rng = np.random.default_rng(1)
        images = place.upload(rng.standard_normal((3, 12, 12, 3), np.float32))
        labels = place.upload(np.array([0, 1, 1], np.int32))
        for step in range(4):
            net.train_step(images, labels, step, 0.0)
    assert nets["cuda:0"].recordings.refusal == "scale of type rscale draws on the host"
    assert counts["graph launches"] == 0
    states = [net.state() for net in nets.values()]
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)


def test_a_step_that_differs_is_another_kind(gpu):
    """Frozen layers, pictures elsewhere and another precision give what they give on the CPU."""
    states = []
    for device in ("cuda:0", "cpu"):
        [place] = devices = parse_devices(device)
        net = Network(layer_file.parse(PLAIN, RATES, "plain"), devices, 3, input_shape=(3, 12, 12))
        rng = np.random.default_rng(1)
        pictures = [rng.standard_normal((3, 12, 12, 3), np.float32) for _ in range(2)]
        first, second = map(place.upload, pictures)
        labels = place.upload(np.array([0, 1, 1], np.int32))
        for step, images in enumerate([*[first] * 3, second, first, second, second, first, first]):
            net.rate_scale = 0.0 if step in (5, 6) else 1.0 / (step + 1)
            place.precision = "fp32" if step < 7 else "tf32"
            net.train_step(images, labels, step, 0.0)
        states.append(net.state())
    for name, array in states[0].items():
        np.testing.assert_array_equal(array, states[1][name], err_msg=name)
    assert counts["graph launches"] == 5
