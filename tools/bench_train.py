"""Time whole training steps of a net against the same net in PyTorch, by turns in one run.

    python tools/bench_train.py --output benchmarks/train.md

What a step is, and what the sides are: tools/train_sides.py.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable
from types import ModuleType

import train_sides
from benchmarking import Report, about, by_turns, parser, start
from train_sides import OURS, TOWERS

from alexnet_raw import layer_file
from alexnet_raw.network import Network


class Profile:
    """Seconds by layer and op of a Network's steps, while it is open.

    Waits for the device after each op, so the sum exceeds an undisturbed step's time on a GPU.
    """

    def __init__(self, net: Network):
        self._net, self._layer = net, "update"
        self.seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def __enter__(self) -> Profile:
        device = self._net.devices[0]
        self._module, device.module = device.module, _Timed(device.module, self._record)
        recordings = self._net.recordings
        self._refusal, recordings.refusal = recordings.refusal, "each op is timed"
        for layer in self._net.spec:
            layer.forward, layer.backward = map(
                self._inside, (layer.forward, layer.backward), (layer.name,) * 2
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._net.devices[0].module = self._module
        self._net.recordings.refusal = self._refusal
        for layer in self._net.spec:
            del layer.forward, layer.backward

    def _inside(self, run: Callable, name: str) -> Callable:
        def noting_the_layer(site):
            self._layer = name
            run(site)
            self._layer = "update"

        return noting_the_layer

    def _record(self, op: str, run: Callable) -> None:
        device = self._net.devices[0]
        begin = time.perf_counter()
        run()
        device.synchronize()
        self.seconds[self._layer][op] += time.perf_counter() - begin

    def rows(self, steps: int) -> list[tuple[str, str, float, float]]:
        """Layer (towers together), op, milliseconds per step and share, the largest first."""
        together: dict[tuple[str, str], float] = defaultdict(float)
        for layer, ops in self.seconds.items():
            for op, seconds in ops.items():
                together[re.sub(r"(\d)[ab]$", r"\1", layer), op] += seconds / steps
        whole = sum(together.values())
        ordered = sorted(together.items(), key=lambda item: -item[1])
        return [(*key, seconds * 1e3, seconds / whole) for key, seconds in ordered]


class _Timed:
    """An extension module whose functions are recorded."""

    def __init__(self, module: ModuleType, record: Callable[[str, Callable], None]):
        self._module, self._record = module, record

    def __getattr__(self, name: str) -> Callable:
        function = getattr(self._module, name)
        return lambda *args, **kwargs: self._record(name, lambda: function(*args, **kwargs))


def main() -> None:
    p = parser(__doc__.splitlines()[0], net="alexnet", batch_size=128)
    p.add_argument("--steps", type=int, default=5, help="timed steps of each side")
    p.add_argument("--towers", action="store_true", help="measure both towers side by side, too")
    p.add_argument("--compile", action="store_true", help="measure torch.compile, too")
    p.add_argument("--channels-last", action="store_true", help="PyTorch's tensors in NHWC")
    p.add_argument("--profile", action="store_true", help="where our time goes, by layer and op")
    arguments = p.parse_args()
    names = train_sides.names(arguments, [arguments.net], arguments.compile)
    if arguments.towers:
        names.insert(1, TOWERS)
    device, report = start(arguments), Report(arguments.output)
    spec, count = layer_file.load_packaged(arguments.net), arguments.batch_size
    report(f"# Training step of {spec.name}, batch {count}, {device.name}\n")
    for line in about(arguments, device):
        report(line)
    report(f"- medians of {arguments.steps} steps, by turns; memory: the most that a side held\n")

    sides, memory = train_sides.make(spec, count, device, names, arguments.channels_last)
    seconds = by_turns(sides, device, arguments.steps)

    report("| | ms per step | images/s | memory MiB |\n|---|---:|---:|---:|")
    for name, of_step in seconds.items():
        report(f"| {name} | {of_step * 1e3:,.1f} | {count / of_step:,.1f} | {memory[name]:,.0f} |")
    report()
    for name in names[1:]:
        report(f"vs {name}: {seconds[name] / seconds[OURS]:.2f} x")
    if device.tuner:
        report("\n| pass | algorithm |\n|---|---|")
        for name, algorithm in device.tuner.choices.items():
            report(f"| {name} | {algorithm} |")
    if arguments.profile:
        with Profile(sides[OURS].net) as profile:
            for _ in range(arguments.steps):
                sides[OURS]()
        report("\n| layer | op | ms per step | share |\n|---|---|---:|---:|")
        for layer, op, milliseconds, share in profile.rows(arguments.steps):
            report(f"| {layer} | {op} | {milliseconds:,.2f} | {share:.1%} |")


if __name__ == "__main__":
    main()
