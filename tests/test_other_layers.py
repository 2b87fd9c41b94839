"""cuda-convnet's layers that AlexNet does not have, in whole nets, against the NumPy oracle."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import check_grads, checkpoint, connections, initializers, layer_file
from alexnet_raw.device import parse_devices
from alexnet_raw.ini import LayerFileError
from alexnet_raw.network import Network
from alexnet_raw.reference import limit_norms, multi_softmax
from tests.conftest import assert_close
from tests.test_network import NetText, batch, reference_of, run

PICTURE, CLASSES = (3, 9, 9), 4


def make(net: NetText, devices: str = "cpu,cpu", **settings) -> Network:
    settings = {"batch_size": 3, "seed": 3, "input_shape": PICTURE, "input_gradient": True, **settings}
    return Network(net.spec(), parse_devices(devices), **settings)


def conv(net: NetText, name: str, inp: str = "data", more: str = "", channels: int = 3) -> str:
    settings = f"type=conv channels={channels} filters=4 filterSize=3 initW=0.2 initB=0.1 {more}"
    return net.weights(name, inp, settings)


def ending(net: NetText, inp: str, more: str = "") -> NetText:
    net.weights("fc", inp, f"type=fc outputs={CLASSES} initW=0.2 {more}")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    return net


def combinations() -> NetText:
    """eltsum, eltmax and both kinds of concat, across devices, some read twice."""
    net = NetText()
    for name, gpu in (("a", 0), ("b", 1), ("c", 1)):
        conv(net, name, more=f"gpu={gpu}")
    net.add("sum", "a,b,a", "type=eltsum coeffs=0.3,-1.1,1.7 neuron=relu")
    net.add("flat", "a", "type=neuron neuron=linear[0.5,0]")
    net.weights("dense", "a", "type=fc outputs=196 initW=0.1")  # as many numbers as a has
    net.add("summed", "dense,flat", "type=eltsum coeffs=1,2 gpu=1")
    net.add("larger", "flat,summed", "type=eltmax")
    net.add("max", "sum,b,c", "type=eltmax gpu=1")
    net.add("drop", "max", "type=dropout2", "keep=0.7")
    net.add("both", "sum,drop", "type=concat")
    net.add("pooled", "both", "type=pool pool=avg channels=8 sizeX=2 stride=2")
    net.add("all", "pooled,a,larger", "type=pass")
    return ending(net, "all")


def neurons() -> NetText:
    net, inp = NetText(), "data"
    kinds = ("softrelu", "linear[0.5,0.1]", "abs", "square", "drelu[0.5]", "brelu[3]", "logistic")
    for i, kind in enumerate(kinds):
        size = 3 if i < 2 else 1
        inp = net.weights(
            f"conv{i}",
            inp,
            f"type=conv channels={3 if i == 0 else 5} filters=5 filterSize={size} initW=0.4 initB=0.2"
            f" neuron={kind} gpu={i % 2}",
        )
    inp = net.add("root", inp, "type=neuron neuron=sqrt")
    return ending(net, inp, "neuron=nrelu")


def costs() -> NetText:
    """Every cost that a net of labelled pictures can have, some through fused gradients."""
    net = NetText()
    conv(net, "conv1", more="neuron=tanh[1,1]")
    net.weights("fc1", "conv1", f"type=fc outputs={CLASSES} initW=0.2")
    net.add("probs", "fc1", "type=softmax")
    net.add("shared", "labels,probs", "type=cost.crossent", "coeff=0.7")
    net.weights("fc2", "conv1", f"type=fc outputs={CLASSES} initW=0.2 neuron=logistic gpu=1")
    net.add("yesno", "labels,fc2", "type=cost.crossent2", "coeff=0.6")
    net.weights("fc3", "conv1", f"type=fc outputs={CLASSES} initW=0.2 neuron=logistic")
    net.add("yesno2", "labels,fc3", "type=cost.crossent2", "coeff=0.4")  # fc3 has two readers
    net.add("tags", "labels,fc3", "type=cost.rflickr", "coeff=0.5")
    net.add("distance", "fc2,fc3", "type=cost.rflickr gpu=1", "coeff=0.2")
    net.add("small", "conv1", "type=cost.sum2", "coeff=0.01")
    net.weights("gate", "conv1", "type=fc outputs=1 initW=0.1 neuron=logistic")
    net.add("gated", "gate,fc2", "type=cost.gsum2", "coeff=0.3")
    return net


def more_costs() -> NetText:
    """Costs of sets of classes, of neighbouring pixels, and of labels in an elementwise sum."""
    net = NetText()
    conv(net, "conv1", more="neuron=tanh[1,1]")
    net.add("neighbours", "conv1", "type=cost.tica channels=4 sizeX=3", "coeff=0.02")
    net.weights("fc1", "conv1", f"type=fc outputs={CLASSES} initW=0.2 gpu=1")
    net.add("sets", "labels,fc1", "type=cost.msm", "coeff=0.7 setSize=2 threads=4")
    net.weights("fc2", "conv1", f"type=fc outputs={CLASSES} initW=0.2 neuron=logistic")
    net.add("difference", "labels,fc2", "type=eltsum coeffs=1,-1")
    net.add("squares", "difference", "type=cost.sum2", "coeff=0.6")
    return net


def tree() -> NetText:
    """Four classes under three nodes, whose weights are not 0 here."""
    net = NetText()
    conv(net, "conv1", more="neuron=relu gpu=1")
    net.weights("fc", "conv1", "type=treefc initW=0.2 tree=4,4,5,6,6,6,-1 gpu=0")
    net.add("probs", "fc", "type=softmax")
    net.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1 topk=2")
    return net


def unequal_groups() -> NetText:
    """As in the 2012 files, everything but sharedBiases is a list, and groups need not be equal."""
    net = NetText()
    conv(net, "a")
    net.weights(
        "b",
        "data,a",
        "type=conv channels=3,4 filters=8,4 groups=1,2 filterSize=3,1 initW=0.2,0.2 randSparse=0,1"
        " filterChannels=3,2 partialSum=1 neuron=relu",
    )
    net.weights(
        "c", "b,a", "type=local channels=8,4 filters=1,2 groups=4,2 filterSize=3,3 initW=0.2,0.2"
    )
    return ending(net, "c")


def sharing() -> NetText:
    """Convolutions and fully-connected layers with weights of others, and of their own other input."""
    net = NetText()
    conv(net, "a")
    conv(net, "b", "a", "padding=1", channels=4)
    conv(net, "c", "b", "padding=1 weightSource=b", channels=4)
    net.weights(
        "d",
        "c,b",
        "type=conv channels=4,4 filters=4 filterSize=3,3 padding=1,1 initW=0.1,0.1 weightSource=,d[0]",
    )
    net.weights("e", "d", "type=fc outputs=6 initW=0.1 neuron=relu")
    net.weights("f", "c", "type=fc outputs=6 initW=0.1 neuron=relu weightSource=e")
    net.add("sum", "e,f", "type=eltsum")
    return ending(net, "sum")


NETS = {
    net.__name__: net
    for net in (combinations, neurons, costs, more_costs, tree, unequal_groups, sharing)
}


@pytest.fixture(params=NETS)
def text(request) -> NetText:
    return NETS[request.param]()


def test_agrees_with_the_oracle(text, rng):
    net = make(text)
    for p in net.parameters.values():
        p.value.copy_from(p.value.numpy() + rng.normal(0, 0.05, p.value.shape).astype(np.float32))
    pictures, labels = batch(rng, PICTURE, 3, CLASSES)
    run(net, pictures, labels, step=5)
    expected = reference_of(net, pictures, labels, step=5)
    for name, cost in net.costs().items():
        assert (cost.loss, cost.top1, cost.topk) == pytest.approx(
            expected.losses[name], rel=1e-5, nan_ok=True
        )
    for name, parameter in net.parameters.items():
        assert_close(parameter.gradient, expected.gradients[name], 2e-5)
    assert_close(net.input_gradient(), expected.dout["data"], 2e-5)


def test_gradients_are_those_of_the_cost(text, rng):
    if "nrelu" in text.definition:
        text.definition = text.definition.replace("neuron=nrelu", "neuron=relu")  # noise has no slope
    net = make(text, batch_size=16)  # of many pictures few stand at a kink
    pictures, labels = batch(rng, PICTURE, 16, CLASSES)
    report = check_grads.check_net(net, pictures, labels)
    assert report.passed, str(report)


def test_splits_give_the_same_bits(text, rng):
    pictures, labels = batch(rng, PICTURE, 3, CLASSES)
    states = []
    for devices in ("cpu", "cpu,cpu"):
        net = make(text, devices)
        for step in range(2):
            run(net, pictures, labels, step=step)
            net.update(0.0)
        states.append(net.state())
    for name, array in states[0].items():
        assert array.tobytes() == states[1][name].tobytes(), name


def drawing() -> NetText:
    """Everything that draws for each element, one after the other."""
    net = NetText()
    net.add("pool", "data", "type=pool pool=rand channels=3 sizeX=3 stride=2", "doMax=0")
    conv(net, "conv1", "pool", "neuron=nrelu")
    net.add("drop", "conv1", "type=hs", "keep=0.6")
    net.add("drop2", "drop", "type=dropout2", "keep=0.8")
    return ending(net, "drop2")


@pytest.mark.parametrize("name", [*NETS, "drawing"])
def test_gradients_of_shares_of_a_batch_add_up(name, rng):
    """Of any cost; and masks and other draws are those of the whole batch."""
    net = make({**NETS, "drawing": drawing}[name](), batch_size=7)
    pictures, labels = batch(rng, PICTURE, 7, CLASSES)
    run(net, pictures, labels, step=5)
    whole = {name: p.gradient.numpy() for name, p in net.parameters.items()}
    sums = {name: np.zeros_like(gradient) for name, gradient in whole.items()}
    for share in (slice(0, 3), slice(3, 4), slice(4, 7)):
        images = net.input_device.upload(pictures[..., share])
        answers = net.input_device.upload(labels[share])
        net.forward(images, answers, train=True, step=5, share=(share.start, 7))
        net.backward()
        for name, parameter in net.parameters.items():
            sums[name] += parameter.gradient.numpy()
    for name, gradient in whole.items():
        assert_close(sums[name], gradient, 1e-5)


@pytest.mark.parametrize("maximum", [0, 1])
def test_random_pooling_tests_on_means_or_maxima(rng, maximum):
    """Training draws a pixel of each window, testing takes their mean: what the draws amount to. With
    doMax=1 both take the maximum. Windows are clipped: the first is of 2x2 pixels, the last of 3x3."""
    text = NetText()
    settings = "type=pool pool=rand channels=3 sizeX=3 stride=2 start=-1"
    text.add("pool", "data", settings, f"doMax={maximum}")
    ending(text, "pool")
    net = make(text, input_shape=(3, 6, 6))
    pictures, labels = batch(rng, (3, 6, 6), 3, CLASSES)
    windows = [slice(max(0, first), first + 3) for first in (-1, 1, 3)]
    seen = [[pictures[:, y, x].reshape(3, -1, 3) for x in windows] for y in windows]
    reduced = [[(w.max if maximum else w.mean)(axis=1) for w in row] for row in seen]
    expected = np.array(reduced).transpose(3, 2, 0, 1)  # (pictures, channels, height, width)

    run(net, pictures, labels, train=False)
    np.testing.assert_allclose(net.activations("pool"), expected, rtol=1e-5, atol=1e-5)
    draws = []
    for step in range(400):
        run(net, pictures, labels, step=step, backward=False)
        draws.append(net.activations("pool"))
    if maximum:
        assert np.ptp(draws, axis=0).max() == 0
    spread = np.std(pictures) * 5 / np.sqrt(len(draws))
    np.testing.assert_allclose(np.mean(draws, axis=0), expected, atol=spread)


def test_what_nets_without_softmax_say(rng):
    pictures, _ = batch(rng, PICTURE, 3, CLASSES)
    text = NetText()
    text.weights("fc", "data", f"type=fc outputs={CLASSES} initW=0.1")
    text.add("sets", "labels,fc", "type=cost.msm", "coeff=1 setSize=2")
    net = make(text)
    net.forward(net.input_device.upload(pictures), None, train=False)
    energies = net.activations("fc").reshape(3, CLASSES).T
    assert_close(net.probabilities().T, multi_softmax.forward(energies, 2))

    text = NetText()
    text.weights("fc", "data", f"type=fc outputs={CLASSES} initW=0.1 neuron=logistic")
    text.add("difference", "labels,fc", "type=eltsum coeffs=1,-1")
    text.add("squares", "difference", "type=cost.sum2", "coeff=1")
    net = make(text)
    net.forward(net.input_device.upload(pictures), None, train=False)
    outputs = net.activations("fc_neuron").reshape(3, CLASSES)
    np.testing.assert_array_equal(net.probabilities(), outputs)
    with pytest.raises(ValueError, match="'difference' of type eltsum has no activations"):
        net.activations("difference")  # without labels


def test_targets_in_place_of_labels(rng):
    """Costs against targets take any numbers: here two classes share each picture."""
    text = NetText()
    text.weights("fc", "data", f"type=fc outputs={CLASSES} initW=0.1")
    text.add("probs", "fc", "type=softmax")
    text.add("cost", "labels,probs", "type=cost.crossent", "coeff=1")
    net = make(text)
    pictures, _ = batch(rng, PICTURE, 3, CLASSES)
    targets = rng.dirichlet(np.ones(CLASSES), 3).T.astype(np.float32)
    run(net, pictures, targets)
    expected = reference_of(net, pictures, targets)
    assert net.costs()["cost"].loss == pytest.approx(expected.losses["cost"][0], rel=1e-5)
    for name, parameter in net.parameters.items():
        assert_close(parameter.gradient, expected.gradients[name], 2e-5)


def test_a_logistic_unit_that_is_certain_and_wrong_still_learns(rng):
    """In two steps its gradient would be 0: y (1 - y) is 0 in float32."""
    text = NetText()
    text.weights("fc", "data", "type=fc outputs=2 initW=0 initB=40 neuron=logistic")
    text.add("cost", "labels,fc", "type=cost.crossent2", "coeff=1")
    net = make(text)
    pictures, _ = batch(rng, PICTURE, 3, 2)
    run(net, pictures, np.zeros(3, np.int32))
    np.testing.assert_allclose(net.parameters["fc.biases"].gradient.numpy(), [0, 1])


# ---- shared weights


def test_inverted_dropout_does_nothing_in_testing(rng):
    net = make(combinations())
    pictures, labels = batch(rng, PICTURE, 3, CLASSES)
    run(net, pictures, labels, train=False)
    np.testing.assert_array_equal(net.activations("drop"), net.activations("max"))


def test_shared_weights_are_one_parameter(rng):
    net = make(sharing())
    assert not {"c.weights0", "d.weights1", "f.weights0"} & net.parameters.keys()
    assert {"c.biases", "d.weights0", "f.biases"} <= net.parameters.keys()
    pictures, labels = batch(rng, PICTURE, 3, CLASSES)
    run(net, pictures, labels)
    before = net.parameters["b.weights0"].value.numpy()
    gradient = net.parameters["b.weights0"].gradient.numpy()
    net.update(0.0)
    moved = net.parameters["b.weights0"].value.numpy() - before
    assert_close(moved, -0.01 * gradient - 0.01 * 0.001 * before, 1e-4)  # once, not once a layer


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("weightSource=b\n", "weightSource=x\n"), r"\[c\] weightSource: there are no weights x\[0\]"),
        (
            ("weightSource=b\n", "weightSource=b[1]\n"),
            r"\[c\] weightSource: there are no weights b\[1\]",
        ),
        (
            ("weightSource=b\n", "weightSource=a\n"),
            r"\[c\] weightSource: a\[0\] has weights \(3, 3, 3, 4\)",
        ),
        (("weightSource=,d[0]", "weightSource=,d[1]"), r"'d\[1\]' is not among the inputs before"),
        (("weightSource=,d[0]", "weightSource=b"), "1 values, but the layer has 2 inputs"),
        (("weightSource=b\n", "weightSource=b\ngpu=1\n"), "give both the same gpu="),
    ],
)
def test_mistakes_in_weight_sources(change, message):
    text = sharing()
    assert change[0] in text.definition
    text.definition = text.definition.replace(*change)
    with pytest.raises(LayerFileError, match=message):
        make(text)


def test_shared_weights_learn_at_their_owner_s_rate():
    text = sharing()
    text.parameters = text.parameters.replace("[c]\nepsW=0.01", "[c]\nepsW=0.02")
    assert make(text).parameters["b.weights0"].rate.eps == 0.01
    text.parameters = text.parameters.replace("[c]\nepsW=0.02", "[c]\nepsW=0")
    with pytest.raises(LayerFileError, match=r"b\[0\] learns at rate 0.01, this layer at 0: let both"):
        make(text)


# ---- initial weights from elsewhere


@pytest.fixture
def functions(tmp_path, monkeypatch):
    monkeypatch.setattr(initializers, "_modules", {})
    path = tmp_path / "starts.py"
    path.write_text(
        "import numpy as np\n"
        "def ramp(name, index, shape, params):\n"
        "    values = np.arange(shape[0] * shape[1], dtype=np.float32) * float(params[0])\n"
        "    return values.reshape(shape)\n"
        "def level(name, shape, params):\n"
        "    return np.full(shape, len(name), np.float32)\n"
        "def swapped(name, index, sizes, params):\n"
        "    groups, channels, of_group = sizes\n"
        "    return [channels - 1 - i % channels for i in range(groups * of_group)]\n"
        "def wrong(name, index, shape, params):\n"
        "    return np.zeros((2, 2))\n"
        "def fails(name, index, shape, params):\n"
        "    return params[3]\n"
    )
    return path


def starting(function: str, bias: str = "") -> NetText:
    net = NetText()
    conv(net, "conv1", more=f"initWFunc={function}" + (f" initBFunc={bias}" if bias else ""))
    return ending(net, "conv1", f"initBFunc={bias}" if bias else "")


def test_functions_give_initial_weights(functions):
    initializers.load_module(functions)
    net = make(starting("starts.ramp(0.5)", "starts.level"))
    weights = net.parameters["conv1.weights0"].value.numpy()
    np.testing.assert_array_equal(weights.ravel(), np.arange(weights.size) * 0.5)
    np.testing.assert_array_equal(net.parameters["conv1.biases"].value.numpy(), np.full(4, 5))
    np.testing.assert_array_equal(net.parameters["fc.biases"].value.numpy(), np.full(CLASSES, 2))


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("starts.wrong()", r"must return a float32 array of shape \(27, 4\), not float64 \(2, 2\)"),
        ("starts.fails(1)", "IndexError"),
        ("starts.none()", "starts.py has no function none"),
        ("os.remove(x)", "--init-module os.py"),
        ("ramp", "is not of the form module.function"),
        ("checkpoint.load(x)", "write checkpoint.weights"),
    ],
)
def test_mistakes_in_functions(functions, function, message):
    initializers.load_module(functions)
    with pytest.raises(LayerFileError, match=rf"\[conv1\] initWFunc: .*{message}"):
        make(starting(function))


def test_nothing_runs_that_was_not_named(functions):
    with pytest.raises(
        LayerFileError, match="only called from files that you name: --init-module starts"
    ):
        make(starting("starts.ramp(1)"))
    net = make(starting("starts.ramp(1)"), initialise=False)  # a checkpoint will give the values
    assert not net.parameters["conv1.weights0"].value.numpy().any()


def random_groups(function: str = "") -> NetText:
    net = NetText()
    settings = "type=conv channels=3 filters=2 groups=3 filterSize=3 initW=0.2 randSparse=1"
    net.weights("conv1", "data", f"{settings} {function and 'initCFunc=' + function}")
    return ending(net, "conv1")


def seen(net: Network) -> list[int]:
    return net._constants["conv1"]["seen0"].numpy()[0].tolist()


def test_functions_give_connections(functions, tmp_path, rng):
    initializers.load_module(functions)
    net = make(random_groups("starts.swapped"))
    assert seen(net) == [2, 1, 0]
    pictures, labels = batch(rng, PICTURE, 3, CLASSES)
    run(net, pictures, labels)

    # They are part of the state: who loads it needs no function.
    initializers._modules.clear()
    other = make(random_groups("starts.swapped"), initialise=False, seed=7)
    other.load_state(net.state())
    run(other, pictures, labels)
    np.testing.assert_array_equal(net.probabilities(), other.probabilities())

    file = tmp_path / "old.safetensors"
    checkpoint.save(file, checkpoint.Checkpoint(net.state(), {"seed": 3}))
    assert seen(make(random_groups(f"checkpoint.connections({file})"))) == [2, 1, 0]
    plain = make(random_groups(), seed=5)  # whose connections follow from its seed
    checkpoint.save(file, checkpoint.Checkpoint(plain.state(), {"seed": 5}))
    assert seen(make(random_groups(f"checkpoint.connections({file},conv1)"), seed=8)) == seen(plain)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("starts.ramp(1)", "whole numbers"),
        ("starts.level", "TypeError"),
        ("checkpoint.weights(x)", "write checkpoint.connections"),
        ("starts.none", "no function none"),
    ],
)
def test_mistakes_in_functions_of_connections(functions, function, message):
    initializers.load_module(functions)
    with pytest.raises(LayerFileError, match=rf"\[conv1\] initCFunc: .*{message}"):
        make(random_groups(function))


def test_connections_are_permutations():
    connections.check(np.array([2, 0, 1, 1, 0, 2]), 2, 3, 3)
    with pytest.raises(ValueError, match="must return 6 channels"):
        connections.check(np.arange(3), 2, 3, 3)
    with pytest.raises(ValueError, match="must be a permutation"):
        connections.check(np.array([2, 0, 1, 1, 0, 1]), 2, 3, 3)


def test_weights_from_a_checkpoint(tmp_path):
    source = make(starting("checkpoint.weights(x)"), initialise=False)
    tensors = source.state()
    tensors["conv1.weights0"] = np.random.default_rng(1).normal(size=(3, 3, 3, 4)).astype(np.float32)
    file = tmp_path / "old.safetensors"
    checkpoint.save(file, checkpoint.Checkpoint(tensors, {}))
    for function in (f"checkpoint.weights({file})", f"checkpoint.weights({file},conv1)"):
        net = make(starting(function))
        np.testing.assert_array_equal(
            net.parameters["conv1.weights0"].value.numpy(), tensors["conv1.weights0"]
        )
    with pytest.raises(LayerFileError, match=r"has no conv9.weights0"):
        make(starting(f"checkpoint.weights({file},conv9)"))
    with pytest.raises(LayerFileError, match=r"that layer's weights0 are"):
        make(starting(f"checkpoint.weights({file},fc)"))


# ---- limits of the length of filters


def updated(text: NetText, rng, limits: str, layer: str = "conv1") -> np.ndarray:
    """The layer's weights (banks, rows, filters) after a step with these limits."""
    text.parameters = text.parameters.replace(f"[{layer}]\n", f"[{layer}]\n{limits}\n")
    net = make(text)
    run(net, *batch(rng, PICTURE, 3, CLASSES))
    net.update(0.0)
    weights = net.parameters[f"{layer}.weights0"].value.numpy()
    return weights.reshape(*weights.shape[:-4], -1, weights.shape[-1])


