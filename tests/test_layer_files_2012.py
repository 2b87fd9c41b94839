"""Files as the authors of 2012 wrote them: many features in one net, and the marks of years of editing.

The text is ours; the habits are those of the files that their release has.
"""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import check_grads, layer_file, show
from alexnet_raw.device import parse_devices
from alexnet_raw.layer_file import LayerFileError
from alexnet_raw.network import Network

SHAPE, CLASSES = (3, 33, 33), 6


def section(name: str, settings: str) -> str:
    return f"[{name}]\n" + "\n".join(settings.split()) + "\n\n"


def rates(name: str, inputs: int = 1, more: str = "") -> str:
    def each(value: str) -> str:
        return ",".join([value] * inputs)

    return section(
        name,
        f"epsW={each('0.01')} epsB=0.02 momW={each('0.9')} momB=0.9 wc={each('0.0005')} "
        f"wball={each('0.00')} {more}",
    )


def four_towers() -> tuple[str, str]:
    """Blur and bed of nails beside four towers, groups of random channels in some inputs only, contrast
    and response norms, a layer that is wired to three of the towers, halved exchanges, two costs."""
    d = "# four gpus\n\n" + section("data", "type=data dataIdx=0")
    d += section("labels", "type=data dataIdx=1")
    d += section("blur0", "type=blur inputs=data stdev=4 filterSize=9 channels=3 gpu=0")
    d += section("nails0", "type=nailbed inputs=blur0 stride=4 channels=3") + "# GPU 0\n\n"
    p = ""
    for gpu, t in enumerate("abcd"):
        d += section(
            f"conv1{t}",
            "type=conv inputs=data channels=3 filters=8 padding=0 stride=4 filterSize=9 initW=0.01 "
            f"partialSum=5 sharedBiases=1 gpu={gpu}",
        )
        d += section(f"rnorm1{t}", f"type=cmrnorm inputs=conv1{t} channels=8 size=5")
        d += section(
            f"pool1{t}",
            f"type=pool pool=max inputs=rnorm1{t} sizeX=3 stride=2 channels=8 neuron=relu",
        )
        d += section(
            f"conv2{t}",
            f"type=conv inputs=nails0,pool1{t} filters=12,6 padding=0,1 stride=2,1 filterSize=5,3 "
            "channels=3,8 groups=1,2 randSparse=0,1 initW=0.01,0.01 initB=1 partialSum=3 "
            f"sharedBiases=1 neuron=relu gpu={gpu}",
        )
        d += section(
            f"cnorm2{t}", f"type={'cnorm' if t < 'c' else 'rnorm'} inputs=conv2{t} channels=12 size=3"
        )
        d += section(f"pool2{t}", f"type=pool pool=max inputs=cnorm2{t} sizeX=2 stride=1 channels=12")
        p += rates(f"conv1{t}", more="schedW=dexp[tgtFactor=250,noiseStdev=0,numSteps=4]")
        p += rates(f"conv2{t}", 2)
        p += section(f"rnorm1{t}", "scale=0.0001 pow=0.75 minDiv=2")
        p += section(f"cnorm2{t}", "scale=0.001 pow=0.75")
    for gpu, (t, others) in enumerate(zip("abcd", ("abc", "abd", "cda", "cdb"), strict=True)):
        pools = ",".join(f"pool2{o}" for o in others)
        d += section(
            f"conv3{t}",
            f"type=conv inputs={pools} filters=8,8,8 padding=1,1,1 stride=1,1,1 filterSize=3,3,3 "
            f"channels=12,12,12 initW=0.03,0.03,0.03 partialSum=13 neuron=relu gpu={gpu}",
        )
        p += rates(f"conv3{t}", 3)
    hidden = ",".join(f"conv3{t}" for t in "abcd")
    for gpu, t in enumerate("abcd"):
        d += section(
            f"fc16-1{t}",
            f"type=fc inputs={hidden} outputs=16 initW=0.01,0.01,0.01,0.01 initB=1 neuron=relu "
            f"gpu={gpu}",
        )
        d += section(f"hs1{t}", f"type=hs keep=0.5 inputs=fc16-1{t}")
        p += rates(f"fc16-1{t}", 4) + section(f"hs1{t}", "enable=true")
    d += section("concat", "type=concat inputs=hs1a,hs1b,hs1c,hs1d gpu=0")
    d += section("fc6", f"type=fc inputs=concat outputs={CLASSES} initW=0.01 gpu=3")
    d += section("probs", "type=softmax inputs=fc6")
    d += section("logprob", "type=cost.logreg inputs=labels,probs gpu=3")
    d += section("fc2", "type=fc inputs=concat outputs=16 initW=0.01 neuron=tanh[1.7159,0.6667]")
    d += section("weight", "type=cost.sum2 inputs=fc2")
    p += rates("fc6") + rates("fc2") + section("logprob", "coeff=1 topk=5")
    p += section("weight", "coeff=0.001")
    p += "".join(section(f"pool2{t}", "quantF=half quantB=half") for t in "abcd")
    p += "".join(section(f"hs1{t}", "quantF=half quantB=half") for t in "abcd")  # a second time
    p += "\n# like #116\n# epoch 14: set epsw to 0.001 from 0.01; minDiv=2\n#\tlogprob:  1.75, 0.4\n"
    return d, p


