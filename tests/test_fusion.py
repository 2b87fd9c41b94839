"""Layers that run as one with the layer below, and gradients that go through a neuron below: no bit
changes."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.device import parse_devices
from alexnet_raw.layers.lrn import Lrn
from alexnet_raw.layers.pool import LrnPool
from alexnet_raw.network import Network
from tests import gpu_stand_in
from tests.gpu_stand_in import counts
from tests.test_network import NetText, batch, make, pixel_layers, random_net, run, two_towers

PICTURE = (3, 17, 17)


def norms_of_all_kinds() -> layer_file.NetSpec:
    """Normalised maps with other readers, of other devices, in blocks; other pools and neurons."""
    net = NetText()

    def conv(name, inputs, channels, filters, more):
        settings = f"type=conv channels={channels} filters={filters} filterSize=3 padding=1 initW=0.3"
        return net.weights(name, inputs, f"{settings} {more}")

    def norm(name, inputs, channels, more="size=5"):
        settings = f"type=cmrnorm channels={channels} {more}"
        return net.add(name, inputs, settings, "scale=0.5 pow=0.75 minDiv=2")

    def pool(name, inputs, channels, more):
        return net.add(name, inputs, f"type=pool channels={channels} {more}")

    conv("conv1", "data", 3, 7, "neuron=relu gpu=0")
    norm("norm1", "conv1", 7)  # fused
    pool("pool1", "norm1", 7, "pool=max sizeX=3 stride=2 start=-1 neuron=relu")
    conv("conv2", "pool1", 7, 6, "neuron=relu gpu=1")
    norm("norm2", "conv2", 6, "size=4 gpu=0")  # fused; reads another device
    pool("pool2", "norm2", 6, "pool=max sizeX=2 stride=1 outputsX=7")
    conv("conv3", "pool1", 7, 6, "neuron=relu gpu=0")  # two read it
    norm("norm3", "conv3", 6, "size=3")  # fused
    pool("pool3", "norm3", 6, "pool=max sizeX=3 stride=2")
    norm("norm4", "conv3", 6)  # two read it
    pool("pool4", "norm4", 6, "pool=max sizeX=3 stride=2")
    norm("norm5", "norm4", 6, "size=2 blocked=1")
    pool("pool5", "norm5", 6, "pool=max sizeX=3 stride=2")
    norm("norm6", "conv2", 6, "size=3 gpu=1")
    pool("pool6", "norm6", 6, "pool=max sizeX=3 stride=2 gpu=0")  # on another device
    norm("norm7", "conv2", 6, "size=3")
    pool("pool7", "norm7", 6, "pool=avg sizeX=3 stride=2")
    net.weights("fc", ",".join(f"pool{i}" for i in range(2, 8)), f"type=fc outputs=5 {STARTS} gpu=1")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1.5 topk=2")
    return net.spec()


STARTS = "initW=" + ",".join(["0.2"] * 6)


def mini() -> layer_file.NetSpec:
    return layer_file.load_packaged("alexnet-mini")


def cifar10_lrn() -> layer_file.NetSpec:
    return layer_file.load_packaged("cifar10-lrn")


NETS = {  # and the layers that are fused
    two_towers: ["norm1a", "norm1b"],
    norms_of_all_kinds: ["norm1", "norm2", "norm3"],
    pixel_layers: [],
    mini: ["norm1a", "norm1b", "norm2a", "norm2b"],
    cifar10_lrn: [],
}


def results(net: Network, shape: tuple[int, ...]) -> dict[str, bytes]:
    """All that three steps with batches of several sizes, and a validation between them, give."""
    rng, found = np.random.default_rng(1), {}

    def add_activations(when: str) -> None:
        for layer in net.spec:
            if len(net.shapes[layer.name]) == 3:
                found[f"{when}.{layer.name}"] = net.activations(layer.name)

    for step, images in enumerate((5, 3, 5)):
        run(net, *batch(rng, shape, images, 4), step=step)
        add_activations(f"{step}")
        for name, parameter in net.parameters.items():
            found[f"{step}.d{name}"] = parameter.gradient.numpy()
        found[f"{step}.costs"] = np.array([cost.loss for cost in net.costs().values()])
        if net.spec.pictures.name in net.wants_gradient:
            found[f"{step}.pictures"] = net.input_gradient()
        net.update(step / 3)
        run(net, *batch(rng, shape, 2, 4), train=False)
        add_activations(f"{step} in testing")
    return {name: array.tobytes() for name, array in (found | net.state()).items()}


def assert_same(got: dict[str, bytes], want: dict[str, bytes]) -> None:
    assert got.keys() == want.keys()
    for name in want:
        assert got[name] == want[name], name


def fused(net: Network) -> list[str]:
    running = {layer.name for layer in net._fused}
    return [layer.name for layer in net.spec if layer.name not in running]


@pytest.fixture
def plain(monkeypatch):
    """A function that makes a net in which nothing is fused."""

    def make_plain(*args, **settings) -> Network:
        with monkeypatch.context() as changed:
            changed.setattr(layer_file.NetSpec, "fused", lambda spec, devices: spec)
            changed.setattr("alexnet_raw.layers.base.Layer.takes_dz", False)
            changed.setattr("alexnet_raw.layers.filters.FilterLayer.takes_dz", False)
            return make(*args, **settings)

    return make_plain


@pytest.fixture
def on_cpus(monkeypatch):
    monkeypatch.setattr(LrnPool, "on_cpus", True)


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
@pytest.mark.parametrize("spec", NETS)
def test_no_bit_changes(on_cpus, plain, spec, devices):
    shape = PICTURE if spec().crop is None else spec().input_shape()
    settings = {"input_shape": shape, "input_gradient": True}
    one, other = make(spec(), devices, **settings), plain(spec(), devices, **settings)
    assert fused(one) == NETS[spec] and fused(other) == []
    assert_same(results(one, shape), results(other, shape))


@pytest.mark.parametrize("case", range(12))
def test_no_bit_changes_in_random_nets(on_cpus, plain, case, rng):
    spec = random_net(rng)
    print(spec.definition)
    one, other = (new(spec, "cpu,cpu", input_shape=(3, 9, 9)) for new in (make, plain))
    assert_same(results(one, (3, 9, 9)), results(other, (3, 9, 9)))


def test_gradients_go_through_neurons_below(on_cpus):
    """Where the reader is the only one, and on the same device."""
    net = make(norms_of_all_kinds(), "cpu,cpu")
    kinds = {turn.layer.name: turn.neuron.kind for turn in net._turns}
    assert {name: kinds[name] for name in ("conv1", "conv2", "conv3")} == {
        "conv1": "ident",
        "conv2": "relu",  # three layers read it, one of them elsewhere
        "conv3": "relu",  # two layers read it
    }


def test_normalised_maps_have_no_memory(on_cpus, plain):
    """Nor has their gradient; the maps get some where they are asked for."""
    one, other = (new(mini(), input_shape=mini().input_shape()) for new in (make, plain))
    for net in (one, other):
        run(net, *batch(np.random.default_rng(2), mini().input_shape(), 5, 5))
    norms = [layer.name for layer in mini() if isinstance(layer, Lrn)]

    def slots(net: Network) -> set[str]:
        kinds = {slot.name[:2] for slot in (*net._memory.places, *net._memory._blocks) if slot.name}
        return {kind[1] for kind in kinds if kind[0] in ("out", "gradient") and kind[1] in norms}

    assert slots(one) == set() and slots(other) == set(norms)
    one.activations(norms[0])
    assert slots(one) == {norms[0]}


@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0"])
def test_in_recorded_steps(monkeypatch, devices):
    """On a stand-in for a GPU; the normalised maps are those of the latest step, too."""
    gpu_stand_in.install(monkeypatch)
    nets, found = [], []
    for names in (devices, devices.replace("cuda:0", "cpu")):
        monkeypatch.setattr(LrnPool, "on_cpus", False)
        net = Network(norms_of_all_kinds(), parse_devices(names), 3, seed=3, input_shape=PICTURE)
        rng = np.random.default_rng(1)
        place = net.input_device
        images, labels = place.zeros((*PICTURE, 3)), place.zeros((3,), np.int32)
        nets.append(net)
        found.append({})
        for step in range(4):
            pictures, answers = batch(rng, PICTURE, 3, 5)
            images.copy_from(pictures)
            labels.copy_from(answers)
            net.train_step(images, labels, step, step / 4)
            for name in ("norm1", "norm2", "pool2"):
                found[-1][f"{step}.{name}"] = net.activations(name).tobytes()
        found[-1] |= {name: array.tobytes() for name, array in net.state().items()}
    assert [bool(fused(net)) for net in nets] == [True, False]
    assert counts["graph launches"] > 0
    assert_same(*found)
