"""What the benchmarks share: equal settings, fair clocks, and the lines that say what ran where."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from checkout import commit

# As `alexnet-raw train` does, for both sides: threads that wait soon sleep. OpenMP reads it once.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

from alexnet_raw import info, layer_file
from alexnet_raw.device import PRECISIONS, Device, DeviceError, set_precision
from alexnet_raw.tuner import Tuner

try:
    import torch
except ImportError:
    torch: ModuleType | None = None

FOLDER = Path(__file__).parent


def parser(description: str, net: str = "", batch_size: int = 0) -> argparse.ArgumentParser:
    """The options that all benchmarks have; with their defaults, those that not all have."""
    p = argparse.ArgumentParser(description=description)
    if net:
        p.add_argument("--net", default=net, choices=layer_file.packaged())
    if batch_size:
        p.add_argument("--batch-size", type=int, default=batch_size)
    p.add_argument("--device", default="cpu", help="cpu or cuda:N")
    p.add_argument("--threads", type=int, default=0, help="CPU threads of both; 0: all cores")
    p.add_argument("--no-torch", action="store_true", help="measure ours alone")
    p.add_argument(
        "--precision", default="fp32", choices=PRECISIONS, help="of both sides' products, on a GPU"
    )
    p.add_argument(
        "--tune", action="store_true", help="our algorithms by trial, as PyTorch's cuDNN always does"
    )
    p.add_argument("--output", type=Path, help="also write what is printed to this file")
    return p


def numbers(text: str) -> list[int]:
    """The type of an option that is a comma list of batch sizes."""
    values = [int(number) for number in text.split(",")]
    if min(values) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} has numbers below 1")
    return values


def start(arguments: argparse.Namespace) -> Device:
    """The device, and equal threads and precision for both sides."""
    device = Device(arguments.device)
    set_threads(device, arguments.threads or os.cpu_count())
    try:
        set_precision([device], arguments.precision)
    except DeviceError as error:
        raise SystemExit(str(error)) from None
    device.tuner = Tuner(device) if arguments.tune else None
    if torch:
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = arguments.precision != "fp32"
        torch.backends.cuda.matmul.allow_tf32 = arguments.precision != "fp32"
        if arguments.precision == "bf16":  # as `with torch.autocast(...)` around all that it does
            torch.set_autocast_dtype("cuda", torch.bfloat16)
            torch.set_autocast_enabled("cuda", True)
            torch.set_autocast_cache_enabled(False)  # it would keep the weights of the first step
    return device


def set_threads(device: Device, threads: int) -> None:
    """The CPU threads of both sides."""
    if not device.is_cuda:
        device.module.set_threads(threads)
    if torch:
        torch.set_num_threads(threads)


def has_torch(arguments: argparse.Namespace) -> bool:
    return torch is not None and not arguments.no_torch


class Report:
    """Lines for the terminal and, as they come, for the file of --output."""

    def __init__(self, path: Path | None):
        self._path = path
        if path:
            path.write_text("")

    def __call__(self, line: str = "") -> None:
        print(line, flush=True)
        if self._path:
            with open(self._path, "a") as file:
                print(line, file=file)


def about(
    arguments: argparse.Namespace, device: Device, more_versions: Sequence[str] = ()
) -> list[str]:
    """Machine, versions, commit and command, as a Markdown list; more_versions: packages."""
    machine = f"{info.cpu_model()}, {os.cpu_count()} cores"
    if device.is_cuda:
        machine = dict(info.report()).get(device.name, device.name) + f"; {machine}"
    build = device.module.build_info()
    versions = [f"alexnet-raw {info.version()}", f"Python {platform.python_version()}"]
    versions += [f"NumPy {np.__version__}", f"{build['compiler']} {build.get('flags', '')}".strip()]
    if has_torch(arguments):
        versions.append(f"PyTorch {torch.__version__}")
    versions += [f"{name} {importlib.metadata.version(name)}" for name in more_versions]
    threads = arguments.threads or os.cpu_count()
    environment = [f"{k}={v}" for k, v in os.environ.items() if k.startswith(("OMP_", "GOMP_", "MKL_"))]
    lines = [
        f"- machine: {machine}; {threads} threads; load {os.getloadavg()[0]:.1f} when started",
        f"- versions: {', '.join(versions)}",
        f"- commit: {commit()}, {time.strftime('%Y-%m-%d')}",
        f"- command: `{' '.join([*environment, 'python', shlex.join(sys.argv)])}`",
    ]
    if not has_torch(arguments):
        why = "--no-torch was given" if torch else "install it with: pip install 'alexnet-raw[torch]'"
        lines.append(f"- without PyTorch beside it: {why}")
    return lines


def synchronize(device: Device) -> None:
    """Waits for both sides' work."""
    device.synchronize()
    if device.is_cuda and torch:
        torch.cuda.synchronize(device.ordinal)


