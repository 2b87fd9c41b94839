"""Layer files: what they mean, and that every mistake is named with its place and its remedy."""

from __future__ import annotations

import re

import pytest

from alexnet_raw import layer_file
from alexnet_raw.layer_file import LayerFileError
from alexnet_raw.neuron import IDENT, RELU, Neuron
from alexnet_raw.schedule import Schedule

TANH = Neuron("tanh", 1.7159, 0.6667)

DEFINITION = """
# a comment
[data]
type=data
dataIdx=0
crop=16

[labels]
type=data
dataIdx=1

[conv1]
type=conv
inputs=data
channels=3       # of the pictures
filters=8
filterSize=5
padding=2
stride=2
initW=0.05
neuron=relu
partialSum=4
sharedBiases=1
gpu=1

[pool1]
type=pool
pool=max
inputs=conv1
channels=8
sizeX=3
stride=2
start=0
outputsX=0
neuron=tanh[1.7159,0.6667]

[norm1]
type=cmrnorm
inputs=pool1
channels=8
size=5

[conv2]
type=conv
inputs=norm1,pool1
channels=8,8
filters=4
groups=2,2
filterSize=3,1
padding=1,0
initW=0.1,0.2
initB=1
randSparse=0,1
filterChannels=4,8
sharedBiases=0

[local3]
type=local
inputs=conv2
channels=8
filters=3
groups=2
filterSize=3
stride=2
padding=1

[drop]
type=hs
keep=0.25
inputs=local3

[fc]
type=fc
outputs=10
inputs=drop

[probs]
type=softmax
inputs=fc

[logprob]
type=cost.logreg
inputs=labels,probs
"""
PARAMETERS = """
[conv1]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.8
wc=0.004
schedW=dexp[tgtFactor=250,noiseStdev=0,numSteps=4]
[norm1]
scale=0.0001
pow=0.75
[conv2]
epsW=0.1,0.2
epsB=0.002
momW=0.9,0.5
momB=0.9
[local3]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
[fc]
epsW=0.001
epsB=0.002
momW=0.9
momB=0.9
[logprob]
coeff=1
topk=5
"""


def parse(definition: str = DEFINITION, parameters: str = PARAMETERS) -> layer_file.NetSpec:
    return layer_file.parse(definition, parameters, "net")


def test_every_key_is_read():
    spec = parse()
    assert [layer.name for layer in spec] == (
        ["data", "labels", "conv1", "pool1", "pool1_neuron", "norm1", "conv2", "local3", "drop", "fc"]
        + ["probs", "logprob"]
    ), "a pooling layer leaves tanh to a layer of its own"
    assert spec["norm1"].inputs == ["pool1_neuron"]
    conv1, conv2 = spec["conv1"], spec["conv2"]
    assert (conv1.sizes, conv1.strides, conv1.paddings, conv1.groups) == ([5], [2], [2], [1])
    assert (conv1.neuron, conv2.neuron) == (RELU, IDENT)
    assert conv2.filters == 8, "filters are per group"
    assert (conv2.sizes, conv2.paddings, conv2.strides) == ([3, 1], [1, 0], [1, 1])
    assert (conv2.random, conv2.filter_channels) == ([False, True], [4, 8])
    assert conv1.shares_biases and not conv2.shares_biases
    assert spec["local3"].filter_channels == [4]
    assert (spec["pool1"].neuron, spec["pool1_neuron"].neuron) == (IDENT, TANH)
    assert spec["norm1"].settings == {
        "size": 5,
        "scale": 1e-4,
        "power": 0.75,
        "min_div": 1.0,
        "blocked": False,
    }
    assert spec["drop"].keep == 0.25
    assert (spec["logprob"].coeff, spec["logprob"].topk) == (1.0, 5)


def test_what_cuda_convnet_would_ignore_is_noted():
    """Its parser looked up the keys it wanted; files of its time have others, and leftover sections."""
    definition = DEFINITION.replace("[pool1]\n", "[pool1]\ncrossMap=1\n")
    spec = parse(definition, PARAMETERS + "[fc9]\nepsW=1\n")
    assert spec.notes == (
        "net.layers.cfg [pool1] crossmap: unknown key, ignored",
        "net.params.cfg [fc9] is ignored: net.layers.cfg has no such layer",
    )


