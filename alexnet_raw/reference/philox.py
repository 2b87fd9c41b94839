"""Philox 4x32-10, the counter-based generator behind every random draw.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
A draw is a pure function of (seed, layer, step, element), so it does not depend on threads,
devices or on what was drawn before it.
"""

from __future__ import annotations

import numpy as np

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
KEY_STEPS = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1, as fractions of 2^32
WORD = np.uint64(0xFFFFFFFF)


def philox4x32(counter: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Ten rounds on counters (..., 4) uint32 with a key (..., 2) uint32: (..., 4) random uint32."""
    # 64-bit arrays, so that a product of two words is exact; every word stays below 2^32.
    c0, c1, c2, c3 = (np.asarray(counter)[..., i].astype(np.uint64) for i in range(4))
    k0, k1 = (np.asarray(key)[..., i].astype(np.uint64) for i in range(2))
    for _ in range(ROUNDS):
        product0 = np.uint64(MULTIPLIERS[0]) * c0
        product1 = np.uint64(MULTIPLIERS[1]) * c2
        high0, low0 = product0 >> np.uint64(32), product0 & WORD
        high1, low1 = product1 >> np.uint64(32), product1 & WORD
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0 = (k0 + np.uint64(KEY_STEPS[0])) & WORD
        k1 = (k1 + np.uint64(KEY_STEPS[1])) & WORD
    return np.stack([c0, c1, c2, c3], axis=-1).astype(np.uint32)


def words(n: int, seed: int, layer: int, step: int) -> np.ndarray:
    """The first n words (n,) uint32 of the stream (seed, layer, step).

    The key is the 64-bit seed; the counter's lower two words are the block number i // 4, the
    upper two layer and step; element i is word i % 4 of its block.
    """
    blocks = np.arange((n + 3) // 4, dtype=np.uint64)
    counter = np.empty((len(blocks), 4), dtype=np.uint32)
    counter[:, 0] = blocks & WORD
    counter[:, 1] = blocks >> np.uint64(32)
    counter[:, 2] = layer
    counter[:, 3] = step
    key = np.array([seed & 0xFFFFFFFF, seed >> 32], dtype=np.uint32)
    return philox4x32(counter, key).reshape(-1)[:n]


def uniform(n: int, seed: int, layer: int, step: int) -> np.ndarray:
    """The first n draws (n,) float32 in [0, 1): the upper 24 bits of each word, all exact."""
    return (words(n, seed, layer, step) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def normal(n: int, seed: int, layer: int, step: int) -> np.ndarray:
    """The first n draws (n,) float64 of mean 0 and variance 1, two from each pair of words.

    Source: Box and Muller, "A note on the generation of random normal deviates", 1958.
    """
    draws = uniform(n + n % 2, seed, layer, step).astype(np.float64)
    radius, angle = np.sqrt(-2 * np.log(1 - draws[0::2])), 2 * np.pi * draws[1::2]
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)[:n]
