"""The numbers of a run as it goes on, in files: history.jsonl, batches.jsonl, TensorBoard's events."""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import atomic
from alexnet_raw.evaluation import Score

Record = dict[str, Any]
BATCHES = 100  # of training, in a record of batches.jsonl
SECONDS = 60  # after which TensorBoard sees them
WATCHED = 5000  # steps, in which the loss of a net that learns has long fallen


class Metrics:
    """Writes a run's numbers into its folder. A resumed run drops what lay ahead of its checkpoint.

    history.jsonl has a record for each epoch (`training` makes it), batches.jsonl one for each BATCHES
    batches: step, epoch, batch, loss, top1, rate. With tensorboard=True both also go to event files
    below tensorboard/. Raises ValueError if that needs a package which is not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool):
        self._folder, self._path = folder, folder / "batches.jsonl"
        self._score = Score()
        self._losses: deque[float] = deque(maxlen=10)  # of the last records
        kept = _records_before(self._path, step)
        atomic.write_text(self._path, "".join(kept))
        self._batches = self._path.open("a")
        self._events = Events(folder / "tensorboard", step) if tensorboard else None

    def batch(self, step: int, position: Record, score: Score) -> None:
        """Takes in a batch that was trained on; step counts from 1."""
        self._score.add(score)
        if step % BATCHES:
            return
        self._losses.append(self._score.loss)
        record = {"step": step, **position, "loss": self._score.loss, "top1": self._score.top1}
        with atomic.naming(self._path):
            self._batches.write(json.dumps(record) + "\n")
            self._batches.flush()
        if self._events:
            names = {"batches/loss": "loss", "batches/top1": "top1", "rate": "rate"}
            self._events.add({name: record[key] for name, key in names.items()}, step)
        self._score = Score()

    def stuck(self, step: int, classes: int) -> str | None:
        """What to try, if after WATCHED steps the loss is where guessing leaves it. Said once."""
        if step != WATCHED or not self._losses:
            return None
        loss = sum(self._losses) / len(self._losses)
        return remedy(loss, classes) if loss > 0.995 * math.log(classes) else None

    def epoch(self, step: int, history: list[Record]) -> None:
        """Writes the history, whole, and the last epoch's numbers as events."""
        lines = "".join(json.dumps(record) + "\n" for record in history)
        atomic.write_text(self._folder / "history.jsonl", lines)
        if self._events is None:
            return
        record = history[-1]
        numbers = {name: record[name] for name in ("images_per_second", "stall")}
        for part in ("train", "validation"):
            for name in ("loss", "top1", "topk") if record[part] else ():
                numbers[f"{part}/{name}"] = record[part][name]
        for name, (weight, update) in record["weights"].items():
            numbers |= {f"weights/{name}": weight, f"updates/{name}": update}
        self._events.add(numbers, step)

    def close(self) -> None:
        with atomic.naming(self._path):
            self._batches.close()
        if self._events:
            self._events.close()


class Events:
    """TensorBoard's file of a run's numbers.

    Written here and now: SummaryWriter leaves it to a thread, which a full disk ends, and then waits
    for that thread without end.
    """

    def __init__(self, folder: Path, step: int):
        """A run resumed after a step hides what an earlier file of the folder has of later ones."""
        try:
            from tensorboardX import summary
            from tensorboardX.event_file_writer import EventsWriter
            from tensorboardX.proto.event_pb2 import Event, SessionLog
        except ImportError:
            raise ValueError(
                "--tensorboard needs a package that is missing: pip install 'alexnet-raw[tensorboard]'"
            ) from None
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._event, self._scalar = folder, Event, summary.scalar
        self._flushed = -math.inf
        with atomic.naming(folder):
            self._writer = EventsWriter(str(folder / "events"))
            if step:
                log = SessionLog(status=SessionLog.START)
                for what in ({"file_version": "brain.Event:2"}, {"session_log": log}):
                    self._writer.write_event(Event(step=step + 1, **what))

    def add(self, numbers: Mapping[str, float], step: int) -> None:
        """Writes numbers by their names."""
        with atomic.naming(self._folder):
            for name, number in numbers.items():
                what = self._scalar(name, number)
                self._writer.write_event(self._event(wall_time=time.time(), step=step, summary=what))
            if time.monotonic() - self._flushed > SECONDS:  # it waits for the disk
                self._writer.flush()
                self._flushed = time.monotonic()

    def close(self) -> None:
        with atomic.naming(self._folder):
            self._writer.close()


class NoMetrics:
    """In place of `Metrics`, for ranks that write nothing."""

    def batch(self, step: int, position: Record, score: Score) -> None: ...

    def stuck(self, step: int, classes: int) -> None: ...

    def epoch(self, step: int, history: list[Record]) -> None: ...

    def close(self) -> None: ...


def weight_sizes(state: Mapping[str, np.ndarray], names: Iterable[str]) -> dict[str, list[float]]:
    """Name of a parameter -> mean size of its values and of its last update, as cuda-convnet printed
    them. state: of the net (`Network.state`)."""

    def mean_size(array: np.ndarray) -> float:
        return float(abs(array).mean(dtype="float64"))

    return {name: [mean_size(state[key]) for key in (name, f"{name}.velocity")] for name in names}


def remedy(loss: float, classes: int) -> str:
    """What to try where a net does not learn. Guessing among n classes costs ln n."""
    return (
        f"the loss stays at {loss:.3f}; guessing among {classes} classes costs "
        f"{math.log(classes):.3f}. Try a rate 3 times higher or lower (--lr), smaller batches, larger "
        "first weights (initW in the layer file; --with first-weights in recipe paper), and look "
        "whether the pictures are in the right class folders"
    )


def _records_before(path: Path, step: int) -> list[str]:
    """The lines of batches.jsonl up to a step; what a crash cut short is left out."""
    kept = []
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines(keepends=True):
        try:
            if json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line.rstrip("\n") + "\n")
    return kept
