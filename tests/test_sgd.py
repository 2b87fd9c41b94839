"""sgd.cu against reference/sgd.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.reference import sgd as reference
from tests.conftest import assert_close

SHAPES = [(1,), (2,), (31,), (33,), (3, 11, 11, 48), (129, 127), (5, 3, 3, 1)]
SETTINGS = [(0.01, 0.9, 0.0005), (0.5, 0.0, 0.1), (1.0, 1.0, 0.0), (0.0, 0.9, 0.0005)]


def step(guarded, tensors, settings) -> list[tuple[np.ndarray, np.ndarray]]:
    """The op on (weights, velocity, gradient) of each tensor: new weights and velocities."""
    arrays = [tuple(guarded.inp(a) for a in triple) for triple in tensors]
    ops.sgd_step(*zip(*arrays, strict=True), guarded.inp(np.array(settings, np.float32)))
    for (_, _, gradient), (_, _, before) in zip(arrays, tensors, strict=True):
        np.testing.assert_array_equal(gradient.numpy(), before)
    return [(weights.numpy(), velocity.numpy()) for weights, velocity, _ in arrays]


def assert_as_reference(got, tensor, settings) -> None:
    want = reference.step(*(a.astype(np.float64) for a in tensor), *settings)
    # Together: either alone may be next to 0, the rounded difference of larger numbers.
    assert_close(np.stack(got), np.stack(want))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", SETTINGS)
def test_one_tensor(guarded, rng, shape, settings):
    tensor = rng.standard_normal((3, *shape), np.float32)
    [got] = step(guarded, [tensor], [settings])
    assert_as_reference(got, tensor, settings)


@pytest.mark.parametrize("count", [2, 7, 80, 81, 165])  # a launch takes 80
def test_many_tensors_are_as_one_by_one_to_the_bit(guarded, rng, count):
    shapes = [SHAPES[i] for i in rng.integers(0, len(SHAPES), count)]
    tensors = [rng.standard_normal((3, *shape), np.float32) for shape in shapes]
    settings = [(rng.random(), 0.9 * rng.random(), 0.1 * rng.random()) for _ in tensors]
    together = step(guarded, tensors, settings)
    for got, tensor, own in zip(together, tensors, settings, strict=True):
        assert_as_reference(got, tensor, own)
        [alone] = step(guarded, [tensor], [own])
        np.testing.assert_array_equal(got, alone)


def test_tensors_that_end_with_a_block(guarded, rng):
    """A block has 1024 elements in the GPU's shape, and on the CPU 4096."""
    tensors = [rng.standard_normal((3, n), np.float32) for n in (1024, 4096, 1, 8192, 4095, 4097)]
    settings = [(0.1 * (i + 1), 0.9, 0.01) for i in range(len(tensors))]
    for got, tensor, own in zip(step(guarded, tensors, settings), tensors, settings, strict=True):
        assert_as_reference(got, tensor, own)


def test_weights_are_stored_as_bfloat16_too(guarded, rng):
    tensors = [rng.standard_normal((3, n), np.float32) for n in (1, 33, 4097)]
    arrays = [tuple(guarded.inp(a) for a in triple) for triple in tensors]
    rounded = [guarded.out(1, dtype=BF16), None, guarded.out(4097, dtype=BF16)]
    settings = guarded.inp(np.array([(0.1, 0.9, 0.01)] * 3))
    ops.sgd_step(*zip(*arrays, strict=True), settings, rounded)
    for (weights, _, _), copy in zip(arrays, rounded, strict=True):
        if copy is not None:
            np.testing.assert_array_equal(copy.numpy(), weights.numpy().astype(BF16))


def test_ten_steps(guarded, rng):
    w, v, g = rng.standard_normal((3, 129), np.float32)
    weights, velocity, gradient = (guarded.inp(a) for a in (w, v, g))
    settings = guarded.inp(np.zeros((1, 3)))
    w, v = w.astype(np.float64), v.astype(np.float64)
    for i in range(10):
        now = np.array([(0.1 / (i + 1), 0.9, 0.01)], np.float32)
        ops.put(settings, values=now)
        ops.sgd_step([weights], [velocity], [gradient], settings)
        w, v = reference.step(w, v, g, *now[0].astype(np.float64))
    assert_close(weights, w)
    assert_close(velocity, v)


def test_reference_is_the_optimizer_of_torch(rng):
    """torch keeps the rate outside of its buffer; at a constant rate the weights are the same."""
    torch = pytest.importorskip("torch")
    w, g = rng.standard_normal((2, 50))
    parameter = torch.nn.Parameter(torch.from_numpy(w.copy()))
    theirs = torch.optim.SGD([parameter], lr=0.1, momentum=0.9, weight_decay=0.01)
    v = np.zeros_like(w)
    for _ in range(5):
        parameter.grad = torch.from_numpy(g)
        theirs.step()
        w, v = reference.step(w, v, g, 0.1, 0.9, 0.01)
    assert_close(parameter.detach().numpy(), w, 1e-12)


def test_bad_arguments(guarded, device):
    a, b, c, d, e, f = (guarded.inp(np.zeros(4)) for _ in range(6))
    one, two = guarded.inp(np.zeros((1, 3))), guarded.inp(np.zeros((2, 3)))
    for arrays, settings, message in [
        (([a], [b], [guarded.out(5)]), one, r"gradient .* and weights .* same shape"),
        (([a], [a], [c]), one, "weights and velocity overlap"),
        (([a], [b], [b]), one, "velocity and gradient overlap"),
        (([a, a], [b, c], [d, e]), two, "weights and weights overlap"),
        (([a, b], [c, d], [e, a]), two, "weights and gradient overlap"),
        (([a, b], [c, d], [e]), two, "equally many"),
        (([], [], []), one, "at least one"),
        (([a, b], [c, d], [e, f]), one, r"settings .* must have shape \(2, 3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.sgd_step(*arrays, settings)
    with pytest.raises(TypeError, match="rounded must be bfloat16, got float32"):
        ops.sgd_step([a], [b], [c], one, [d])
    with pytest.raises(ValueError, match="rounded must be equally many"):
        ops.sgd_step([a], [b], [c], one, [None, None])
    with pytest.raises(TypeError, match="velocity must be float32, got float64"):
        ops.sgd_step([a], [device.upload(np.zeros(4))], [c], one)
    with pytest.raises(TypeError, match="weights must be an alexnet_raw Array, got ndarray"):
        ops.sgd_step([np.zeros(4)], [b], [c], one)
