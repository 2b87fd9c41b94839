"""Which maps of a net are bfloat16 in precision bf16, and that nets train on them as they should."""

from __future__ import annotations

import re

import numpy as np
import pytest

from alexnet_raw import layer_file, storage
from alexnet_raw.device import BF16, Device
from alexnet_raw.network import Network
from tests import tiny_run

NETS = ("alexnet", "alexnet-1tower", "alexnet-2012", "alexnet-mini", "cifar10", "cifar10-lrn")


def layer(name: str, kind: str, inputs: str, **keys) -> str:
    lines = [f"[{name}]", f"type={kind}", f"inputs={inputs}"]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in keys.items()), ""])


HEAD = "[data]\ntype=data\ndataIdx=0\ncrop=8\n[labels]\ntype=data\ndataIdx=1\n"
TAIL = (
    layer("fc", "fc", "{}", outputs=3)
    + layer("probs", "softmax", "fc")
    + layer("logprob", "cost.logreg", "labels,probs")
)


def conv(name: str, inputs: str, channels: str, **keys) -> str:
    many = inputs.count(",") + 1
    sizes = {key: ",".join([value] * many) for key, value in (("filterSize", "3"), ("padding", "1"))}
    return layer(
        name, "conv", inputs, channels=channels, filters=",".join(["8"] * many), **sizes, **keys
    )


def parse(*layers: str, last: str, parameters: str = "") -> layer_file.NetSpec:
    definition = HEAD + "".join(layers) + TAIL.format(last)
    learning = [name for name in ("conv1", "conv2", "conv3", "fc") if f"[{name}]" in definition]
    rates = "".join(
        f"[{name}]\nepsW={commas}\nepsB=0.1\nmomW={halves}\nmomB=0.5\nwc={zeros}\n"
        for name in learning
        for many in [definition.split(f"[{name}]")[1].split("inputs=")[1].split("\n")[0].count(",") + 1]
        for commas, halves, zeros in [[",".join([v] * many) for v in ("0.1", "0.5", "0")]]
    )
    return layer_file.parse(definition, rates + "[logprob]\ncoeff=1\n" + parameters, "net")


def stored(spec: layer_file.NetSpec) -> set[str]:
    return {name for name, dtype in storage.dtypes(spec, "bf16").items() if dtype == BF16}


@pytest.mark.parametrize("name", NETS)
def test_other_precisions_store_float32(name):
    spec = layer_file.load_packaged(name)
    for precision in ("fp32", "tf32"):
        assert set(storage.dtypes(spec, precision).values()) == {np.dtype(np.float32)}


def test_all_of_alexnet_but_its_last_sums_is_bfloat16():
    spec = layer_file.load_packaged("alexnet")
    assert {layer.name for layer in spec} - stored(spec) == {"labels", "fc8", "probs", "logprob"}


def test_a_layer_that_knows_float32_only_binds_what_touches_it():
    """rnorm has float32, and so has the pool before it; the convs around multiply that."""
    parts = (
        conv("conv1", "data", "3", neuron="relu"),
        layer("pool1", "pool", "conv1", pool="max", channels=8, sizeX=2, stride=2),
        layer("rnorm1", "rnorm", "pool1", channels=8, size=3),
        conv("conv2", "rnorm1", "8"),
        conv("conv3", "conv2", "8"),
    )
    spec = parse(*parts, last="conv3", parameters="[rnorm1]\nscale=0.1\npow=0.75\n")
    assert stored(spec) == {"data"}  # conv2 multiplies float32, and conv3 what it puts out
    assert spec["conv3"].takes_bf16


def test_inputs_of_one_layer_have_one_dtype():
    parts = (
        conv("conv1", "data", "3"),
        layer("rnorm1", "rnorm", "conv1", channels=8, size=3),
        conv("conv2", "data", "3"),
        conv("conv3", "rnorm1,conv2", "8,8"),
    )
    spec = parse(*parts, last="conv3", parameters="[rnorm1]\nscale=0.1\npow=0.75\n")
    assert stored(spec) == {"data"}


def test_halved_exchanges_random_channels_and_pixelwise_pictures_stay_float32():
    spec = parse(conv("conv1", "data", "3"), last="conv1", parameters="[fc]\nquantF=half\n")
    assert stored(spec) == {"data", "conv1"}
    random = {"groups": 2, "randSparse": 1, "filterChannels": 4}
    parts = conv("conv1", "data", "3"), conv("conv2", "conv1", "8", **random)
    assert stored(parse(*parts, last="conv2")) == {"data"}
    parts = layer("neuron1", "neuron", "data", neuron="abs"), conv("conv1", "neuron1", "3")
    assert stored(parse(*parts, last="conv1")) == set()


