"""channels.cu against reference/channels.py."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.reference import channels as reference
from tests.conftest import assert_close

# channels of inp and of out, terms, height, width, images
CASES = [
    (1, 1, 1, 1, 1, 1),
    (3, 6, 1, 4, 5, 2),
    (5, 4, 3, 3, 1, 31),
    (48, 96, 1, 3, 3, 33),
    (2, 3, 2, 7, 9, 127),  # several chunks of a plane
    (6, 2, 1, 1, 1, 129),
]


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_gather(guarded, rng, case, accumulate):
    inp_channels, channels, terms, *rest = case
    inp = rng.standard_normal((inp_channels, *rest), np.float32)
    table = rng.integers(0, inp_channels, (terms, channels), np.int32)
    was = rng.standard_normal((channels, *rest), np.float32)
    out = guarded.inp(was) if accumulate else guarded.out(*was.shape)
    ops.channels_gather(out, guarded.inp(inp), guarded.inp(table), accumulate=accumulate)
    want = reference.gather(inp, table)
    assert_close(out, want + was if accumulate else want)


def test_the_inverse_table_gives_the_gradient(guarded, rng):
    """Each of 6 channels picked twice."""
    table = np.concatenate([rng.permutation(6) for _ in range(2)]).astype(np.int32)
    inverse = np.argsort(table, kind="stable").reshape(6, 2).T.astype(np.int32)
    dout = rng.standard_normal((12, 3, 4, 5), np.float32)
    dinp = guarded.out(6, 3, 4, 5)
    ops.channels_gather(dinp, guarded.inp(dout), guarded.inp(inverse))
    assert_close(dinp, reference.scatter(dout, table[None], 6))


def test_oracle_gradient_is_the_transpose(rng):
    inp, dout = rng.standard_normal((5, 7)), rng.standard_normal((9, 7))
    table = rng.integers(0, 5, (2, 9))
    along = np.sum(reference.gather(inp, table) * dout)
    assert along == pytest.approx(np.sum(inp * reference.scatter(dout, table, 5)))


def test_bad_arguments(cpu):
    out, inp = cpu.zeros((4, 5, 6, 2)), cpu.zeros((3, 5, 6, 2))
    table = np.zeros((1, 4), np.int32)
    ops.channels_gather(out, inp, cpu.upload(table))
    for bad in (-1, 3, 2**31 - 1):
        wrong = table.copy()
        wrong[0, 2] = bad
        with pytest.raises(ValueError, match=rf"table\[0, 2\] is {bad}: inp .* channels 0 to 2"):
            ops.channels_gather(out, inp, cpu.upload(wrong))
    with pytest.raises(ValueError, match=r"table .*\(terms, channels of out\)"):
        ops.channels_gather(out, inp, cpu.upload(table[:, :3]))
    with pytest.raises(ValueError, match=r"inp .*the height, width and images of out"):
        ops.channels_gather(out, cpu.zeros((3, 5, 5, 2)), cpu.upload(table))
