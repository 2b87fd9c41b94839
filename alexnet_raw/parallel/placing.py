"""Which GPUs and cores of a machine each of its ranks uses."""

from __future__ import annotations

import os
import re
import socket
from collections import Counter
from collections.abc import Sequence

from alexnet_raw.data.parallel import default_threads
from alexnet_raw.device import Device, DeviceError, gpu_count
from alexnet_raw.parallel.ranks import Ranks


def devices(wish: str | None, ranks: Ranks) -> str:
    """The device list of this rank, for `parse_devices`.

    wish: that of the machine's first rank; None: cpu, or where several ranks train, a GPU for each if
    there are any. The next rank has the GPUs behind the first one's: cuda:0,cuda:1 is cuda:2,cuda:3
    there. Behind the last GPU comes the first: a launcher may show each rank only its own.
    """
    gpus = gpu_count() if ranks.size > 1 else 0
    if wish is None:
        wish = "cuda:0" if gpus else "cpu"
    if not gpus:
        return wish
    numbers = [int(number) for number in re.findall(r"cuda:(\d+)", wish.lower())]
    shift = ranks.local_rank * (max(numbers, default=-1) + 1)

    def moved(match: re.Match) -> str:
        number = int(match[1])
        return f"cuda:{(number + shift) % gpus if number < gpus else number}"

    return re.sub(r"cuda:(\d+)", moved, wish.lower())


def check_apart(found: Sequence[Device], ranks: Ranks) -> None:
    """DeviceError, on all ranks, where two of them use one GPU, which NCCL cannot sum over."""
    own = {(socket.gethostname(), device.bus_id) for device in found if device.is_cuda}
    users = Counter(gpu for gpus in ranks.gather(own) for gpu in gpus)
    for (host, gpu), count in users.items():
        if count > 1:
            raise DeviceError(
                f"{count} ranks use the GPU {gpu} of {host}: start as many processes there as it has "
                "GPUs, or pairs of GPUs for --devices cuda:0,cuda:1"
            )


def threads(ranks: Ranks) -> int | None:
    """How many CPU threads this rank uses; None: as one alone would.

    Ranks of a machine that may run on the same cores share them equally; where the launcher gave each
    its own cores, it uses those.
    """
    if ranks.size == 1:
        return None
    own = (socket.gethostname(), tuple(sorted(os.sched_getaffinity(0))))
    sharing = ranks.gather(own).count(own)
    return max(1, default_threads() // sharing) if sharing > 1 else None
