"""The gradient check passes right nets of every layer type, and finds a wrong gradient."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import check_grads, layer_file
from alexnet_raw.device import parse_devices
from alexnet_raw.layers.conv import Conv
from alexnet_raw.layers.lrn import Lrn
from tests.test_network import TOWERS, NetText, pixel_layers, random_net, two_towers


@pytest.mark.parametrize("towers", TOWERS)
@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_all_layer_types_pass(towers, devices, seed):
    report = check_grads.check(
        towers(), parse_devices(devices), 16, seed, (3, 17, 17), pixel=1, probes=2
    )
    print(report)
    assert report.passed
    names = [row.name for row in report.rows]
    last = "conv3b.weights2" if towers is two_towers else "local4.weights1"
    assert "data" in names and last in names and "fc5.biases" in names


@pytest.mark.parametrize("devices", ["cpu", "cpu,cpu"])
def test_pixel_layers_pass(devices, seed):
    report = check_grads.check(
        pixel_layers(), parse_devices(devices), 16, seed, (3, 17, 17), pixel=1, probes=2
    )
    print(report)
    assert report.passed
    assert "data" not in [row.name for row in report.rows], "no gradient reaches the pictures"


def test_nets_that_are_certain_see_fainter_pictures(rng):
    """As the net for gradient checks of the 2012 release, with its large first weights."""
    text = NetText()
    text.weights("conv", "data", "type=conv channels=3 filters=8 filterSize=3 initW=0.3 initB=1")
    text.weights("fc", "conv", "type=fc outputs=10 initW=0.3")
    text.add("probs", "fc", "type=softmax")
    text.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    report = check_grads.check(text.spec(), parse_devices("cpu"), 8, 1, (3, 9, 9))
    assert report.passed, str(report)


@pytest.mark.parametrize("case", range(3))
def test_random_nets_pass(case, rng):
    seed = int(rng.integers(1 << 31))
    report = check_grads.check(
        random_net(rng), parse_devices("cpu,cpu"), 16, seed, (3, 9, 9), pixel=1, probes=2
    )
    print(report)
    assert report.passed


def test_the_packaged_mini_net_passes(seed):
    spec = layer_file.load_packaged("alexnet-mini")
    report = check_grads.check(spec, parse_devices("cpu,cpu"), 8, seed, probes=2)
    print(report)
    assert report.passed


def test_a_wrong_gradient_is_found(monkeypatch, seed):
    right = Conv.backward

    def halves_the_biases(self, site):
        right(self, site)
        biases = site.gradient("biases")
        biases.copy_from(biases.numpy() / 2)

    monkeypatch.setattr(Conv, "backward", halves_the_biases)
    report = check_grads.check(
        two_towers(), parse_devices("cpu"), 16, seed, (3, 17, 17), pixel=1, probes=2
    )
    wrong = {row.name for row in report.rows if row.error > report.tolerance}
    assert not report.passed and "FAILED" in str(report)
    assert wrong == {name for name in wrong if name.endswith("biases") and name.startswith("conv")}
    assert len(wrong) >= 4


def test_a_wrong_gradient_shows_in_the_layers_before_it(monkeypatch, seed):
    def ignores_the_denominator(self, site):
        wanted = site.dinputs[0]
        d = site.dout.numpy() * (self.settings["min_div"] ** -self.settings["power"])
        wanted.array.copy_from(d.astype(np.float32))

    monkeypatch.setattr(Lrn, "backward", ignores_the_denominator)
    report = check_grads.check(
        two_towers(), parse_devices("cpu"), 16, seed, (3, 17, 17), pixel=4, probes=2
    )
    errors = {row.name: row.error for row in report.rows}
    assert errors["conv1a.weights0"] > report.tolerance
    assert errors["conv2a.weights0"] <= report.tolerance, "it comes after the wrong layer"
