"""The training that the paper describes and the one that its authors ran: seven differences.

    paper       the paper's text, to the letter; rates fall when the validation error stops falling
    2012        as the authors ran it for ILSVRC-2012 (run 145): all seven differences, rates that were
                lowered by hand at epochs 25, 51 and 79 of 91
    2012-auto   the same with an automatic schedule (run 170), their best

Each difference can be switched alone: `--recipe paper --with first-weights`, `--recipe 2012
--without map-norm`. Source: the notes and layer files of the authors' release.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alexnet_raw import layer_file
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.net_text import NetText

DIFFERENCES = {
    "lrn-scale": "normalisation across channels divides its scale by the window's 5 channels",
    "layer-order": "layer 1 normalises and pools first, the ReLU comes last; layer 5 pools first, too",
    "map-norm": "layer 2 has a second normalisation, over 5x5 pixels of each map",
    "first-weights": "conv3, conv4 and conv5 start from N(0, 0.03), not N(0, 0.01)",
    "shared-crops": "crop and mirror are drawn once for 32 pictures in a row",
    "colour-noise": "colour noise of 0.1 standard deviations, not eigenvalues; divides pictures by 1.1",
    "rates": "biases learn at 0.02, hardly lowered; 2012 also stops conv1 and the colour noise",
}


@dataclass(frozen=True)
class Recipe:
    """What a recipe has besides the differences that are switched on."""

    differences: tuple[str, ...]
    epochs: int
    weights: str | None  # schedules; None: divided by 10 at plateaus
    biases: str | None  # with "rates"
    conv1: str | None = None  # the weights of conv1, with "rates"
    conv1_biases: str | None = None
    noise_until: float = 1.0  # the part of the run that has colour noise, with "rates"


ALL = tuple(DIFFERENCES)
RECIPES = {
    "paper": Recipe((), 90, None, None),
    "2012": Recipe(
        ALL,
        91,
        "stairs[25/91:0.1,51/91:0.01,79/91:0.001]",
        "default",
        "stairs[25/91:0.1,51/91:0.01,67/91:0.001,72/91:0]",
        "stairs[72/91:0]",
        67 / 91,
    ),
    "2012-auto": Recipe(
        ALL,
        90,
        "dexp[tgtFactor=250,noiseStdev=0,numSteps=4]",
        "dexp[tgtFactor=10,numSteps=2]",
    ),
}


def chosen(recipe: str, more: Sequence[str] = (), without: Sequence[str] = ()) -> tuple[str, ...]:
    """The differences of a recipe, with `more` and `without` these. ValueError names unknown ones
    and contradictions."""
    for name in (*more, *without):
        if name not in DIFFERENCES:
            raise ValueError(f"unknown difference {name!r}; there are {', '.join(DIFFERENCES)}")
    if both := [name for name in more if name in without]:
        raise ValueError(f"difference {both[0]!r} is switched both on and off")
    wanted = {*RECIPES[recipe].differences, *more} - set(without)
    return tuple(name for name in DIFFERENCES if name in wanted)


def build(name: str, differences: Sequence[str]) -> tuple[NetSpec, dict[str, Any]]:
    """The net of a recipe with these differences, and the run's settings that go with it.

    Each is a function of its own; "shared-crops" and "colour-noise" are about pictures only.
    """
    recipe = RECIPES[name]
    net = NetText(layer_file.load_packaged("alexnet"))
    for keys, _ in net.each([layer for n in "345" for layer in net.towers(f"conv{n}")]):
        keys["initW"] = keys["initW"].replace("0.03", "0.01")  # the packaged net has 0.03
    for _, rates in net.each(net.layers("conv", "fc")):
        if recipe.weights:
            rates["schedW"] = rates["schedB"] = recipe.weights
    for difference in filter(_CHANGES.__contains__, differences):
        _CHANGES[difference](net, recipe)
    settings = {
        "epochs": recipe.epochs,
        "batch_size": 128,
        "schedule": "file" if recipe.weights else "plateau",
        "mirror": True,
        "colour_noise": "deviations" if "colour-noise" in differences else "eigenvalues",
        "noise_until": recipe.noise_until if "rates" in differences else 1.0,
        "shared_crops": 32 if "shared-crops" in differences else 1,
    }
    switched = ", ".join(differences) or "none"
    remark = f"alexnet, recipe {name}; differences from the paper's text: {switched}"
    return net.spec(f"alexnet-{name}", remark), settings


def _lrn_scale(net: NetText, recipe: Recipe) -> None:
    for _, parameters in net.each(net.layers("cmrnorm")):
        parameters["scale"] = "0.0001"


def _layer_order(net: NetText, recipe: Recipe) -> None:
    for n in "15":
        for keys, _ in net.each(net.towers(f"conv{n}")):
            del keys["neuron"]
        for keys, _ in net.each(net.towers(f"pool{n}")):
            keys["neuron"] = "relu"


def _map_norm(net: NetText, recipe: Recipe) -> None:
    for norm in net.towers("norm2"):
        keys = {"type": "rnorm", "channels": "128", "size": "5"}
        net.insert_after(norm, f"local2{norm[-1]}", keys, {"scale": "0.001", "pow": "0.75"})


def _first_weights(net: NetText, recipe: Recipe) -> None:
    for keys, _ in net.each([layer for n in "345" for layer in net.towers(f"conv{n}")]):
        keys["initW"] = keys["initW"].replace("0.01", "0.03")


def _rates(net: NetText, recipe: Recipe) -> None:
    for _, rates in net.each(net.layers("conv", "fc")):
        rates["epsB"] = "0.02"
        if recipe.biases:
            rates["schedB"] = recipe.biases
    if recipe.conv1:
        for _, rates in net.each(net.towers("conv1")):
            rates["schedW"], rates["schedB"] = recipe.conv1, recipe.conv1_biases


_CHANGES: dict[str, Callable[[NetText, Recipe], None]] = {
    "lrn-scale": _lrn_scale,
    "layer-order": _layer_order,
    "map-norm": _map_norm,
    "first-weights": _first_weights,
    "rates": _rates,
}
