"""Time the training steps of the small packaged nets against PyTorch, eager and compiled, by turns.

    python tools/bench_nets.py --output benchmarks/nets.md

Each net at the batch size that its training has, and at 32 and 128. What a step is, and what the sides
are: tools/train_sides.py.
"""

from __future__ import annotations

import train_sides
from benchmarking import Report, about, by_turns, parser, start
from train_sides import OURS

from alexnet_raw import layer_file
from alexnet_raw.run_settings import PAPER, SUITED

NETS = ["alexnet-mini", "cifar10-quick", "cifar10", "cifar10-lrn"]


def main() -> None:
    p = parser(__doc__.splitlines()[0])
    p.add_argument("--nets", nargs="+", default=NETS, choices=layer_file.packaged(), metavar="NET")
    p.add_argument("--steps", type=int, default=15, help="the median of so many is shown")
    p.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    arguments = p.parse_args()
    nets = {name: layer_file.load_packaged(name) for name in arguments.nets}
    names = train_sides.names(arguments, nets, compiled=not arguments.no_compile)
    device, report = start(arguments), Report(arguments.output)
    report(f"# Training steps of small nets, {device.name}\n")
    for line in about(arguments, device):
        report(line)
    report(f"- medians of {arguments.steps}, by turns; speed: their time / ours")
    report("- *: the batch size that `alexnet-raw train` takes for the net\n")
    columns = ["batch", "ms", "images/s", *(c for name in names[1:] for c in (f"{name} ms", "speed"))]
    report("| net | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for net, spec in nets.items():
        own = (PAPER | SUITED.get(net, {}))["batch_size"]
        for count in sorted({32, own, 128}):
            sides, _ = train_sides.make(spec, count, device, names)
            seconds = by_turns(sides, device, arguments.steps)
            ours = seconds[OURS]
            cells = [net, f"{count}{'*' * (count == own)}", f"{ours * 1e3:.2f}", f"{count / ours:,.0f}"]
            for name in names[1:]:
                cells += [f"{seconds[name] * 1e3:.2f}", f"{seconds[name] / ours:.2f}"]
            report("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
