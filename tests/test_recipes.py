"""Recipes: seven differences between the paper's text and what its authors ran, one by one."""

from __future__ import annotations

import pytest

from alexnet_raw import layer_file, recipes
from alexnet_raw.net_text import NetText


def sections(spec):
    return NetText(spec).definition, NetText(spec).parameters


def changed(before, after):
    """(section, key) -> (value before, value after), where they differ."""
    return {
        (name, key): (before.get(name, {}).get(key), after.get(name, {}).get(key))
        for name in {*before, *after}
        for key in {*before.get(name, {}), *after.get(name, {})}
        if before.get(name, {}).get(key) != after.get(name, {}).get(key)
    }


def test_2012_auto_is_the_packaged_net_alexnet_2012():
    spec, settings = recipes.build("2012-auto", recipes.ALL)
    packaged = layer_file.load_packaged("alexnet-2012")
    for part in (0, 1):
        assert sections(spec)[part] == sections(packaged)[part]
    assert spec.shapes() == packaged.shapes()
    assert settings["epochs"] == 90 and settings["shared_crops"] == 32
    assert settings["colour_noise"] == "deviations" and settings["noise_until"] == 1


def test_the_paper_differs_from_the_packaged_net_by_its_first_weights():
    definition, parameters = sections(recipes.build("paper", ())[0])
    packaged = sections(layer_file.load_packaged("alexnet"))
    assert parameters == packaged[1]
    layers = [f"conv{n}{tower}" for n in "345" for tower in "ab"]
    assert set(changed(packaged[0], definition)) == {(layer, "initW") for layer in layers}


def test_2012_was_lowered_by_hand():
    spec, settings = recipes.build("2012", recipes.ALL)
    epochs = (0, 24, 25, 51, 67, 72, 79, 90)
    weights, biases = (
        {
            layer: [
                rate.eps * rate.schedule.factor_at(epoch / 91)
                for epoch in epochs
                for rate in [parameter.rate]
            ]
            for layer in ("conv1a", "fc8")
            for parameter in spec[layer].parameters(
                [spec.shapes()[name] for name in spec[layer].inputs]
            )
            if parameter.name == kind
        }
        for kind in ("weights0", "biases")
    )
    assert weights["fc8"] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-4, 1e-4, 1e-5, 1e-5])
    assert weights["conv1a"] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4, 1e-5, 0, 0, 0])
    assert biases["fc8"] == pytest.approx([0.02] * 8)
    assert biases["conv1a"] == pytest.approx([0.02] * 5 + [0] * 3)
    assert settings["noise_until"] == pytest.approx(67 / 91) and settings["epochs"] == 91


@pytest.mark.parametrize("difference", recipes.DIFFERENCES)
def test_each_difference_alone_changes_only_itself(difference):
    paper, plain = recipes.build("paper", ())
    spec, settings = recipes.build("paper", (difference,))
    spec.shapes()  # fits together
    definition, parameters = (
        changed(old, new) for old, new in zip(sections(paper), sections(spec), strict=True)
    )
    others = {key: value for key, value in settings.items() if plain[key] != value}
    keys = {key for _, key in definition}, {key for _, key in parameters}, set(others)
    norms = {"type", "inputs", "channels", "size"}
    assert (
        keys
        == {
            "lrn-scale": (set(), {"scale"}, set()),
            "layer-order": ({"neuron"}, set(), set()),
            "map-norm": (norms, {"scale", "pow"}, set()),
            "first-weights": ({"initW"}, set(), set()),
            "shared-crops": (set(), set(), {"shared_crops"}),
            "colour-noise": (set(), set(), {"colour_noise"}),
            "rates": (set(), {"epsB"}, set()),
        }[difference]
    )


def test_choosing():
    assert recipes.chosen("paper") == ()
    assert recipes.chosen("paper", ["rates", "lrn-scale"]) == ("lrn-scale", "rates")
    assert "map-norm" not in recipes.chosen("2012", without=["map-norm"])
    assert len(recipes.chosen("2012", without=["map-norm"])) == 6
    with pytest.raises(ValueError, match="unknown difference 'order'; there are lrn-scale"):
        recipes.chosen("paper", ["order"])
    with pytest.raises(ValueError, match="'rates' is switched both on and off"):
        recipes.chosen("paper", ["rates"], ["rates"])
