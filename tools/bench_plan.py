"""Hold the model of `alexnet-raw plan` against training steps of 1 to 4 ranks of this machine.

    python tools/bench_plan.py --output benchmarks/plan.md

Measured first, in one process: what each layer takes; by two ranks: sums of several sizes, of which
a line gives the bandwidth and latency. The rest is the model's. Then steps are measured as in
tools/bench_ranks.py, data parallel and hybrid (all ranks share the fully-connected layers), with a
batch for all ranks (strong) and one for each (weak), by turns. Ranks have `--threads` each; where
together they have more than the machine has cores, the model is told that all computation takes as
much longer, and they train data parallel only: a team of ranks that wait for each other awake, and for
a core, takes minutes for a step.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from benchmarking import Report, about, numbers, parser

from alexnet_raw import layer_file, parallel
from alexnet_raw.device import Device
from alexnet_raw.plan.cluster import Cluster
from alexnet_raw.plan.costs import LayerCost, step_on_one
from alexnet_raw.plan.measure import measure
from alexnet_raw.plan.step import step

WORKER = "ALEXNET_RAW_BENCH_RANK"  # set in the processes that are ranks, here and in bench_ranks.py
SIZES = [2**n for n in range(12, 27, 2)]  # bytes that are summed
TIMES = 9  # each of them; the first does not count
STEPS = Path(__file__).parent / "bench_ranks.py"


def sum_as_a_rank() -> None:
    """Rank 0 prints the median seconds of a sum by its size."""
    ranks, device = parallel.join(), Device("cpu")
    sums, medians = ranks.collectives(device), []
    for size in SIZES:
        array, seconds = device.zeros(size // 4), []
        for _ in range(TIMES):
            ranks.gather(None)  # they begin together
            begin = time.perf_counter()
            sums.wait(sums.sum(array))
            seconds.append(max(ranks.gather(time.perf_counter() - begin)))
        medians.append(statistics.median(seconds[1:]))
    if ranks.is_first:
        print(json.dumps(medians))


def run(ranks: int, *program: str | Path) -> list[float] | dict[str, float]:
    """What a program of so many ranks prints."""
    command = ["mpiexec", "-n", str(ranks)] if ranks > 1 else []
    command += [sys.executable, *map(str, program)]
    environment = {**os.environ, WORKER: "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def fitted(seconds: Sequence[float]) -> Cluster:
    """The network of two ranks whose sums take that long by SIZES, as a line: each point counts by its
    relative error. One with no latency at all is not believed."""
    sizes, times = np.array(SIZES, float), np.array(seconds)
    (slope, constant), *_ = np.linalg.lstsq(
        np.stack([sizes / times, 1 / times], axis=1), np.ones(len(times)), rcond=None
    )
    return Cluster(network=1 / slope, latency=max(constant, 1e-7) / 2)  # 2 (N-1) / N is 1


class Round:
    """A step beside the model's, in seconds, and if it is data parallel what sums take of it."""

    def __init__(
        self,
        layers: Sequence[LayerCost],
        pair: Cluster,
        ranks: int,
        group: int,
        images: int,
        slowdown: float,
        seconds: dict[str, float],
    ):
        """images: of a rank. slowdown: of all that cores do, and they also add what is summed."""
        slower = [layer.times(slowdown) for layer in layers]
        network = Cluster(pair.network / slowdown, pair.latency * slowdown)
        model = step(slower, network, ranks, images, group, overlap=False)
        self.predicted = model.seconds
        self.sums: tuple[float, float] | None = None
        if group > 1:
            self.measured = seconds["hybrid"]
        else:
            self.measured = seconds.get("beside", seconds["without"])
            self.sums = self.measured - seconds["without"], model.exposed


def main() -> None:
    options = parser(__doc__.splitlines()[0], "alexnet", 32)
    options.set_defaults(threads=1)
    options.add_argument("--ranks", type=numbers, default=[1, 2, 3, 4], help="comma list")
    options.add_argument("--rounds", type=int, default=3, help="runs of each, by turns")
    arguments = options.parse_args()
    if os.environ.get(WORKER):
        sum_as_a_rank()
        return
    arguments.no_torch = True
    net, batch, threads = arguments.net, arguments.batch_size, arguments.threads
    device, report = Device("cpu"), Report(arguments.output)
    device.module.set_threads(threads)
    report(f"# The model of `alexnet-raw plan` beside steps of {net} by ranks of one machine, cpu\n")
    for line in about(arguments, device, ["mpi4py"])[:-1]:
        report(line)
    cores = os.cpu_count() or 1

    models, pairs, runs = [], [], defaultdict(list)
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
        models.append(measure(layer_file.load_packaged(net), [device], batch))
        pairs.append(fitted(run(2, __file__)))
        for ranks in arguments.ranks:
            for images in sorted({batch, batch * ranks}):
                size = ["--net", net, "--batch-size", str(images), "--threads", str(threads)]
                seconds = run(ranks, STEPS, *size)
                if 1 < ranks <= cores:
                    seconds |= run(ranks, STEPS, *size, "--team", str(ranks))
                runs[ranks, images].append(seconds)
    report(f"- medians of {arguments.rounds} rounds, in each of which all was measured, by turns")
    one = statistics.median(step_on_one(layers, batch) for layers in models)
    bandwidth = statistics.median(pair.network for pair in pairs)
    latency = statistics.median(pair.latency for pair in pairs)
    report(
        f"- predicted from: one rank's step of {batch} images, {one * 1e3:,.0f} ms, and of a quarter;"
    )
    sizes = f"{SIZES[0] >> 10} KB to {SIZES[-1] >> 20} MB"
    report(f"  two ranks' sums of {sizes}, {bandwidth / 1e9:.2f} GB/s and {latency * 1e6:.0f} us")
    report(f"- more than {cores} cores' ranks: the model multiplies all times by ranks / cores")
    report(
        "- error: predicted / measured - 1 of each round, the median and from the least to the most\n"
    )
    names = ["scaling", "ranks", "images", "ms measured", "ms predicted", "error", "from", "to"]
    names += ["ms of it in sums, measured", "predicted"]
    report("| " + " | ".join(names) + " |\n|---|" + "---:|" * (len(names) - 1))
    for kind in ("strong", "strong, hybrid", "weak", "weak, hybrid"):
        for ranks in arguments.ranks:
            if "hybrid" in kind and not 1 < ranks <= cores:
                continue
            images = batch if kind.startswith("strong") else batch * ranks
            slowdown = max(1.0, ranks * threads / cores)
            group = ranks if "hybrid" in kind else 1
            rounds = [
                Round(layers, pair, ranks, group, -(-images // ranks), slowdown, seconds)
                for layers, pair, seconds in zip(models, pairs, runs[ranks, images], strict=True)
            ]
            report(f"| {kind} | {ranks} | {images} | " + " | ".join(cells(rounds)) + " |")


def cells(rounds: Sequence[Round]) -> Iterator[str]:
    """What a row says of its rounds."""
    errors = [one.predicted / one.measured - 1 for one in rounds]
    for name in ("measured", "predicted"):
        yield f"{statistics.median(getattr(one, name) for one in rounds) * 1e3:,.0f}"
    for error in (statistics.median(errors), min(errors), max(errors)):
        yield f"{error:+.0%}"
    for sums in zip(*(one.sums or (None, None) for one in rounds), strict=True):
        yield f"{statistics.median(sums) * 1e3:,.0f}" if None not in sums else ""


if __name__ == "__main__":
    main()
