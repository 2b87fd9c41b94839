"""The paper's experiments: each compares variants of one net that differ in one thing.

A variant is an edit of the net's layer files (`NetText`), so an experiment runs on any net whose layers
are named as those of `alexnet`: conv1a, norm1a, pool1a, ..., with or without the towers' letters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from alexnet_raw.net_text import NetText

Edit = Callable[[NetText], None]


@dataclass(frozen=True)
class Experiment:
    """``variants``: name -> edit; the first is what the others are compared with."""

    title: str
    paper: str  # what the paper found
    variants: dict[str, Edit]
    net: str = "alexnet-mini"  # of CPU size; --net alexnet for the paper's
    rates: tuple[float, ...] = ()  # learning rates to choose from; none: the net's own
    target: float | None = None  # training error; the question is how soon it is reached


def as_it_is(net: NetText) -> None:
    """The net of the layer files."""


def with_neuron(neuron: str) -> Edit:
    """That neuron in place of every ReLU."""

    def edit(net: NetText) -> None:
        for keys, _ in net.each(list(net.definition)):
            if keys.get("neuron") == "relu":
                keys["neuron"] = neuron

    return edit


def without_normalisation(net: NetText) -> None:
    """No response normalisation, neither across channels nor within maps."""
    layers = net.layers("cmrnorm", "rnorm")
    if not layers:
        raise ValueError("the net has no response normalisation to be left out")
    for layer in layers:
        net.remove(layer)


def without_overlap(net: NetText) -> None:
    """Pooling windows of 2x2 instead of 3x3 every 2 pixels, as many outputs as before."""
    pools = net.layers("pool")
    pools = [(n, keys) for n, (keys, _) in zip(pools, net.each(pools), strict=True)]
    overlapping = [(n, keys) for n, keys in pools if (keys["sizeX"], keys["stride"]) == ("3", "2")]
    if not overlapping:
        raise ValueError("the net has no pooling of 3x3 pixels every 2, which this experiment changes")
    shapes = net.spec("overlap", "").shapes()
    for layer, keys in overlapping:
        keys["sizeX"], keys["outputsX"] = "2", str(shapes[layer][1])


def without_exchange(net: NetText) -> None:
    """Each tower reads its own layers only; they meet in the last layer."""
    layers = _of_towers(net)
    for layer in layers:
        own = [name for name in net.inputs(layer) if name[-1] == layer[-1] or name not in layers]
        net.keep_inputs(layer, own)


def one_tower(net: NetText) -> None:
    """Half the filters, on one device; the last convolution and what follows keep their full width,
    so that the number of parameters is about the same (paper, section 3.2, footnote)."""
    layers = _of_towers(net)
    for layer in filter(net.inputs, net.definition):
        own = [i for i in net.inputs(layer) if i not in layers or i[-1] == "a"]
        if not own and (layer not in layers or layer[-1] == "a"):
            raise ValueError(
                f"layer {layer} reads the second tower only: this experiment needs two towers that are "
                "alike, as in alexnet"
            )
        if own:  # a layer of the second tower may have none, and goes
            net.keep_inputs(layer, own)
    for layer in filter(lambda name: name[-1] == "b", layers):
        del net.definition[layer]
        net.parameters.pop(layer, None)
    last = net.definition[net.layers("conv")[-1]]
    last["filters"] = ",".join(str(2 * int(filters)) for filters in last["filters"].split(","))
    for keys, _ in net.each([name for name in net.layers("fc") if name in layers]):
        keys["outputs"] = str(2 * int(keys["outputs"]))
    net.count_channels()


def without_layer(stem: str) -> Edit:
    """No layer of that name, in both towers; with fc6 goes its dropout, drop6."""

    def edit(net: NetText) -> None:
        for layer in net.towers("drop" + stem[-1]) if stem.startswith("fc") else ():
            net.remove(layer)
        layers = net.towers(stem)
        if not layers:
            raise ValueError(f"the net has no layer {stem}: this experiment needs one like alexnet")
        for layer in layers:
            net.remove(layer)

    return edit


def _of_towers(net: NetText) -> list[str]:
    """The layers that both towers have: NAMEa and NAMEb."""
    names = [
        n for n in net.definition if n[-1] in "ab" and {n[:-1] + t for t in "ab"} <= {*net.definition}
    ]
    if not names:
        raise ValueError("the net has no two towers: this experiment needs one like alexnet")
    return names


EXPERIMENTS = {
    "fig1": Experiment(
        "ReLU against tanh",
        "Figure 1: a four-layer net with ReLUs reaches 25 % training error on CIFAR-10 about six times "
        "sooner than with tanh, each with its own best learning rate.",
        {"ReLU": with_neuron("relu"), "tanh": with_neuron("tanh[1,1]")},
        net="cifar10-quick",
        rates=(0.002, 0.004, 0.008),
        target=0.25,
    ),
    "lrn": Experiment(
        "Local response normalisation",
        "Section 3.3: it lowers top-1 and top-5 error by 1.4 and 1.2 %.",
        {"with LRN": as_it_is, "without": without_normalisation},
    ),
    "overlap": Experiment(
        "Overlapping pooling",
        "Section 3.4: 3x3 windows every 2 pixels lower the errors by 0.4 and 0.3 % against 2x2.",
        {"3x3 every 2": as_it_is, "2x2 every 2": without_overlap},
    ),
    "towers": Experiment(
        "Two towers",
        "Section 3.2: two towers lower the errors by 1.7 and 1.2 % against one of half the filters. "
        "The authors' run without exchanges between the towers lost 1.2 and 1.1 %.",
        {"two towers": as_it_is, "no exchange": without_exchange, "one tower": one_tower},
    ),
    "depth": Experiment(
        "Depth",
        "Section 7: removing any of the middle layers loses about 2 % top-1.",
        {
            "all layers": as_it_is,
            **{
                f"no {layer}": without_layer(layer)
                for layer in ("conv3", "conv4", "conv5", "fc6", "fc7")
            },
        },
    ),
}
