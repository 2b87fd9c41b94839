"""sgd.cu against reference/sgd.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import sgd as reference
from tests.conftest import assert_close

SHAPES = [(1,), (2,), (31,), (33,), (3, 11, 11, 48), (129, 127), (5, 3, 3, 1)]
SETTINGS = [(0.01, 0.9, 0.0005), (0.5, 0.0, 0.1), (1.0, 1.0, 0.0), (0.0, 0.9, 0.0005)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("rate", "momentum", "decay"), SETTINGS)
def test_step(guarded, rng, shape, rate, momentum, decay):
    w, v, g = rng.standard_normal((3, *shape), np.float32)
    weights, velocity, gradient = (guarded.inp(a) for a in (w, v, g))
    settings = dict(rate=rate, momentum=momentum, decay=decay)
    ops.sgd_step(weights, velocity, gradient, **settings)
    want_w, want_v = reference.step(*(a.astype(np.float64) for a in (w, v, g)), **settings)
    # Together: either alone may be next to 0, the rounded difference of larger numbers.
    assert_close(np.stack([weights.numpy(), velocity.numpy()]), np.stack([want_w, want_v]))
    np.testing.assert_array_equal(gradient.numpy(), g)


def test_ten_steps(guarded, rng):
    w, v, g = rng.standard_normal((3, 129), np.float32)
    weights, velocity, gradient = (guarded.inp(a) for a in (w, v, g))
    w, v = w.astype(np.float64), v.astype(np.float64)
    for step in range(10):
        settings = dict(rate=0.1 / (step + 1), momentum=0.9, decay=0.01)
        ops.sgd_step(weights, velocity, gradient, **settings)
        w, v = reference.step(w, v, g, **settings)
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
    a, b, c = (guarded.inp(np.zeros(4)) for _ in range(3))
    settings = dict(rate=0.1, momentum=0.9, decay=0.0)
    with pytest.raises(ValueError, match=r"gradient .* and weights .* same shape"):
        ops.sgd_step(a, b, guarded.out(5), **settings)
    with pytest.raises(ValueError, match="weights and velocity overlap"):
        ops.sgd_step(a, a, c, **settings)
    with pytest.raises(ValueError, match="velocity and gradient overlap"):
        ops.sgd_step(a, b, b, **settings)
    with pytest.raises(TypeError, match="velocity must be float32, got float64"):
        ops.sgd_step(a, device.upload(np.zeros(4)), c, **settings)
