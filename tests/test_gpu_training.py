"""Training on a stand-in for a GPU: the bits are those of the CPU, and no step allocates or waits."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from alexnet_raw import run_report, training
from alexnet_raw.device import parse_devices
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from tests import cupy_stand_in, tiny_run
from tests.cupy_stand_in import Stream, counts
from tests.test_training import same


@pytest.fixture(params=["late", "early"])
def gpu(request, monkeypatch) -> None:
    """cuda:N is a stand-in whose streams work as late or as early as they may."""
    cupy_stand_in.install(monkeypatch)
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


@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0", "cuda:0,cuda:1"])
def test_the_bits_are_those_of_the_cpu(gpu, settings, on_the_cpu, tmp_path, devices):
    """Also with validation in between, smaller last batches, and towers that exchange."""
    same(on_the_cpu, train(settings, tmp_path, devices))


@pytest.mark.parametrize("devices", ["cuda:0", "cuda:0,cuda:0"])
def test_steps_neither_allocate_nor_wait(gpu, settings, tmp_path, devices):
    settings = replace(settings, batch_size=5)
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
