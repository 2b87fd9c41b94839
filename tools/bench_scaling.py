"""Time the training step of a net by batch size and by threads against PyTorch, by turns in one run.

    python tools/bench_scaling.py --output benchmarks/scaling.md

What a step is, and what the sides are: tools/train_sides.py. Long steps are repeated three times only.
"""

from __future__ import annotations

import os

import train_sides
from benchmarking import Report, about, by_turns, numbers, parser, set_threads, start
from train_sides import EAGER, OURS

from alexnet_raw import layer_file
from alexnet_raw.device import Device
from alexnet_raw.net_spec import NetSpec

REPEATS, BUDGET = 9, 40  # steps of each side; seconds, beyond which there are fewer steps


def by_batch(
    spec: NetSpec, batches: list[int], device: Device, names: list[str], report: Report
) -> None:
    """Milliseconds of each side and the memory of ours by batch size, as long as memory suffices."""
    report("## By batch size\n")
    columns = ["batch", "ms", "images/s", "memory MiB"]
    columns += [f"{EAGER} ms", "speed"] if EAGER in names else []
    report("| " + " | ".join(columns) + " |\n|" + "---:|" * len(columns))
    for count in batches:
        needed, free = train_sides.memory_needed(spec, count, names), train_sides.free_memory(device)
        if needed > free:
            report(f"\nBatch {count} may need {needed:,.0f} MiB, of which {free:,.0f} are free.")
            break
        here = Device(device.name)  # whose scratch memory is of this batch size
        sides, memory = train_sides.make(spec, count, here, names)
        seconds = by_turns(sides, here, REPEATS, budget=BUDGET)
        ours = seconds[OURS]
        cells = [str(count), f"{ours * 1e3:,.1f}", f"{count / ours:,.1f}", f"{memory[OURS]:,.0f}"]
        if EAGER in names:
            cells += [f"{seconds[EAGER] * 1e3:,.1f}", f"{seconds[EAGER] / ours:.2f}"]
        report("| " + " | ".join(cells) + " |")
        del sides, here  # before the next are made


def by_threads(
    spec: NetSpec, count: int, most: int, device: Device, names: list[str], report: Report
) -> None:
    """Milliseconds of each side by threads, and how many times as fast as one thread it is."""
    report(f"\n## By threads, batch {count}\n")
    columns = ["threads", "ms", "speed-up"]
    columns += [f"{EAGER} ms", f"{EAGER} speed-up", "speed"] if EAGER in names else []
    report("| " + " | ".join(columns) + " |\n|" + "---:|" * len(columns))
    sides, _ = train_sides.make(spec, count, device, names)
    single: dict[str, float] = {}
    for threads in steps_to(most):
        set_threads(device, threads)
        seconds = by_turns(sides, device, REPEATS, budget=BUDGET)
        single = single or seconds
        cells = [str(threads)]
        for name, of_step in seconds.items():
            cells += [f"{of_step * 1e3:,.1f}", f"{single[name] / of_step:.2f}"]
        if EAGER in names:
            cells.append(f"{seconds[EAGER] / seconds[OURS]:.2f}")
        report("| " + " | ".join(cells) + " |")


def steps_to(most: int) -> list[int]:
    """1, 2, 4 ... and `most`."""
    return sorted({most, *(2**i for i in range(most.bit_length()))})


def main() -> None:
    p = parser(__doc__.splitlines()[0], net="alexnet", batch_size=128)
    batches = [2**i for i in range(10)]
    p.add_argument("--batches", type=numbers, default=batches, help="comma list of batch sizes")
    p.add_argument(
        "--parts",
        nargs="+",
        choices=("batches", "threads"),
        default=("batches", "threads"),
        help="which of the two tables; that by threads is at --batch-size",
    )
    arguments = p.parse_args()
    names = train_sides.names(arguments, [arguments.net], compiled=False)
    device, report = start(arguments), Report(arguments.output)
    spec = layer_file.load_packaged(arguments.net)
    report(f"# Training step of {spec.name} by batch size and threads, {device.name}\n")
    for line in about(arguments, device):
        report(line)
    report(f"- medians of 3 to {REPEATS} steps, fewer of long ones, by turns; speed: their time / ours")
    report("- memory: the most that our side held\n")
    if "batches" in arguments.parts:
        by_batch(spec, arguments.batches, device, names, report)
    if "threads" in arguments.parts and not device.is_cuda:
        most = arguments.threads or os.cpu_count()
        by_threads(spec, arguments.batch_size, most, device, names, report)


if __name__ == "__main__":
    main()
