"""Training on a stand-in for a GPU: the bits are those of the CPU, and no step allocates or waits."""

from __future__ import annotations

import signal
from collections import Counter, deque
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from alexnet_raw import optimizer, run_report, training
from alexnet_raw.device import parse_devices
from alexnet_raw.layers import Site
from alexnet_raw.run import Run, TrainingError
from alexnet_raw.run_settings import Settings
from tests import gpu_stand_in, tiny_run
from tests.gpu_stand_in import Stream, counts
from tests.test_training import interrupt, same


@pytest.fixture(params=["late", "early"])
def gpu(request, monkeypatch) -> None:
    """cuda:N is a stand-in whose streams work as late or as early as they may."""
    gpu_stand_in.install(monkeypatch)
    monkeypatch.setattr(Stream, "eager", request.param == "early")
    monkeypatch.setattr(run_report, "draw", lambda *_: None)


@pytest.fixture(scope="module")
def settings(tmp_path_factory) -> Settings:
    """Of a net with dropout in two towers, whose rates fall from step to step."""
    folder = tmp_path_factory.mktemp("tiny")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    return Settings(net, params, pictures, epochs=2, batch_size=tiny_run.BATCH)


@pytest.fixture(scope="module")
def on_the_cpu(settings, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_report, "draw", lambda *_: None)
        return train(settings, folder, "cpu")


def train(settings: Settings, folder: Path, devices: str) -> Path:
    assert training.train(Run.start(settings, parse_devices(devices), folder)) == 0
    return folder


@pytest.mark.parametrize("large", [optimizer.LARGE, 20, 1])
@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0", "cuda:0,cuda:1"])
def test_a_recorded_training_is_the_same_to_the_bit(
    gpu, settings, on_the_cpu, tmp_path, monkeypatch, devices, graphs, large
):
    """Also with validation in between, smaller last batches, towers that exchange, and parameters that
    move beside the rest of the backward pass."""
    monkeypatch.setattr(optimizer, "LARGE", large)
    same(on_the_cpu, train(replace(settings, graphs=graphs), tmp_path, devices))
    steps = 2 * 5 - 2  # without the first of each batch size
    assert counts["graph launches"] == (steps if graphs and devices != "cuda:0,cuda:1" else 0)


def test_a_recorded_number_is_seen(gpu, settings, on_the_cpu, tmp_path, monkeypatch):
    """Such as a step that draws follow: if it were an argument, the stand-in would repeat it."""

    def draws(site: Site) -> dict:
        return {"seed": site.seed, "layer": site.layer.stream, "step": site.step}

    monkeypatch.setattr(Site, "draws", property(draws))
    with pytest.raises(AssertionError):
        same(on_the_cpu, train(settings, tmp_path, "cuda:0"))


@pytest.mark.parametrize("graphs", [True, False])
@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0"])
def test_steps_neither_allocate_nor_wait(gpu, settings, tmp_path, devices, graphs):
    settings = replace(settings, batch_size=5, graphs=graphs)
    run = Run.start(settings, parse_devices(devices), tmp_path)
    batches = list(run.train_loader.epoch(0))
    before: list[Counter[str]] = []
    due, losses = deque(), []
    for batch in run.model.uploads.ahead(batch for batch in batches):
        before.append(Counter(counts))
        Stream.step += 1
        due.append(training.train_batch(run, batch))
        if len(due) > 1:
            losses.append(due.popleft()().loss)
    assert len(before) == 9 and np.isfinite(losses).all()
    for early, late in pairwise(before[2:]):
        assert not (late - early).keys() & {
            "allocations",
            "synchronisations",
            "waits for the step's own work",
        }
        if graphs:
            # The pictures' crop; for each device the step and the rates.
            assert late["launches"] - early["launches"] == 1 + 2 * len(run.model.net.devices)
            assert late["graph launches"] - early["graph launches"] == 1


def test_what_a_run_says(gpu, settings, tmp_path):
    for devices, graphs, wanted in [
        ("cuda:0", True, "step  a CUDA graph, once recorded"),
        ("cuda:0", False, "step  not recorded as a CUDA graph: --no-graphs"),
        ("cuda:0,cuda:1", True, "step  not recorded as a CUDA graph: its devices are several GPUs"),
    ]:
        run = Run.start(replace(settings, graphs=graphs), parse_devices(devices), tmp_path / "run")
        assert wanted in run_report.announcement(run).splitlines()
    on_cpu = Run.start(settings, parse_devices("cpu"), tmp_path / "cpu")
    assert "graph" not in run_report.announcement(on_cpu)


@pytest.mark.parametrize("stop", [3, 5, 8])
def test_interrupted_and_resumed(gpu, settings, on_the_cpu, tmp_path, monkeypatch, stop):
    """What is saved has the score of the last batch, although it comes late."""
    with pytest.MonkeyPatch.context() as patch:
        interrupt(Run.start(settings, parse_devices("cuda:0"), tmp_path), stop, signal.SIGTERM, patch)
    assert training.train(Run.resume(tmp_path, parse_devices("cuda:0"))) == 0
    same(on_the_cpu, tmp_path)


def test_a_loss_that_is_not_a_number(gpu, settings, tmp_path):
    """It is noticed a batch later, but before anything is saved, and the batch is named that had it."""
    messages = []
    for device in ("cpu", "cuda:0"):
        run = Run.start(replace(settings, lr=1e12), parse_devices(device), tmp_path / device)
        with pytest.raises(TrainingError, match="the loss became") as error:
            training.train(run)
        messages.append(str(error.value))
        assert not run.checkpoint_path.exists()
    assert messages[0] == messages[1]
