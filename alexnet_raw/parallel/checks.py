"""That ranks which should have the same do have the same."""

from __future__ import annotations

import socket
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from alexnet_raw.info import code, version
from alexnet_raw.parallel.ranks import Ranks, RanksError


def check_same(ranks: Ranks, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """RanksError, on all ranks, where one differs from rank 0 in a fact, or in a bit of an array.

    Facts are small values. Of arrays the ranks compare checksums, of alexnet-raw the version and the
    Python files. What is compiled differs where CPUs do.
    """
    sums = {name: zlib.crc32(np.ascontiguousarray(array)) for name, array in arrays.items()}
    own = {"alexnet-raw": version(), "the code of alexnet-raw": code(), **facts, **sums}
    (_, first), *others = ranks.gather((socket.gethostname(), own))
    for rank, (host, other) in enumerate(others, 1):
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                what = name
                if name not in arrays:
                    what = f"{name} ({other.get(name)}, not {first.get(name)})"
                raise RanksError(
                    f"rank {rank} on {host} differs from rank 0 in {what}: give all ranks the same "
                    "version and data; if they have them, go on from the last checkpoint with --resume"
                )
