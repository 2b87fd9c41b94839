"""put.cu: numbers from the host."""

from __future__ import annotations

import numpy as np
import pytest

from alexnet_raw import ops
from alexnet_raw.device_numbers import DeviceNumbers


@pytest.mark.parametrize("shape", [(1,), (2, 3), (255,), (256,), (257,), (5, 7, 31)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_put(guarded, rng, shape, dtype):
    values = rng.integers(-(2**31), 2**31, shape).astype(np.int32).view(dtype)
    out = guarded.inp(np.zeros(shape, dtype))
    given = values.copy()
    ops.put(out, values=given)
    given[...] = 0  # they were taken
    assert out.numpy().tobytes() == values.tobytes()


def test_bad_values(guarded):
    out = guarded.out(4)
    for values in (np.zeros(3, np.float32), np.zeros((2, 2), np.float32), np.zeros(8, np.float32)[::2]):
        with pytest.raises(ValueError, match=r"values must be as out \(4,\) float32, and C-contig"):
            ops.put(out, values=values)
    with pytest.raises(TypeError, match="out must be int32, got float32"):
        ops.put(out, values=np.zeros(4, np.int32))
    with pytest.raises(ValueError, match="values must be float32 or int32"):
        ops.put(out, values=np.zeros(4))


def test_device_numbers_are_written_when_they_change(device, monkeypatch):
    numbers, puts = DeviceNumbers(device, (2,)), []
    put = ops.put
    monkeypatch.setattr(ops, "put", lambda out, values: puts.append(1) or put(out, values=values))
    for values, writes in [((0, 0), 0), ((0.1, 2), 1), ([0.1, 2], 1), ((0.1, 3), 2), ((-0.0, 3), 3)]:
        numbers.set(values)
        assert len(puts) == writes
        np.testing.assert_array_equal(numbers.array.numpy(), np.array(values, np.float32))
