"""logloss.cu against reference/logloss.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import logloss as reference
from alexnet_raw.reference import softmax
from tests.conftest import assert_close, numerical_gradient

SHAPES = [(1, 1), (10, 2), (3, 3), (5, 31), (48, 33), (257, 127), (1000, 129)]


def draw(rng, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    probs = softmax.forward(rng.standard_normal(shape)).astype(np.float32)
    return probs, rng.integers(shape[0], size=shape[1], dtype=np.int32)


def forward(guarded, probs: np.ndarray, labels: np.ndarray, k: int) -> list[np.ndarray]:
    results = [guarded.out(len(labels)) for _ in range(3)]
    ops.logloss_forward(*results, guarded.inp(probs), guarded.inp(labels), k=k)
    return [result.numpy() for result in results]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("k", [1, 5, 2000])
def test_forward(guarded, rng, shape, k):
    probs, labels = draw(rng, shape)
    got = forward(guarded, probs, labels, k)
    for result, want in zip(got, reference.forward(probs, labels, k), strict=True):
        assert_close(result, want)


@pytest.mark.parametrize("k", [1, 3, 5])
def test_ties_share(guarded, rng, k):
    """Probabilities of three values only: most labels are tied."""
    probs = rng.choice([0.125, 0.25, 0.5], (12, 129)).astype(np.float32)
    labels = rng.integers(12, size=129, dtype=np.int32)
    _, top1, topk = forward(guarded, probs, labels, k)
    _, want1, wantk = reference.forward(probs, labels, k)
    assert_close(top1, want1)
    assert_close(topk, wantk)


def test_ties_by_hand(guarded):
    probs = np.array([[0.4, 0.1, 0.25], [0.4, 0.3, 0.25], [0.1, 0.3, 0.25], [0.1, 0.3, 0.25]])
    _, top1, top2 = forward(guarded, probs, np.array([0, 1, 3], np.int32), 2)
    assert_close(top1, np.array([1 / 2, 2 / 3, 3 / 4]))  # two, three, four share one place
    assert_close(top2, np.array([0, 1 / 3, 1 / 2]))  # two, three, four share two


def test_zero_probability_costs_much_but_not_infinity(guarded):
    probs = np.array([[1, 0, 1e-42], [0, 1, 1]], np.float32)
    labels = np.array([1, 0, 0], np.int32)
    loss, top1, _ = forward(guarded, probs, labels, 1)
    assert_close(loss, np.full(3, -np.log(np.finfo(np.float32).tiny)))
    assert_close(top1, np.ones(3))
    dprobs, dinp = guarded.out(2, 3), guarded.out(2, 3)
    ops.logloss_backward(dprobs, guarded.inp(probs), guarded.inp(labels), coeff=1)
    ops.softmax_logloss_backward(dinp, guarded.inp(probs), guarded.inp(labels), coeff=1)
    assert_close(dprobs, reference.backward(probs.astype(np.float64), labels, 1))
    assert_close(dinp, np.array([[1, -1, -1], [-1, 1, 1]]) / 3)


def test_nan_probability_is_not_hidden(guarded):
    probs = np.full((4, 3), 0.25, np.float32)
    probs[:, 1] = np.nan
    loss, top1, topk = forward(guarded, probs, np.array([0, 1, 2], np.int32), 4)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, False])
    assert_close(top1, np.array([0.75, 1, 0.75]))
    assert_close(topk, np.array([0.0, 1, 0]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coeff", [1, 0.3])
def test_backward(guarded, rng, shape, coeff):
    probs, labels = draw(rng, shape)
    dprobs, in_place = guarded.out(*shape), guarded.inp(probs)
    ops.logloss_backward(dprobs, guarded.inp(probs), guarded.inp(labels), coeff=coeff)
    ops.logloss_backward(in_place, in_place, guarded.inp(labels), coeff=coeff)
    want = reference.backward(probs.astype(np.float64), labels, coeff)
    assert_close(dprobs, want)
    assert_close(in_place, want)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("coeff", [1, 0.3])
def test_softmax_backward(guarded, rng, shape, coeff):
    probs, labels = draw(rng, shape)
    dinp, in_place = guarded.out(*shape), guarded.inp(probs)
    ops.softmax_logloss_backward(dinp, guarded.inp(probs), guarded.inp(labels), coeff=coeff)
    ops.softmax_logloss_backward(in_place, in_place, guarded.inp(labels), coeff=coeff)
    want = reference.softmax_backward(probs.astype(np.float64), labels, coeff)
    assert_close(dinp, want)
    assert_close(in_place, want)


def test_fused_gradient_is_the_chain(guarded, rng):
    probs, labels = draw(rng, (17, 33))
    p, y = guarded.inp(probs), guarded.inp(labels)
    dprobs, chained, fused = (guarded.out(17, 33) for _ in range(3))
    ops.logloss_backward(dprobs, p, y, coeff=0.7)
    ops.softmax_backward(chained, dprobs, p)
    ops.softmax_logloss_backward(fused, p, y, coeff=0.7)
    assert_close(fused, chained.numpy().astype(np.float64))


def test_reference_gradients(rng):
    x = rng.standard_normal((5, 4))
    labels = rng.integers(5, size=4)
    probs = softmax.forward(x)

    def cost(p: np.ndarray) -> np.ndarray:
        return reference.forward(p, labels, 1)[0].mean(keepdims=True)

    coeff = np.array([0.7])
    assert_close(reference.backward(probs, labels, 0.7), numerical_gradient(cost, probs, coeff))
    want = numerical_gradient(lambda v: cost(softmax.forward(v)), x, coeff)
    assert_close(reference.softmax_backward(probs, labels, 0.7), want)


@pytest.mark.parametrize("bad", [-1, 10, 2**31 - 1, -(2**31)])
def test_label_that_is_no_class(guarded, device, rng, bad):
    probs, labels = draw(rng, (10, 33))
    labels[7] = bad
    if not device.is_cuda:
        with pytest.raises(ValueError, match=rf"labels\[7\] is {bad}: .* has classes 0 to 9"):
            forward(guarded, probs, labels, 5)
        for backward in (ops.logloss_backward, ops.softmax_logloss_backward):
            with pytest.raises(ValueError, match=rf"labels\[7\] is {bad}"):
                backward(guarded.out(10, 33), guarded.inp(probs), guarded.inp(labels), coeff=1)
        return
    loss, top1, topk = forward(guarded, probs, labels, 5)
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(loss)), [7])
    assert top1[7] == topk[7] == 1


def test_bad_arguments(guarded, rng):
    probs, labels = (guarded.inp(a) for a in draw(rng, (10, 4)))
    a, b, c, short = guarded.out(4), guarded.out(4), guarded.out(4), guarded.out(3)
    with pytest.raises(ValueError, match=r"topk \(3,\) float32 must have shape \(4,\)"):
        ops.logloss_forward(a, b, short, probs, labels, k=5)
    with pytest.raises(ValueError, match="loss and top1 overlap"):
        ops.logloss_forward(a, a, c, probs, labels, k=5)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        ops.logloss_forward(a, b, c, probs, labels, k=0)
    with pytest.raises(ValueError, match=r"labels \(3,\) int32 must have shape \(4,\)"):
        ops.logloss_forward(a, b, c, probs, guarded.inp(np.zeros(3, np.int32)), k=5)
    with pytest.raises(TypeError, match="labels must be int32, got int64"):
        ops.logloss_forward(a, b, c, probs, guarded.inp(np.zeros(4, np.int64)), k=5)
    with pytest.raises(ValueError, match=r"dprobs .* and probs .* same shape"):
        ops.logloss_backward(guarded.out(4, 4), probs, labels, coeff=1)
    with pytest.raises(ValueError, match=r"dinp .* and probs .* same shape"):
        ops.softmax_logloss_backward(guarded.out(4, 4), probs, labels, coeff=1)
