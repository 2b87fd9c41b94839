"""The numbers of a run as it goes on, in files: history.jsonl, batches.jsonl, TensorBoard's events."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import atomic
from alexnet_raw.evaluation import Score

Record = dict[str, Any]
BATCHES = 100  # of training, in a record of batches.jsonl
WATCHED = 5000  # steps, in which the loss of a net that learns has long fallen


class Metrics:
    """Writes a run's numbers into its folder. A resumed run drops what lay ahead of its checkpoint.

    history.jsonl has a record for each epoch (`training` makes it), batches.jsonl one for each BATCHES
    batches: step, epoch, batch, loss, top1, rate. With tensorboard=True both also go to event files
    below tensorboard/. Raises ValueError if that needs a package which is not installed.
    """

    def __init__(self, folder: Path, step: int, tensorboard: bool):
        self._folder = folder
        self._score = Score()
        self._losses: deque[float] = deque(maxlen=10)  # of the last records
        path = folder / "batches.jsonl"
        kept = _records_before(path, step)
        atomic.write_text(path, "".join(kept))
        self._batches = path.open("a")
        self._writer = _summary_writer(folder / "tensorboard", step) if tensorboard else None

    def batch(self, step: int, position: Record, score: Score) -> None:
        """Takes in a batch that was trained on; step counts from 1."""
        self._score.add(score)
        if step % BATCHES:
            return
        self._losses.append(self._score.loss)
        record = {"step": step, **position, "loss": self._score.loss, "top1": self._score.top1}
        self._batches.write(json.dumps(record) + "\n")
        self._batches.flush()
        if self._writer:
            self._writer.add_scalar("batches/loss", self._score.loss, step)
            self._writer.add_scalar("batches/top1", self._score.top1, step)
            self._writer.add_scalar("rate", position["rate"], step)
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
        if self._writer is None:
            return
        record = history[-1]
        for part in ("train", "validation"):
            for name in ("loss", "top1", "topk") if record[part] else ():
                self._writer.add_scalar(f"{part}/{name}", record[part][name], step)
        for name in ("images_per_second", "stall"):
            self._writer.add_scalar(name, record[name], step)
        for name, (weight, update) in record["weights"].items():
            self._writer.add_scalar(f"weights/{name}", weight, step)
            self._writer.add_scalar(f"updates/{name}", update, step)
        self._writer.flush()

    def close(self) -> None:
        self._batches.close()
        if self._writer:
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


def _summary_writer(folder: Path, step: int) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ValueError(
            "--tensorboard needs a package that is missing: pip install 'alexnet-raw[tensorboard]'"
        ) from None
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
