"""Training steps of a net here and in PyTorch, and the memory they take: the sides of the benchmarks.

A step is forward with dropout, loss, backward, and the update with momentum and weight decay; the
loss is read after each. Both sides start from float32 pictures that are ready on the device, in
their own layouts: images innermost here, NCHW there. PyTorch's nets (torch_peers.py) have grouped
convolutions for the towers, in-place ReLU and fused SGD.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from benchmarking import has_torch, synchronize, torch

from alexnet_raw.device import Device
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.network import Network

MEGABYTE = 2**20
OURS, EAGER, COMPILED = "ours", "PyTorch eager", "PyTorch compiled"
TOWERS = "ours, a stream for each tower"


def names(arguments: argparse.Namespace, nets: Iterable[str], compiled: bool) -> list[str]:
    """Of the sides to measure; SystemExit where a net has no peer and PyTorch was not ruled out."""
    if not has_torch(arguments):
        return [OURS]
    import torch_peers

    for net in nets:
        torch_peers.check(net)
    return [OURS, EAGER, COMPILED] if compiled else [OURS, EAGER]


def make(
    spec: NetSpec, images: int, device: Device, names: Iterable[str], channels_last: bool = False
) -> tuple[dict[str, Callable[[], float]], dict[str, float]]:
    """The sides of these names, each after a first step on the same random pictures; and the most MiB
    that each held until then.

    channels_last: PyTorch's tensors are NHWC.
    """
    rng = np.random.default_rng(0)
    pictures = 50 * rng.standard_normal((images, *spec.input_shape()), np.float32)
    labels = rng.integers(0, spec.classes, images).astype(np.int32)
    sides, memory = {}, {}
    for name in names:
        used = Memory(device)
        if name in (OURS, TOWERS):
            sides[name] = Ours(spec, pictures, labels, _towers(device) if name == TOWERS else [device])
        else:
            compiled = name == COMPILED
            sides[name] = Peer(spec.name, pictures, labels, device, channels_last, compiled)
        sides[name]()
        synchronize(device)
        memory[name] = used.peak()
    return sides, memory


def _towers(device: Device) -> list[Device]:
    """Two logical devices on one, each with a stream of its own."""
    other = Device(device.name, index=1)
    other.precision, other.tuner = device.precision, device.tuner
    return [device, other]


class Ours:
    """Training steps of a Network on one batch of random pictures."""

    def __init__(self, spec: NetSpec, images: np.ndarray, labels: np.ndarray, devices: list[Device]):
        self.net, device = Network(spec, devices, batch_size=len(labels)), devices[0]
        self._batch = device.upload(np.moveaxis(images, 0, -1)), device.upload(labels)
        self._step = 0

    def __call__(self) -> float:
        self.net.train_step(*self._batch, step=self._step, progress=0)
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
        import torch_peers

        model = torch_peers.build(name).to(device.name)
        self._images = torch.from_numpy(images).to(device.name)
        self._labels = torch.from_numpy(labels).long().to(device.name)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
            self._images = self._images.contiguous(memory_format=torch.channels_last)
        decay = [{"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 5e-4}]
        plain = [{"params": [p for p in model.parameters() if p.ndim == 1]}]
        self._sgd = torch.optim.SGD(decay + plain, lr=1e-2, momentum=0.9, fused=True)
        if compiled:
            torch.compiler.reset()  # or else it would generalize what it made for another batch size
            model = torch.compile(model)
        self._model = model

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
        _give_back(device)
        if device.is_cuda:
            self._start = _gpu_memory(device)[0]
        else:
            Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
            self._start = _kilobytes("self/status", "VmRSS")

    def peak(self) -> float:
        """In MiB, since this object was made."""
        if self._device.is_cuda:  # neither side's allocator gives memory back by itself
            return (_gpu_memory(self._device)[0] - self._start) / MEGABYTE
        return (_kilobytes("self/status", "VmHWM") - self._start) / 1024


def memory_needed(spec: NetSpec, images: int, names: list[str]) -> float:
    """MiB that the sides of these names may take together, by the arrays that a net has at least."""
    shapes = spec.shapes()
    parameters = sum(
        math.prod(parameter.shape)
        for layer in spec
        for parameter in layer.parameters([shapes[name] for name in layer.inputs])
    )
    activations = images * sum(math.prod(shape) for shape in shapes.values())
    floats = 3 * parameters + 2 * activations  # values, gradients, velocities
    return len(names) * 1.3 * 4 * floats / MEGABYTE


def free_memory(device: Device) -> float:
    """MiB that the device has left."""
    _give_back(device)
    if device.is_cuda:
        return _gpu_memory(device)[1] / MEGABYTE
    return _kilobytes("meminfo", "MemAvailable") / 1024


def _give_back(device: Device) -> None:
    """Returns to the system what was freed, so that it is not taken for free by the next to measure."""
    gc.collect()
    if device.is_cuda:
        import cupy

        cupy.get_default_memory_pool().free_all_blocks()
        if torch:
            torch.cuda.empty_cache()
    else:
        with contextlib.suppress(AttributeError):  # of glibc
            ctypes.CDLL(None).malloc_trim(0)


def _gpu_memory(device: Device) -> tuple[int, int]:
    """Bytes in use and free."""
    import cupy

    with cupy.cuda.Device(device.ordinal):
        free, total = cupy.cuda.runtime.memGetInfo()
    return total - free, free


def _kilobytes(file: str, key: str) -> int:
    """An entry of a file in /proc."""
    return int(re.search(rf"{key}:\s+(\d+) kB", Path("/proc", file).read_text())[1])
