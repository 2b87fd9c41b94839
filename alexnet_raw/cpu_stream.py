"""Work of several logical CPU devices side by side: a thread for each, ordered by events as on GPUs."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from alexnet_raw.device import Device


class CpuStream:
    """Does what it is given in order, in a thread of its own, which ends with the stream.

    After an error it does nothing more until `synchronize` has raised it.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue = SimpleQueue()
        self._errors: list[BaseException] = []
        arguments = (self._jobs, self._errors)  # not the stream: the thread must not keep it
        threading.Thread(target=_work, args=arguments, daemon=True, name="CpuStream").start()
        weakref.finalize(self, self._jobs.put, None)

    def give(self, job: Callable[[], None], name: str = "") -> None:
        """name: of the op, for the message of an error, which comes late."""
        self._jobs.put((job, name, False))

    def record(self) -> threading.Event:
        """Happens when all that was given so far is done, or was left out after an error."""
        event = threading.Event()
        self._jobs.put((event.set, "", True))
        return event

    def wait_event(self, event: threading.Event) -> None:
        """What is given from now on begins when the event has happened."""
        self._jobs.put((event.wait, "", True))

    def abandon(self, reason: BaseException) -> None:
        """Does nothing more of what it was given; `synchronize` raises the reason."""
        self._errors.append(reason)

    def synchronize(self) -> None:
        """Waits until all is done; raises the first error."""
        self.record().wait()
        if self._errors:
            error = self._errors[0]
            self._errors.clear()
            raise error


def _work(jobs: SimpleQueue, errors: list[BaseException]) -> None:
    while item := jobs.get():
        job, name, is_event = item
        if is_event or not errors:
            try:
                job()
            except BaseException as error:
                if name:
                    error.args = (f"{name}: {error}",)
                errors.append(error)
        del job, item  # and the arrays that they hold


@contextmanager
def side_by_side(devices: Sequence[Device]) -> Iterator[None]:
    """Within, CPU devices do what they are given side by side, each with its share of the cores.

    All is done when the block ends; errors of the devices are raised there. One CPU device, or one with
    a tuner, which measures times, works as ever, and so do GPUs.
    """
    cpus = [device for device in devices if not device.is_cuda]
    if len(cpus) < 2 or any(device.tuner or device.is_queued for device in cpus):
        yield
        return
    for i, device in enumerate(cpus):
        cores = device.module.threads()
        device.begin_queue(max(1, cores * (i + 1) // len(cpus) - cores * i // len(cpus)))
    try:
        yield
    except BaseException as error:
        for device in cpus:
            device.end_queue(error)
        raise
    errors = [error for device in cpus if (error := device.end_queue())]
    if errors:
        raise errors[0]
