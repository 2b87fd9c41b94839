"""The learned arrays of a layer: how they start, how fast they learn, where they live."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from alexnet_raw import ops
from alexnet_raw.device import BF16
from alexnet_raw.schedule import CONSTANT, Schedule

if TYPE_CHECKING:
    from alexnet_raw.device import Array, Device
    from alexnet_raw.parallel.buckets import Bucket


@dataclass(frozen=True)
class Rate:
    """How a parameter learns: eps, momentum and weight decay, eps along a schedule."""

    eps: float
    momentum: float
    decay: float = 0.0
    schedule: Schedule = CONSTANT


@dataclass(frozen=True)
class Limit:
    """Limits of the length of a filter, or of its length less its mean; most = 0 is none."""

    least: float
    most: float
    centred: bool = False


@dataclass(frozen=True)
class ParameterSpec:
    """A parameter before it has memory. Starts as N(0, stdev) + constant."""

    name: str  # within its layer: weights0, weights1, ..., biases
    shape: tuple[int, ...]
    rate: Rate
    stdev: float = 0.0
    constant: float = 0.0
    function: Callable[[], np.ndarray] | None = None  # gives the first values instead
    source: str = ""  # the name of another parameter, in whose place this one is used: conv1.weights0
    limits: tuple[Limit, ...] = ()  # of the filters, its columns, kept one after the other
    shares: tuple[float, ...] = ()  # of the rate and of the decay, one for each row, if rows differ
    part: slice | None = None  # of the last axis that is had here; the others are of other ranks

    @property
    def size(self) -> int:
        return int(np.prod(self.shape))

    def initial(self, seed: int, layer: str) -> np.ndarray:
        """First values, float32. They depend on the seed and the names only, not on devices."""
        if self.function:
            return self.function()
        if self.stdev == 0:
            return np.full(self.shape, self.constant, np.float32)
        key = zlib.crc32(f"{layer}.{self.name}".encode())
        draws = np.random.default_rng([seed, key]).standard_normal(self.shape, np.float32)
        return draws * np.float32(self.stdev) + np.float32(self.constant)


class Parameter:
    """Value, gradient and velocity of one parameter, three arrays of one shape on one device.

    All of it, or the part that a rank has.

    Gradient and velocity start as 0, and have no memory before something wants them: training.

    Attributes:
        shape: of the whole parameter.
        part: of its last axis, that is here; None: it is whole.
        rounded: the value as bfloat16, for products with maps that are stored so; None if there are
            none. Steps of the optimizer keep it up to date, whoever else writes a value calls `round`.
        bucket: where several ranks train, what sums its gradient over them; None: nothing does.
    """

    def __init__(self, spec: ParameterSpec, layer: str, device: Device, seed: int | None):
        """seed: of the first values; None leaves zeros, for values that will be loaded."""
        self.name = f"{layer}.{spec.name}"
        self.rate, self.limits, self.shares = spec.rate, spec.limits, spec.shares
        self.shape, self.part = spec.shape, spec.part
        self.is_begun = False  # its gradient holds something of the current backward pass
        first = np.zeros(spec.shape, np.float32) if seed is None else spec.initial(seed, layer)
        self.value: Array = device.upload(self.own(first))
        self.rounded: Array | None = None
        self.bucket: Bucket | None = None

    def own(self, whole: np.ndarray) -> np.ndarray:
        """What is here of an array of the whole parameter's shape."""
        return whole if self.part is None else np.ascontiguousarray(whole[..., self.part])

    def keep_rounded(self) -> None:
        """Have `rounded` from now on."""
        if self.rounded is None:
            self.rounded = self.value.device.empty(self.value.shape, BF16)
            self.round()

    def round(self) -> None:
        """Make `rounded` of the value, if it is wanted."""
        if self.rounded is not None:
            ops.add(self.rounded, self.value, accumulate=False)

    @cached_property
    def gradient(self) -> Array:
        return self.value.device.zeros(self.value.shape)

    @cached_property
    def velocity(self) -> Array:
        return self.value.device.zeros(self.value.shape)
