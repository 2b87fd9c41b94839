"""Memory for batches that is used again and again."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable

import numpy as np


class Buffers:
    """Arrays of one shape, whose memory comes back once nobody holds them or a view of them.

    So a caller may keep batches as long as it likes, and one that does not keep them goes round in
    memory that the system has given out once: to map 25 MB anew takes longer than to fill them.
    May be used from several threads.
    """

    def __init__(
        self, shape: tuple[int, ...], keep: int, allocate: Callable[..., np.ndarray] = np.empty
    ):
        """keep: as many that nobody holds are kept. allocate(shape, dtype) gives new memory."""
        self._shape, self._allocate = shape, allocate
        self._free: deque[np.ndarray] = deque(maxlen=keep)

    def take(self, count: int) -> np.ndarray:
        """The first `count` rows of an array, uint8, with undefined contents."""
        try:
            memory = self._free.pop()
        except IndexError:
            memory = self._allocate(self._shape, np.uint8)
        # All views of `array` refer to it: it lies on a memoryview, where NumPy's shortcut to the owner
        # of the memory ends. So it lives as long as any of them.
        array = np.frombuffer(memoryview(memory).cast("B"), np.uint8)
        weakref.finalize(array, self._free.append, memory).atexit = False
        return array.reshape(self._shape)[:count]
