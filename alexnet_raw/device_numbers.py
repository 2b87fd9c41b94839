"""A few numbers that kernels read from memory: rates, the step that draws follow."""

from __future__ import annotations

from typing import Any

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import Device


class DeviceNumbers:
    """An array on a device that is written when its values change, and only then.

    A launch that was recorded to be repeated repeats its arguments: what differs from step to step is
    here instead.
    """

    def __init__(self, device: Device, shape: tuple[int, ...], dtype: Any = np.float32):
        self.array = device.zeros(shape, dtype)
        self._values = np.zeros(shape, dtype)

    def set(self, values: Any) -> None:
        """What launches from now on read."""
        values = np.array(values, self._values.dtype).reshape(self._values.shape)
        if values.tobytes() != self._values.tobytes():
            ops.put(self.array, values=values)
            self._values = values
