"""Averaged probabilities against NumPy, weights against a search, members that do not fit together."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ensemble, probabilities, row_file
from alexnet_raw.ensemble import EnsembleError
from alexnet_raw.evaluation import errors

CLASSES = ["cat", "dog", "eel", "fox", "gnu", "hen", "ibex"]


def random_rows(rng: np.random.Generator, pictures: int, sharpness: float = 2) -> np.ndarray:
    logits = sharpness * rng.standard_normal((pictures, len(CLASSES)))
    exps = np.exp(logits)
    return (exps / exps.sum(axis=1, keepdims=True)).astype(np.float32)


def save(path, rows: np.ndarray, labels: np.ndarray, classes=CLASSES, names=None):
    """A file of probabilities, opened."""
    names = names or [f"{i}.jpg" for i in range(len(rows))]
    with row_file.create(path, probabilities.KIND, rows.shape[1], {"classes": list(classes)}) as out:
        out.add(rows, labels, names)
    return probabilities.load(path)


@pytest.fixture
def members(tmp_path, rng):
    """Three members of more pictures than a chunk, and their rows and labels."""
    count = probabilities.CHUNK + 77
    labels = rng.integers(0, len(CLASSES), count)
    rows = [random_rows(rng, count) for _ in range(3)]
    return [save(tmp_path / f"{k}.safetensors", r, labels) for k, r in enumerate(rows)], rows, labels


@pytest.mark.parametrize("keep", ["all", "odd"])
def test_score_of_a_weighted_mean(members, keep):
    files, rows, labels = members
    weights = np.array([0.5, 0.2, 0.3])
    mean = sum(w * r.astype(np.float64) for w, r in zip(weights, rows, strict=True))
    mask = np.ones(len(labels), bool) if keep == "all" else np.arange(len(labels)) % 2 == 1
    score = ensemble.score(files, weights, mask)
    own = mean[np.arange(len(labels)), labels][mask]
    assert score.pictures == mask.sum()
    assert score.loss == pytest.approx(-np.log(own).mean(), rel=1e-9)
    assert score.top1 == pytest.approx(np.mean(mean.argmax(axis=1)[mask] != labels[mask]))
    assert score.topk == pytest.approx(errors(mean, labels, 5)[mask].mean())


def test_own_probabilities(members):
    files, rows, labels = members
    expected = np.stack([r[np.arange(len(labels)), labels] for r in rows], axis=1)
    np.testing.assert_array_equal(ensemble.own_probabilities(files), expected)


def test_fitted_weights_of_two_are_those_of_a_search(rng):
    own = rng.uniform(0.01, 1, (400, 2)) * [1, 0.7]
    grid = np.linspace(0, 1, 2001)
    losses = [-np.log(own @ [w, 1 - w]).mean() for w in grid]
    weights = ensemble.fit_weights(own)
    assert weights.sum() == pytest.approx(1)
    assert -np.log(own @ weights).mean() <= min(losses) + 1e-6
    assert weights[0] == pytest.approx(grid[np.argmin(losses)], abs=2e-2)


def test_fitted_weights_cannot_be_improved(rng):
    """No step towards any other weights lowers the loss: the minimum of a convex problem."""
    own = rng.uniform(0, 1, (300, 5)) ** 2 * [1, 0.1, 1, 0.9, 0.5]
    weights = ensemble.fit_weights(own)
    best = -np.log(own @ weights).mean()
    assert (weights >= 0).all()
    for _ in range(200):
        other = rng.dirichlet(np.ones(5))
        for step in (1, 0.1, 0.01):
            assert -np.log(own @ (weights + step * (other - weights))).mean() > best - 2e-7


def test_a_useless_member_gets_no_weight(rng):
    good = rng.uniform(0.5, 0.9, 200)
    weights = ensemble.fit_weights(np.stack([good, good / 2], axis=1))
    np.testing.assert_allclose(weights, [1, 0], atol=1e-5)
    np.testing.assert_allclose(ensemble.fit_weights(np.zeros((3, 2))), [0.5, 0.5])
    np.testing.assert_array_equal(ensemble.fit_weights(good[:, None]), [1])


def test_members_must_belong_together(tmp_path, rng):
    labels = np.array([0, 1, 2, 3])
    rows = random_rows(rng, 4)
    names = list("abcd")
    first = save(tmp_path / "first.safetensors", rows, labels, names=names)

    def refused(match: str, rows=rows, labels=labels, classes=CLASSES, names=names) -> None:
        other = save(tmp_path / "other.safetensors", rows, labels, classes, names)
        with pytest.raises(EnsembleError, match=match) as caught:
            ensemble.check_agree([first, other], ["first", "other"])
        assert "first and other" in str(caught.value)

    refused("another order", classes=CLASSES[::-1])
    refused("number 7 is 'ibex' in one, 'iguana'", classes=[*CLASSES[:-1], "iguana"])
    refused("7 and 6 classes", classes=CLASSES[:-1])
    refused("7 and 9 outputs", rows=np.pad(rows, ((0, 0), (0, 2))))
    refused("4 and 3 pictures", rows=rows[:3], labels=labels[:3], names=names[:3])
    refused("number 2 is 'b' in one, 'x'", names=list("axcd"))
    refused("picture c has label 2 in one and 5", labels=np.array([0, 1, 5, 3]))
    same = save(tmp_path / "other.safetensors", random_rows(rng, 4), labels, names=names)
    ensemble.check_agree([first, same], ["first", "other"])


def test_members_that_are_not_numbers_are_named(tmp_path, rng):
    rows = random_rows(rng, 3)
    rows[1, 2] = np.nan
    files = [
        save(tmp_path / f"{k}.safetensors", r, np.array([0, 2, 1]))
        for k, r in (("good", random_rows(rng, 3)), ("bad", rows))
    ]
    with pytest.raises(EnsembleError, match=r"bad\.safetensors: some probabilities"):
        ensemble.own_probabilities(files)


def test_names_of_pictures_take_a_line_each():
    """Bytes that are no UTF-8 and line breaks are written as escapes, so that the file can be read."""

    class Source:
        folder = "/pictures/val"

        def name(self, index: int) -> str:
            return ["/pictures/val/cat/1.jpg", "/pictures/val/a\nb/1.jpg", "bad\udcff.jpg"][index]

    names = probabilities.picture_names(Source(), [0, 2, 1])
    assert names == ["cat/1.jpg", "'bad\\udcff.jpg'", "'a\\nb/1.jpg'"]