def test_filters_keep_their_length(rng):
    """wball is for each of a filter's 27 weights: in a local layer too, for each pixel's filters."""
    text = NetText()
    conv(text, "conv1")
    norms = np.linalg.norm(updated(ending(text, "conv1"), rng, "wball=0.03"), axis=0)
    assert np.all(norms < 27 * 0.03 + 1e-5) and np.any(norms > 27 * 0.03 - 1e-5)
    text = NetText()
    conv(text, "local1", more="type=local")
    norms = np.linalg.norm(updated(ending(text, "local1"), rng, "wball=0.03", "local1"), axis=1)
    assert norms.shape == (49, 4)
    assert np.all(norms < 27 * 0.03 + 1e-5) and np.any(norms > 27 * 0.03 - 1e-5)


def test_filters_keep_their_contrast(rng):
    """wcNorm limits sqrt(sum of (w - mean)^2) / weights, by scaling w, its mean with it."""
    text = NetText()
    conv(text, "conv1")
    before = make(ending(text, "conv1")).parameters["conv1.weights0"].value.numpy().reshape(27, 4)
    text.parameters = text.parameters.replace("epsW=0.01", "epsW=1e-9")
    weights = updated(text, rng, "wcNormMin=0.034\nwcNormMax=0.036")
    contrast = np.linalg.norm(weights - weights.mean(axis=0), axis=0) / 27
    assert np.all((contrast > 0.034 - 1e-6) & (contrast < 0.036 + 1e-6))
    assert_close(weights, limit_norms.forward(before, 27 * 0.034, 27 * 0.036, centred=True), 1e-4)


def test_costs_are_checked():
    for change, message in [
        ("type=cost.gsum2 inputs=fc1,conv1", "the gates, must have one output"),
        ("type=cost.crossent2 inputs=conv1,fc1", "'conv1' has 196 outputs, not 4"),
        ("type=cost.sum2 inputs=labels", "the last must be what the cost judges"),
    ]:
        text = NetText()
        conv(text, "conv1")
        text.weights("fc1", "conv1", "type=fc outputs=4")
        kind, inputs = change.split()
        text.add("cost", inputs.removeprefix("inputs="), kind, "coeff=1")
        with pytest.raises(LayerFileError, match=message):
            make(text)


def test_the_cost_that_training_reports_is_the_first_that_counts_errors():
    assert costs().spec().main_cost == "shared"
    assert combinations().spec().main_cost == "logprob"
    assert layer_file.load_packaged("alexnet").main_cost == "logprob"