def test_empty_values_are_none():
    definition = DEFINITION.replace("[conv1]\n", "[conv1]\ninitWFunc=\ninitBFunc =\n")
    definition = definition.replace("neuron=relu\npartialSum", "neuron=\npartialSum")
    layer = parse(definition)["conv1"]
    assert layer.neuron == IDENT and layer.weight_function == layer.bias_function == ""


def test_rates_as_cuda_convnet2_writes_them():
    rate = "dexp[base=0.02;tgtFactor=10;numSteps=3]"
    text = PARAMETERS.replace("epsW=0.001\nepsB=0.002", f"epsW={rate}\nepsB=const[base=0.5]", 1)
    text = text.replace("[conv1]\n", "[conv1]\nupdatePeriod=1\n")
    layer = parse(DEFINITION, text)["conv1"]
    weights, bias = layer.weight_rates[0], layer.bias_rate
    assert (weights.eps, str(weights.schedule)) == (0.02, "dexp[tgtFactor=10,numSteps=3]")
    assert (bias.eps, str(bias.schedule)) == (0.5, "default")
    for wrong, message in [
        ("dexp[tgtFactor=10;numSteps=3]", r"write dexp\[base="),
        (f"{rate},{rate}", "give one schedule for each"),
        ("ladder[base=1;tgtFactor=2]", "unknown schedule"),
    ]:
        with pytest.raises(LayerFileError, match=rf"\[conv1\] epsW: .*{message}"):
            parse(DEFINITION, text.replace(rate, wrong))
    with pytest.raises(LayerFileError, match=r"updatePeriod: '3' is not supported"):
        parse(DEFINITION, text.replace("updatePeriod=1", "updatePeriod=3"))


def test_what_has_no_effect_here_is_noted():
    parameters = PARAMETERS.replace("[fc]\n", "[fc]\nsuperEps=0.1\nsuperMom=0\n")
    assert parse(DEFINITION.replace("[conv2]\n", "[conv2]\ngpu=1,0\n"), parameters).notes == (
        "net.layers.cfg [conv2] gpu: replicas on several gpus share their weights and split the batch: "
        "run as one, on 1",
        "net.params.cfg [fc] superEps: of an update rule that cuda-convnet never finished: without "
        "effect",
    )


def test_half_precision_of_exchanges():
    """In the section of any layer; a neuron that becomes a layer takes its layer's."""
    definition = DEFINITION.replace("neuron=relu\npartialSum", "neuron=abs\npartialSum")
    parameters = PARAMETERS.replace("[conv1]\n", "[conv1]\nquantB=Half\n")
    spec = parse(definition, parameters + "[pool1]\nquantF=half\nquantB=default\n")
    assert spec["conv1_neuron"].half_backward and not spec["conv1_neuron"].half_forward
    assert spec["pool1"].half_forward and not spec["pool1"].half_backward
    with pytest.raises(LayerFileError, match=r"\[pool1\] quantF: 'quarter' is not one of default"):
        parse(definition, parameters + "[pool1]\nquantF=quarter\n")


def test_parameters_have_shapes_starts_and_rates():
    spec = parse()
    shapes = spec.shapes()
    weights, biases = spec["conv1"].parameters([shapes["data"]])
    assert (weights.name, weights.shape, weights.stdev) == ("weights0", (3, 5, 5, 8), 0.05)
    assert (weights.rate.eps, weights.rate.momentum, weights.rate.decay) == (0.001, 0.9, 0.004)
    assert weights.rate.schedule == Schedule("dexp", 250, 4)
    assert (biases.shape, biases.rate.eps, biases.rate.momentum) == ((8,), 0.002, 0.8)
    assert (biases.rate.decay, biases.rate.schedule) == (0, Schedule())
    first, second, biases = spec["conv2"].parameters([shapes["norm1"], shapes["pool1"]])
    assert (first.shape, second.shape) == ((4, 3, 3, 8), (8, 1, 1, 8))
    assert biases.shape == (8, 4, 4), "one for each pixel"
    assert (first.stdev, second.stdev, biases.constant) == (0.1, 0.2, 1)
    assert (first.rate.eps, second.rate.momentum) == (0.1, 0.5)
    weights, biases = spec["local3"].parameters([shapes["conv2"]])
    assert weights.shape == (3 * 3, 4, 3, 3, 6) and biases.shape == (6, 3, 3)
    (weights, _) = spec["fc"].parameters([shapes["drop"]])
    assert weights.shape == (6 * 3 * 3, 10)


