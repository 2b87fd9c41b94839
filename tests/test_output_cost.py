"""output_cost.cu against reference/output_cost.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import output_cost as reference
from tests.conftest import assert_close, numerical_gradient

KINDS = ["crossent", "crossent2", "rflickr", "sum2", "gsum2"]
SHAPES = [(1, 1), (10, 2), (3, 3), (5, 31), (48, 33), (257, 127), (1000, 129)]


def draw(rng, kind: str, shape: tuple[int, int]) -> tuple[np.ndarray | None, np.ndarray]:
    """Targets and outputs; probabilities where the cost has logarithms."""
    if kind == "sum2":
        return None, rng.standard_normal(shape, np.float32)
    if kind == "gsum2":
        return rng.uniform(0, 2, (1, shape[1])).astype(np.float32), rng.standard_normal(
            shape, np.float32
        )
    return tuple(rng.uniform(0.05, 0.95, (2, *shape)).astype(np.float32))


def given(guarded, targets):
    return None if targets is None else guarded.inp(targets)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_forward(guarded, rng, kind, shape):
    targets, out = draw(rng, kind, shape)
    loss = guarded.out(shape[1])
    ops.output_cost_forward(loss, given(guarded, targets), guarded.inp(out), kind=kind)
    assert_close(loss, reference.forward(targets, out, kind))


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_backward(guarded, rng, kind, shape, accumulate):
    targets, out = draw(rng, kind, shape)
    was = rng.standard_normal(shape, np.float32)
    dout = guarded.inp(was) if accumulate else guarded.out(*shape)
    ops.output_cost_backward(
        dout, given(guarded, targets), guarded.inp(out), kind=kind, coeff=0.3, accumulate=accumulate
    )
    want = reference.backward(targets, out, kind, 0.3)
    terms = np.abs(out) / shape[1] + accumulate * np.abs(was)  # y - t may cancel
    assert_close(dout, want + accumulate * was, terms=terms)


@pytest.mark.parametrize("kind", ["crossent", "crossent2"])
def test_certain_outputs_cost_much_but_not_infinity(guarded, kind):
    targets, out = np.array([[1, 0], [0, 1.0]]), np.array([[0, 1], [1, 0.0]])
    loss, dout = guarded.out(2), guarded.out(2, 2)
    ops.output_cost_forward(loss, guarded.inp(targets), guarded.inp(out), kind=kind)
    ops.output_cost_backward(dout, guarded.inp(targets), guarded.inp(out), kind=kind, coeff=1)
    assert_close(loss, reference.forward(targets, out, kind))
    assert_close(dout, reference.backward(targets, out, kind, 1))


@pytest.mark.parametrize("kind", KINDS)
def test_reference_gradient(rng, kind):
    targets, out = draw(rng, kind, (4, 3))
    want = numerical_gradient(lambda y: reference.forward(targets, y, kind), out, np.full(3, 0.7 / 3))
    assert_close(reference.backward(targets, out, kind, 0.7), want, 1e-6)


def test_bad_arguments(guarded):
    out, loss = guarded.out(3, 5), guarded.out(5)
    with pytest.raises(ValueError, match=r"kind must be crossent, .* got 'hinge'"):
        ops.output_cost_forward(loss, None, out, kind="hinge")
    with pytest.raises(ValueError, match="targets are needed for all kinds but sum2"):
        ops.output_cost_forward(loss, None, out, kind="crossent")
    with pytest.raises(ValueError, match=r"targets .*\(1, 5\).*one gate for each column"):
        ops.output_cost_forward(loss, guarded.out(3, 5), out, kind="gsum2")
    with pytest.raises(ValueError, match=r"dout .* and out .*same shape"):
        ops.output_cost_backward(guarded.out(5, 3), None, out, kind="sum2", coeff=1)
