"""Time every layer and pass of a net, kernel by kernel, with PyTorch's operator beside it.

    python tools/bench_kernels.py --only conv --output benchmarks/kernels.md

Each row is a pass of a layer in one tower. Both sides work on arrays that are ready in memory, float32
or (--precision bf16) bfloat16 where a net has it, in their own layouts: images innermost here, NCHW
there (NHWC with --channels-last). PyTorch's operators are called as its eager mode calls them. Its
column is empty where it has none for the same work. Forward passes are without the ReLU, which costs
us nothing and PyTorch a pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from benchmarking import Report, about, by_turns, has_torch, parser, peak, start
from kernel_cases import Case, Maker

from alexnet_raw import layer_file
from alexnet_raw.layers import Layer
from alexnet_raw.net_spec import NetSpec

HEADER = ("layer", "pass", "floor ms", "ms", "of floor", "rate", "PyTorch ms", "speed", "net ms")
NOTES = """\
- floor ms: what that peak allows at best, the longer of the times for the arithmetic (multiply and add
  count as two) and for the memory (inputs are read and results written once); of floor: floor / ours
- above 100 %: convolutions by Winograd's algorithm (filters of 3x3 and 5x5), which needs fewer products
  than the sums it stands for, which are counted; and arrays that were in a cache
- ms: of one tower; net ms: of the towers that the net has; speed: PyTorch's time / ours
"""


def towers(spec: NetSpec) -> Iterator[tuple[Layer, int]]:
    """The layers of tower a and those of both; how many equal ones the net has of each."""
    names = {layer.name for layer in spec}
    for layer in spec:
        stem, tower = layer.name[:-1], layer.name[-1]
        if tower == "b" and stem + "a" in names:
            continue
        yield layer, 2 if tower == "a" and stem + "b" in names else 1


def main() -> None:
    p = parser(__doc__.splitlines()[0], net="alexnet", batch_size=128)
    p.add_argument("--only", default="", help='regular expression, of "conv1a weight gradient"')
    p.add_argument("--repeats", type=int, default=7, help="the median of so many is shown")
    p.add_argument("--channels-last", action="store_true", help="PyTorch's tensors in NHWC")
    arguments = p.parse_args()
    device, report = start(arguments), Report(arguments.output)
    spec = layer_file.load_packaged(arguments.net)
    maker = Maker(
        device,
        arguments.batch_size,
        spec,
        has_torch(arguments),
        arguments.channels_last,
    )
    best = peak(device, arguments.threads)

    report(f"# Kernels of {spec.name}, batch {arguments.batch_size}, {device.name}\n")
    for line in about(arguments, device):
        report(line)
    measured = (
        f"{best.gflops:,.0f} GFLOP/s, {best.gbytes:,.1f} GB/s ({best.how})"
        if best
        else ("not measured: that needs g++, or PyTorch on a GPU")
    )
    report(f"- peak: {measured}")
    report(NOTES)
    report("| " + " | ".join(HEADER) + " |")
    report("|---|---|" + "---:|" * (len(HEADER) - 2))

    total = {"ours": 0.0, "floor": 0.0, "peer": 0.0, "ours with a peer": 0.0}

    def measure(name: str, count: int, case: Case) -> None:
        if not re.search(arguments.only, f"{name} {case.name}"):
            return
        runs = {"ours": case.ours} | ({"peer": case.peer} if case.peer else {})
        seconds = by_turns(runs, device, arguments.repeats)
        ours, peer = seconds["ours"], seconds.get("peer")
        floor = case.floor(best) if best else None
        unit, work = ("GFLOP/s", case.flops) if case.flops else ("GB/s", case.nbytes)
        cells = [
            name,
            case.name,
            f"{floor * 1e3:.3f}" if floor else "",
            f"{ours * 1e3:.3f}",
            f"{floor / ours:.0%}" if floor else "",
            f"{work / ours / 1e9:,.1f} {unit}",
            f"{peer * 1e3:.3f}" if peer else "",
            f"{peer / ours:.2f}" if peer else "",
            f"{count * ours * 1e3:.3f}",
        ]
        report("| " + " | ".join(cells) + " |")
        total["ours"] += count * ours
        total["floor"] += count * (floor or 0)
        if peer:
            total["peer"] += count * peer
            total["ours with a peer"] += count * ours

    shapes = spec.shapes()
    for layer, count in towers(spec):
        for case in maker.cases(layer, [shapes[name] for name in layer.inputs], shapes[layer.name]):
            measure(layer.name, count, case)
    if re.search(arguments.only, "sgd all parameters"):
        parameters = [
            parameter.shape
            for layer in spec
            for parameter in layer.parameters([shapes[name] for name in layer.inputs])
        ]
        measure("sgd", 1, maker.sgd(parameters))

    floors = f"; their floors {total['floor'] * 1e3:,.0f} ms" if best else ""
    report(f"\nAll of the above, all towers: {total['ours'] * 1e3:,.0f} ms here{floors}")
    if total["peer"]:
        speed = total["peer"] / total["ours with a peer"]
        report(f"PyTorch on the rows it has: {total['peer'] * 1e3:,.0f} ms, {speed:.2f} x our time")


if __name__ == "__main__":
    main()