def test_shapes_and_places():
    spec = parse()
    shapes = spec.shapes()
    assert shapes["conv1"] == (8, 9, 9) and shapes["pool1"] == (8, 4, 4)
    assert shapes["conv2"] == (8, 4, 4) and shapes["probs"] == (10, 1, 1)
    assert spec.shapes((3, 20, 16))["conv1"] == (8, 11, 9)
    places = spec.places()
    assert places["data"] == 0 and places["conv1"] == places["fc"] == places["logprob"] == 1


def test_initial_weights_depend_on_seed_and_name_only():
    weights, biases = parse()["conv1"].parameters([(3, 16, 16)])
    again = parse()["conv1"].parameters([(3, 16, 16)])[0]
    first = weights.initial(7, "conv1")
    assert (first == again.initial(7, "conv1")).all()
    assert (first != weights.initial(8, "conv1")).any()
    assert (first != weights.initial(7, "conv2")).any()
    assert first.std() == pytest.approx(0.05, rel=0.2) and first.dtype == "float32"
    assert (biases.initial(7, "conv1") == 0).all()


def test_keys_in_any_case_and_inline_comments():
    text = DEFINITION.replace("filterSize=5", "FILTERSIZE = 5 ; as cuda-convnet")
    assert parse(text)["conv1"].sizes == [5]


def test_pool_outputs_can_be_given():
    shapes = parse(DEFINITION.replace("outputsX=0", "outputsX=3")).shapes()
    assert shapes["pool1"] == (8, 3, 3)


def test_random_pooling_leaves_its_neuron_to_a_layer():
    spec = parse(DEFINITION.replace("pool=max", "pool=rand").replace("tanh[1.7159,0.6667]", "relu"))
    assert (spec["pool1"].neuron, spec["pool1_neuron"].neuron) == (IDENT, RELU)
    spec = parse(DEFINITION.replace("pool=max", "pool=maxabs").replace("tanh[1.7159,0.6667]", "relu"))
    assert (spec["pool1"].kind, spec["pool1"].neuron) == ("maxabs", RELU)


def test_normalisation_can_be_blocked():
    assert parse(DEFINITION.replace("size=5", "size=5\nblocked=1"))["norm1"].settings["blocked"]


