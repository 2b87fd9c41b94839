"""limit_norms.cu against reference/limit_norms.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import limit_norms as reference
from tests.conftest import assert_close


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("limits", [(0, 0), (0, 2.0), (3.0, 0), (2.0, 2.5)], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (5, 31), (48, 33), (257, 127), (1000, 129)], ids=str)
def test_limit_norms(guarded, rng, shape, limits, centred):
    least, most = limits
    w = rng.standard_normal(shape, np.float32) * rng.uniform(float(centred), 4, shape[1])
    w /= np.sqrt(shape[0])
    w = (w + 0.1 * centred).astype(np.float32)
    w[:, 0] = 0
    weights = guarded.inp(w)
    ops.limit_norms(weights, least=least, most=most, centred=centred)
    assert_close(weights, reference.forward(w, least, most, centred))
    if centred and shape[0] < 3:
        return  # of one weight the length less its mean is rounding
    measured = weights.numpy() - weights.numpy().mean(axis=0) * centred
    norms = np.linalg.norm(measured, axis=0)[1:]
    assert np.all(norms >= least - 1e-4)
    assert not most or np.all(norms <= most + 1e-4)


def test_bad_limits(guarded):
    with pytest.raises(ValueError, match="most at least that"):
        ops.limit_norms(guarded.out(3, 4), least=2, most=1)