def by_turns(
    runs: dict[str, Callable[[], object]],
    device: Device,
    repeats: int,
    least: float = 0.01,
    budget: float = math.inf,
    typical: Callable[[list[float]], float] = statistics.median,
) -> dict[str, float]:
    """Median seconds of one call of each. They take turns, so that all see the same machine.

    A measurement lasts at least `least` seconds, for which short calls are repeated. There are fewer
    repeats, but three, where all of them would take more than about `budget` seconds. typical: what to
    take in place of the median.
    """
    counts, turn = {}, 0.0
    for name, run in runs.items():
        seconds = _seconds(run, 1, device)
        if seconds < 10 * least:  # without what the first call allocates and chooses
            seconds = _seconds(run, 1, device)
        counts[name] = max(1, round(least / max(seconds, 1e-7)))
        turn += counts[name] * seconds
    repeats = min(repeats, max(3, int(min(budget / turn, repeats))))
    times = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            time.sleep(0.002)  # the other side's threads, which wait awake for a while, go to sleep
            times[name].append(_seconds(run, counts[name], device) / counts[name])
    return {name: typical(of_run) for name, of_run in times.items()}


def _seconds(run: Callable[[], object], count: int, device: Device) -> float:
    synchronize(device)
    start = time.perf_counter()
    for _ in range(count):
        run()
    synchronize(device)
    return time.perf_counter() - start


@dataclass(frozen=True)
class Peak:
    """What the machine does at best, measured now: float32 GFLOP/s and GB/s read plus written."""

    gflops: float
    gbytes: float
    how: str


def peak(device: Device, threads: int) -> Peak | None:
    """None where there is nothing to measure it with: no g++, or no PyTorch on a GPU."""
    return _gpu_peak(device) if device.is_cuda else _cpu_peak(threads)


def _cpu_peak(threads: int) -> Peak | None:
    flags = ["-O3", "-march=native", "-fopenmp"]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "machine_peak"
        command = ["g++", *flags, str(FOLDER / "machine_peak.cpp"), "-o", str(program)]
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError):
            return None
        environment = os.environ | {"OMP_NUM_THREADS": str(threads or os.cpu_count())}
        result = subprocess.run([program], env=environment, check=True, capture_output=True, text=True)
    gflops, gbytes = map(float, result.stdout.split())
    return Peak(gflops, gbytes, "multiply-adds in registers, and a large copy, best of 30 rounds")


def _gpu_peak(device: Device) -> Peak | None:
    if not torch:
        return None
    size = 8192
    dtype = torch.bfloat16 if torch.is_autocast_enabled("cuda") else torch.float32
    a, b = (torch.randn(size, size, device=device.name, dtype=dtype) for _ in range(2))
    c = torch.empty_like(a)
    times = by_turns({"mm": lambda: torch.mm(a, b, out=c), "copy": lambda: c.copy_(a)}, device, 5)
    gflops, gbytes = 2 * size**3 / times["mm"] / 1e9, 2 * a.nbytes / times["copy"] / 1e9
    what = f"torch.mm and copy of 8192x8192 {dtype}"
    return Peak(gflops, gbytes, what + (", TF32" if torch.backends.cuda.matmul.allow_tf32 else ""))
