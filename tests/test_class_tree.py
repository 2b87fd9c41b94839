"""Trees of classes, as data sets supply them and as treefc layers use them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from alexnet_raw import class_tree, layer_file
from alexnet_raw.ini import LayerFileError
from alexnet_raw.network import Network
from tests.test_other_layers import PICTURE, batch, make, run, tree

ANIMALS = {"tabby": "cat", "siamese": "cat", "beagle": "dog", "cat": "animal", "dog": "animal"}


def test_parents_follow_the_order_of_the_classes():
    # beagle siamese tabby | animal cat dog
    assert class_tree.parents(ANIMALS) == [5, 4, 4, -1, 3, 3]
    assert class_tree.parents(ANIMALS, ["tabby", "beagle", "siamese"]) == [4, 5, 4, -1, 3, 3]


def test_paths():
    above = class_tree.paths(class_tree.parents(ANIMALS))
    np.testing.assert_array_equal(above, [[1, 1, 1], [0, 1, 1], [1, 0, 0]])  # animal, cat, dog


@pytest.mark.parametrize(
    ("tree", "classes", "message"),
    [
        (ANIMALS, ["tabby", "beagle"], "the data set has no class 'siamese'"),
        (ANIMALS, ["tabby", "beagle", "siamese", "horse"], "class 'horse' is not in it"),
        (ANIMALS, ["tabby", "beagle", "siamese", "cat"], "class 'cat' has classes below it"),
        ({**ANIMALS, "oak": "plant"}, None, "one root"),
        ({**ANIMALS, "animal": "cat"}, None, "one root"),
        ({"a": "b", "x": "y", "y": "z", "z": "y"}, None, "above itself"),
        ({}, None, "one root"),
    ],
)
def test_what_is_no_tree_of_these_classes(tree, classes, message):
    with pytest.raises(ValueError, match=f"the class tree does not fit: .*{message}"):
        class_tree.parents(tree, classes)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[1]", "JSON object"), ('{"a": 1}', "JSON object"), ("{", "cannot read"), (None, "cannot read")],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "tree.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=f"tree.json: .*{message}"):
        class_tree.load(path)
    path.write_text(json.dumps(ANIMALS))
    assert class_tree.load(path) == ANIMALS


def test_without_a_tree_it_says_what_the_data_set_must_supply():
    text = tree()
    text.definition = text.definition.replace("tree=4,4,5,6,6,6,-1\n", "")
    spec = text.spec()
    assert spec.wants_tree and spec.classes is None
    with pytest.raises(
        LayerFileError, match=r"\[fc\] tree: .*data set's tree of classes: a file tree.j"
    ):
        Network(spec, [], 1, input_shape=PICTURE)
    grown = spec.with_tree([4, 4, 5, 6, 6, 6, -1])
    assert layer_file.parse(grown.definition, text.parameters, "again")["fc"].outputs == 4
    assert not grown.wants_tree and grown.classes == 4 and grown["fc"].parents == [4, 4, 5, 6, 6, 6, -1]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("tree=4,4,5", "one root"),
        ("tree=1,-1,1", "come first"),
        ("tree=a", "invalid literal"),
        ("weightSource=conv1", "own only"),
    ],
)
def test_bad_keys(key, message):
    text = tree()
    text.definition = text.definition.replace("tree=4,4,5,6,6,6,-1", key)
    with pytest.raises(LayerFileError, match=rf"\[fc\] \w+: .*{message}"):
        text.spec()


def test_only_classes_start_apart(rng):
    net = make(tree())
    assert net.parameters["fc.weights0"].value.numpy().std() == pytest.approx(0.2, rel=0.2)
    assert not net.parameters["fc.nodes"].value.numpy().any()
    run(net, *batch(rng, PICTURE, 3, 4))
    net.update(0.0)
    assert net.parameters["fc.nodes"].value.numpy().any()
    with pytest.raises(LayerFileError, match="has 4 classes, but 7 outputs are wanted"):
        tree().spec().with_classes(7)


def test_a_node_learns_the_slower_the_more_classes_are_below_it(rng):
    """v <- mom v - eps/n (gradient + wc/n w), as in the 2012 release; classes have n = 1."""
    net, eps, mom, wc = make(tree()), 0.01, 0.9, 0.001
    below = np.array([[2], [1], [4]])  # the nodes 4, 5 and 6, the root, of four classes
    nodes = net.parameters["fc.nodes"]
    w = rng.normal(0, 100, nodes.value.shape).astype(np.float32)  # so that the decay is seen
    nodes.value.copy_from(w)
    v = np.zeros(w.shape)
    for step in range(2):
        run(net, *batch(rng, PICTURE, 3, 4), step=step)
        gradient = nodes.gradient.numpy().astype(np.float64)
        net.update(0.0)
        v = mom * v - eps / below * (gradient + wc / below * w)
        w = w + v
        np.testing.assert_allclose(nodes.velocity.numpy(), v, rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(nodes.value.numpy(), w, rtol=1e-6)