def messy(text: str) -> str:
    """The same as Windows, a hurried hand and old habits would leave it."""
    text = text.replace("filterSize=", "FILTERSIZE = ").replace("inputs=", "Inputs\t=\t")
    text = text.replace("epsB=", "epsb : ").replace("stride=2,1", "stride= 2 , 1,")
    text = text.replace("momB=0.9\n", "momB=0.9   ; as ever\n# momB=0\n\n")
    text = text.replace("sharedBiases=1", "sharedBiases=true \t# one for all").replace("\n\n", "\n\n\n")
    return "\ufeff" + text.replace("\n", "\r\n")


def step(net: Network, steps: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    pictures = net.input_device.upload(rng.normal(0, 60, (*SHAPE, 4)).astype(np.float32))
    labels = net.input_device.upload(rng.integers(0, CLASSES, 4, np.int32))
    for i in range(steps):
        net.forward(pictures, labels, train=True, step=i)
        net.backward()
        net.update(i / steps)
    return net.state()


def parse(definition: str, parameters: str) -> layer_file.NetSpec:
    return layer_file.parse(definition, parameters, "old")


def test_a_net_for_four_gpus_trains_alike_on_any_number():
    states = []
    for devices in ("cpu", "cpu,cpu", "cpu,cpu,cpu,cpu"):
        net = Network(parse(*four_towers()), parse_devices(devices), 4, input_shape=SHAPE)
        states.append(step(net))
    for name, array in states[0].items():
        for other in states[1:]:
            assert array.tobytes() == other[name].tobytes(), name
    assert all(np.isfinite(array).all() for array in states[0].values())


def test_halved_exchanges_are_seen_in_the_weights():
    definition, parameters = four_towers()
    states = [
        step(Network(parse(definition, text), parse_devices("cpu"), 4, input_shape=SHAPE))
        for text in (parameters, parameters.replace("half", "default"))
    ]
    moved = states[0]["conv3a.weights2"] - states[1]["conv3a.weights2"]
    assert 0 < np.abs(moved).max() < 0.05 * np.abs(states[1]["conv3a.weights2"]).max()


def test_its_notes_and_table():
    spec = parse(*four_towers())
    [note] = spec.notes
    assert "[hs1a]" in note and "a second section of this name adds to the first" in note
    table = show.table(spec, 4, ["cpu", "cpu"], SHAPE)
    assert "of 4 random channels" in table and "1 cpu" in table


def test_its_gradients():
    definition, parameters = four_towers()
    spec = parse(definition, parameters.replace("half", "default"))
    report = check_grads.check(spec, parse_devices("cpu"), 16, 1, SHAPE, probes=2)
    assert report.passed, str(report)


@pytest.mark.parametrize("which", [0, 1])
def test_what_a_hurried_hand_leaves_means_the_same(which):
    texts = list(four_towers())
    plain = parse(*texts)
    texts[which] = messy(texts[which])
    again = parse(*texts)
    for layer, other in zip(plain, again, strict=True):
        assert layer.describe() == other.describe() and layer.inputs == other.inputs
        assert getattr(layer, "weight_rates", None) == getattr(other, "weight_rates", None)
        assert getattr(layer, "bias_rate", None) == getattr(other, "bias_rate", None)
    assert plain.shapes(SHAPE) == again.shapes(SHAPE)


def test_layers_that_nobody_reads_are_noted():
    definition, parameters = four_towers()
    spec = parse(definition.replace("inputs=conv3a,conv3b", "inputs=conv3b,conv3b"), parameters)
    assert spec.notes[1:] == ("old.layers.cfg [conv3a]: no layer reads it",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("channels=3,8", "channels=3,9", r"\[conv2a\] .*9 channels"),
        ("filters=12,6", "filters=12,5", r"\[conv2a\] filters: times groups is \[12, 10\]"),
        ("inputs=conv1a", "inputs=conv1", r"\[rnorm1a\] inputs: there is no layer 'conv1'"),
        ("randSparse=0,1", "randSparse=1,1", r"\[conv2a\] randSparse: needs several groups"),
        ("type=hs", "type=hidden", r"\[hs1a\] type: 'hidden' is not supported"),
        ("[fc6]\n", "[fc6]\noutputs\n", "is not of the form key=value"),
        ("inputs=pool2a,pool2b,pool2c", "inputs=pool2a,pool2b,pool1c", r"\[conv3a\] .*channels"),
    ],
)
def test_mistakes_are_found(old, new, message):
    definition, parameters = four_towers()
    assert old in definition
    with pytest.raises(LayerFileError, match=message):
        parse(definition.replace(old, new, 1), parameters).shapes(SHAPE)