# A layer that reads a 16x16 picture -> its output, and what `show` says of it.
PIXEL_LAYERS = [
    ("type=blur filterSize=5 stdev=1.5", (3, 16, 16), "5x5, stdev 1.5"),
    ("type=nailbed stride=3", (3, 6, 6), "stride 3"),
    ("type=nailbed stride=20", (3, 1, 1), "stride 20"),
    ("type=href", (3, 16, 16), ""),
    ("type=resize scale=1.5", (3, 10, 10), "1/1.5"),
    ("type=resize scale=0.5", (3, 32, 32), "1/0.5"),
    ("type=rscale maxScale=1.5 tgtSize=10", (3, 10, 10), "10x10 of 1 to 1/1.5"),
    ("type=crop startX=3 sizeX=13", (3, 13, 13), "13x13 from (3, 3)"),
    ("type=crop startX=3 startY=0 sizeX=5", (3, 5, 5), "5x5 from (0, 3)"),
    ("type=rgb2yuv", (3, 16, 16), ""),
    ("type=rgb2lab center=1", (3, 16, 16), "centred"),
    ("type=cnorm size=5", (3, 16, 16), "over 5x5 pixels"),
]
# settings -> the error
PIXEL_LAYER_ERRORS = [
    ("type=blur filterSize=4 stdev=1", r"\[pixels\] filterSize: '4' is not one of 3, 5, 7, 9"),
    ("type=blur filterSize=3 stdev=0", r"\[pixels\] stdev: is 0.0, but must be above 0"),
    ("type=blur filterSize=3 stdev=nan", r"\[pixels\] stdev: 'nan' is not a number"),
    ("type=blur filterSize=3", r"\[pixels\] stdev: missing: add stdev="),
    ("type=nailbed stride=0", r"\[pixels\] stride: is 0, but must be at least 1"),
    ("type=resize scale=2.5", r"\[pixels\] scale: is 2.5, but must be between 0.5 and 2"),
    ("type=resize scale=nan", r"\[pixels\] scale: 'nan' is not a number"),
    ("type=rscale maxScale=3 tgtSize=9", r"\[pixels\] maxScale: is 3, but must be between 1 and 2"),
    ("type=rscale maxScale=2 tgtSize=7", r"\[pixels\] tgtSize: is 7, but must be between 8 and 16"),
    ("type=rscale maxScale=2 tgtSize=17", r"\[pixels\] tgtSize: is 17, but must be between 8 and 16"),
    ("type=crop startX=3 sizeX=14", r"\[pixels\] startY: 3 and 14 more are outside the 16 of 'data'"),
    ("type=crop startX=-1 sizeX=4", r"\[pixels\] startX: is -1, but must be at least 0"),
    ("type=pool pool=rand sizeX=4096 stride=1", r"\[pixels\] sizeX: is 4096, but at most 4095 with"),
    ("type=rgb2lab center=2", r"\[pixels\] center: '2' is not 0 or 1"),
]


def parse_pixels(settings: str, channels: str = "channels=3", inputs: str = "data"):
    """The spec and shapes of DEFINITION, with a layer of these settings read by nobody."""
    known = "" if "rgb2" in settings else channels
    section = "\n".join(["[pixels]", f"inputs={inputs}", known, *settings.split()])
    norm = "[pixels]\nscale=1\npow=0.75\n" if "cnorm" in settings else ""
    spec = parse(f"{DEFINITION}\n{section}\n", PARAMETERS + norm)
    return spec, spec.shapes()


@pytest.mark.parametrize(("settings", "shape", "description"), PIXEL_LAYERS)
def test_pixel_layers(settings, shape, description):
    spec, shapes = parse_pixels(settings)
    assert shapes["pixels"] == shape
    assert spec["pixels"].describe() == description


@pytest.mark.parametrize(("settings", "message"), PIXEL_LAYER_ERRORS)
def test_mistakes_in_pixel_layers(settings, message):
    with pytest.raises(LayerFileError, match=message):
        parse_pixels(settings)


@pytest.mark.parametrize("settings", [settings for settings, *_ in PIXEL_LAYERS])
def test_pixel_layers_check_their_channels(settings):
    spec, _ = parse_pixels(settings)
    message = "not red, green and blue" if "rgb2" in settings else "channels: is 3, but 'data' has 4"
    with pytest.raises(LayerFileError, match=message):
        spec["pixels"].output_shape([(4, 16, 16)])
    with pytest.raises(LayerFileError, match=r"'data' are labels, which .* cannot read"):
        spec["pixels"].output_shape([()])


@pytest.mark.parametrize("kind", ["resize scale=1.5", "rscale maxScale=2 tgtSize=9", "rgb2yuv"])
def test_nothing_learns_before_a_layer_without_a_gradient(kind):
    message = rf"\[pixels\] inputs: no gradient passes through {kind.split()[0]}, so that 'conv1' would"
    for inputs in ("conv1", "pool1"):
        with pytest.raises(LayerFileError, match=message):
            parse_pixels(f"type={kind}", "channels=8", inputs)


def test_the_first_layer_tells_the_channels():
    text = "[data]\ntype=data\ndataIdx=0\ncrop=16\n[colours]\ninputs=data\n"
    assert parse(text + "type=rgb2yuv\n", "").channels == 3
    assert parse(text + "type=blur\nchannels=1\nfilterSize=3\nstdev=1\n", "").channels == 1
    assert parse(text + "type=neuron\nneuron=relu\n", "").channels is None


