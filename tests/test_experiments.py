"""The paper's experiments: what the variants change, how the best is chosen, how it goes on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from alexnet_raw import experiment_run, layer_file, run_report, training
from alexnet_raw.cli import main
from alexnet_raw.device import parse_devices
from alexnet_raw.experiment_run import Runner, epochs_to
from alexnet_raw.experiments import EXPERIMENTS, Experiment, as_it_is, with_neuron
from alexnet_raw.net_text import NetText
from alexnet_raw.network import Network
from alexnet_raw.run_settings import Settings
from tests import tiny_run


def variant(experiment: str, name: str, net: str = "alexnet"):
    text = NetText(layer_file.load_packaged(net))
    EXPERIMENTS[experiment].variants[name](text)
    return text.spec("variant", "a remark")


def parameters(spec) -> int:
    shapes = spec.shapes()
    return sum(p.size for la in spec for p in la.parameters([shapes[name] for name in la.inputs]))


# ---- variants

FULL = 60_965_224


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_variant_trains(experiment, rng):
    device = parse_devices("cpu")
    for name in EXPERIMENTS[experiment].variants:
        net = Network(variant(experiment, name, EXPERIMENTS[experiment].net), device, 4, seed=1)
        images = device[0].upload(rng.normal(0, 50, (3, 32, 32, 4)).astype(np.float32))
        net.forward(images, device[0].upload(np.arange(4, dtype=np.int32)), train=True)
        net.backward()
        assert all(np.abs(p.gradient.numpy()).max() > 0 for p in net.parameters.values()), name


def test_the_first_variant_is_the_net_itself():
    for name in ("lrn", "overlap", "towers", "depth"):
        first = next(iter(EXPERIMENTS[name].variants))
        assert parameters(variant(name, first)) == FULL


def test_neurons():
    relu, tanh = variant("fig1", "ReLU", "cifar10-quick"), variant("fig1", "tanh", "cifar10-quick")
    assert [la.neuron.kind for la in relu if la.learns] == ["relu"] * 3 + ["ident"]
    assert [la.neuron.kind for la in tanh if la.learns] == ["tanh"] * 3 + ["ident"]


def test_without_normalisation():
    spec = variant("lrn", "without", "alexnet-2012")
    assert not {"cmrnorm", "rnorm"} & {layer.type for layer in spec}
    assert spec["pool1a"].inputs == ["conv1a"] and spec["pool2b"].inputs == ["conv2b"]
    assert parameters(spec) == FULL


def test_without_overlap_has_the_same_shapes():
    assert variant("overlap", "2x2 every 2").shapes() == variant("overlap", "3x3 every 2").shapes()


def test_without_exchange():
    spec = variant("towers", "no exchange")
    assert [la.name for la in spec if len({name[-1] for name in la.inputs} & {"a", "b"}) == 2] == [
        "fc8"
    ]
    less = 2 * (128 * 9 * 192) + 2 * (6 * 6 * 128 * 2048) + 2 * (2048 * 2048)
    assert parameters(spec) == FULL - less


def test_one_tower_has_half_the_filters_but_not_behind_the_last_convolution():
    spec = variant("towers", "one tower")
    assert [layer.name for layer in spec if layer.name.endswith("b")] == ["logprob"]
    shapes = spec.shapes()
    channels = [shapes[f"{name}a"][0] for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6")]
    assert channels == [48, 128, 192, 192, 256, 4096]


@pytest.mark.parametrize("gone", ["conv3", "conv4", "conv5", "fc6", "fc7"])
def test_without_a_layer(gone):
    spec = variant("depth", f"no {gone}")
    full = {layer.name for layer in layer_file.load_packaged("alexnet")}
    stems = (gone, f"drop{gone[-1]}") if gone.startswith("fc") else (gone,)
    assert full - {layer.name for layer in spec} == {stem + tower for stem in stems for tower in "ab"}
    spec.shapes()


@pytest.mark.parametrize(
    ("experiment", "name", "message"),
    [
        ("towers", "one tower", "no two towers"),
        ("towers", "no exchange", "no two towers"),
        ("depth", "no conv4", "no layer conv4"),
        ("lrn", "without", "no response normalisation"),
    ],
)
def test_nets_that_do_not_fit_are_refused(experiment, name, message):
    with pytest.raises(ValueError, match=message):
        variant(experiment, name, "cifar10-quick")


AUTHORS = """
[pictures]
TYPE=data
dataidx=0
[labels]
type=data
dataIdx=1
[nails]
type=nailbed
inputs=pictures
stride=2
channels=3
gpu=0
[conv1a]
type=conv
inputs=pictures
channels=3
filters=8
FilterSize=5
padding=2
initW=0.1
neuron=relu
gpu=0
[conv1b]
type=conv
inputs=pictures
channels=3
filters=8
filterSize=5
padding=2
initW=0.1
neuron=relu
gpu=1
[pool1a]
type=pool
pool=max
inputs=conv1a
sizex=3
STRIDE=2
channels=8
[pool1b]
type=pool
pool=max
inputs=conv1b
sizex=3
STRIDE=2
channels=8
[conv2a]
type=conv
inputs=nails,pool1b,pool1a
channels=3,8,8
filters=12,6,4
groups=1,2,3
randSparse=0,0,1
filterChannels=3,4,8
filterSize=1,3,5
padding=0,1,2
initW=0.1,0.2,0.3
neuron=relu
gpu=0
[conv2b]
type=conv
inputs=nails,pool1b
channels=3,8
filters=12,12
filterSize=1,3
padding=0,1,
initW=0.1,0.2
neuron=relu
gpu=1
[fc]
type=fc
inputs=conv2a,conv2b
outputs=3
initW=0.1,0.2
[probs]
type=softmax
inputs=fc
[logprob]
type=cost.logreg
inputs=labels,probs
"""


def test_files_in_the_manner_of_the_authors(rng):
    """Keys in any case, lists of filters, an input that belongs to no tower, --crop: values stay with
    the inputs that they were written for."""
    parameters = "[logprob]\ncoeff=1\n"
    for name, rates in (
        ("conv1a", "0.1"),
        ("conv1b", "0.1"),
        ("conv2a", "0.1,0.2,0.3"),
        ("conv2b", "0.1,0.2"),
        ("fc", "0.1,0.2"),
    ):
        parameters += f"[{name}]\nepsW={rates}\nmomW={rates}\nEPSB=0.1\nmomB=0\n"
    base = layer_file.parse(AUTHORS, parameters, "authors").with_crop(16)
    specs = {}
    for experiment, name in (
        ("towers", "no exchange"),
        ("towers", "one tower"),
        ("overlap", "2x2 every 2"),
    ):
        text = NetText(base)
        EXPERIMENTS[experiment].variants[name](text)
        specs[name] = spec = text.spec("variant", "a remark")
        assert spec.crop == 16
        net = Network(spec, parse_devices("cpu"), 2)
        images = net.input_device.upload(rng.normal(0, 50, (3, 16, 16, 2)).astype(np.float32))
        net.forward(images, net.input_device.upload(np.arange(2, dtype=np.int32)), train=True)
        assert net.probabilities().shape == (2, 3)
    layer = specs["no exchange"]["conv2a"]
    assert layer.inputs == ["nails", "pool1a"] and layer.channels == [3, 8]
    assert (layer.groups, layer.random, layer.filter_channels) == ([1, 3], [False, True], [3, 8])
    assert (layer.sizes, layer.paddings, layer.init_weights) == ([1, 5], [0, 2], [0.1, 0.3])
    assert [rate.eps for rate in layer.weight_rates] == [0.1, 0.3]
    assert specs["no exchange"]["conv2b"].inputs == ["nails", "pool1b"]
    assert specs["one tower"]["conv2a"].inputs == ["nails", "pool1a"]
    assert specs["one tower"]["conv2a"].filters == 24
    assert "conv1b" not in [layer.name for layer in specs["one tower"]]
    assert (specs["2x2 every 2"]["pool1a"].size, specs["2x2 every 2"]["pool1a"].outputs) == (2, 8)


def test_overlap_needs_windows_that_overlap():
    text = NetText(layer_file.load_packaged("cifar10-quick"))
    for keys, _ in text.each(text.layers("pool")):
        keys["sizeX"] = "2"
    with pytest.raises(ValueError, match="no pooling of 3x3 pixels every 2, which this experiment"):
        EXPERIMENTS["overlap"].variants["2x2 every 2"](text)


# ---- runs


def records(*errors):
    return [{"train": {"top1": error}} for error in errors]


def test_epochs_to_a_target_lie_on_the_line_between_epochs():
    assert epochs_to(records(0.5, 0.4, 0.2), 0.25) == pytest.approx(1.5 + 0.75)
    assert epochs_to(records(0.5, 0.25), 0.25) == pytest.approx(1.5)
    assert epochs_to(records(0.2), 0.25) == pytest.approx(0.5)
    assert epochs_to(records(0.5, 0.4), 0.25) is None
    assert epochs_to(records(0.1), None) is None


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setattr(run_report, "draw", lambda *_: None)
    net, params = tiny_run.write_net(tmp_path)
    pictures = tiny_run.write_pictures(tmp_path / "pictures")
    return Settings(net, params, str(pictures), epochs=12, batch_size=10)


TWO = {"ReLU": as_it_is, "tanh": with_neuron("tanh[1,1]")}


def runner(settings, folder, target=None):
    experiment = Experiment("Title", "Paper.", TWO, target=target)
    return Runner(experiment, settings, Path(folder), parse_devices("cpu"))


def test_rates_are_tried_and_seeds_repeat_the_best(tiny, tmp_path):
    run = runner(Settings(**{**vars(tiny), "epochs": 3}), tmp_path / "exp")
    outcomes = run.run([1e-9, 0.001], [1, 7, 3])
    for tried in outcomes.values():
        assert [(o.rate, o.seed) for o in tried] == [(1e-9, 1), (1e-3, 1), (1e-3, 7), (1e-3, 3)]
        assert len({o.history[-1]["train"]["loss"] for o in tried}) == 4
    text = experiment_run.write(run, outcomes)
    relu = [o.error for o in outcomes["ReLU"][1:]]
    row = next(line for line in text.splitlines() if line.startswith("| ReLU"))
    assert f"| 0.001 | 3 | {np.mean(relu):.2%} ± {np.std(relu, ddof=1):.2%} |" in row
    assert row.endswith("| +0.00 points |")
    saved = json.loads((tmp_path / "exp" / "results.json").read_text())
    assert len(saved) == 8 and {len(result["history"]) for result in saved} == {3}


def test_runs_end_when_the_target_is_reached_or_was_reached_sooner(tiny, tmp_path):
    run = runner(tiny, tmp_path / "exp", target=0.3)
    outcomes = run.run([0.001, 1e-9], [1])
    fast, hopeless = outcomes["ReLU"]
    assert fast.epochs_to_target is not None and len(fast.history) < tiny.epochs
    assert hopeless.epochs_to_target is None
    assert len(hopeless.history) == int(fast.epochs_to_target) + 1
    assert run.best([fast, hopeless]) is fast
    text = experiment_run.write(run, outcomes)
    assert f"| ReLU | 0.001 ({fast.epochs_to_target:.1f}), 1e-09 (> {len(hopeless.history)}) |" in text


def test_an_experiment_goes_on_where_it_was(tiny, tmp_path, monkeypatch):
    whole = runner(tiny, tmp_path / "whole").run([], [1])
    train, calls = training.train, []

    def stop_in_the_second(run, done):
        calls.append(run.folder.name)
        if len(calls) != 2:
            return train(run, done)
        train(run, lambda history: len(history) == 2)
        return 130

    monkeypatch.setattr(training, "train", stop_in_the_second)
    half = runner(tiny, tmp_path / "half")
    with pytest.raises(experiment_run.Interrupted) as interrupted:
        half.run([], [1])
    assert interrupted.value.code == 130
    outcomes = half.run([], [1])
    assert len(calls) == 3, "the first was not run again"
    for name, (outcome,) in outcomes.items():
        scores = [[r["train"] for r in o.history] for o in (outcome, whole[name][0])]
        assert scores[0] == scores[1]


def test_an_experiment_goes_on_in_the_first_epoch_of_a_run(tiny, tmp_path, monkeypatch):
    whole = runner(tiny, tmp_path / "whole").run([], [1])
    train_batch, calls = training.train_batch, []

    def stop_at_the_third(run, batch, *counts):
        calls.append(batch.number)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return train_batch(run, batch, *counts)

    monkeypatch.setattr(training, "train_batch", stop_at_the_third)
    half = runner(tiny, tmp_path / "half")
    with pytest.raises(experiment_run.Interrupted):
        half.run([], [1])
    assert len(calls) == 3
    for name, (outcome,) in half.run([], [1]).items():
        scores = [[r["train"] for r in o.history] for o in (outcome, whole[name][0])]
        assert scores[0] == scores[1]


def test_other_settings_need_another_folder(tiny, tmp_path):
    runner(tiny, tmp_path / "exp").run([], [1])
    other = Settings(**{**vars(tiny), "batch_size": 9})
    with pytest.raises(ValueError, match=r"with batch_size 10, now it is 9: .*--output"):
        runner(other, tmp_path / "exp").run([], [1])


def test_nets_are_made_before_any_is_trained(tiny, tmp_path):
    """One that cannot be made is found at once, and nothing is written."""
    for name in ("lrn", "towers", "depth"):
        run = Runner(EXPERIMENTS[name], tiny, tmp_path / "exp", parse_devices("cpu"))
        with pytest.raises(ValueError, match=r"no response norm|second tower only|no layer conv3"):
            run.run([], [1])
    assert not (tmp_path / "exp").exists()


def test_another_net_needs_another_folder(tiny, tmp_path):
    short = Settings(**{**vars(tiny), "epochs": 1})
    runner(short, tmp_path / "exp").run([], [1])
    other, params = tiny_run.write_net(tmp_path, tiny_run.DEFINITION.replace("keep=0.5", "keep=0.6"))
    with pytest.raises(ValueError, match=r"ReLU.layers.cfg is of another net.*--output"):
        runner(Settings(**{**vars(short), "net": other, "params": params}), tmp_path / "exp").run(
            [], [1]
        )


def test_fewer_epochs_than_were_trained_are_refused(tiny, tmp_path):
    for epochs in (2, 3):
        runner(Settings(**{**vars(tiny), "epochs": epochs}), tmp_path / "exp").run([], [1])
    with pytest.raises(ValueError, match=r"trained for 3 epochs already: give --epochs 3 or more"):
        runner(Settings(**{**vars(tiny), "epochs": 2}), tmp_path / "exp").run([], [1])


def test_the_command(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    flags = ["--net", tiny.net, "--params", tiny.params, "--data", tiny.data, "--epochs", "1"]
    assert main(["experiment", "fig1", *flags, "--rates", "0.001", "--batch-size", "10"]) == 0
    assert "Epochs to 25% training error" in capsys.readouterr().out
    folder = Path("experiments/fig1")
    assert (folder / "plot.png").stat().st_size > 5000 and (folder / "plot.svg").exists()
    assert (folder / "ReLU-lr0.001-seed1" / "checkpoint.safetensors").exists()
    with pytest.raises(SystemExit):
        main(["experiment", "towers", *flags, "--seeds", "1,1"])
    assert "not a list of different seeds" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["experiment", "towers", *flags, "--rates", ","])
    assert "not a list of different rates" in capsys.readouterr().err
    assert main(["experiment", "towers", *flags, "--output", tiny.net]) == 2
    assert "--output" in capsys.readouterr().err
