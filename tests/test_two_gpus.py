"""Towers on GPUs of their own: what is exchanged, and when; on a stand-in for so many GPUs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from alexnet_raw.device import Array, Device, parse_devices
from alexnet_raw.exchange import Delivery
from alexnet_raw.layer_file import NetSpec
from alexnet_raw.network import Network
from tests import gpu_stand_in
from tests.gpu_stand_in import Event, Stream
from tests.test_network import NetText, batch, sparse_towers, two_towers

MODES = {
    "late": {},
    "early": {"eager": True},
    "copies early": {"eager_priorities": (0,)},
    "towers early": {"eager_priorities": (-1,)},
}
DEVICES = ["cuda:0", "cuda:0,cuda:0", "cuda:0,cuda:1", "cuda:0,cuda:1,cuda:2,cuda:3"]


@pytest.fixture(params=MODES)
def gpus(request, monkeypatch) -> None:
    """cuda:N is a stand-in, whose streams, or some of them, work as late or as early as they may."""
    gpu_stand_in.install(monkeypatch)
    for name, value in MODES[request.param].items():
        monkeypatch.setattr(Stream, name, value)


@pytest.fixture
def late_gpus(monkeypatch) -> None:
    gpu_stand_in.install(monkeypatch)


def four_towers() -> NetSpec:
    """Each of four towers reads all four, or two without weights; the last layers read two or three."""
    net = NetText()
    towers = list(enumerate("abcd"))
    for gpu, t in towers:
        net.weights(
            f"conv1{t}",
            "data",
            f"type=conv channels=3 filters=4 filterSize=5 stride=2 initW=0.1 neuron=relu gpu={gpu}",
        )
        net.add(f"pool1{t}", f"conv1{t}", "type=pool pool=max channels=4 sizeX=3 stride=2")
    for gpu, t in towers:
        net.weights(
            f"conv2{t}",
            "pool1a,pool1b,pool1c,pool1d",
            "type=conv channels=4,4,4,4 filters=4 filterSize=3,3,3,3 padding=1,1,1,1"
            f" initW=0.1,0.1,0.1,0.1 neuron=relu gpu={gpu}",
        )
        net.add(f"drop2{t}", f"conv2{t}", "type=hs keep=0.6", "quantF=half quantB=half" * (t == "c"))
    for gpu, t in towers:
        net.add(f"max3{t}", f"drop2{t},drop2{'bcda'[gpu]}", f"type=eltmax gpu={gpu}")
    net.weights("fc4a", "max3a,max3b", "type=fc outputs=6 initW=0.2,0.2 neuron=relu gpu=1")
    net.weights("fc4b", "max3d,max3c,max3a", "type=fc outputs=6 initW=0.2,0.2,0.2 gpu=3")
    net.weights("fc5", "fc4a,fc4b,max3c", "type=fc outputs=5 initW=0.3,0.3,0.3 gpu=2")
    net.add("probs", "fc5", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg gpu=0", "coeff=1.5 topk=2")
    return net.spec()


NETS = [two_towers, sparse_towers, four_towers]


def train(spec: NetSpec, devices: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The state after a few steps, of two batch sizes, with a pass without labels among them, and what
    the last ones put out. Nobody waits in between."""
    net = Network(spec, parse_devices(devices), 5, seed=3, input_shape=(3, 17, 17))
    place = net.input_device
    for step, images in enumerate((5, 5, 5, 3, 5)):
        pictures, labels = (place.upload(values) for values in batch(rng, (3, 17, 17), images, 5))
        net.train_step(pictures, labels, step, step / 10)
        if step == 2:
            net.forward(pictures, None, train=False)
            seen = net.activation_array("probs")
            kept = seen.device.empty(seen.shape)
            kept.copy_from(seen)
    return net.state() | {"seen": kept.numpy(), "probs": net.probabilities()}


def same(states: list[dict[str, np.ndarray]]) -> None:
    first, *others = states
    for other in others:
        assert other.keys() == first.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("devices", DEVICES)
def test_gpus_give_the_bits_of_the_cpu(gpus, net, devices):
    same([train(net(), where, np.random.default_rng(1)) for where in ("cpu", devices)])


@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("devices", DEVICES[1:])
def test_recorded_steps_with_exchanges(gpus, net, devices):
    """The same batch again and again: on one GPU all but the first steps are one graph."""
    states = []
    for where in ("cpu", devices):
        made = Network(net(), parse_devices(where), 5, seed=3, input_shape=(3, 17, 17))
        arrays = batch(np.random.default_rng(1), (3, 17, 17), 5, 5)
        pictures, labels = map(made.input_device.upload, arrays)
        for step in range(4):
            made.train_step(pictures, labels, step, 0.0)
        states.append(made.state())
    same(states)


def test_four_towers_on_cpus():
    devices = ("cpu", "cpu,cpu", "cpu,cpu,cpu,cpu")
    same([train(four_towers(), where, np.random.default_rng(1)) for where in devices])


def filled(device: Device, value: float) -> Array:
    return device.upload(np.full(4, value, np.float32))


def halves(source: Device, target: Device) -> tuple[Array, Array]:
    return source.empty(4, np.float16), target.empty(4, np.float16)


def run(stream: Stream) -> None:
    stream.run_to(len(stream.work))


