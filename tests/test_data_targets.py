"""Targets that a data set supplies, from its files to the gradient of a net."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_raw import class_tree, data, net_data, training
from alexnet_raw.device import parse_devices
from alexnet_raw.model import Model
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from tests.data_pictures import encode
from tests.test_class_tree import ANIMALS
from tests.test_network import NetText

PICTURES = ["train/a/0.png", "train/a/1.png", "train/b/0.png", "val/b/9.png"]


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(PICTURES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(encode(np.full((12, 12, 3), 60 * i, np.uint8), "PNG"))
    return tmp_path


def save(folder, values, names=None, split="train") -> None:
    np.save(folder / f"targets-{split}.npy", np.asarray(values))
    if names is not None:
        (folder / f"targets-{split}.txt").write_text("".join(f"{name}\n" for name in names))


def opened(folder, split="train"):
    return data.open(folder, split, size=9, progress=False)


def test_rows_by_name(folder):
    save(folder, [[7, 7], [3, 30], [2, 20], [1, 10]], ["other.png", *PICTURES[2::-1]])
    source = opened(folder)
    assert source.targets.outputs == 2
    got = source.targets.load(np.array([2, 0, 0]))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, [[3, 30], [1, 10], [1, 10]])
    assert opened(folder, "val").targets is None


def test_rows_in_order(folder):
    save(folder, np.eye(3, dtype=np.uint8))
    source = opened(folder)
    loader = data.Loader(source, 2, 8, seed=1, statistics=data.statistics(source))
    for batch in loader.epoch(0):
        np.testing.assert_array_equal(batch.targets, np.eye(3)[batch.indices])


def test_broken_pictures_take_their_targets_along(folder):
    (folder / PICTURES[1]).write_bytes(b"no picture")
    save(folder, np.eye(3), PICTURES[:3])
    source = data.PictureFolder(folder / "train", size=9, cache_bytes=0, progress=False)
    source.targets = opened(folder).targets  # of the two that can be read
    np.testing.assert_array_equal(source.targets.load(np.arange(2)), np.eye(3)[[0, 2]])
    save(folder, np.eye(3))
    (folder / "targets-train.txt").unlink()
    with pytest.raises(
        data.DataError, match=r"3 rows for 2 readable pictures: write targets-train\.txt"
    ):
        opened(folder)


@pytest.mark.parametrize(
    ("values", "names", "message"),
    [
        (np.zeros(3), None, r"float64 of shape \(3,\); targets are numbers \(pictures, outputs\)"),
        (np.array([["x"]] * 3), None, "targets are numbers"),
        (np.zeros((2, 4)), None, "2 rows for 3 readable pictures"),
        (np.zeros((3, 4)), PICTURES[:2], "2 lines for 3 rows"),
        (np.zeros((3, 4)), ["x", *PICTURES[:2]], "does not name the picture train/b/0.png"),
    ],
)
def test_bad_files(folder, values, names, message):
    save(folder, values, names)
    with pytest.raises(data.DataError, match=rf"targets-train.*: .*{message}"):
        opened(folder)
    (folder / "targets-train.npy").write_text("no array")
    with pytest.raises(data.DataError, match=r"targets-train\.npy"):
        opened(folder)


def tags(outputs: int) -> NetText:
    net = NetText()
    net.weights("fc", "data", f"type=fc outputs={outputs} initW=0.001 neuron=logistic")
    net.add("tags", "labels,fc", "type=cost.crossent2", "coeff=1")
    return net


def model_of(spec, source) -> Model:
    spec = net_data.fit(spec.with_crop(8), "somewhere", source)
    statistics = data.statistics(source)
    return Model.build(spec, parse_devices("cpu"), 3, 1, source.classes, statistics, 9)


def test_nets_get_them_in_place_of_labels(folder, rng):
    targets = rng.random((3, 5)).astype(np.float32)
    save(folder, targets)
    source = opened(folder)
    model = model_of(tags(5).spec(), source)
    [batch] = data.Loader(source, 3, 8, train=False).epoch(0)
    net = model.net
    net.forward(*model.upload(batch), train=True)
    net.backward()
    y = net.probabilities()  # of a net without softmax: what the cost judges
    assert y.shape == (3, 5)
    loss = -(targets * np.log(y) + (1 - targets) * np.log(1 - y)).sum(axis=1).mean()
    assert net.costs()["tags"].loss == pytest.approx(loss, rel=1e-5)
    bias = net.parameters["fc.biases"].gradient.numpy()
    np.testing.assert_allclose(bias, (y - targets).mean(axis=0), rtol=1e-4, atol=1e-6)
    assert model.spec.notes == ()

    other = model_of(tags(4).spec(), source)
    with pytest.raises(ValueError, match="targets have 5 outputs, but tags wants 4"):
        other.net.forward(*other.upload(batch), train=True)


def test_training_and_evaluating_with_them(folder, tmp_path):
    """A cost that counts no errors: they are those of the largest output."""
    for split, count in (("train", 3), ("val", 1)):
        save(folder, np.eye(3, 5)[:count], split=split)
    layers, params = tmp_path / "tags.layers.cfg", tmp_path / "tags.params.cfg"
    layers.write_text(tags(5).definition)
    params.write_text(tags(5).parameters)
    settings = Settings(
        net=str(layers), params=str(params), data=str(folder), crop=8, epochs=1, batch_size=2
    )
    run = Run.start(settings, parse_devices("cpu"), tmp_path / "run")
    assert training.train(run) == 0
    score = run.history[0]["train"]
    assert np.isfinite(score["loss"]) and 0 <= score["top1"] <= 1
    Run.resume(tmp_path / "run", parse_devices("cpu"), epochs=2)


def test_without_them_the_labels_are_the_targets(folder):
    source = opened(folder)
    model = model_of(tags(2).spec(), source)
    [note] = model.spec.notes
    assert "its targets are the labels" in note and "targets-train.npy" in note
    [batch] = data.Loader(source, 3, 8, train=False).epoch(0)
    _, labels = model.upload(batch)
    assert labels.dtype == np.int32


def test_log_losses_keep_their_labels(folder):
    save(folder, np.eye(3))
    text = NetText()
    text.weights("fc", "data", "type=fc outputs=2 initW=0.01")
    text.add("probs", "fc", "type=softmax")
    text.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    model = model_of(text.spec(), opened(folder))
    [batch] = data.Loader(opened(folder), 3, 8, train=False).epoch(0)
    images, labels = model.upload(batch)
    assert labels.dtype == np.int32
    with pytest.raises(ValueError, match=r"logprob of type cost\.logreg takes labels, not targets"):
        model.net.forward(images, model.net.input_device.upload(batch.targets.T), train=True)


def test_class_trees_come_from_the_folder(folder):
    text = NetText()
    text.weights("fc", "data", "type=treefc")
    text.add("probs", "fc", "type=softmax")
    text.add("logprob", "labels,probs", "type=cost.logreg", "coeff=1")
    source = opened(folder)
    with pytest.raises(ValueError, match=r"net test: a treefc layer needs .* a file tree\.json in its"):
        net_data.fit(text.spec(), str(folder), source)
    with pytest.raises(ValueError, match="a treefc layer needs"):
        net_data.fit(text.spec(), None, source)
    (folder / "tree.json").write_text(json.dumps({"a": "letter", "b": "letter"}))
    spec = net_data.fit(text.spec(), str(folder), source)
    assert spec["fc"].parents == [2, 2, -1]
    assert net_data.plant(spec, None) == spec  # it has one already
    swapped = net_data.plant(spec, str(folder), ["b", "a"])
    assert swapped["fc"].parents == [2, 2, -1] and swapped.definition.count("tree=") == 1
    (folder / class_tree.FILE_NAME).write_text(json.dumps(ANIMALS))
    with pytest.raises(ValueError, match="class 'a' is not in it"):
        net_data.fit(text.spec(), str(folder), source)
