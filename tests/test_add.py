"""add.cu against reference/add.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.reference import add as reference
from alexnet_raw.reference.rounding import to_bf16
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


@pytest.mark.parametrize("out_dtype", [np.float32, BF16])
@pytest.mark.parametrize("inp_dtype", [np.float32, BF16])
@pytest.mark.parametrize("shape", [(1,), (5, 31), (3, 3, 33), (129, 129)])
def test_of_bfloat16s(guarded, rng, shape, inp_dtype, out_dtype):
    """To the bit: the term is rounded, added in float32, and the sum is rounded."""
    a, b = rng.standard_normal(shape).astype(out_dtype), rng.standard_normal(shape).astype(inp_dtype)
    b.ravel()[:1] = np.nan
    out, alone = guarded.inp(a), guarded.out(*shape, dtype=out_dtype)
    ops.add(out, guarded.inp(b), coeff=0.5)
    ops.add(alone, guarded.inp(b), coeff=0.5, accumulate=False)
    term = (np.float32(0.5) * b.astype(np.float32)).astype(out_dtype)
    np.testing.assert_array_equal(alone.numpy().astype(np.float32), term.astype(np.float32))
    total = (a.astype(np.float32) + term.astype(np.float32)).astype(out_dtype)
    np.testing.assert_array_equal(out.numpy().astype(np.float32), total.astype(np.float32))


def test_conversion_rounds_to_the_nearest(device):
    """Halves to even, below the smallest normal number and up to the largest."""
    values = np.array([1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, 3e-39, 3.4e38, np.inf], np.float32)
    values = np.concatenate([values, -values])
    out, back = device.empty(values.shape, BF16), device.empty(values.shape)
    ops.add(out, device.upload(values), accumulate=False)
    ops.add(back, out, accumulate=False)
    np.testing.assert_array_equal(back.numpy(), to_bf16(values))


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
