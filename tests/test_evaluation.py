"""Scores: ties, views, and agreement with the net's own costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from alexnet_raw import data
from alexnet_raw.device import parse_devices
from alexnet_raw.evaluation import TOP, Score, errors, evaluate
from alexnet_raw.model import Model
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from tests import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    """An untrained tiny net with its pictures."""
    folder = tmp_path_factory.mktemp("tiny")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    settings = Settings(net, params, pictures, batch_size=tiny_run.BATCH)
    return Run.start(settings, parse_devices("cpu"), folder / "run")


@pytest.fixture
def model(run) -> Model:
    return run.model


def loader(run: Run, batch_size: int) -> data.Loader:
    return data.Loader(run.val_loader.source, batch_size, run.model.crop, train=False)


def test_errors():
    probabilities = np.array([[0.1, 0.6, 0.3]] * 3)
    labels = np.array([0, 1, 2])
    np.testing.assert_array_equal(errors(probabilities, labels, 1), [1, 0, 1])
    np.testing.assert_array_equal(errors(probabilities, labels, 2), [1, 0, 0])
    np.testing.assert_array_equal(errors(probabilities, labels, 3), [0, 0, 0])
    np.testing.assert_array_equal(errors(probabilities, labels, 9), [0, 0, 0])


def test_ties_share_their_places():
    same = np.full((1, 10), 0.1)
    np.testing.assert_allclose(errors(same, np.array([3]), 1), 0.9)
    np.testing.assert_allclose(errors(same, np.array([3]), 5), 0.5)
    two = np.array([[0.4, 0.4, 0.2]])
    np.testing.assert_allclose(errors(two, np.array([1]), 1), 0.5)
    np.testing.assert_allclose(errors(two, np.array([2]), 2), 1)


def test_not_a_number_is_never_right():
    nothing = np.full((2, 3), np.nan)
    np.testing.assert_array_equal(errors(nothing, np.array([0, 2]), 3), [1, 1])


def test_score_is_a_mean_over_pictures():
    score = Score()
    score.add(Score(loss=1.0, top1=1.0, topk=0.5, pictures=30))
    score.add(Score(loss=2.0, top1=0.0, topk=0.0, pictures=10))
    assert (score.loss, score.top1, score.topk, score.pictures) == (1.25, 0.75, 0.375, 40)


def test_agrees_with_the_costs_of_the_net(run, model):
    expected = Score()
    for batch in loader(run, 8).epoch(0):
        model.net.forward(*model.upload(batch), train=False)
        cost = next(iter(model.net.costs().values()))
        probabilities = model.net.probabilities()
        np.testing.assert_allclose(errors(probabilities, batch.labels, 1).mean(), cost.top1)
        np.testing.assert_allclose(errors(probabilities, batch.labels, 2).mean(), cost.topk)
        expected.add(Score(cost.loss, cost.top1, 0.0, len(batch)))
    score = evaluate(model, loader(run, 8))
    assert score.pictures == tiny_run.VAL
    assert score.loss == pytest.approx(expected.loss, rel=1e-6)
    assert score.top1 == pytest.approx(expected.top1)
    assert score.topk == 0  # three classes are always among the five likeliest
    assert TOP == 5


@pytest.mark.parametrize("batch_size", [1, 7, 10])
def test_does_not_depend_on_the_batch_size(run, model, batch_size):
    score, whole = evaluate(model, loader(run, batch_size)), evaluate(model, loader(run, 5))
    assert score.loss == pytest.approx(whole.loss, rel=1e-5)
    assert score.top1 == pytest.approx(whole.top1)


def test_ten_views_are_averaged(run, model):
    """The picture is one pixel larger than the crop each way: all ten views differ."""
    batch = next(loader(run, 6).epoch(0))
    side = batch.pictures.shape[1] - model.crop
    assert side == 1
    views = []
    for flip in (0, 1):
        for top, left in ((0, 0), (0, side), (side, 0), (side, side), (side // 2, side // 2)):
            view = replace(
                batch,
                offsets=np.full((6, 2), (top, left), np.int32),
                flips=np.full(6, flip, np.uint8),
            )
            views.append(model.probabilities(view))
    np.testing.assert_allclose(model.probabilities(batch, 10), np.mean(views, axis=0), rtol=1e-6)
    assert not np.allclose(views[0], views[5])
    with pytest.raises(ValueError, match="5 views"):
        model.probabilities(batch, 5)


def test_given_up(run, model):
    seen = []

    def tick(pictures: int) -> bool:
        seen.append(pictures)
        return len(seen) < 2

    assert evaluate(model, loader(run, 5), tick=tick) is None
    assert seen == [5, 5]


def test_a_certain_error_has_a_finite_loss(run, model, monkeypatch):
    certain = np.tile(np.array([1, 0, 0], np.float32), (10, 1))
    monkeypatch.setattr(model, "probabilities", lambda batch, views: certain[: len(batch)])
    score = evaluate(model, loader(run, 10))
    assert 50 < score.loss < 90