def test_sums_may_mix():
    parts = (
        conv("conv1", "data", "3"),
        layer("rnorm1", "rnorm", "conv1", channels=8, size=3),
        conv("conv2", "data", "3"),
        layer("sum", "eltsum", "rnorm1,conv2", coeffs="1,1"),
        conv("conv3", "sum", "8"),
    )
    spec = parse(*parts, last="conv3", parameters="[rnorm1]\nscale=0.1\npow=0.75\n")
    assert stored(spec) == {"data", "conv2", "sum", "conv3"}


# ---- nets at work


@pytest.fixture
def bf16(monkeypatch):
    """Makes CPU devices that multiply and store as tensor cores do in precision bf16."""

    def devices(names: str) -> list[Device]:
        made = [Device(name, i) for i, name in enumerate(names.split(","))]
        for device in made:
            device.precision = "bf16"
        return made

    return devices


def tiny() -> layer_file.NetSpec:
    """That of tiny_run, with a normalisation in place of its local layer."""
    norm = layer("norm1a", "cmrnorm", "conv1a", channels=4, size=3)
    definition = re.sub(r"\[local2b\].*?\n\n", "", tiny_run.DEFINITION, flags=re.DOTALL)
    definition = definition.replace("local2b", "pool1b").replace("[pool1a]", f"{norm}\n[pool1a]")
    definition = definition.replace("pool=max\ninputs=conv1a", "pool=max\ninputs=norm1a")
    parameters = re.sub(r"\[local2b\]\n(\w+=.*\n)*", "", tiny_run.parameters())
    return layer_file.parse(definition, parameters + "[norm1a]\nscale=0.5\npow=0.75\n", "tiny")


def batch(device: Device, images: int = 12) -> tuple:
    rng = np.random.default_rng(5)
    pictures = rng.standard_normal((3, 12, 12, images), np.float32)
    return device.upload(pictures), device.upload(rng.integers(0, 3, images, np.int32))


def train(devices: list[Device], steps: int = 3, **settings) -> Network:
    net = Network(tiny(), devices, 12, seed=1, input_shape=(3, 12, 12), **settings)
    for step in range(steps):
        net.train_step(*batch(net.input_device), step, step / steps)
    return net


def test_maps_and_gradients_have_the_dtype_that_was_decided(bf16):
    net = train(bf16("cpu"))
    decided = storage.dtypes(net.spec, "bf16")
    assert decided["conv1a"] == BF16
    for site in net._now.sites:
        assert site.out.dtype == decided[site.layer.name]
        if site.dout is not None:
            assert site.dout.dtype == decided[site.layer.name]
    assert net.activations("conv1a").dtype == np.float32
    np.testing.assert_array_equal(net.activations("conv1a"), net.activations("conv1a").astype(BF16))
    for parameter in net.parameters.values():
        assert parameter.value.dtype == parameter.gradient.dtype == np.float32
        if parameter.rounded is not None:
            np.testing.assert_array_equal(
                parameter.rounded.numpy(), parameter.value.numpy().astype(BF16)
            )


def test_towers_may_share_a_device_or_not(bf16):
    """Bit for bit: gradients that come from another tower are rounded as those that stay."""
    one, two = train(bf16("cpu")), train(bf16("cpu,cpu"))
    for name, array in one.state().items():
        np.testing.assert_array_equal(array, two.state()[name], err_msg=name)


def test_a_loaded_state_is_rounded_too(bf16):
    trained = train(bf16("cpu"))
    fresh = Network(tiny(), bf16("cpu"), 12, input_shape=(3, 12, 12), initialise=False)
    fresh.load_state(trained.state())
    for net in (trained, fresh):
        net.forward(*batch(net.input_device), train=False)
    np.testing.assert_array_equal(trained.probabilities(), fresh.probabilities())


def test_gradients_of_pictures_are_float32(bf16):
    net = train(bf16("cpu"), input_gradient=True)
    assert net.input_gradient().dtype == np.float32 and net.input_gradient().any()


def test_it_learns_as_in_float32(bf16):
    """Losses of 40 steps on one batch, step by step."""

    def losses(devices: list[Device]) -> np.ndarray:
        net = Network(tiny(), devices, 12, seed=1, input_shape=(3, 12, 12))
        found = []
        for step in range(40):
            net.train_step(*batch(net.input_device), step, 0.0)
            found.append(net.costs()["logprob"].loss)
        return np.array(found)

    rounded, exact = losses(bf16("cpu")), losses([Device("cpu")])
    assert exact[-1] < 0.95 * exact[0]
    np.testing.assert_allclose(rounded, exact, rtol=0.05, atol=0.02)


def test_devices_must_agree(bf16):
    with pytest.raises(ValueError, match=r"devices differ in precision, \['bf16', 'fp32'\]"):
        Network(tiny(), [*bf16("cpu"), Device("cpu", 1)], 12, input_shape=(3, 12, 12))