def test_nailbed_wants_equal_starts():
    spec, _ = parse_pixels("type=nailbed stride=4")
    with pytest.raises(LayerFileError, match=r"\[pixels\] stride: 'data' has 16x13 pixels: make it sq"):
        spec["pixels"].output_shape([(3, 16, 13)])


def test_what_is_given_twice_is_as_in_cuda_convnet():
    """Sections of one name are one, and of a key the last counts (some of the 2012 files need it)."""
    parameters = PARAMETERS + "[pool1]\nquantF=half\n[drop]\nenable=0\n[pool1]\nquantB=half\n"
    spec = parse(DEFINITION.replace("filters=8\n", "filters=9\nfilters=8\n", 1), parameters)
    assert spec["conv1"].filters == 8
    assert spec["pool1"].half_forward and spec["pool1"].half_backward
    twice, again = spec.notes
    assert twice.startswith("net.layers.cfg [conv1] line ") and "filters is given twice" in twice
    assert again.startswith("net.params.cfg [pool1] line ") and "adds to the first" in again


# Each case: what to replace in the definition, by what, and what the error must say.
DEFINITION_ERRORS = [
    ("channels=8\nsize=5", "channels=8\nsize=33", r"\[norm1\] size: is 33, but at most 32 channels"),
    ("neuron=relu", "neurn=relu", r"net.layers.cfg \[conv1\] neurn: unknown key; did you mean neuron"),
    ("filters=8", "", r"\[conv1\] filters: missing: add filters="),
    ("filters=8", "filters=eight", r"\[conv1\] filters: 'eight' is not a whole number"),
    ("filters=8", "filters=0", r"\[conv1\] filters: is 0, but must be at least 1"),
    ("stride=2\ninitW", "stride=0\ninitW", r"\[conv1\] stride: is 0, but must be at least 1"),
    ("channels=8\nsizeX", "channels=3\nsizeX", r"\[pool1\] channels: is 3, but 'conv1' has 8 channels"),
    ("inputs=conv1", "inputs=conv7", r"\[pool1\] inputs: there is no layer 'conv7'; known: data"),
    ("inputs=conv1", "inputs=norm1", r"\[pool1\] inputs: 'norm1' comes later"),
    ("inputs=conv1", "inputs=conv1,data", r"\[pool1\] inputs: pool takes 1 input, not 2"),
    ("filterSize=3,1", "filterSize=3", r"\[conv2\] filterSize: 1 values, but the layer has 2 inputs"),
    ("padding=1,0", "padding=0,0", r"\[conv2\] inputs: inputs give outputs of different sizes"),
    ("groups=2,2", "groups=3,3", r"\[conv2\] groups: 8 channels cannot be cut in 3 groups"),
    ("groups=2,2", "groups=2,1", r"\[conv2\] filters: times groups is \[\d+, \d+\], but must be the s"),
    ("pool=max", "pool=max\ngpu=0,x", r"\[pool1\] gpu: '0,x' is not a comma list of whole numbers"),
    ("type=pool", "type=pol", r"\[pool1\] type: 'pol' is not supported; supported: .*conv, "),
    ("type=pool\n", "", r"\[pool1\] type: missing: add type="),
    ("pool=max", "pool=min", r"\[pool1\] pool: 'min' is not one of max, maxabs, avg, rand"),
    ("start=0", "start=-3", r"\[pool1\] start: the first window, 3 wide, misses the picture"),
    ("start=0", "start=9", r"\[pool1\] start: is outside the 9 pixels of 'conv1'"),
    ("outputsX=0", "outputsX=6", r"\[pool1\] outputsX: window 6 would start outside, at 10"),
    ("neuron=relu", "neuron=gelu", r"\[conv1\] neuron: unknown neuron 'gelu': known are ident, relu"),
    ("neuron=tanh[1.7159,0.6667]", "neuron=tanh[2]", r"\[pool1\] neuron: .*write tanh\[a,b\]"),
    ("sharedBiases=1", "sharedBiases=2", r"\[conv1\] sharedBiases: '2' is not 0 or 1"),
    ("filters=3", "filters=3\nsharedBiases=1", r"\[local3\] sharedBiases: '1' is not supported; use"),
    ("sharedBiases=1", "randSparse=1", r"\[conv1\] randSparse: needs several groups: use groups=2 or"),
    ("randSparse=0,1", "randSparse=1", r"\[conv2\] randSparse: 1 values, but the layer has 2 inputs"),
    ("randSparse=0,1", "randSparse=0,2", r"\[conv2\] randSparse: '0,2' is not a comma list of 0 or 1"),
    (
        "randSparse=0,1",
        "",
        r"\[conv2\] filterChannels: is 8, but a group sees .* = 4: add randSparse=1",
    ),
    ("filterChannels=4,8", "filterChannels=4,3", r"\[conv2\] filterChannels: 2 groups of 3 .*'pool1'"),
    ("filterChannels=4,8", "filterChannels=4,2", r"\[conv2\] filterChannels: .*a divisor of 8"),
    ("filters=3\ngroups=2", "filters=3\ngroups=3", r"\[local3\] groups: 8 channels cannot be cut in 3"),
    (
        "groups=2\nfilterSize=3\nst",
        "groups=2\nfilterSize=9\nst",
        r"\[local3\] filterSize: a 9 wide filter",
    ),
    (
        "sharedBiases=1",
        "initWFunc=ab()",
        r"\[conv1\] initWFunc: 'ab\(\)' is not of the form module.func",
    ),
    ("keep=0.25", "keep=1.5", r"\[drop\] keep: is 1.5, but must be above 0 and at most 1"),
    ("gpu=1", "gpu=-1", r"\[conv1\] gpu: is -1, but must be at least 0"),
    ("dataIdx=1", "dataIdx=0", r"\[labels\] dataIdx: 'data' already brings the pictures"),
    ("dataIdx=1", "dataIdx=2", r"\[labels\] dataIdx: '2' is not one of 0, 1"),
    ("inputs=labels,probs", "inputs=probs,labels", r"\[logprob\] inputs: write labels first"),
    ("inputs=pool1\n", "inputs=labels\n", r"\[norm1\] inputs: 'labels' are labels"),
    ("filterSize=5", "filterSize=50", r"\[conv1\] filterSize: a 50 wide filter does not fit 16 pixels"),
    ("filters=8", "filters", r"line \d+: 'filters.*is not of the form key=value"),
    ("# a comment", "stray=1", r"line 2: 'stray=1' comes before the first \[section\]"),
    ("crop=16\n", "", r"\[data\] crop: .*give input_shape"),
    ("dataIdx=0\ncrop=16", "dataIdx=1", "no layer brings the pictures; add one with type=data"),
]
PARAMETER_ERRORS = [
    (
        "epsW=0.001\nepsB=0.002\nmomW=0.9\nmomB=0.8",
        "epsW=0.1",
        r"net.params.cfg \[conv1\] epsB: missing",
    ),
    ("epsW=0.1,0.2", "epsW=0.1", r"\[conv2\] epsW: 1 values, but the layer has 2 inputs"),
    ("wc=0.004", "wc=-1", r"\[conv1\] wc: is -1.0, but must be at least 0"),
    ("wc=0.004", "wcc=0.004", r"\[conv1\] wcc: unknown key; did you mean wc"),
    ("dexp[", "xdexp[", r"\[conv1\] schedW: unknown schedule 'xdexp.*known are default, linear"),
    ("[fc]", "[fc9]", r"\[fc\] epsW: missing, and so is the whole section: add \[fc\] with epsW="),
    ("topk=5", "topk=0", r"\[logprob\] topk: is 0, but must be at least 1"),
    ("coeff=1", "", r"\[logprob\] coeff: missing"),
    ("scale=0.0001", "scale=big", r"\[norm1\] scale: 'big' is not a number"),
]


