"""add.cu against reference/add.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import add as reference
from tests.conftest import assert_close


@pytest.mark.parametrize("coeff", [1.0, -1.0, 0.3])
@pytest.mark.parametrize("shape", [(1,), (3, 5, 7, 2), (5, 31), (48, 3, 3, 33), (129, 129)])
def test_add(guarded, rng, shape, coeff):
    a, b = rng.standard_normal((2, *shape), np.float32)
    out, alone = guarded.inp(a), guarded.out(*shape)
    ops.add(out, guarded.inp(b), coeff=coeff)
    ops.add(alone, guarded.inp(b), coeff=coeff, accumulate=False)
    assert_close(out, reference.forward(a, b, coeff), terms=np.abs(a) + np.abs(b))
    assert_close(alone, reference.forward(a, b, coeff, accumulate=False))


def test_doubling_in_place(guarded, rng):
    a = rng.standard_normal((3, 129), np.float32)
    out = guarded.inp(a)
    ops.add(out, out)
    assert_close(out, 2 * a)
    ops.add(out, out, coeff=-0.5)
    assert_close(out, a)


def test_bad_arguments(guarded):
    with pytest.raises(ValueError, match=r"out .*and inp .*same shape"):
        ops.add(guarded.out(3, 4), guarded.out(4, 3))
    whole = guarded.out(6)
    part = type(whole)(whole.data[:5], whole.device), type(whole)(whole.data[1:], whole.device)
    with pytest.raises(ValueError, match="out and inp overlap in memory"):
        ops.add(*part)
