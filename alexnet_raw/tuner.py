"""Algorithms of convolutions, chosen by timing them where they run (``alexnet-raw train --tune``)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from alexnet_raw.device import BF16, Device
from alexnet_raw.recording import Graph

SETTINGS = ("stride", "padding", "groups", "precision")  # that make a pass another one
LAUNCHES = 5  # timed at once
ROUNDS = 5  # of the candidates, by turns; the fastest of each counts
GAIN = 0.97  # of the time that "auto" takes; closer ones are as fast
log = logging.getLogger(__name__)


class Tuner:
    """Times the algorithms that a pass could run by when it is first called, and keeps to the fastest.

    A pass is a convolution or one of its gradients, of these sizes, dtypes and settings. Layers and
    devices share what was found out, and so towers compute the same bits on one GPU as on two.

    Attributes:
        machine: the processor or GPU that the times are of.
        choices: algorithm by pass.
    """

    def __init__(self, device: Device):
        self.machine = device.machine
        self.choices: dict[str, str] = {}

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps, as JSON, so that a run that is resumed computes the same bits."""
        return {"machine": self.machine, "choices": self.choices}

    def restore(self, state: dict[str, Any]) -> None:
        """Keeps to the choices of a checkpoint, unless they were made on another machine."""
        if state["machine"] == self.machine:
            self.choices = dict(state["choices"])
        else:
            log.warning(
                "convolutions are tuned anew: the run was tuned on %s, this is %s",
                *(state["machine"], self.machine),
            )

    def algorithm(self, op: str, device: Device, data: dict[str, Any], settings: dict[str, Any]) -> str:
        """The algorithm for a call of a pass that the extension is about to run.

        Args:
            op: the name of the extension's function.
            data: its arrays by argument, the output first. They are read, and not written.
            settings: its other arguments.
        """
        key = _key(op, data, settings)
        if key not in self.choices:
            self.choices[key] = self._fastest(op, device, data, settings)
        return self.choices[key]

    def _fastest(self, op: str, device: Device, data: dict[str, Any], settings: dict[str, Any]) -> str:
        out, was = next(iter(data.items()))
        spare = device.empty(was.shape, was.dtype).data  # what was there may be wanted yet
        arrays, settings = {**data, out: spare}, {**settings, "accumulate": False}

        def run(algorithm: str) -> None:
            how = {**settings, "algorithm": algorithm}
            getattr(device.module, op)(**arrays, **how, stream=device.stream)

        def suits(algorithm: str) -> bool:
            try:
                run(algorithm)  # and allocates its workspace
            except ValueError:  # not for these sizes
                if algorithm == "auto":
                    raise
                return False
            return True

        suited = [name for name in _candidates(device, data, settings) if suits(name)]
        if suited == ["auto"]:
            return "auto"
        launches = {name: _repeated(device, partial(run, name)) for name in suited}
        seconds = dict.fromkeys(suited, float("inf"))
        for name, launch in ROUNDS * [*launches.items()]:
            device.settle()
            begin = time.perf_counter()
            launch()
            device.settle()
            seconds[name] = min(seconds[name], time.perf_counter() - begin)
        fastest = min(seconds, key=seconds.__getitem__)
        return fastest if seconds[fastest] < GAIN * seconds["auto"] else "auto"


def _key(op: str, data: dict[str, Any], settings: dict[str, Any]) -> str:
    arrays = (f"{name} {array.dtype} {array.shape}" for name, array in data.items() if name != "bias")
    return ", ".join([op, *arrays, *(f"{name} {settings[name]}" for name in SETTINGS)])


def _candidates(device: Device, data: dict[str, Any], settings: dict[str, Any]) -> Iterator[str]:
    yield "auto"
    if any(array is not None and array.dtype == BF16 for array in data.values()):
        if device.is_cuda and device.module.has_wgmma():  # on CPUs it is there for tests
            yield "wgmma"
    elif settings["precision"] == "fp32":
        yield from ("direct", "winograd")


def _repeated(device: Device, run: Callable[[], None]) -> Callable[[], None]:
    """Runs several times; on a GPU by one launch, since kernels take less time than calls from here."""

    def work() -> None:
        for _ in range(LAUNCHES):
            run()

    return Graph([device], work).launch if device.is_cuda and device.is_on_own_stream else work
