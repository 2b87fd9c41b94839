"""multi_softmax.cu against reference/multi_softmax.py, which writes down every set."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import multi_softmax as reference
from alexnet_raw.reference import softmax
from tests.conftest import assert_close, numerical_gradient

# classes, pictures, size
CASES = [(2, 1, 1), (3, 2, 2), (5, 31, 3), (7, 33, 5), (7, 127, 6), (10, 129, 4), (12, 3, 1)]


def run(guarded, x, size, given=None):
    classes, images = x.shape
    probs, lattice = guarded.out(classes, images), guarded.inp(np.zeros((classes, size, images)))
    labels = None if given is None else guarded.inp(given)
    ops.multi_softmax(probs, lattice, guarded.inp(x), labels, size=size)
    return probs


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("classes", "images", "size"), CASES, ids=str)
def test_multi_softmax(guarded, rng, classes, images, size, given):
    x = 2 * rng.standard_normal((classes, images), np.float32)
    labels = rng.integers(0, classes, images).astype(np.int32) if given else None
    probs = run(guarded, x, size, labels)
    assert_close(probs, reference.forward(x, size, labels))
    np.testing.assert_allclose(probs.numpy().sum(axis=0), size, rtol=1e-5)


def test_many_classes(guarded, rng):
    """Too many sets to write down: but one class is the softmax, and all but one its complement."""
    x = 3 * rng.standard_normal((1000, 5), np.float32)
    assert_close(run(guarded, x, 1), softmax.forward(x.astype(np.float64)))
    x = 3 * rng.standard_normal((33, 5), np.float32)
    assert_close(run(guarded, x, 32), 1 - softmax.forward(-x.astype(np.float64)))


def test_far_apart(guarded):
    """Neither overflows, and what follows a certain class keeps its digits."""
    x = np.array([[300, 300, 0], [200, -300, 0], [100, -299, 0], [-300, -298, 0.0]], np.float32)
    probs = run(guarded, x, 2).numpy()
    np.testing.assert_allclose(probs[:, 0], [1, 1, 0, 0], atol=1e-30)
    np.testing.assert_allclose(probs[1:, 1], np.exp([-2, -1, 0]) / np.exp([-2, -1, 0]).sum(), rtol=1e-4)
    np.testing.assert_allclose(probs[:, 2], 0.5, rtol=1e-5)


@pytest.mark.parametrize(("classes", "size"), [(2, 1), (5, 2), (6, 5)])
def test_reference_gradient(rng, classes, size):
    x, labels = rng.standard_normal((classes, 3)), rng.integers(0, classes, 3)
    want = numerical_gradient(lambda v: reference.loss(v, size, labels), x, np.full(3, 0.7 / 3))
    assert_close(reference.backward(x, size, labels, 0.7), want, 1e-6)


def test_reference_by_hand():
    """Three equally probable classes, sets of two: each is in two of three; given one, in half."""
    x = np.zeros((3, 1))
    np.testing.assert_allclose(reference.forward(x, 2)[:, 0], 2 / 3)
    np.testing.assert_allclose(reference.forward(x, 2, np.array([1]))[:, 0], [0.5, 1, 0.5])


def test_bad_arguments(guarded):
    x, probs, lattice = guarded.out(3, 5), guarded.out(3, 5), guarded.out(3, 2, 5)
    with pytest.raises(ValueError, match="size must be between 1 and 32, and below the number of cl"):
        ops.multi_softmax(probs, lattice, x, size=3)
    with pytest.raises(ValueError, match=r"lattice .*\(3, 1, 5\).*for this inp and size"):
        ops.multi_softmax(probs, lattice, x, size=1)
    with pytest.raises(ValueError, match="one label for each column of inp"):
        ops.multi_softmax(probs, lattice, x, guarded.inp(np.zeros(4, np.int32)), size=2)
    with pytest.raises(ValueError, match="probs and inp overlap"):
        ops.multi_softmax(probs, lattice, probs, size=2)
