"""Time the training step of a net by ranks, with one batch for all, and what summing gradients adds.

    python tools/bench_ranks.py --output benchmarks/ranks.md
    sudo python tools/bench_ranks.py --gigabits 1,2,10     # also over a network: limited_network.py

Each rank is a process of --threads threads on this machine. Three kinds of steps take turns: as they
are in training, with sums that go on beside the backward pass; with all sums after it; without sums.
Then the same ranks train as a team that shares the fully-connected layers (`train --hybrid`).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
from benchmarking import Report, about, numbers, parser
from limited_network import limited_network

from alexnet_raw import layer_file, parallel
from alexnet_raw.cut_network import CutNetwork
from alexnet_raw.device import Device
from alexnet_raw.network import Network
from alexnet_raw.parallel.buckets import Buckets
from alexnet_raw.parallel.hybrid import Hybrid
from alexnet_raw.parameters import Parameter

STEPS = 8  # of each kind; the first does not count
WORKER = "ALEXNET_RAW_BENCH_RANK"  # set in the processes that are ranks


class After:
    """Buckets whose sums all begin when the backward pass has ended."""

    def __init__(self, buckets: Buckets):
        self._buckets = buckets

    def sum(self, turns: Iterable[Collection[Parameter]]) -> Iterator[list[Parameter]]:
        return self._buckets.sum(list(turns))


def be_a_rank(arguments: argparse.Namespace) -> None:
    """Rank 0 prints the median seconds of each kind of step."""
    ranks, device = parallel.join(), Device("cpu")
    device.module.set_threads(arguments.threads)
    spec = layer_file.load_packaged(arguments.net)
    own = ranks.share(arguments.batch_size)
    count = own.stop - own.start
    is_hybrid = arguments.team > 1
    make = partial(CutNetwork, Hybrid(ranks, arguments.team)) if is_hybrid else Network
    net = make(spec, [device], ranks.largest_share(arguments.batch_size), seed=1)
    rng = np.random.default_rng(ranks.rank)
    shape = (*net.shapes[spec.pictures.name], count)
    images = device.upload(rng.standard_normal(shape, np.float32))
    labels = device.upload(rng.integers(0, spec.classes, count).astype(np.int32))
    sums, counts = {"without": None}, None
    if ranks.size > 1:
        net.sum_over(ranks)
        counts = ranks.gather(count)
    if is_hybrid:
        sums = {"hybrid": net._buckets}
    elif ranks.size > 1:
        sums |= {"beside": net._buckets, "after": After(net._buckets)}
    seconds: dict[str, list[float]] = {kind: [] for kind in sums}
    for step in range(STEPS):
        for kind in sums:
            net._buckets = sums[kind]
            ranks.gather(None)  # they begin together
            begin = time.perf_counter()
            net.train_step(images, labels, step, 0.0, counts)
            seconds[kind].append(max(ranks.gather(time.perf_counter() - begin)))
    if ranks.is_first:
        print(json.dumps({kind: statistics.median(times[1:]) for kind, times in seconds.items()}))


def measure(command: Sequence[str], ranks: int) -> dict[str, float]:
    """Seconds of each kind of step of the ranks that a command starts."""
    environment, seconds = {**os.environ, WORKER: "1"}, {}
    for team in sorted({1, ranks}):
        program = [*command, sys.executable, *sys.argv, "--team", str(team)]
        done = subprocess.run(program, env=environment, stdout=subprocess.PIPE, text=True, check=True)
        seconds |= json.loads(done.stdout)
    return seconds


def row(report: Report, name: str, ranks: int, times: dict[str, float], one: float) -> None:
    kinds = [times.get(kind) for kind in ("without", "beside", "after", "hybrid")]
    cells = [name, str(ranks), *(f"{seconds * 1e3:,.0f}" if seconds else "" for seconds in kinds)]
    for seconds in (times.get("beside", times["without"]), times.get("hybrid")):
        cells.append(f"{one / seconds / ranks:.0%}" if seconds else "")
    report("| " + " | ".join(cells) + " |")


def main() -> None:
    options = parser(__doc__.splitlines()[0], "alexnet", 128)
    options.set_defaults(threads=1)
    most = list(range(1, (os.cpu_count() or 1) + 1))
    options.add_argument(
        "--ranks", type=numbers, default=most, help="comma list (default: to the cores)"
    )
    options.add_argument("--gigabits", type=numbers, default=[], help="comma list of bandwidths")
    options.add_argument("--team", type=int, default=1, help=argparse.SUPPRESS)
    arguments = options.parse_args()
    if os.environ.get(WORKER):
        be_a_rank(arguments)
        return
    arguments.no_torch = True
    report = Report(arguments.output)
    report(f"# Training step of {arguments.net} by ranks, one batch of {arguments.batch_size}, cpu\n")
    for line in about(arguments, Device("cpu"), ["mpi4py"])[:-1]:
        report(line)
    report(f"- medians of {STEPS - 1} steps, by turns; threads are those of each rank")
    report("- hybrid: all ranks share the fully-connected layers")
    report("- efficiency: images/s of each rank, beside the backward pass, by those of one alone\n")
    report(
        "| ranks connected by | ranks | ms without sums | ms, sums beside the backward pass | ms, sums "
        "after it | ms, hybrid | efficiency | efficiency, hybrid |"
    )
    report("|---|---:|---:|---:|---:|---:|---:|---:|")
    one = measure([], 1)
    row(report, "", 1, one, one["without"])
    for ranks in arguments.ranks:
        if ranks > 1:
            times = measure(["mpiexec", "-n", str(ranks)], ranks)
            row(report, "memory", ranks, times, one["without"])
    for gigabits in arguments.gigabits:
        with limited_network(gigabits) as command:
            row(report, f"{gigabits} Gbit/s", 2, measure(command, 2), one["without"])


if __name__ == "__main__":
    main()
