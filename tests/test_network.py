"""Whole nets: against the oracle in float64, on one device and on two, with any batch."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import layer_file
from alexnet_raw.device import parse_devices
from alexnet_raw.network import Network
from tests.conftest import assert_close, relative_error
from tests.reference_net import ReferenceNet

RATES = "epsW={e}\nepsB=0.02\nmomW={m}\nmomB=0.8\nwc={w}\n"


class NetText:
    """Writes layer files, section by section."""

    def __init__(self):
        self.definition = "[data]\ntype=data\ndataIdx=0\n[labels]\ntype=data\ndataIdx=1\n"
        self.parameters = ""

    def add(self, name: str, inputs: str, settings: str, parameters: str = "") -> str:
        """settings: 'type=conv filters=4 ...'; returns the name, to be an input of others."""
        self.definition += f"[{name}]\ninputs={inputs}\n" + "\n".join(settings.split()) + "\n"
        if parameters:
            self.parameters += f"[{name}]\n" + "\n".join(parameters.split()) + "\n"
        return name

    def weights(self, name: str, inputs: str, settings: str) -> str:
        count = len(inputs.split(","))
        rates = {k: ",".join([v] * count) for k, v in (("e", "0.01"), ("m", "0.9"), ("w", "0.001"))}
        return self.add(name, inputs, settings, RATES.format(**rates))

    def spec(self) -> layer_file.NetSpec:
        return layer_file.parse(self.definition, self.parameters, "test")


def two_towers() -> layer_file.NetSpec:
    """Every layer type but local, two towers, exchanges, layers read on both devices."""
    net = NetText()
    for t, gpu in (("a", 0), ("b", 1)):
        net.weights(
            f"conv1{t}",
            "data",
            f"type=conv channels=3 filters=6 filterSize=5 stride=2 initW=0.1 neuron=relu gpu={gpu}",
        )
        net.add(
            f"norm1{t}", f"conv1{t}", "type=cmrnorm channels=6 size=5", "scale=0.5 pow=0.75 minDiv=2"
        )
        net.add(f"pool1{t}", f"norm1{t}", "type=pool pool=max channels=6 sizeX=3 stride=2")
        net.weights(
            f"conv2{t}",
            f"pool1{t}",
            "type=conv channels=6 filters=4 groups=2 filterSize=3 padding=1 initW=0.2 initB=0.1",
        )
        net.add(f"local2{t}", f"conv2{t}", "type=rnorm channels=8 size=3", "scale=0.5 pow=0.75")
        net.add(f"pool2{t}", f"local2{t}", "type=pool pool=max channels=8 sizeX=2 stride=1 neuron=relu")
    for t, gpu in (("a", 0), ("b", 1)):
        # Both towers read pool2a and pool2b, and each reads the other's twice.
        net.weights(
            f"conv3{t}",
            f"pool2a,pool2b,pool2{'ba'[gpu]}",
            "type=conv channels=8,8,8 filters=6 filterSize=3,3,1 padding=1,1,0 initW=0.1,0.1,0.2"
            f" neuron=tanh[1.5,0.7] gpu={gpu}",
        )
        net.add(
            f"pool3{t}",
            f"conv3{t}",
            "type=pool pool=avg channels=6 sizeX=3 stride=1 start=-2"
            f" outputsX={gpu + 1} neuron=tanh[2,0.5]",
        )
        net.add(f"relu3{t}", f"pool3{t}", "type=neuron neuron=relu")
        # Readers of the other device whose gradients cannot be added in place.
        net.add(f"drop3{t}", f"relu3{t}", f"type=hs keep=0.6 gpu={1 - gpu}")
        net.add(f"tanh3{t}", f"relu3{t}", f"type=neuron neuron=tanh[1,1] gpu={gpu}")
    net.weights("fc4a", "drop3a,tanh3b", "type=fc outputs=9 initW=0.2,0.2 initB=0.3 neuron=relu gpu=0")
    net.weights("fc4b", "drop3b,tanh3a", "type=fc outputs=7 initW=0.2,0.2 initB=0.3 neuron=relu gpu=1")
    net.weights("fc5", "fc4a,fc4b", "type=fc outputs=5 initW=0.3,0.3 gpu=1")
    net.add("probs", "fc5", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1.5 topk=2")
    return net.spec()


def sparse_towers() -> layer_file.NetSpec:
    """Local layers, biases of single pixels, groups that see random channels; two towers."""
    net = NetText()
    for t, gpu in (("a", 0), ("b", 1)):
        net.weights(
            f"conv1{t}",
            "data",
            "type=conv channels=3 filters=2 groups=3 filterSize=5 stride=2 initW=0.2 neuron=relu"
            f" randSparse=1 sharedBiases=0 gpu={gpu}",
        )
    for t, gpu, sparse in (
        ("a", 0, "filters=2 groups=4,4 randSparse=1,1"),  # 6 channels drawn twice, for 4 groups of 3
        ("b", 1, "filters=4 groups=2,2 randSparse=0,1"),
    ):
        net.weights(
            f"conv2{t}",
            "conv1a,conv1b",
            "type=conv channels=6,6 filterChannels=3,3 filterSize=3,3 padding=1,1 initW=0.1,0.1"
            f" initB=0.1 {sparse} gpu={gpu}",
        )
    for t, gpu in (("a", 0), ("b", 1)):
        net.weights(
            f"local3{t}",
            f"conv2{t},conv2{'ba'[gpu]}",
            "type=local channels=8,8 filters=2 groups=2,2 filterSize=3,1 stride=2,2 padding=1,0"
            f" initW=0.2,0.2 initB=0.1 randSparse=0,1 neuron=relu gpu={gpu}",
        )
    net.weights(
        "local4",
        "local3a,local3b",
        "type=local channels=4,4 filters=5 filterSize=3,2 padding=1,1 stride=2,3 initW=0.3,0.3"
        " neuron=tanh[1.5,0.7] gpu=1",
    )
    net.weights("fc5", "local4,local3a", "type=fc outputs=5 initW=0.3,0.3 gpu=0")
    net.add("probs", "fc5", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1.5 topk=2")
    return net.spec()


def pixel_layers() -> layer_file.NetSpec:
    """The layer types that work on pixels: those for pictures only, then those that pass gradients."""
    net = NetText()
    net.add("yuv", "data", "type=rgb2yuv")
    net.add("small", "yuv", "type=resize channels=3 scale=1.3")
    net.add("linear", "data", "type=neuron neuron=linear[0.1,0.5]")
    net.add("lab", "linear", "type=rgb2lab center=1 gpu=1")
    net.add("cut", "lab", "type=crop channels=3 startX=2 startY=3 sizeX=13")
    net.add("random", "data", "type=rscale channels=3 maxScale=1.5 tgtSize=13 gpu=1")
    net.add("mirrored", "random", "type=href channels=3")
    sizes = "filterSize=3,3,1 padding=1,1,0"
    net.weights(
        "conv1",
        "small,cut,mirrored",
        f"type=conv channels=3,3,3 filters=5 {sizes} initW=0.2,0.02,0.2 neuron=relu",
    )
    net.add("contrast", "conv1", "type=cnorm channels=5 size=3", "scale=3 pow=0.75")
    net.add("blocks", "contrast", "type=cmrnorm channels=5 size=2 blocked=1 gpu=1", "scale=1 pow=0.75")
    net.add("blurred", "contrast", "type=blur channels=5 filterSize=5 stdev=1.5")
    net.add("turned", "blurred", "type=href channels=5 gpu=1")
    net.add("nails", "turned", "type=nailbed channels=5 stride=2")
    net.add(
        "extreme", "blocks", "type=pool pool=maxabs channels=5 sizeX=3 stride=2 start=-1 neuron=relu"
    )
    net.weights(
        "conv2", "nails,extreme", "type=conv channels=5,5 filters=4 filterSize=3,3 initW=0.2,0.2 gpu=0"
    )
    net.add("drawn", "conv2", "type=pool pool=rand channels=4 sizeX=3 stride=2 neuron=relu gpu=1")
    net.weights("fc", "drawn", "type=fc outputs=5 initW=0.3")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1.5 topk=2")
    return net.spec()


TOWERS = [two_towers, sparse_towers]


def random_net(rng: np.random.Generator) -> layer_file.NetSpec:
    """A net of random layers; each reads one or two random earlier layers of its picture size."""
    net = NetText()
    size, at_size = 9, [("data", 3)]
    for i in range(int(rng.integers(3, 7))):
        name, (inp, channels) = f"layer{i}", at_size[rng.integers(len(at_size))]
        gpu = f"gpu={rng.integers(2)}"
        neuron = rng.choice(["ident", "relu", "tanh[1.7,0.6]"])
        match rng.integers(11):
            case 0 | 1 | 9 | 10 as case:
                second, more = at_size[rng.integers(len(at_size))]
                filters = int(rng.integers(1, 7))
                kind = "local" if case > 5 else f"conv sharedBiases={rng.integers(2)}"
                settings = f"filters={filters} filterSize=3,1 padding=1,0 initW=0.3,0.3 initB=0.1"
                net.weights(
                    name,
                    f"{inp},{second}",
                    f"type={kind} channels={channels},{more} {settings} neuron={neuron} {gpu}",
                )
                channels = filters
            case 2:
                settings = f"type=cmrnorm channels={channels} size={rng.integers(1, 6)} {gpu}"
                net.add(name, inp, settings, "scale=0.3 pow=0.75 minDiv=1.5")
            case 3:
                net.add(name, inp, f"type=neuron neuron={neuron} {gpu}")
            case 4:
                settings = f"type=rnorm channels={channels} size={rng.integers(1, 5)} {gpu}"
                net.add(name, inp, settings, "scale=0.3 pow=0.75")
            case 6:
                net.add(name, inp, f"type=blur channels={channels} filterSize=3 stdev=0.8 {gpu}")
            case 7:
                settings = f"type=cnorm channels={channels} size={rng.integers(1, 5)} {gpu}"
                net.add(name, inp, settings, "scale=2 pow=0.75")
            case 8:
                net.add(name, inp, f"type=href channels={channels} {gpu}")
            case 5 if size > 3:
                # The maximum only once: overlapping windows of overlapping windows tie, and each of
                # equal maxima gets the whole gradient, which is then not the derivative.
                kinds = ["avg"] if "pool=" in net.definition else ["max", "avg", "maxabs", "rand"]
                kind = rng.choice(kinds)
                window = rng.integers(2, 4)
                net.add(
                    name,
                    inp,
                    f"type=pool pool={kind} channels={channels} sizeX={window} stride=2 {gpu}"
                    f" neuron={neuron}",
                )
                size = net.spec().shapes((3, 9, 9))[name][1]
                at_size = []
            case _:
                continue
        at_size.append((name, channels))
    inputs = ",".join(name for name, _ in at_size)
    starts = ",".join(["0.1"] * len(at_size))
    net.weights("fc", inputs, f"type=fc outputs=4 initW={starts} gpu=1")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    return net.spec()


def batch(rng, shape, images, classes):
    pictures = rng.normal(size=(*shape, images)).astype(np.float32)
    return pictures, rng.integers(0, classes, images, np.int32)


def make(spec, devices="cpu,cpu", **settings) -> Network:
    settings = {"batch_size": 5, "seed": 3, "input_shape": (3, 17, 17), **settings}
    return Network(spec, parse_devices(devices), **settings)


def run(net: Network, pictures, labels, train=True, step=0, backward=True) -> None:
    images, answers = net.input_device.upload(pictures), net.input_device.upload(labels)
    net.forward(images, answers, train=train, step=step)
    if train and backward:
        net.backward()


def reference_of(net: Network, pictures, labels, train=True, step=0) -> ReferenceNet:
    values = {name: p.value.numpy().astype(np.float64) for name, p in net.parameters.items()}
    net_in_float64 = ReferenceNet(
        net.spec, values, pictures, labels, train=train, seed=net.seed, step=step
    )
    net_in_float64.backward()
    return net_in_float64


def compare(net: Network, expected: ReferenceNet, tolerance: float = 2e-5) -> None:
    cost, wanted = net.costs()["logprob"], expected.losses["logprob"]
    assert (cost.loss, cost.top1, cost.topk) == pytest.approx(wanted, rel=1e-5)
    for name, parameter in net.parameters.items():
        assert_close(parameter.gradient, expected.gradients[name], tolerance)


@pytest.mark.parametrize("towers", TOWERS)
@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
@pytest.mark.parametrize("images", [1, 5])
def test_forward_and_backward_agree_with_the_oracle(towers, devices, images, rng):
    net = make(towers(), devices, input_gradient=True)
    pictures, labels = batch(rng, (3, 17, 17), images, 5)
    run(net, pictures, labels, step=4)
    expected = reference_of(net, pictures, labels, step=4)
    compare(net, expected)
    assert_close(net.input_gradient(), expected.dout["data"], 2e-5)
    assert_close(net.probabilities().T, expected.out["probs"][:, 0, 0])
    last = net.spec["fc5"].inputs[0]
    assert_close(net.activations(last), np.moveaxis(expected.out[last], -1, 0))


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
@pytest.mark.parametrize("images", [1, 5])
def test_pixel_layers_agree_with_the_oracle(devices, images, rng):
    net = make(pixel_layers(), devices)
    pictures, labels = batch(rng, (3, 17, 17), images, 5)
    for step in (4, 5):
        run(net, pictures, labels, step=step)
        expected = reference_of(net, pictures, labels, step=step)
        for layer in net.spec:
            if layer.type not in ("data", "cost.logreg"):
                want = np.moveaxis(expected.out[layer.name], -1, 0)
                assert_close(net.activations(layer.name), want, 2e-5)
        compare(net, expected)


def test_pixel_layers_in_testing(rng):
    net = make(pixel_layers())
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    run(net, pictures, labels, train=False)
    expected = reference_of_test(net, pictures, labels)
    assert_close(net.probabilities().T, expected.out["probs"][:, 0, 0])
    np.testing.assert_array_equal(  # the middle, as large as it is
        net.activations("random"), np.moveaxis(pictures[:, 2:15, 2:15], -1, 0)
    )


def test_random_scales_follow_seed_name_and_step(rng):
    layer = pixel_layers()["random"]
    views = [layer.crop((17, 17), *rng.random(4)) for _ in range(5000)]
    sizes = np.array([int(17 / view.scale + 1e-6) for view in views])
    crops = np.array([1, 4, 9, 16, 25])  # of 13, 14, 15, 16, 17 pixels: the chance of each size
    found = np.array([(sizes == size).mean() for size in range(13, 18)])
    np.testing.assert_allclose(found, crops / crops.sum(), atol=0.03)
    for view, size in zip(views, sizes, strict=True):
        assert 0 <= view.top <= size - 13 and 0 <= view.left <= size - 13
    assert {view.top for view in views} == {0, 1, 2, 3, 4}
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    net, shown = make(pixel_layers()), []
    for step in (0, 0, *range(1, 9)):
        run(net, pictures, labels, step=step, backward=False)
        shown.append(net.activations("random"))
    assert (shown[0] == shown[1]).all() and any((shown[0] != other).any() for other in shown[2:])


def test_pictures_get_no_gradient_through_layers_without_one(rng):
    net = make(pixel_layers(), input_gradient=True)
    run(net, *batch(rng, (3, 17, 17), 5, 5))
    with pytest.raises(RuntimeError, match="layers that all pass gradients"):
        net.input_gradient()


@pytest.mark.parametrize("case", range(12))
def test_random_nets_agree_with_the_oracle(case, rng):
    spec = random_net(rng)
    print(spec.definition)
    pictures, labels = batch(rng, (3, 9, 9), 3, 4)
    net = make(spec, input_shape=(3, 9, 9))
    for p in net.parameters.values():  # biases too
        p.value.copy_from(rng.normal(0, 0.15, p.value.shape).astype(np.float32))
    run(net, pictures, labels)
    # Three pictures and one filter: now and then a gradient is a sum that cancels.
    compare(net, reference_of(net, pictures, labels), 2e-4)


def test_testing_halves_instead_of_dropping(rng):
    net = make(two_towers())
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    run(net, pictures, labels, train=False)
    expected = reference_of_test(net, pictures, labels)
    assert_close(net.probabilities().T, expected.out["probs"][:, 0, 0])
    with pytest.raises(RuntimeError, match="backward needs a forward with train=True"):
        net.backward()


def reference_of_test(net, pictures, labels) -> ReferenceNet:
    values = {name: p.value.numpy().astype(np.float64) for name, p in net.parameters.items()}
    return ReferenceNet(net.spec, values, pictures, labels, train=False, seed=net.seed)


@pytest.mark.parametrize("towers", [*TOWERS, pixel_layers])
def test_splits_give_the_same_bits(towers, rng):
    """Three steps on one, two and three devices."""
    batches = [batch(rng, (3, 17, 17), n, 5) for n in (5, 3, 5)]
    states = []
    for devices in ("cpu", "cpu,cpu", "cpu,cpu,cpu"):
        net = make(towers(), devices, input_gradient=True)
        for step, (pictures, labels) in enumerate(batches):
            run(net, pictures, labels, step=step)
            net.update(step / 3)
        states.append({**net.state(), "p": net.probabilities()})
        if "data" in net.wants_gradient:
            states[-1]["dx"] = net.input_gradient()
    for state in states[1:]:
        for name, array in states[0].items():
            assert array.tobytes() == state[name].tobytes(), name


@pytest.mark.parametrize("case", range(6))
def test_random_splits_give_the_same_bits(case, rng):
    spec = random_net(rng)
    pictures, labels = batch(rng, (3, 9, 9), 4, 4)
    states = []
    for devices in ("cpu", "cpu,cpu"):
        net = make(spec, devices, input_shape=(3, 9, 9))
        run(net, pictures, labels)
        net.update(0.0)
        states.append(net.state())
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name


def test_random_channels_follow_the_seed_and_the_name(rng):
    spec = sparse_towers()
    conv1, other = spec["conv1a"], spec["conv1b"]
    drawn = [conv1.connections(seed, 0).tolist() for seed in range(8)]
    assert drawn == [conv1.connections(seed, 0).tolist() for seed in range(8)]
    assert len(set(map(tuple, drawn))) > 1
    assert drawn != [other.connections(seed, 0).tolist() for seed in range(8)]
    twice = spec["conv2a"].connections(3, 0)
    assert twice.dtype == np.int32 and sorted(twice[:6]) == sorted(twice[6:]) == list(range(6))
    # A net of the same seed sees the same channels; its state alone does not tell them.
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    net, same, stranger = make(spec), make(spec, "cpu"), make(spec, "cpu", seed=4)
    for network in (same, stranger):
        network.load_state(net.state())
    for network in (net, same, stranger):
        run(network, pictures, labels)
    assert net.probabilities().tobytes() == same.probabilities().tobytes()
    assert net.probabilities().tobytes() != stranger.probabilities().tobytes()


def test_ragged_batches_leave_nothing_behind(rng):
    """A small batch after a large one gives what it gives in a fresh net."""
    large, small = batch(rng, (3, 17, 17), 5, 5), batch(rng, (3, 17, 17), 2, 5)
    net, fresh = make(two_towers()), make(two_towers(), batch_size=2)
    run(net, *large)
    run(net, *small)
    run(fresh, *small)
    for name, parameter in net.parameters.items():
        got, want = parameter.gradient.numpy(), fresh.parameters[name].gradient.numpy()
        assert got.tobytes() == want.tobytes(), name
    assert net.probabilities().shape == (2, 5)
    with pytest.raises(ValueError, match="6 images, but the net was made for 1 to 5"):
        run(net, *batch(rng, (3, 17, 17), 6, 5))


def test_dropout_follows_seed_and_step(rng):
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    net, other = make(two_towers()), make(two_towers(), seed=4)
    masks = []
    for network, step in ((net, 0), (net, 0), (net, 1), (other, 0)):
        run(network, pictures, labels, step=step)
        masks.append(network.activations("drop3a") == 0)
    assert (masks[0] == masks[1]).all()
    assert (masks[0] != masks[2]).any() and (masks[0] != masks[3]).any()


def test_update_is_momentum_with_decay(rng):
    net = make(two_towers())
    net.rate_scale = 0.5
    before = {name: p.value.numpy().astype(np.float64) for name, p in net.parameters.items()}
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    run(net, pictures, labels)
    net.update(0.0)
    for name, p in net.parameters.items():
        rate, decay = (0.01, 0.001) if "weights" in name else (0.02, 0)
        step = -0.5 * rate * (decay * before[name] + p.gradient.numpy())
        assert_close(p.velocity, step, 1e-5)
        assert_close(p.value, before[name] + step, 1e-6)


def test_a_rate_of_zero_freezes(rng):
    spec = two_towers()
    frozen = layer_file.parse(
        spec.definition, spec.parameters.replace("epsW=0.01\nepsB=0.02", "epsW=0\nepsB=0", 1), "frozen"
    )
    net = make(frozen)
    before = net.state()
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    for step in range(2):
        run(net, pictures, labels, step=step)
        net.update(0.0)
    moved = {name for name, array in net.state().items() if (array != before[name]).any()}
    assert not any(name.startswith("conv1a.") for name in moved)
    assert {"conv1b.weights0", "conv1b.biases", "fc5.weights1"} <= moved


def test_layers_without_a_cost_do_not_learn(rng):
    net = NetText()
    net.weights("used", "data", "type=fc outputs=3 initW=0.1")
    net.weights("unused", "data", "type=fc outputs=3 initW=0.1")
    net.add("probs", "used", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    network = make(net.spec(), input_shape=(3, 4, 4))
    before = network.state()
    run(network, *batch(rng, (3, 4, 4), 5, 3))
    network.update(0.0)
    after = network.state()
    assert (after["unused.weights0"] == before["unused.weights0"]).all()
    assert (after["used.weights0"] != before["used.weights0"]).any()


def test_a_softmax_with_other_readers_is_not_fused(rng):
    """The gradient of the softmax then sums over two costs and another layer."""
    net = NetText()
    net.weights("fc", "data", "type=fc outputs=3 initW=0.1")
    net.add("probs", "fc", "type=softmax")
    net.weights("more", "probs", "type=fc outputs=3 initW=1")
    net.add("probs2", "more", "type=softmax gpu=1")
    net.add("logprob", "labels,probs", "type=cost.logreg gpu=1", "coeff=0.5")
    net.add("logprob2", "labels,probs2", "type=cost.logreg gpu=0", "coeff=2")
    assert set(net.spec().fused_costs()) == {"probs2"}
    pictures, labels = batch(rng, (3, 4, 4), 5, 3)
    for devices in ("cpu", "cpu,cpu"):
        network = make(net.spec(), devices, input_shape=(3, 4, 4))
        run(network, pictures, labels)
        compare(network, reference_of(network, pictures, labels))


def test_reading_another_device_without_exchange_is_refused(rng):
    net = make(two_towers())
    run(net, *batch(rng, (3, 17, 17), 5, 5))
    site = next(site for site in net._sites[5] if site.layer.name == "conv3b")
    wrong = next(site for site in net._sites[5] if site.layer.name == "pool2a").out
    assert wrong.device is not site.device
    site.inputs[0] = wrong
    with pytest.raises(ValueError, match="exchange one of them first"):
        site.layer.forward(site)


def test_exchanged_copies_are_renewed_in_every_pass(rng):
    net = make(two_towers())
    first, second = (batch(rng, (3, 17, 17), 5, 5) for _ in range(2))
    run(net, *first)
    before = net.probabilities()
    run(net, *second)
    run(net, *first)
    assert net.probabilities().tobytes() == before.tobytes()


def test_classes_are_resized():
    net = make(two_towers(), classes=9)
    assert net.parameters["fc5.weights0"].value.shape == (9, 9)
    assert "fc5 has 9 outputs" in net.spec.notes[0]


def test_state_round_trips_and_is_checked(rng):
    net, other = make(two_towers()), make(two_towers(), "cpu", seed=9)
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    run(net, pictures, labels)
    net.update(0.0)
    state = net.state()
    assert state["conv1a.weights0.velocity"].any()
    other.load_state(state)
    for name, array in other.state().items():
        assert array.tobytes() == state[name].tobytes(), name
    with pytest.raises(ValueError, match="biases is missing in the saved state"):
        other.load_state({name: array for name, array in state.items() if name != "fc5.biases"})
    with pytest.raises(ValueError, match="stray is missing in net test"):
        other.load_state({**state, "stray": state["fc5.biases"]})
    with pytest.raises(ValueError, match=r"fc5.biases is \(4,\) in the saved state, but \(5,\)"):
        other.load_state({**state, "fc5.biases": np.zeros(4, np.float32)})


def test_wrong_use_is_named(rng):
    net = make(two_towers())
    pictures, labels = batch(rng, (3, 17, 17), 5, 5)
    for early in (net.backward, net.costs, net.probabilities, lambda: net.update(0.0)):
        with pytest.raises(RuntimeError):
            early()
    with pytest.raises(ValueError, match=r"images are \(3, 16, 17, 5\).* the net wants \(3, 17, 17"):
        run(net, pictures[:, 1:], labels)
    with pytest.raises(ValueError, match=r"labels are \(4,\), but must be \(5,\)"):
        run(net, pictures, labels[1:])
    net.forward(net.input_device.upload(pictures), None, train=False)
    assert net.probabilities().shape == (5, 5)
    with pytest.raises(RuntimeError, match="no cost was computed"):
        net.costs()
    with pytest.raises(ValueError, match="layer 'labels' of type data has no activations"):
        net.activations("labels")
    with pytest.raises(KeyError, match="no layer 'conv9'"):
        net.activations("conv9")
    with pytest.raises(RuntimeError, match="input_gradient=True"):
        net.input_gradient()
    with pytest.raises(ValueError, match="batch_size is 0"):
        make(two_towers(), batch_size=0)


def test_training_lowers_the_cost(rng):
    net = make(two_towers(), batch_size=20)
    net.rate_scale = 2
    pictures, labels = batch(rng, (3, 17, 17), 20, 5)
    costs = []
    for step in range(60):
        run(net, pictures, labels, step=step)
        net.update(0.0)
        costs.append(net.costs()["logprob"].loss)
    assert np.mean(costs[-5:]) < 0.7 * np.mean(costs[:5]), costs
    assert relative_error(net.probabilities().sum(1), np.ones(20)) < 1e-6
