"""Which channels the groups of a layer with `randSparse=1` see."""

from __future__ import annotations

import zlib

import numpy as np

from alexnet_raw.reference import philox


def draw(seed: int, layer: str, i: int, groups: int, channels: int, of_group: int) -> np.ndarray:
    """The channels of a layer's input i that its groups see, (groups * of_group,) int32.

    As in cuda-convnet: a random permutation of all channels, cut into groups; then another one, until
    all groups have theirs. Drawn from Philox: a checkpoint must find them again for ever.
    """
    key = zlib.crc32(f"{layer}.randSparse.{i}".encode())
    permutations = groups * of_group // channels
    draws = (philox.words(channels, seed, key, step) for step in range(permutations))
    return np.concatenate([np.argsort(d, kind="stable") for d in draws]).astype(np.int32)


def check(connections: np.ndarray, groups: int, channels: int, of_group: int) -> None:
    """ValueError if connections of an initCFunc do not use all channels equally often."""
    if connections.shape != (groups * of_group,):
        raise ValueError(f"must return {groups * of_group} channels, not {connections.shape}")
    if (np.sort(connections.reshape(-1, channels)) != np.arange(channels)).any():
        raise ValueError(f"each {channels} channels that it returns must be a permutation of all")
