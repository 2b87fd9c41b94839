"""Features: which layers a name means, what is written, the nearest against a naive search."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import data, features, layer_file
from alexnet_raw.device import parse_devices
from alexnet_raw.features import Nearest, Subset
from alexnet_raw.run import Run
from alexnet_raw.run_settings import Settings
from tests import tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    folder = tmp_path_factory.mktemp("features")
    net, params = tiny_run.write_net(folder)
    pictures = tiny_run.write_pictures(folder / "pictures")
    settings = Settings(net, params, pictures, batch_size=tiny_run.BATCH)
    return Run.start(settings, parse_devices("cpu,cpu"), folder / "run")


@pytest.mark.parametrize(
    "net, wish, layers",
    [
        ("alexnet", None, ["fc7a", "fc7b"]),
        ("alexnet", "fc7", ["fc7a", "fc7b"]),
        ("alexnet", "fc7b", ["fc7b"]),
        ("alexnet", "fc8", ["fc8"]),
        ("alexnet", "conv5, fc8", ["conv5a", "conv5b", "fc8"]),
        ("alexnet-6conv", None, ["fc8a", "fc8b"]),
        ("alexnet-1tower", None, ["fc7"]),
        ("alexnet-1tower", "pool5", ["pool5"]),
        ("alexnet-mini", "drop6", ["drop6a", "drop6b"]),
    ],
)
def test_names_of_layers(net, wish, layers):
    assert features.find_layers(layer_file.load_packaged(net), wish) == layers


def test_towers_keep_the_order_of_the_file():
    """Where the authors' files name the inputs of the last layer b before a."""
    definition = tiny_run.DEFINITION.replace("inputs=drop2a,drop2b", "inputs=drop2b,drop2a")
    spec = layer_file.parse(definition, tiny_run.parameters(), "tiny")
    assert features.find_layers(spec) == ["fc2a", "fc2b"]


@pytest.mark.parametrize("wish", ["fc9", "fc", "", "labels", "data", "logprob", "fc7a,nothing"])
def test_unknown_layers_are_refused(wish):
    with pytest.raises(ValueError, match=r"net alexnet has no layer .*; it has conv1a, .* fc7b"):
        features.find_layers(layer_file.load_packaged("alexnet"), wish)


def test_features_lie_side_by_side(run):
    loader = data.Loader(run.val_loader.source, 7, run.model.crop, train=False)
    layers = ["pool1b", "fc2a", "fc2b"]
    width = 4 * 6 * 6 + 8 + 8
    assert features.width(run.model, layers) == width
    for batch in loader.epoch(0):
        rows = features.of_batch(run.model, batch, layers)
        assert rows.shape == (len(batch), width) and rows.dtype == np.float32
        net = run.model.net
        np.testing.assert_array_equal(rows[:, :-16], net.activations("pool1b").reshape(len(batch), -1))
        np.testing.assert_array_equal(rows[:, -8:], net.activations("fc2b")[:, :, 0, 0])
        # the last layer's sum, from these features: they are the ones that feed it (keep = 0.5)
        state = net.state()
        logits = (
            0.5 * (rows[:, -16:-8] @ state["fc3.weights0"] + rows[:, -8:] @ state["fc3.weights1"])
            + state["fc3.biases"].ravel()
        )
        np.testing.assert_allclose(logits, net.activations("fc3")[:, :, 0, 0], rtol=1e-4, atol=1e-5)


def test_a_subset_keeps_its_order(run):
    source = run.train_loader.source
    chosen = np.array([30, 2, 2, 17])
    subset = Subset(source, chosen)
    assert len(subset) == 4
    assert subset.classes == source.classes
    assert [subset.name(i) for i in range(4)] == [source.name(i) for i in chosen]
    loader = data.Loader(subset, 3, run.model.crop, train=False)
    batches = list(loader.epoch(0))
    pictures, labels = source.load(chosen)
    np.testing.assert_array_equal(np.concatenate([b.pictures for b in batches]), pictures)
    np.testing.assert_array_equal(np.concatenate([b.labels for b in batches]), labels)
    assert subset.targets is None


@pytest.mark.parametrize("count, total", [(1, 50), (6, 50), (6, 7), (6, 6), (6, 3)])
def test_nearest_is_the_naive_search(rng, count, total):
    queries = rng.standard_normal((4, 9)).astype(np.float32)
    rows = rng.standard_normal((total, 9)).astype(np.float32)
    rows[-1] = rows[0]  # a tie: the earlier one comes first
    nearest = Nearest(queries, count)
    for start in range(0, total, 8):
        here = np.arange(start, min(start + 8, total))
        nearest.add(here, rows[here])
    distances = np.sqrt(((queries[:, None] - rows[None]) ** 2).sum(axis=2))
    order = np.argsort(distances, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(nearest.indices, order)
    np.testing.assert_allclose(nearest.distances, np.take_along_axis(distances, order, 1), rtol=1e-5)


def test_a_picture_is_not_its_own_neighbour(rng):
    rows = rng.standard_normal((20, 5)).astype(np.float32)
    itself = np.array([4, 11])
    nearest = Nearest(rows[itself], 6)
    for start in range(0, 20, 7):
        here = np.arange(start, min(start + 7, 20))
        nearest.add(here, rows[here], itself)
    assert (nearest.indices != itself[:, None]).all()
    assert nearest.indices.shape == (2, 6)


def test_large_offsets_do_not_blur_distances():
    """|q|^2 - 2qx + |x|^2 would lose all digits here."""
    rows = np.array([[1000.0, 1000.001], [1000.0, 1000.0]], np.float32)
    nearest = Nearest(rows[1:], 2)
    nearest.add(np.arange(2), rows)
    np.testing.assert_array_equal(nearest.indices, [[1, 0]])
    assert 0 < nearest.distances[0, 1] < 0.01
