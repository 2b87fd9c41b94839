"""Time the training step of a net by ranks, with one batch for all, and what summing gradients adds.

    python tools/bench_ranks.py --output benchmarks/ranks.md
    sudo python tools/bench_ranks.py --gigabits 1,2,10     # also over a network: limited_network.py

Each rank is a process of --threads threads on this machine. Three kinds of steps take turns: as they
are in training, with sums that go on beside the backward pass; with all sums after it; without sums.
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

import numpy as np
from benchmarking import Report, about, numbers, parser
from limited_network import limited_network

from alexnet_raw import layer_file, parallel
from alexnet_raw.device import Device
from alexnet_raw.network import Network
from alexnet_raw.parallel.buckets import Buckets
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
    net = Network(spec, [device], count, seed=1)
    rng = np.random.default_rng(ranks.rank)
    shape = (*net.shapes[spec.pictures.name], count)
    images = device.upload(rng.standard_normal(shape, np.float32))
    labels = device.upload(rng.integers(0, spec.classes, count).astype(np.int32))
    sums, counts = {"without": None}, None
    if ranks.size > 1:
        net.sum_over(ranks)
        sums |= {"beside": net._buckets, "after": After(net._buckets)}
        counts = ranks.gather(count)
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


def measure(command: Sequence[str]) -> dict[str, float]:
    """Seconds of each kind of step of the ranks that a command starts."""
    environment = {**os.environ, WORKER: "1"}
    ranks = [*command, sys.executable, *sys.argv]
    done = subprocess.run(ranks, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def row(report: Report, name: str, ranks: int, batch: int, times: dict[str, float], one: float) -> None:
    beside, after = (times.get(kind, times["without"]) for kind in ("beside", "after"))
    cells = [name, str(ranks), f"{times['without'] * 1e3:,.0f}"]
    cells += [f"{beside * 1e3:,.0f}", f"{after * 1e3:,.0f}"] if ranks > 1 else ["", ""]
    report("| " + " | ".join([*cells, f"{batch / beside:,.1f}", f"{one / beside / ranks:.0%}"]) + " |")


def main() -> None:
    options = parser(__doc__.splitlines()[0], "alexnet", 128)
    options.set_defaults(threads=1)
    most = list(range(1, (os.cpu_count() or 1) + 1))
    options.add_argument(
        "--ranks", type=numbers, default=most, help="comma list (default: to the cores)"
    )
    options.add_argument("--gigabits", type=numbers, default=[], help="comma list of bandwidths")
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
    report("- efficiency: images/s of each rank beside those of one alone\n")
    report(
        "| ranks connected by | ranks | ms without sums | ms, sums beside the backward pass | ms, sums "
        "after it | images/s | efficiency |"
    )
    report("|---|---:|---:|---:|---:|---:|---:|")
    one = measure([])
    batch = arguments.batch_size
    row(report, "", 1, batch, one, one["without"])
    for ranks in arguments.ranks:
        if ranks > 1:
            times = measure(["mpiexec", "-n", str(ranks)])
            row(report, "memory", ranks, batch, times, one["without"])
    for gigabits in arguments.gigabits:
        with limited_network(gigabits) as command:
            row(report, f"{gigabits} Gbit/s", 2, batch, measure(command), one["without"])


if __name__ == "__main__":
    main()
