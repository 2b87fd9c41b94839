"""Training: what is repeated is equal to the bit, what goes wrong is said."""

from __future__ import annotations

import json
import math
import os
import re
import resource
import signal
import struct
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from alexnet_raw import atomic, checkpoint, metrics, run_report, run_settings, training
from alexnet_raw.checkpoint import CheckpointError
from alexnet_raw.device import parse_devices
from alexnet_raw.evaluation import Score
from alexnet_raw.plateau import Plateau
from alexnet_raw.run import Run, TrainingError
from alexnet_raw.run_settings import Settings, new_folder
from tests import tiny_run

EPOCHS, BATCHES = 3, math.ceil(tiny_run.TRAIN / tiny_run.BATCH)


DRAW = run_report.draw


@pytest.fixture(autouse=True, scope="module")
def no_pictures():
    """Drawing takes longer than these trainings; tests of pictures put DRAW back."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_report, "draw", lambda *_: None)
        yield


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    folder = tmp_path_factory.mktemp("tiny")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    return Settings(net, params, pictures, epochs=EPOCHS, batch_size=tiny_run.BATCH)


@pytest.fixture(scope="module")
def uninterrupted(settings, tmp_path_factory) -> Path:
    return train(settings, tmp_path_factory.mktemp("uninterrupted"))


def train(settings: Settings, folder: Path, devices: str = "cpu") -> Path:
    assert training.train(Run.start(settings, parse_devices(devices), folder)) == 0
    return folder


def same(one: Path, other: Path) -> None:
    """Equal weights, velocities and history, to the bit; times aside."""
    a, b = checkpoint.load(one), checkpoint.load(other)
    assert a.tensors.keys() == b.tensors.keys()
    for name, array in a.tensors.items():
        np.testing.assert_array_equal(array, b.tensors[name], err_msg=name)
    for measure in ("train", "validation", "rate"):
        for x, y in zip(a.metadata["run"]["history"], b.metadata["run"]["history"], strict=True):
            assert x[measure] == y[measure]


# ---- equal to the bit


def test_the_same_seed_twice(settings, uninterrupted, tmp_path):
    same(uninterrupted, train(settings, tmp_path))


def test_another_seed_differs(settings, uninterrupted, tmp_path):
    other = checkpoint.load(train(replace(settings, seed=2), tmp_path)).tensors
    first = checkpoint.load(uninterrupted).tensors
    assert not np.array_equal(first["conv1a.weights0"], other["conv1a.weights0"])


@pytest.mark.parametrize("threads", [1, 2])
def test_any_number_of_threads(settings, uninterrupted, tmp_path, threads):
    device = parse_devices("cpu")[0]
    try:
        device.module.set_threads(threads)
        training.train(Run.start(settings, [device], tmp_path, threads=threads))
    finally:
        device.module.set_threads(0)
    same(uninterrupted, tmp_path)


def test_one_device_and_two(settings, uninterrupted, tmp_path):
    same(uninterrupted, train(settings, tmp_path, "cpu,cpu"))


def interrupt(run: Run, stop: int, number: int, monkeypatch) -> None:
    """Trains until a real signal after batch ``stop`` of the run."""
    train_batch = training.train_batch

    def train_batch_and_kill(run, batch, *counts):
        score = train_batch(run, batch, *counts)
        if run.step == stop:
            os.kill(os.getpid(), number)
        return score

    monkeypatch.setattr(training, "train_batch", train_batch_and_kill)
    assert training.train(run) == 128 + number
    monkeypatch.undo()


@pytest.mark.parametrize("stop", [1, BATCHES - 1, BATCHES, BATCHES + 2, EPOCHS * BATCHES])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed(settings, uninterrupted, tmp_path, monkeypatch, capsys, stop, number):
    """With BATCHES the signal comes before validation."""
    interrupt(Run.start(settings, parse_devices("cpu"), tmp_path), stop, number, monkeypatch)
    printed = capsys.readouterr()
    assert "Stopping after this batch" in printed.err
    assert f"alexnet-raw train --resume {tmp_path}" in printed.out
    position = checkpoint.load_metadata(tmp_path)["run"]
    assert position["epoch"] * BATCHES + position["batch"] == stop
    assert training.train(Run.resume(tmp_path, parse_devices("cpu,cpu"))) == 0
    same(uninterrupted, tmp_path)


@pytest.mark.parametrize("stop", [2, BATCHES + 3])  # with colour noise and after it
def test_interrupted_with_pictures_varied_in_all_ways(settings, tmp_path, monkeypatch, stop):
    varied = replace(
        settings, shared_crops=4, mirror=True, colour_noise="deviations", noise_until=0.3, keep=2
    )
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    train(varied, whole)
    interrupt(Run.start(varied, parse_devices("cpu"), halves), stop, signal.SIGTERM, monkeypatch)
    assert training.train(Run.resume(halves, parse_devices("cpu"))) == 0
    same(whole, halves)
    for name in ("epoch-0002.safetensors", "epoch-0003.safetensors", checkpoint.BEST):
        same(whole / name, halves / name)
    for change in ({"shared_crops": 1}, {"mirror": False}, {"noise_until": 1.0}):
        other = train(replace(varied, **change), tmp_path / "other" / "-".join(change))
        first = [checkpoint.load(run).tensors["conv1a.weights0"] for run in (whole, other)]
        assert not np.array_equal(*first), change


def test_interrupted_while_validating(settings, uninterrupted, tmp_path, monkeypatch):
    run = Run.start(settings, parse_devices("cpu"), tmp_path)
    probabilities, calls = run.model.probabilities, []

    def probabilities_and_kill(*arguments):
        calls.append(1)
        if len(calls) == 3:  # the first batch of the second epoch's validation
            os.kill(os.getpid(), signal.SIGINT)
        return probabilities(*arguments)

    monkeypatch.setattr(run.model, "probabilities", probabilities_and_kill)
    assert training.train(run) == 130
    position = checkpoint.load_metadata(tmp_path)["run"]
    assert (position["epoch"], position["batch"]) == (1, BATCHES)
    assert training.train(Run.resume(tmp_path, parse_devices("cpu"))) == 0
    same(uninterrupted, tmp_path)


def test_the_handlers_of_signals_come_back(settings, tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train(replace(settings, epochs=1), tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_more_epochs_on_resume(settings, tmp_path):
    train(replace(settings, epochs=1), tmp_path)
    assert training.train(Run.resume(tmp_path, parse_devices("cpu"), epochs=2)) == 0
    assert len(checkpoint.load_metadata(tmp_path)["run"]["history"]) == 2


def test_a_finished_run_is_not_resumed(uninterrupted):
    with pytest.raises(TrainingError, match=r"trained for 3 epochs.*--epochs 4"):
        Run.resume(uninterrupted, parse_devices("cpu"))


# ---- what a run learns and leaves behind


def test_it_learns_and_writes_its_files(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_report, "draw", DRAW)
    train(replace(settings, epochs=8), tmp_path)
    history = checkpoint.load_metadata(tmp_path)["run"]["history"]
    assert history[-1]["train"]["loss"] < 0.7 * history[0]["train"]["loss"]
    assert history[-1]["validation"]["top1"] < 0.2  # guessing: 0.67
    assert [record["train"]["pictures"] for record in history] == [tiny_run.TRAIN] * 8
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 8
    for name in ("learning-curve.png", "filters.png"):
        assert (tmp_path / name).stat().st_size > 1000
    printed = capsys.readouterr().out
    assert len(re.findall(r"^epoch \d/8 \| train loss .* \| val loss", printed, re.M)) == 8


def test_filters_of_a_net_that_saw_no_colour_are_grey(settings, tmp_path):
    model = Run.start(settings, parse_devices("cpu"), tmp_path).model
    banks = run_report.first_filters(model)
    assert {name: bank.shape for name, bank in banks.items()} == {
        "conv1a": (1, 3, 3, 4),
        "conv1b": (1, 3, 3, 4),
    }
    model.statistics = replace(model.statistics, std_devs=np.array([1.0, 5.0, 60.0]))
    assert run_report.first_filters(model)["conv1a"].shape == (3, 3, 3, 4)


def test_without_validation_pictures(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(run_report, "draw", DRAW)
    pictures = tiny_run.write_pictures(tmp_path / "pictures", validation=False)
    train(replace(settings, data=pictures), tmp_path / "run")
    assert "no validation pictures" in capsys.readouterr().out
    metadata = checkpoint.load_metadata(tmp_path / "run")
    assert metadata["best"] is None
    assert (tmp_path / "run" / "learning-curve.png").exists()


@pytest.mark.parametrize(
    ("how", "size", "scale"),
    [("linear", 512, 4), ("sqrt", 512, 2), ("linear", 32, 0.25), (None, 512, 1)],
)
def test_rates_grow_with_the_batch_size(settings, tmp_path, how, size, scale):
    """The file's are for the net's own batch size, 128 here. --lr, on resuming, says what counts."""
    settings = replace(settings, batch_size=size, scale_lr=how)
    run = Run.start(settings, parse_devices("cpu"), tmp_path)
    assert run.rate_scale == pytest.approx(scale)
    run.save()
    assert Run.resume(tmp_path, parse_devices("cpu")).rate_scale == pytest.approx(scale)
    assert Run.resume(tmp_path, parse_devices("cpu"), lr=0.02).rate == pytest.approx(0.02)
    with pytest.raises(ValueError, match=r"--lr 0.1 is the rate for any batch size: leave --scale-lr"):
        Run.start(replace(settings, scale_lr="sqrt", lr=0.1), parse_devices("cpu"), tmp_path / "b")


def test_packaged_nets_have_rates_for_their_own_batch_size():
    _, settings = run_settings.chosen_net(Settings("cifar10-quick", batch_size=256, scale_lr="linear"))
    assert (settings.rates_for, settings.batch_scale) == (64, 4)


def test_lr_scales_all_rates(settings, tmp_path):
    run = Run.start(replace(settings, lr=0.02), parse_devices("cpu"), tmp_path)
    assert run.rate == pytest.approx(0.02)
    assert run.rate_scale == pytest.approx(20)  # the parameter file says 0.001
    assert run.progress == 0
    run.epoch = EPOCHS
    assert run.rate == pytest.approx(0.02 / 5)  # exp[tgtFactor=5]


def test_save_every(settings, tmp_path, monkeypatch):
    saved = []
    run = Run.start(replace(settings, save_every=2), parse_devices("cpu"), tmp_path)
    monkeypatch.setattr(run, "save", lambda: saved.append(run.epoch))
    training.train(run)
    assert saved == [2, 3]


def test_checkpoints_within_an_epoch(settings, tmp_path, monkeypatch):
    positions = []
    run = Run.start(replace(settings, save_minutes=1e-9), parse_devices("cpu"), tmp_path)
    save = run.save
    monkeypatch.setattr(run, "save", lambda: (save(), positions.append((run.epoch, run.batch))))
    training.train(run)
    within = [(epoch, batch) for epoch in range(EPOCHS) for batch in range(1, BATCHES + 1)]
    assert sorted(positions) == sorted(within + [(epoch, 0) for epoch in range(1, EPOCHS + 1)])


def test_the_best_and_the_last_checkpoints_are_kept(settings, tmp_path):
    train(replace(settings, epochs=6, keep=2), tmp_path)
    names = sorted(path.name for path in tmp_path.glob("*.safetensors"))
    of_epochs = ["epoch-0005.safetensors", "epoch-0006.safetensors"]
    assert names == [checkpoint.BEST, checkpoint.FILE_NAME, *of_epochs]
    saved = {name: checkpoint.load_metadata(tmp_path / name)["run"] for name in names}
    assert [saved[name]["epoch"] for name in of_epochs] == [5, 6]
    errors = [r["validation"]["top1"] for r in saved[checkpoint.FILE_NAME]["history"]]
    best = saved[checkpoint.BEST]
    assert best["history"][-1]["validation"]["top1"] == min(errors) == best["best"]
    assert not list(tmp_path.glob(".*"))


def test_going_back_to_a_kept_checkpoint(settings, uninterrupted, tmp_path):
    train(replace(settings, keep=3), tmp_path)
    first = tmp_path / "epoch-0001.safetensors"
    before = first.read_bytes()
    assert training.train(Run.resume(first, parse_devices("cpu"))) == 0
    same(uninterrupted, tmp_path)  # in checkpoint.safetensors
    assert first.read_bytes() == before


def test_going_back_keeps_the_last_epochs_of_the_new_way(settings, tmp_path):
    """Those of the way that was left stay, and do not count."""
    train(replace(settings, keep=3), tmp_path)
    run = Run.resume(tmp_path / "epoch-0001.safetensors", parse_devices("cpu"), keep=1)
    training.train(run, lambda history: len(history) == 2)
    kept = [path.name for path in checkpoint.of_epochs(tmp_path)]
    assert kept == ["epoch-0002.safetensors", "epoch-0003.safetensors"]
    assert checkpoint.load_metadata(tmp_path / kept[0])["run"]["settings"]["keep"] == 1


def test_resuming_leaves_no_other_files(settings, tmp_path):
    train(replace(settings, keep=1), tmp_path)
    Run.resume(tmp_path, parse_devices("cpu"), epochs=EPOCHS + 1)  # makes the copies again
    assert not list(tmp_path.glob(".*"))


def test_a_damaged_log_does_not_stop_a_run(settings, tmp_path):
    train(replace(settings, epochs=1), tmp_path)
    (tmp_path / "batches.jsonl").write_bytes(b'{"step": 1}\n\xff\n{"step": 2}\n')
    assert training.train(Run.resume(tmp_path, parse_devices("cpu"), epochs=2)) == 0
    assert (tmp_path / "batches.jsonl").read_text() == '{"step": 1}\n'


def test_a_copy_that_was_not_made_before_a_crash_is_made_on_resume(settings, tmp_path):
    train(replace(settings, keep=2), tmp_path)
    for path in tmp_path.glob("epoch-*"):
        path.unlink()
    Run.resume(tmp_path, parse_devices("cpu"), epochs=EPOCHS + 1)
    assert [path.name for path in tmp_path.glob("epoch-*")] == ["epoch-0003.safetensors"]


def test_a_file_system_without_hard_links(settings, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    train(replace(settings, epochs=1, keep=1), tmp_path)
    same(tmp_path, tmp_path / "epoch-0001.safetensors")


def test_rates_and_schedule_change_on_resume(settings, tmp_path):
    train(replace(settings, schedule="plateau"), tmp_path)
    devices = parse_devices("cpu")
    run = Run.resume(tmp_path, devices, epochs=2 * EPOCHS)
    run.plateau.scale = 0.1
    run.save()
    assert Run.resume(tmp_path, devices).rate == pytest.approx(0.0001)
    run = Run.resume(tmp_path, devices, lr=0.02)
    assert run.rate == pytest.approx(0.02), "the plateau begins afresh"
    run = Run.resume(tmp_path, devices, schedule="file")
    assert run.rate == pytest.approx(0.001 * 5**-0.5)  # halfway down exp[tgtFactor=5]


# ---- its numbers


def test_numbers_of_batches_and_weights(settings, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "BATCHES", 2)
    train(replace(settings, show_weights=True), tmp_path)
    records = [json.loads(line) for line in (tmp_path / "batches.jsonl").read_text().splitlines()]
    assert [r["step"] for r in records] == list(range(2, EPOCHS * BATCHES + 1, 2))
    assert {(r["epoch"], r["batch"]) for r in records[:3]} == {(1, 2), (1, 4), (2, 1)}
    assert all(0 < r["loss"] < 10 and 0 <= r["top1"] <= 1 and r["rate"] > 0 for r in records)
    saved = checkpoint.load(tmp_path)
    sizes = saved.metadata["run"]["history"][-1]["weights"]
    for name, (weight, update) in sizes.items():
        assert weight == pytest.approx(np.abs(saved.tensors[name]).mean(), rel=1e-6)
        assert update == pytest.approx(np.abs(saved.tensors[f"{name}.velocity"]).mean(), rel=1e-6)
    assert len(sizes) == sum(name.endswith(".velocity") for name in saved.tensors)
    weight, update = sizes["fc3.biases"]
    assert re.search(rf"^  fc3 .* {weight:.3e} \[{update:.3e}\]$", capsys.readouterr().out, re.M)


def test_a_resumed_run_drops_numbers_of_its_lost_future(tmp_path):
    path = tmp_path / "batches.jsonl"
    lines = [json.dumps({"step": step}) + "\n" for step in (100, 200, 300)]
    path.write_text("".join(lines) + '{"step": 4')  # cut short by a crash
    metrics.Metrics(tmp_path, 250, tensorboard=False).close()
    assert path.read_text() == "".join(lines[:2])
    metrics.Metrics(tmp_path, 0, tensorboard=False).close()
    assert path.read_text() == ""


def test_tensorboard(settings, tmp_path, monkeypatch):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    monkeypatch.setattr(metrics, "BATCHES", 5)
    train(replace(settings, tensorboard=True), tmp_path)
    events = []
    for path in (tmp_path / "tensorboard").iterdir():
        data = path.read_bytes()
        while data:  # length, its checksum, the event, its checksum
            (size,) = struct.unpack("<Q", data[:8])
            events.append(Event.FromString(data[12 : 12 + size]))
            data = data[16 + size :]
    values = {(v.tag, event.step): v.simple_value for event in events for v in event.summary.value}
    history = checkpoint.load_metadata(tmp_path)["run"]["history"]
    for number, record in enumerate(history, 1):
        step = number * BATCHES
        assert values["train/loss", step] == pytest.approx(record["train"]["loss"])
        assert values["validation/top1", step] == pytest.approx(record["validation"]["top1"])
        assert values["weights/fc3.biases", step] == pytest.approx(record["weights"]["fc3.biases"][0])
        assert values["batches/loss", step] == pytest.approx(record["train"]["loss"], rel=0.01)


def test_tensorboard_on_a_full_disk(tmp_path, monkeypatch):
    """An error that names the place, not a writer that waits; a file-size limit stands in."""
    pytest.importorskip("tensorboardX")
    monkeypatch.setattr(metrics, "SECONDS", 0)
    events = metrics.Events(tmp_path / "events", 0)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"{tmp_path}/events"):
            for step in range(100):
                events.add({"loss": 0.5}, step)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert step > 10
    events.close()


def test_tensorboard_that_is_not_installed(settings, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ValueError, match=r"pip install 'alexnet-raw\[tensorboard\]'"):
        train(replace(settings, tensorboard=True), tmp_path)


def test_the_net_is_left_as_layer_files(settings, tmp_path):
    train(replace(settings, epochs=1), tmp_path)
    again = run_settings.load_spec(str(tmp_path / "net.layers.cfg"), str(tmp_path / "net.params.cfg"))
    assert again.shapes() == run_settings.load_spec(settings.net, settings.params).shapes()


# ---- what goes wrong


def test_a_loss_that_is_not_a_number(settings, tmp_path):
    run = Run.start(replace(settings, lr=1e12), parse_devices("cpu"), tmp_path)
    with pytest.raises(
        TrainingError, match=r"the loss became (nan|inf) in epoch 1.*--lr 9e\+10 \(it is 9e"
    ):
        training.train(run)
    assert not (tmp_path / checkpoint.FILE_NAME).exists()


def test_a_net_that_does_not_learn_is_told_once(settings, tmp_path, capsys):
    train(replace(settings, lr=1e-12, epochs=5), tmp_path)
    err = capsys.readouterr().err
    assert err.count("the loss stays at") == 1
    assert "costs 1.099" in err  # ln 3


def test_other_costs_are_not_compared_with_guessing(tmp_path, capsys):
    """A squared error has another scale than nats."""
    definition = tiny_run.DEFINITION.replace("cost.logreg", "cost.sum2").replace("labels,", "")
    net, params = tiny_run.write_net(tmp_path, definition)
    pictures = tiny_run.write_pictures(tmp_path / "pictures")
    settings = Settings(net, params, pictures, epochs=4, batch_size=tiny_run.BATCH, lr=1e-12)
    run = Run.start(settings, parse_devices("cpu"), tmp_path / "run")
    assert run.guessing is None
    assert training.train(run) == 0
    assert "the loss stays at" not in capsys.readouterr().err


def test_not_learning_is_judged_after_three_epochs():
    def after(*losses):
        return run_report.not_learning([{"train": {"loss": loss}} for loss in losses], 1000)

    assert after(6.91, 6.91, 6.90)
    assert after(6.91, 6.91) is None
    assert after(6.91, 6.91, 6.90, 6.90) is None  # said already
    assert after(6.91, 6.5, 6.1) is None
    assert after(9.5, 8.2, 7.1) is None  # still falling


def test_a_long_epoch_that_does_not_learn(tmp_path, monkeypatch):
    monkeypatch.setattr(metrics, "WATCHED", 300)

    def warning(loss):
        numbers = metrics.Metrics(tmp_path, 0, tensorboard=False)
        said = []
        for step in range(1, 601):
            numbers.batch(step, {"rate": 0.1}, Score(loss, 1, 1, 8))
            said.append(numbers.stuck(step, 1000))
        return [text for text in said if text]

    (text,) = warning(math.log(1000))
    assert "costs 6.908" in text and "--with first-weights" in text
    assert not warning(6.5)


def test_other_pictures_on_resume(settings, uninterrupted, tmp_path):
    folder = tmp_path / "more"
    tiny_run.write_pictures(folder)
    (folder / "train-images-idx3-ubyte").unlink()
    (folder / "train-labels-idx1-ubyte").unlink()
    for kind in ("images-idx3", "labels-idx1"):
        source = Path(settings.data) / f"t10k-{kind}-ubyte"
        (folder / f"train-{kind}-ubyte").write_bytes(source.read_bytes())
    with pytest.raises(TrainingError, match=r"begun on 45 pictures, but .*more has 20"):
        Run.resume(uninterrupted, parse_devices("cpu"), data=str(folder))


def test_a_damaged_checkpoint_is_named(uninterrupted, tmp_path):
    saved = checkpoint.load(uninterrupted)
    for part in ("run", "net", "classes"):
        metadata = {key: value for key, value in saved.metadata.items() if key != part}
        path = tmp_path / f"no-{part}.safetensors"
        checkpoint.save(path, replace(saved, metadata=metadata))
        with pytest.raises(CheckpointError, match=f"{path.name}.*'{part}'"):
            Run.resume(path, parse_devices("cpu"))
    tensors = {name: a for name, a in saved.tensors.items() if name != "fc3.biases"}
    checkpoint.save(tmp_path / "less.safetensors", replace(saved, tensors=tensors))
    with pytest.raises(CheckpointError, match=r"less\.safetensors.*fc3\.biases"):
        Run.resume(tmp_path / "less.safetensors", parse_devices("cpu"))


def test_a_full_disk_leaves_the_last_checkpoint(settings, tmp_path, monkeypatch):
    run = Run.start(settings, parse_devices("cpu"), tmp_path)
    save_file, calls = checkpoint.save_file, []

    def full_at_the_second_epoch(*arguments, **keywords):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        save_file(*arguments, **keywords)

    monkeypatch.setattr(checkpoint, "save_file", full_at_the_second_epoch)
    with pytest.raises(CheckpointError, match=r"No space left on device.*untouched"):
        training.train(run)
    assert len(checkpoint.load_metadata(tmp_path)["run"]["history"]) == 1


def test_one_process_trains_in_a_folder(settings, tmp_path):
    run = Run.start(settings, parse_devices("cpu"), tmp_path / "run")
    (tmp_path / "run").mkdir()
    with (
        atomic.held(tmp_path / "run", AssertionError()),
        pytest.raises(TrainingError, match="run: another 'alexnet-raw train' is at work there: wait"),
    ):
        training.train(run)
    assert not list((tmp_path / "run").iterdir())
    assert training.train(run) == 0


# ---- settings


def test_outputs(settings):
    spec = run_settings.load_spec(settings.net, settings.params)
    assert run_settings.with_outputs(spec, None, 3) is spec
    assert run_settings.with_outputs(spec, None, 2).classes == 3  # enough: kept
    assert run_settings.with_outputs(spec, None, 7).classes == 7
    assert run_settings.with_outputs(spec, "auto", 2).classes == 2
    assert run_settings.with_outputs(spec, 12, 2).classes == 12
    assert "12 outputs" in run_settings.with_outputs(spec, 12, 2).notes[0]
    with pytest.raises(ValueError, match="the data has 4 classes"):
        run_settings.with_outputs(spec, 3, 4)


def test_constant_rates_mean_the_plateau_schedule(settings):
    spec = run_settings.load_spec(settings.net, settings.params)
    assert settings.resolved(spec).schedule == "file"
    paper = Settings("alexnet").resolved(run_settings.load_spec("alexnet"))
    assert (paper.schedule, paper.epochs, paper.batch_size) == ("plateau", 90, 128)
    assert Settings("alexnet", schedule="file", epochs=2).resolved(spec).schedule == "file"


def test_a_net_without_rates_is_refused(tmp_path):
    net, params = tiny_run.write_net(tmp_path)
    text = Path(params).read_text()
    Path(params).write_text(re.sub(r"epsW=[\d.,]+", lambda m: re.sub(r"[1-9]", "0", m[0]), text))
    with pytest.raises(ValueError, match="nothing would learn"):
        Settings(net, params).resolved(run_settings.load_spec(net, params))


def test_folders_of_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert new_folder(None, "net") == Path("runs/net")
    Path("runs/net").mkdir(parents=True)
    Path("runs/net-2").mkdir()
    assert new_folder(None, "net") == Path("runs/net-3")
    assert new_folder(Path("runs/net"), "net") == Path("runs/net")  # empty
    (Path("runs/net") / checkpoint.FILE_NAME).touch()
    with pytest.raises(ValueError, match="holds a run already"):
        new_folder(Path("runs/net"), "net")
    Path("file").touch()
    with pytest.raises(ValueError, match=r"--output file/run: .*file is not a folder"):
        new_folder(Path("file/run"), "net")


def test_a_checkpoint_is_not_written_over_another(settings, uninterrupted, tmp_path):
    devices, path = parse_devices("cpu"), uninterrupted / checkpoint.FILE_NAME
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"--checkpoint .*: that exists already"):
        Run.start(settings, devices, tmp_path / "run", path)
    with pytest.raises(ValueError, match=r"--checkpoint .*: that is a folder"):
        Run.start(settings, devices, tmp_path / "run", uninterrupted)
    assert path.read_bytes() == before and not (tmp_path / "run").exists()


def test_pictures_smaller_than_the_crop_are_refused(settings, tmp_path):
    with pytest.raises(ValueError, match="--size 11: net tiny sees 12 x 12 pixels"):
        Run.start(replace(settings, size=11), parse_devices("cpu"), tmp_path)


def test_a_parameter_file_needs_its_net():
    with pytest.raises(ValueError, match=r"--params p.cfg: net alexnet-mini has its own; .*--net FILE"):
        run_settings.load_spec("alexnet-mini", "p.cfg")


# ---- the paper's schedule


def test_plateau_divides_three_times():
    plateau = Plateau()
    assert not any(plateau.update(error, 1000) for error in (0.9, 0.8, 0.7))
    falls = [plateau.update(0.7, 1000) for _ in range(Plateau.PATIENCE * 5)]
    where = [i + 1 for i, fell in enumerate(falls) if fell]
    assert where == [Plateau.PATIENCE * n for n in (1, 2, 3)]
    assert plateau.scale == pytest.approx(1e-3)


def test_plateau_waits_after_an_improvement():
    plateau = Plateau()
    for error in [0.5] * Plateau.PATIENCE + [0.4] + [0.45] * (Plateau.PATIENCE - 1):
        assert not plateau.update(error, 1000)
    assert plateau.update(0.45, 1000)


def test_plateau_waits_for_updates():
    """Of 167 pictures in batches of 32, five epochs are 30 updates: no plateau yet."""
    plateau = Plateau()
    plateau.update(0.5, 6)
    falls = [plateau.update(0.5, 6) for _ in range(200)]
    assert falls.index(True) + 1 == math.ceil(Plateau.PATIENCE_STEPS / 6)


def test_plateau_survives_a_checkpoint():
    for plateau in (Plateau(), Plateau(0.1, 1, 0.25, 2, 40)):
        assert Plateau.from_json(plateau.to_json()) == plateau
    assert Plateau().to_json()["best"] is None


def test_plateau_in_a_run(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Plateau, "PATIENCE", 1)
    monkeypatch.setattr(Plateau, "PATIENCE_STEPS", 1)
    train(replace(settings, schedule="plateau", epochs=6, lr=1e-9), tmp_path)
    assert "the validation error has stopped falling: rate 1e-10" in capsys.readouterr().out
    rates = [record["rate"] for record in checkpoint.load_metadata(tmp_path)["run"]["history"]]
    assert rates[0] == pytest.approx(1e-9)
    assert rates[-1] == pytest.approx(1e-12)


def test_plateau_without_validation_pictures(settings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Plateau, "PATIENCE", 1)
    monkeypatch.setattr(Plateau, "PATIENCE_STEPS", 1)
    pictures = tiny_run.write_pictures(tmp_path / "pictures", validation=False)
    train(replace(settings, data=pictures, schedule="plateau", epochs=6, lr=1e-9), tmp_path / "run")
    assert "the training loss has stopped falling" in capsys.readouterr().out
