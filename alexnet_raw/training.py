"""The training loop: epochs, progress, checkpoints, and going on after an interruption.

A run's position is (epoch, batch). Everything random is a function of the seed and of the position,
so a run that was interrupted anywhere and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alexnet_raw import checkpoint, data, info, run_report
from alexnet_raw.checkpoint import Checkpoint, CheckpointError
from alexnet_raw.device import Device
from alexnet_raw.evaluation import Score, evaluate
from alexnet_raw.interrupts import Interrupts
from alexnet_raw.model import Model
from alexnet_raw.plateau import Plateau
from alexnet_raw.run_settings import (
    EMBEDDED,
    Settings,
    input_shape,
    load_spec,
    new_folder,
    open_sources,
    weight_rates,
    with_outputs,
)

PICTURES_EVERY = 20  # seconds between drawings of the learning curve and the filters
INTERRUPTED = "Stopping after this batch to save. (Again: leaves at once, without saving.)"


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to try."""


class Run:
    """A training run. Make one with `start` or `resume`, then call `train`."""

    def __init__(
        self,
        settings: Settings,
        model: Model,
        sources: tuple[data.Source, data.Source | None],
        folder: Path,
        checkpoint_path: Path,
        threads: int | None,
    ):
        self.settings, self.model = settings, model
        self.folder, self.checkpoint_path = folder, checkpoint_path
        train, validation = sources
        size, crop = settings.batch_size, model.crop
        self.train_loader = data.Loader(
            train, size, crop, seed=settings.seed, statistics=model.statistics, threads=threads
        )
        self.val_loader = (
            data.Loader(validation, size, crop, train=False, threads=threads) if validation else None
        )
        self.rates = weight_rates(model.spec)
        self.epoch = 0  # that is being trained, from 0
        self.batch = 0  # the next one of that epoch
        self.score = Score()  # over the batches of this epoch so far
        self.seconds = self.stall = 0.0  # that they took, and the part spent waiting for pictures
        self.plateau = Plateau()
        self.history: list[run_report.Record] = []
        self._drawn = -math.inf  # when the pictures were drawn last

    # ---- beginning

    @classmethod
    def start(
        cls,
        settings: Settings,
        devices: list[Device],
        folder: Path | None = None,
        checkpoint_path: Path | None = None,
        threads: int | None = None,
    ) -> Run:
        """A new run, with first weights drawn from the seed. Reads the pictures' mean image."""
        spec = load_spec(settings.net, settings.params)
        settings = settings.resolved(spec)
        folder = new_folder(folder, spec.name)
        sources = open_sources(settings.data, input_shape(spec)[1])
        classes = sources[0].classes
        spec = with_outputs(spec, settings.outputs, len(classes))
        statistics = data.statistics(sources[0], threads=threads)
        model = Model.build(
            spec,
            devices,
            settings.batch_size,
            settings.seed,
            classes,
            statistics,
            sources[0].content_size,
        )
        path = checkpoint_path or folder / checkpoint.FILE_NAME
        return cls(settings, model, sources, folder, path, threads)

    @classmethod
    def resume(
        cls, path: Path, devices: list[Device], threads: int | None = None, **changes: Any
    ) -> Run:
        """Goes on with the run of a checkpoint; ``changes`` replace some of its settings."""
        path = checkpoint.locate(path)
        saved = checkpoint.load(path)
        try:
            state = saved.metadata["run"]
            settings = replace(Settings(**state["settings"]), **changes)
            model = Model.restore(saved, path, devices, settings.batch_size)
            sources = open_sources(settings.data, model.crop, model.classes)
            run = cls(settings, model, sources, path.parent, path, threads)
            run._set_state(state)
        except KeyError as error:
            raise CheckpointError(f"{path} lacks {error}: it is damaged; use another") from error
        if run.epoch >= settings.epochs:
            raise TrainingError(
                f"{path} has been trained for {run.epoch} epochs, all of its run; "
                f"--epochs {run.epoch + 1} or more trains it further"
            )
        return run

    def _state(self) -> dict[str, Any]:
        """The run's part of a checkpoint's JSON."""
        return {
            "settings": asdict(self.settings),
            "pictures": len(self.train_loader.source),
            "epoch": self.epoch,
            "batch": self.batch,
            "score": asdict(self.score),
            "seconds": self.seconds,
            "stall": self.stall,
            "plateau": self.plateau.to_json(),
            "history": self.history,
        }

    def _set_state(self, state: dict[str, Any]) -> None:
        if state["pictures"] != len(self.train_loader.source):
            raise TrainingError(
                f"the run was begun on {state['pictures']:,} pictures, but "
                f"{self.settings.data or EMBEDDED} has {len(self.train_loader.source):,}: give the "
                "same with --data, or start a new run"
            )
        self.epoch, self.batch, self.score = state["epoch"], state["batch"], Score(**state["score"])
        self.seconds, self.stall = state["seconds"], state["stall"]
        self.plateau, self.history = Plateau.from_json(state["plateau"]), state["history"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all."""
        metadata = {
            **self.model.metadata(),
            "versions": info.versions(),
            "best": run_report.best_epoch(self.history),
            "run": self._state(),
        }
        checkpoint.save(self.checkpoint_path, Checkpoint(self.model.tensors(), metadata))

    # ---- the loop

    def train(self) -> int:
        """Trains to the last epoch; returns the exit code: 0, or 128+N if signal N came."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._announce()
        with Interrupts(INTERRUPTED) as interrupts:
            while self.epoch < self.settings.epochs:
                if not self._train_epoch(interrupts):
                    self.save()
                    print(
                        f"saved {self.checkpoint_path} in epoch {self.epoch + 1}, after batch "
                        f"{self.batch} of {len(self.train_loader)}; go on with\n"
                        f"  alexnet-raw train --resume {self.checkpoint_path}"
                    )
                    return 128 + interrupts.signal
        if best := run_report.best_epoch(self.history):
            print(f"lowest validation error {best['validation']['top1']:.2%} (epoch {best['epoch']})")
        print(f"wrote {self.checkpoint_path}, and history and pictures in {self.folder}")
        return 0

    @property
    def step(self) -> int:
        """Batches trained on so far; keys the dropout masks."""
        return self.epoch * len(self.train_loader) + self.batch

    @property
    def progress(self) -> float:
        """Where the schedules of the parameter file are, in 0..1; the plateau ignores them."""
        if self.settings.schedule == "plateau":
            return 0.0
        return self.step / (self.settings.epochs * len(self.train_loader))

    @property
    def rate_scale(self) -> float:
        """What --lr and the plateau multiply all rates of the parameter file by."""
        wish = self.settings.lr
        base = wish / max(rate.eps for rate in self.rates) if wish is not None else 1.0
        return base * self.plateau.scale

    @property
    def rate(self) -> float:
        """The largest rate of any weights now, for people."""
        now = (rate.eps * rate.schedule.factor_at(self.progress) for rate in self.rates)
        return self.rate_scale * max(now)

    def _train_epoch(self, interrupts: Interrupts) -> bool:
        """The rest of an epoch, its validation and its files; False if interrupted before."""
        batches = self.train_loader.epoch(self.epoch, self.batch)
        with self._bar(self.train_loader, "train", self.score.pictures) as bar, closing(batches):
            while not interrupts.signal:
                began = time.perf_counter()
                batch = next(batches, None)
                self.stall += time.perf_counter() - began
                if batch is None:
                    break
                self._train_batch(batch)
                self.seconds += time.perf_counter() - began
                bar.set_postfix_str(
                    f"loss {self.score.loss:.3f}, error {self.score.top1:.1%}, "
                    f"stall {self.stall / self.seconds:.0%}",
                    refresh=False,
                )
                bar.update(len(batch))
        if interrupts.signal:
            return False
        self.batch = len(self.train_loader)
        validation = self._validate(interrupts)
        if interrupts.signal:
            return False
        self._end_epoch(validation)
        return True

    def _train_batch(self, batch: data.Batch) -> None:
        self.batch = batch.number
        net = self.model.net
        net.forward(*self.model.upload(batch), train=True, step=self.step)
        net.backward()
        cost = next(iter(net.costs().values()))
        self._check_finite(cost.loss)
        net.rate_scale = self.rate_scale
        net.update(self.progress)
        self.score.add(cost.loss, cost.top1, cost.topk, len(batch))
        self.batch += 1

    def _validate(self, interrupts: Interrupts) -> Score | None:
        if self.val_loader is None:
            return None
        with self._bar(self.val_loader, "validate") as bar:

            def tick(pictures: int) -> bool:
                bar.update(pictures)
                return not interrupts.signal

            score = evaluate(self.model, self.val_loader, tick=tick)
        if score is not None:
            self._check_finite(score.loss)
        return score

    def _end_epoch(self, validation: Score | None) -> None:
        seconds = max(self.seconds, 1e-9)
        record = {
            "epoch": self.epoch + 1,
            "train": asdict(self.score),
            "validation": validation and asdict(validation),
            "rate": self.rate,
            "seconds": round(seconds, 3),
            "images_per_second": round(self.score.pictures / seconds, 1),
            "stall": round(self.stall / seconds, 4),
        }
        self.history.append(record)
        print(run_report.epoch_line(record, self.settings.epochs), flush=True)
        if warning := run_report.not_learning(self.history, len(self.model.classes)):
            print(f"warning: {warning}", file=sys.stderr)
        self.epoch, self.batch = self.epoch + 1, 0
        self.score, self.seconds, self.stall = Score(), 0.0, 0.0
        plateau = self.settings.schedule == "plateau" and validation
        if plateau and self.plateau.update(validation.top1):
            print(f"the validation error has stopped falling: rate {self.rate:.2g} from now on")
        run_report.write_history(self.folder, self.history)
        last = self.epoch == self.settings.epochs
        if last or self.epoch % self.settings.save_every == 0:
            self.save()
        if last or time.monotonic() - self._drawn > PICTURES_EVERY:
            run_report.draw(self.folder, self.history, self.model)
            self._drawn = time.monotonic()

    def _check_finite(self, loss: float) -> None:
        if math.isfinite(loss):
            return
        kept = "no checkpoint was written yet"
        if self.checkpoint_path.exists():
            kept = f"{self.checkpoint_path} still holds what was saved last"
        raise TrainingError(
            f"the loss became {loss} in epoch {self.epoch + 1}, batch {self.batch + 1}: the weights "
            f"ran away. Lower the rate, e.g. --lr {self.rate / 10:.2g} (it is {self.rate:.2g}), or "
            f"raise --batch-size; {kept}"
        )

    # ---- what the user sees

    def _announce(self) -> None:
        settings, spec = self.settings, self.model.spec
        for note in spec.notes:
            print(f"note  {note}")
        parameters = sum(p.value.size for p in self.model.net.parameters.values())
        validation = f"{len(self.val_loader.source):,}" if self.val_loader else "no"
        devices = ", ".join(device.name for device in self.model.net.devices)
        print(f"net   {spec.name}: {parameters:,} parameters, {spec.classes} outputs, on {devices}")
        print(
            f"data  {settings.data or EMBEDDED}: {len(self.train_loader.source):,} training and "
            f"{validation} validation pictures of {len(self.model.classes)} classes"
        )
        print(
            f"run   {self.folder}: {settings.epochs} epochs of {len(self.train_loader)} batches of "
            f"{settings.batch_size}, seed {settings.seed}"
        )
        if self.step:
            print(f"resumed in epoch {self.epoch + 1}, after batch {self.batch}")
        sys.stdout.flush()

    def _bar(self, loader: data.Loader, what: str, done: int = 0) -> Any:
        what = f"{what} {self.epoch + 1}/{self.settings.epochs}"
        return run_report.progress_bar(len(loader.source), what, done)
