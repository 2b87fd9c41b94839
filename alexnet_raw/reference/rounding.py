"""float32 as tensor cores take it: fewer bits behind the point, the same range of exponents."""

from __future__ import annotations

import numpy as np


def to_tf32(values: np.ndarray) -> np.ndarray:
    """Ten bits behind the point, to the nearest, halves away from zero; float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + np.uint32(0x1000)) & np.uint32(0xFFFFE000)).view(np.float32)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """Seven bits behind the point, to the nearest, halves to even; float32."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    half = np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))
    return ((bits + half) & np.uint32(0xFFFF0000)).view(np.float32)


def fp32(values: np.ndarray) -> np.ndarray:
    """As it is; float32."""
    return np.asarray(values, np.float32)


PRECISIONS = {"fp32": fp32, "tf32": to_tf32, "bf16": to_bf16}