@pytest.mark.parametrize("half", [False, True])
def test_a_copy_waits_for_both_devices_and_both_for_it(late_gpus, half):
    """Each of the four waits by itself: whoever runs first is the one that has to wait."""
    for first in ("copy", "source", "target"):
        a, b = parse_devices("cuda:0,cuda:1")
        source, target, new, old = a.empty(4), b.empty(4), filled(a, 2), filled(b, 1)
        before, after, total = b.empty(4), b.empty(4), filled(b, 0)
        target.copy_from(old)
        before.copy_from(target)  # a reader of what was there
        source.copy_from(new)
        sent = Delivery(target, source, half=halves(a, b) if half else None)
        sent.receive()
        sent.release()
        after.copy_from(target)
        source.fill(0)
        [copies] = b._copies.values()
        run({"copy": copies, "source": a._stream, "target": b._stream}[first])
        for array, value in ((before, 1), (after, 2), (source, 0), (total, 0)):
            np.testing.assert_array_equal(array.numpy(), value, err_msg=f"{first} first")


def test_a_delivery_is_received_once(late_gpus):
    a, b = parse_devices("cuda:0,cuda:1")
    total = filled(b, 3)
    sent = Delivery(b.empty(4), filled(a, 2), total=total)
    for _ in range(2):
        sent.receive()
    np.testing.assert_array_equal(total.numpy(), 5)


def test_arrays_that_differ_are_not_copied(late_gpus):
    a, b = parse_devices("cuda:0,cuda:1")
    with pytest.raises(ValueError, match="cannot copy"):
        b.empty(3).begin_copy_from(a.empty(4))


def tower_pair() -> Network:
    """conv1 of each tower, and an fc of each that reads both."""
    net = NetText()
    for gpu, t in enumerate("ab"):
        net.weights(
            f"conv1{t}", "data", f"type=conv channels=3 filters=4 filterSize=3 initW=0.1 gpu={gpu}"
        )
    for gpu, t in enumerate("ab"):
        net.weights(
            f"fc2{t}", "conv1a,conv1b", f"type=fc outputs=4 initW=0.1,0.1 neuron=relu gpu={gpu}"
        )
    net.weights("fc3", "fc2a,fc2b", "type=fc outputs=5 initW=0.1,0.1 gpu=0")
    net.add("probs", "fc3", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    return Network(net.spec(), parse_devices("cuda:0,cuda:1"), 2, input_shape=(3, 5, 5))


def short(job: Callable[[], None]) -> str:
    return getattr(job, "op", "").removeprefix("conv_").removeprefix("backward_")


def given(net: Network, work: Callable[[], None]) -> tuple[list[list[str]], list[list[int]]]:
    """What each GPU is given by some work: its ops, and where it waits for copies.

    And after how many of these each copy from there begins.
    """
    mains = [device._stream for device in net.devices]
    begins = [len(main.work) for main in mains]
    work()
    ops, sources = [], []
    for device, main, begin in zip(net.devices, mains, begins, strict=True):
        ops.append(names := ["wait" if isinstance(j, Event) else short(j) for j in main.work[begin:]])
        [copies] = (other._copies[device] for other in net.devices if device in other._copies)
        events = [job for job in copies.work if isinstance(job, Event)]
        places = [e.place for e in events if e.stream is main and e.place > begin]
        sources.append([sum(map(bool, names[: place - begin])) for place in places])
    return [[*filter(None, names)] for names in ops], sources


def test_only_work_on_what_is_exchanged_waits(late_gpus, rng):
    """Sums begin with the tower's own input; the other's gradient is computed, and sent, first."""
    net = tower_pair()
    pictures, labels = map(net.input_device.upload, batch(rng, (3, 5, 5), 2, 5))
    forward, sent = given(net, lambda: net.forward(pictures, labels, train=True))
    fc2, released = ["forward", "wait", "forward"], ["wait", "wait"]
    assert forward[0] == ["forward", *fc2, *fc2, "softmax_forward", "logloss_forward", *released]
    assert forward[1] == ["wait", "forward", *fc2, *released]
    assert sent == [[1], [2, 5]]  # behind conv1a; conv1b and fc2b
    backward, sent = given(net, net.backward)
    begun, weights = ["bias_backward", "data"], ["weights", "weights"]
    assert backward[0] == [
        *["softmax_logloss_backward", *begun, *weights, "data", "wait"],  # fc3
        *[*begun, *weights, "wait", "data", "wait"],  # fc2a: what it adds to comes from fc2b
        *["bias_backward", "weights"],
    ]
    assert backward[1] == [
        *["wait", *begun, *weights, "data", "wait"],  # fc2b
        *["wait", "add", "bias_backward", "weights"],
    ]
    assert sent == [[3, 9], [3]]  # behind the first gradient of fc3 and fc2a; fc2b


@pytest.mark.parametrize("first", [0, 1])
def test_labels_that_only_backward_exchanges(late_gpus, rng, first):
    """The gradient of a cost and the softmax below is computed where the softmax is."""
    pictures, labels = batch(rng, (3, 5, 5), 2, 5)
    gradients = []
    for devices in ("cpu", "cuda:0,cuda:1"):
        text = NetText()
        text.weights("fc", "data", "type=fc outputs=5 initW=0.1 gpu=1")
        text.add("probs", "fc", "type=softmax")
        text.add("logprob", "labels,probs", "type=cost.logreg gpu=0", "coeff=1")
        net = Network(text.spec(), parse_devices(devices), 2, input_shape=(3, 5, 5))
        place = net.input_device
        images, answers, others = map(place.upload, (pictures, labels, (labels + 1) % 5))
        net.forward(images, answers, train=True)
        net.backward()
        answers.copy_from(others)
        if place.is_cuda:
            run(net.devices[first]._stream)
        gradients.append({name: p.gradient.numpy() for name, p in net.parameters.items()})
    same(gradients)
