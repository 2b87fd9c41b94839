"""noisy_relu.cu against reference/neuron.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import neuron as reference
from tests.conftest import assert_close


@pytest.mark.parametrize("n", [1, 5, 31, 129, 4099])
def test_noisy_relu(guarded, rng, n):
    x = rng.standard_normal(n, np.float32)
    draws = {"seed": int(rng.integers(2**63)), "layer": 3, "step": 11}
    out = guarded.out(n)
    ops.noisy_relu(out, guarded.inp(x), **draws)
    assert_close(out, reference.noisy_relu(x, **draws), terms=np.abs(x) + 1)  # a sum that may cancel
