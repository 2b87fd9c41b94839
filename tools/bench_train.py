"""Time whole training steps of a net against the same net in PyTorch, by turns in one run.

    python tools/bench_train.py --output benchmarks/train.md

A step is forward with dropout, loss, backward, and the update with momentum and weight decay; the
loss is read after each. Both sides start from float32 pictures that are ready on the device, in
their own layouts: images innermost here, NCHW there (NHWC with --channels-last).

PyTorch's side is tools/torch_alexnet.py: grouped convolutions for the towers, in-place ReLU, fused SGD.
"""

from __future__ import annotations

import gc
import re
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from benchmarking import Report, about, by_turns, has_torch, parser, start, synchronize, torch

from alexnet_raw import layer_file
from alexnet_raw.device import Device
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network

MEGABYTE = 2**20


class Ours:
    """Training steps of a Network on one batch of random pictures."""

    def __init__(self, spec: NetSpec, images: np.ndarray, labels: np.ndarray, device: Device):
        self.net = Network(spec, [device], batch_size=len(labels))
        self._batch = device.upload(np.moveaxis(images, 0, -1)), device.upload(labels)
        self._step = 0

    def __call__(self) -> float:
        self.net.forward(*self._batch, train=True, step=self._step)
        self.net.backward()
        self.net.update(progress=0)
        self._step += 1
        return next(iter(self.net.costs().values())).loss


class Peer:
    """The same in PyTorch, eager or compiled."""

    def __init__(
        self,
        name: str,
        images: np.ndarray,
        labels: np.ndarray,
        device: Device,
        channels_last: bool,
        compiled: bool,
    ):
        import torch_alexnet

        model = torch_alexnet.AlexNet(torch_alexnet.SIZES[name]).to(device.name)
        self._images = torch.from_numpy(images).to(device.name)
        self._labels = torch.from_numpy(labels).long().to(device.name)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
            self._images = self._images.contiguous(memory_format=torch.channels_last)
        decay = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 5e-4}]
        plain = [{"params": [p for p in model.parameters() if p.ndim == 1]}]
        self._sgd = torch.optim.SGD(decay + plain, lr=1e-2, momentum=0.9, fused=True)
        self._model = torch.compile(model) if compiled else model

    def __call__(self) -> float:
        self._sgd.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(self._model(self._images), self._labels)
        loss.backward()
        self._sgd.step()
        return loss.item()


class Memory:
    """The most memory that one side held, on its device; the host's is resident memory, on Linux."""

    def __init__(self, device: Device):
        self._device = device
        gc.collect()
        if device.is_cuda:
            self._start = self._gpu_used()
        else:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self._start = _status("VmRSS")

    def peak(self) -> float:
        """In MiB, since this object was made."""
        if self._device.is_cuda:
            return (self._gpu_used() - self._start) / MEGABYTE
        return (_status("VmHWM") - self._start) / MEGABYTE

    def _gpu_used(self) -> int:
        """Neither side's allocator gives memory back, so that what is used now is the peak."""
        import cupy

        with cupy.cuda.Device(self._device.ordinal):
            free, total = cupy.cuda.runtime.memGetInfo()
        return total - free


def _status(key: str) -> int:
    """Bytes, from the kernel's account of this process."""
    return int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


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
        for layer in self._net.spec:
            layer.forward, layer.backward = map(
                self._inside, (layer.forward, layer.backward), (layer.name,) * 2
            )
        return self

    def __exit__(self, *_: object) -> None:
        self._net.devices[0].module = self._module
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
    p = parser(__doc__.splitlines()[0], batch_size=128)
    p.add_argument("--steps", type=int, default=5, help="timed steps of each side")
    p.add_argument("--compile", action="store_true", help="measure torch.compile, too")
    p.add_argument("--channels-last", action="store_true", help="PyTorch's tensors in NHWC")
    p.add_argument("--profile", action="store_true", help="where our time goes, by layer and op")
    arguments = p.parse_args()
    device, report = start(arguments), Report(arguments.output)
    spec = layer_file.load_packaged(arguments.net)
    rng = np.random.default_rng(0)
    count = arguments.batch_size
    images = 50 * rng.standard_normal((count, *spec.input_shape()), np.float32)
    labels = rng.integers(0, spec.classes, count).astype(np.int32)

    report(f"# Training step of {spec.name}, batch {count}, {device.name}\n")
    for line in about(arguments, device):
        report(line)
    report(f"- medians of {arguments.steps} steps, by turns; memory: the most that a side held\n")

    makers = {"ours": lambda: Ours(spec, images, labels, device)}
    if has_torch(arguments):
        layout, settings = arguments.channels_last, (spec.name, images, labels, device)
        makers["PyTorch eager"] = lambda: Peer(*settings, layout, compiled=False)
        if arguments.compile:
            makers["PyTorch compiled"] = lambda: Peer(*settings, layout, compiled=True)
    sides, memory = {}, {}
    for name, make in makers.items():
        used = Memory(device)
        sides[name] = make()
        sides[name]()
        synchronize(device)
        memory[name] = used.peak()
    seconds = by_turns(sides, device, arguments.steps)

    report("| | ms per step | images/s | memory MiB |\n|---|---:|---:|---:|")
    for name, of_step in seconds.items():
        report(f"| {name} | {of_step * 1e3:,.1f} | {count / of_step:,.1f} | {memory[name]:,.0f} |")
    report()
    for name, of_step in seconds.items():
        if name != "ours":
            report(f"vs {name}: {of_step / seconds['ours']:.2f} x")
    if arguments.profile:
        with Profile(sides["ours"].net) as profile:
            for _ in range(arguments.steps):
                sides["ours"]()
        report("\n| layer | op | ms per step | share |\n|---|---|---:|---:|")
        for layer, op, milliseconds, share in profile.rows(arguments.steps):
            report(f"| {layer} | {op} | {milliseconds:,.2f} | {share:.1%} |")


if __name__ == "__main__":
    main()
