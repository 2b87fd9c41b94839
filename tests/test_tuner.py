"""tuner.py: the fastest algorithm is found, kept to, and resumed with; nothing else changes."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from alexnet_raw import ops, run_report, training
from alexnet_raw.device import BF16, Device, parse_devices
from alexnet_raw.geometry import conv_output_size
from alexnet_raw.neuron import IDENT
from alexnet_raw.reference import conv as reference
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from alexnet_raw.tuner import Tuner
from tests import gpu_stand_in, tiny_run
from tests.conftest import assert_close
from tests.gpu_stand_in import Stream

PASSES = ("conv_forward", "conv_backward_data", "conv_backward_weights")


class Slow:
    """An extension whose passes take long but by one algorithm; `called` lists what was asked for."""

    def __init__(self, module, fast: str):
        self._module, self._fast, self.called = module, fast, []

    def __getattr__(self, name):
        function = getattr(self._module, name)
        if name not in PASSES:
            return function

        def call(*args, algorithm, **kwargs):
            self.called.append(algorithm)
            time.sleep(0 if algorithm == self._fast else 0.01)
            function(*args, algorithm=algorithm, **kwargs)

        return call


@pytest.fixture
def tuned():
    """tuned(fast): a CPU on which one algorithm is much faster than others, and its tuner."""

    def make(fast: str) -> Device:
        device = Device("cpu")
        device.tuner = Tuner(device)
        device.module = Slow(device.module, fast)
        return device

    return make


def run_all(device: Device, rng, stride: int = 1, accumulate: bool = False) -> None:
    """The three passes of a small convolution, each checked."""
    inp, weights = rng.standard_normal((4, 6, 6, 8)), rng.standard_normal((4, 3, 3, 8))
    side = conv_output_size(6, 3, stride, 1)
    dout = rng.standard_normal((8, side, side, 8))
    geometry = {"stride": stride, "padding": 1, "groups": 1}
    was = [rng.standard_normal(a.shape).astype(np.float32) for a in (dout, inp, weights)]
    out, dinp, dweights = map(device.upload, was)
    i, w, d = (device.upload(a.astype(np.float32)) for a in (inp, weights, dout))
    ops.conv_forward(out, i, w, accumulate=accumulate, **geometry)
    ops.conv_backward_data(dinp, d, w, accumulate=accumulate, **geometry)
    ops.conv_backward_weights(dweights, i, d, accumulate=accumulate, **geometry)
    wants = (
        reference.forward(inp, weights, None, **geometry, neuron=IDENT),
        reference.backward_data(dout, weights, inp.shape, **geometry),
        reference.backward_weights(inp, dout, weights.shape, **geometry),
    )
    for got, want, before in zip((out, dinp, dweights), wants, was, strict=True):
        assert_close(got, want + before if accumulate else want)


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("fast", ["auto", "direct", "winograd"])
def test_the_fastest_is_found_and_kept_to(tuned, rng, fast, accumulate):
    """What an accumulating pass adds to is as it was."""
    device = tuned(fast)
    run_all(device, rng, accumulate=accumulate)
    assert list(device.tuner.choices.values()) == [fast] * 3
    device.module.called.clear()
    run_all(device, rng, accumulate=accumulate)
    assert device.module.called == [fast] * 3


def test_what_does_not_suit_is_no_candidate(tuned, rng):
    device = tuned("winograd")
    run_all(device, rng, stride=2)
    assert "winograd" not in device.tuner.choices.values()


def test_each_size_and_setting_is_a_pass_of_its_own(tuned, rng):
    device = tuned("direct")
    run_all(device, rng)
    run_all(device, rng, stride=3)
    assert len(device.tuner.choices) == 6
    assert any("stride 3" in key for key in device.tuner.choices)


def test_an_algorithm_that_is_asked_for_is_not_tuned(tuned, rng):
    device = tuned("auto")
    out, inp, weights = (device.zeros(s) for s in ((8, 5, 5, 8), (4, 5, 5, 8), (4, 3, 3, 8)))
    ops.conv_forward(out, inp, weights, padding=1, algorithm="direct")
    assert device.module.called == ["direct"] and not device.tuner.choices


def test_bad_arguments_are_errors_as_before(tuned):
    device = tuned("auto")
    out, inp, weights = (device.zeros(s) for s in ((8, 5, 5, 8), (4, 5, 5, 8), (4, 3, 3, 8)))
    with pytest.raises(ValueError, match="must have shape"):
        ops.conv_forward(out, inp, weights, padding=0)
    assert not device.tuner.choices


@pytest.mark.parametrize("eager", [False, True])
def test_on_a_gpu_wgmma_competes_for_bfloat16s(monkeypatch, rng, eager):
    """Launches are timed as graphs, on a stand-in whose streams work late or early."""
    gpu_stand_in.install(monkeypatch)
    monkeypatch.setattr(Stream, "eager", eager)
    gpu = Device("cuda:0")
    asked = set()
    monkeypatch.setattr(
        gpu_stand_in, "_cpu", SimpleNamespace(**{**vars(gpu_stand_in._cpu), **watched(asked)})
    )
    gpu.module.has_wgmma = lambda: True
    gpu.tuner = Tuner(gpu)
    assert gpu.machine == "a stand-in"
    inp, weights = (rng.standard_normal(s).astype(BF16) for s in ((16, 3, 3, 8), (16, 3, 3, 8)))
    out = gpu.empty((8, 3, 3, 8))
    ops.conv_forward(out, gpu.upload(inp), gpu.upload(weights), padding=1, precision="bf16")
    want = reference.forward(inp.astype(float), weights.astype(float), None, 1, 1, 1, IDENT)
    assert_close(out, want)
    assert asked == {"auto", "wgmma"}
    assert next(iter(gpu.tuner.choices.values())) in asked


def watched(asked: set[str]) -> dict:
    forward = gpu_stand_in._cpu.conv_forward

    def conv_forward(*args, algorithm, **kwargs):
        asked.add(algorithm)
        forward(*args, algorithm=algorithm, **kwargs)

    return {"conv_forward": conv_forward}


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setattr(run_report, "draw", lambda *_: None)
    net, params = tiny_run.write_net(tmp_path)
    pictures = tiny_run.write_pictures(tmp_path / "pictures")
    return Settings(net, params, pictures, epochs=1, batch_size=tiny_run.BATCH, tune=True)


def test_a_resumed_run_keeps_to_its_choices(settings, tmp_path):
    folder = tmp_path / "run"
    run = Run.start(settings, parse_devices("cpu,cpu"), folder)
    assert training.train(run) == 0
    choices = run.tuner.choices
    assert len({key.split(",")[0] for key in choices}) == 3
    resumed = Run.resume(folder, devices := parse_devices("cpu,cpu"), epochs=2)
    assert resumed.tuner.choices == choices
    assert devices[0].tuner is devices[1].tuner is resumed.tuner


def test_choices_of_another_machine_are_made_anew(settings, tmp_path, monkeypatch, caplog):
    folder = tmp_path / "run"
    assert training.train(Run.start(settings, parse_devices("cpu"), folder)) == 0
    monkeypatch.setattr(Device, "machine", "another")
    with caplog.at_level(logging.WARNING):
        resumed = Run.resume(folder, parse_devices("cpu"), epochs=2)
    assert not resumed.tuner.choices and "this is another" in caplog.text


def test_without_tune_sizes_alone_decide(settings, tmp_path):
    devices = parse_devices("cpu")
    run = Run.start(replace(settings, tune=False), devices, tmp_path / "run")
    assert run.tuner is None and devices[0].tuner is None