@pytest.mark.parametrize(("old", "new", "message"), DEFINITION_ERRORS)
def test_mistakes_in_the_definition(old, new, message):
    assert old in DEFINITION
    with pytest.raises(LayerFileError, match=message):
        parse(DEFINITION.replace(old, new, 1)).shapes()


@pytest.mark.parametrize(("old", "new", "message"), PARAMETER_ERRORS)
def test_mistakes_in_the_parameters(old, new, message):
    assert old in PARAMETERS
    with pytest.raises(LayerFileError, match=message):
        parse(parameters=PARAMETERS.replace(old, new, 1)).shapes()


def test_pictures_with_other_channels_are_refused():
    with pytest.raises(LayerFileError, match=r"\[conv1\] channels: is 3, but 'data' has 1 channels"):
        parse().shapes((1, 16, 16))


def test_empty_file_and_missing_pictures():
    with pytest.raises(LayerFileError, match="no layers"):
        parse("# nothing\n", "")
    with pytest.raises(LayerFileError, match="no layer brings the pictures"):
        parse("[labels]\ntype=data\ndataIdx=1\n", "")


def test_filters_want_maps_and_less_padding_than_they_are_wide():
    conv = DEFINITION.replace("sharedBiases=1", "sharedBiases=0")
    with pytest.raises(LayerFileError, match=r"\[conv1\] inputs: 'labels' are labels, which conv"):
        parse(conv.replace("inputs=data", "inputs=labels")).shapes((3, 16, 16))
    with pytest.raises(LayerFileError, match=r"\[conv1\] padding: is 5, but must be less than filt"):
        parse(conv.replace("padding=2", "padding=5")).shapes()


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999"])
def test_numbers_are_finite(value):
    with pytest.raises(LayerFileError, match=rf"\[conv1\] initW: '{value}' is not a comma list of num"):
        parse(DEFINITION.replace("initW=0.05", f"initW={value}"))
    with pytest.raises(LayerFileError, match=rf"\[logprob\] coeff: '{value}' is not a number"):
        parse(DEFINITION, PARAMETERS.replace("coeff=1", f"coeff={value}"))


