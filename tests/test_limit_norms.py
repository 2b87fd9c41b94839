"""limit_norms.cu against reference/limit_norms.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import limit_norms as reference
from tests.conftest import assert_close


@pytest.mark.parametrize("limits", [(0, 0), (0, 2.0), (3.0, 0), (2.0, 2.5)], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (5, 31), (48, 33), (257, 127), (1000, 129)], ids=str)
def test_limit_norms(guarded, rng, shape, limits):
    least, most = limits
    w = rng.standard_normal(shape, np.float32) * rng.uniform(0, 4 / np.sqrt(shape[0]), shape[1])
    w = w.astype(np.float32)
    w[:, 0] = 0
    weights = guarded.inp(w)
    ops.limit_norms(weights, least=least, most=most)
    assert_close(weights, reference.forward(w, least, most))
    norms = np.linalg.norm(weights.numpy(), axis=0)[1:]
    assert np.all(norms >= least - 1e-5)
    assert not most or np.all(norms <= most + 1e-5)


def test_bad_limits(guarded):
    with pytest.raises(ValueError, match="most at least that"):
        ops.limit_norms(guarded.out(3, 4), least=2, most=1)