def test_classes_are_resized_and_announced():
    spec = parse().with_classes(3)
    assert spec.classes == 3 and spec.shapes()["probs"] == (3, 1, 1)
    assert spec.notes == ("fc has 3 outputs, the classes of the data, instead of the 10 of net net",)
    assert parse().classes == 10, "the original is left as it was"
    assert parse().with_classes(10).notes == ()
    twice = DEFINITION + "[entropy]\ntype=cost.crossent\ninputs=labels,probs\n"
    assert len(parse(twice, PARAMETERS + "[entropy]\ncoeff=1\n").with_classes(3).notes) == 1
    with pytest.raises(LayerFileError, match="cannot fit the net to 3 classes"):
        parse(DEFINITION.replace("inputs=fc\n", "inputs=drop\n")).with_classes(3)


def test_files_are_read_and_named(tmp_path):
    definition, parameters = tmp_path / "my.layers.cfg", tmp_path / "my.params.cfg"
    definition.write_text(DEFINITION)
    with pytest.raises(LayerFileError, match=re.escape(f"{parameters}: cannot read the layer param")):
        layer_file.load(definition, parameters)
    parameters.write_text(PARAMETERS.replace("topk", "tpk"))
    with pytest.raises(LayerFileError, match=re.escape(f"{parameters} [logprob] tpk: unknown key")):
        layer_file.load(definition, parameters)
    parameters.write_text(PARAMETERS)
    spec = layer_file.load(str(definition), str(parameters))
    assert spec.name == "my"
    again = layer_file.parse(spec.definition, spec.parameters, spec.name)
    assert again.shapes() == spec.shapes()


@pytest.mark.parametrize("name", layer_file.packaged())
def test_packaged_nets_fit_together(name):
    spec = layer_file.load_packaged(name)
    shapes = spec.shapes()
    assert shapes[spec.pictures.name] == (3, spec.crop, spec.crop)
    assert shapes["probs"] == (spec.classes, 1, 1)


def test_packaged_nets_are_listed():
    assert {"alexnet", "alexnet-2012", "alexnet-1tower", "alexnet-mini"} <= set(layer_file.packaged())
    with pytest.raises(LayerFileError, match="no packaged net 'resnet'; there are alexnet"):
        layer_file.load_packaged("resnet")
