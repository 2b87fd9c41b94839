"""A training run between two batches: its net, pictures, position and history.

A run's position is (epoch, batch). Everything random is a function of the seed and of the position,
so a run that was interrupted anywhere and resumed ends with the same bits as one that was not.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import atomic, checkpoint, class_names, data, info, net_data, run_report, transfer
from alexnet_raw.checkpoint import Checkpoint, CheckpointError
from alexnet_raw.cut_network import CutNetwork
from alexnet_raw.device import Device, set_precision
from alexnet_raw.evaluation import Score
from alexnet_raw.layers.cost import LogLoss
from alexnet_raw.model import Model
from alexnet_raw.parallel import ALONE, Ranks
from alexnet_raw.parallel.checks import check_same
from alexnet_raw.parallel.hybrid import Hybrid
from alexnet_raw.plateau import Plateau
from alexnet_raw.run_settings import (
    EMBEDDED,
    Settings,
    chosen_net,
    new_checkpoint,
    new_folder,
    open_sources,
    weight_rates,
    with_outputs,
)
from alexnet_raw.tuner import Tuner

SAMPLE = 8  # pictures, by which ranks see that they have the same


class TrainingError(ValueError):
    """Training cannot go on; the message says why and what to try."""


class Run:
    """A training run. Make one with `start` or `resume`; `training.train` trains it."""

    def __init__(
        self,
        settings: Settings,
        model: Model,
        sources: tuple[data.Source, data.Source | None],
        folder: Path,
        checkpoint_path: Path,
        threads: int | None,
        ranks: Ranks,
    ):
        self.settings, self.model, self.ranks = settings, model, ranks
        self.folder, self.checkpoint_path = folder, checkpoint_path
        train, validation = sources
        size, crop = settings.batch_size, model.crop
        self.train_loader = data.Loader(
            train,
            size,
            crop,
            seed=settings.seed,
            augmentation=settings.augmentation(train),
            statistics=model.statistics,
            threads=threads,
            allocate=model.net.input_device.pinned,
            ranks=ranks,
        )
        self.val_loader = None
        if validation:
            most = model.net.batch_size
            self.val_loader = data.Loader(
                validation, most, crop, train=False, threads=threads, ranks=ranks
            )
        if not settings.graphs:
            model.net.recordings.refusal = "--no-graphs"
        self.tuner = model.net.input_device.tuner
        if ranks.size > 1:
            model.net.sum_over(ranks)
        self._whole: Model | None = None  # the model that is evaluated, where `model` is cut over ranks
        self.rates = weight_rates(model.spec)
        self.origins: list[str] = []  # where the layers' first weights come from, a line for each
        self.epoch = 0  # that is being trained, from 0
        self.batch = 0  # the next one of that epoch
        self.score = Score()  # over the batches of this epoch so far
        self.seconds = self.stall = 0.0  # that they took, and the part spent waiting for pictures
        self.plateau = Plateau()
        self.best: float | None = None  # the lowest validation error of a saved epoch
        self._saved_at = time.monotonic()
        self.history: list[run_report.Record] = []

    # ---- beginning

    @classmethod
    def start(
        cls,
        settings: Settings,
        devices: list[Device],
        folder: Path | None = None,
        checkpoint_path: Path | None = None,
        threads: int | None = None,
        ranks: Ranks = ALONE,
        team: int = 1,
    ) -> Run:
        """A new run, with first weights drawn from the seed. Reads the pictures' mean image.

        ranks: that train it together, each with its share of every batch; all call this alike.
        team: how many of them share the fully-connected layers.
        """
        hybrid = Hybrid(ranks, team) if team > 1 else None
        _prepare(devices, settings)
        spec, settings = chosen_net(settings)
        most = _largest_share(settings, ranks)
        folder = ranks.first(lambda: new_folder(folder, spec.name))
        path = ranks.first(lambda: new_checkpoint(checkpoint_path or folder / checkpoint.FILE_NAME))
        sources = open_sources(settings.data, settings.size, ranks=ranks)
        classes = sources[0].classes
        spec = net_data.fit(spec, settings.data, sources[0])
        spec = with_outputs(spec, settings.outputs, len(classes))
        statistics = data.statistics(sources[0], threads=threads, ranks=ranks)
        model = Model.build(
            spec,
            devices,
            most,
            settings.seed,
            classes,
            statistics,
            sources[0].content_size,
            hybrid=hybrid,
        )
        model.names = class_names.readable(classes, getattr(sources[0], "words", classes))
        run = cls(settings, model, sources, folder, path, threads, ranks)
        if settings.init_from:
            run.origins = transfer.start_from(model, settings.init_from)
        run.check_ranks()
        return run

    @classmethod
    def resume(
        cls,
        path: Path,
        devices: list[Device],
        threads: int | None = None,
        ranks: Ranks = ALONE,
        team: int = 1,
        **changes: Any,
    ) -> Run:
        """Goes on with the run of a checkpoint; ``changes`` replace some of its settings.

        ranks, team: as in `start`; as many as one likes. Rank 0 reads the checkpoint for all.
        """
        hybrid = Hybrid(ranks, team) if team > 1 else None
        path, saved = ranks.first(lambda: _to_resume(path))
        try:
            state = saved.metadata["run"]
            settings = replace(Settings(**state["settings"]), **changes)
            _prepare(devices, settings, state.get("tuner"))
            most = _largest_share(settings, ranks)
            model = Model.restore(saved, path, devices, most, for_training=True, hybrid=hybrid)
            sources = open_sources(settings.data, model.picture_size, model.classes, ranks)
            run = cls(settings, model, sources, path.parent, checkpoint.main(path), threads, ranks)
            run._set_state(state)
            if changes.keys() & {"lr", "schedule"}:
                run.plateau = Plateau()
            if path == run.checkpoint_path and ranks.is_first:
                run._keep()
        except KeyError as error:
            raise CheckpointError(f"{path} lacks {error}: it is damaged; use another") from error
        if run.epoch >= settings.epochs:
            raise TrainingError(
                f"{path} has been trained for {run.epoch} epochs, all of its run; "
                f"--epochs {run.epoch + 1} or more trains it further"
            )
        run.check_ranks()
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
            "best": self.best,
            "history": self.history,
            "tuner": self.tuner.state() if self.tuner else None,
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
        self.best = state["best"]

    def save(self) -> None:
        """Writes the checkpoint, whole or not at all; at the end of an epoch keeps copies.

        All ranks call it, who must agree in everything that rank 0 then writes.
        """
        tensors = self.model.tensors()
        self.check_ranks(tensors)
        record = self._ended()
        if record and record["validation"]:
            error = record["validation"]["top1"]
            self.best = error if self.best is None else min(self.best, error)
        metadata = {
            **self.model.metadata(),
            "versions": info.versions(),
            "best": run_report.best_epoch(self.history),
            "run": self._state(),
        }
        if self.ranks.is_first:
            checkpoint.save(self.checkpoint_path, Checkpoint(tensors, metadata))
            self._keep()
        self._saved_at = time.monotonic()

    def save_is_due(self) -> bool:
        """Whether the last checkpoint is so old that one within the epoch is wanted: rank 0 decides."""
        return time.monotonic() - self._saved_at >= 60 * self.settings.save_minutes

    def whole_model(self) -> Model:
        """The model for evaluation: itself, or one with all that other ranks have too. All call it."""
        net = self.model.net
        if not isinstance(net, CutNetwork):
            return self.model
        if self._whole is None:
            settings, statistics = self.settings, self.model.statistics
            about = (settings.seed, self.model.classes, statistics, self.model.content_size)
            spec = net.whole_spec
            self._whole = Model.build(spec, net.devices, net.batch_size, *about, initialise=False)
        self._whole.net.load_state(net.state(), velocities=False)
        return self._whole

    def check_ranks(self, tensors: Mapping[str, np.ndarray] | None = None) -> None:
        """Raises RanksError where the ranks do not train one and the same net on the same pictures.

        tensors: the model's, if they are at hand.
        """
        if self.ranks.size > 1:
            count = len(self.train_loader.source)
            facts = {"number of pictures": count, "pixels and labels of a sample": self._sample}
            check_same(self.ranks, facts, tensors or self.model.tensors())

    @cached_property
    def _sample(self) -> int:
        """A checksum of a few training pictures and their labels, of those that can be read."""
        source = self.train_loader.source
        indices = np.linspace(0, len(source) - 1, SAMPLE).astype(np.int64)
        pictures, labels = source.load(indices)
        return zlib.crc32(pictures[labels != data.UNREADABLE].tobytes() + labels.tobytes())

    def _keep(self) -> None:
        """After a checkpoint at the end of an epoch: the best one, and those of the last epochs.

        They are other names of the same file, so that they cost nothing until the next checkpoint.
        Also done when a run is resumed, in case it was killed between the two.
        """
        record = self._ended()
        if record is None:
            return
        if record["validation"] and record["validation"]["top1"] == self.best:
            checkpoint.copy(self.checkpoint_path, self.checkpoint_path.with_name(checkpoint.BEST))
        if self.settings.keep:
            name = checkpoint.OF_EPOCH.format(self.epoch)
            checkpoint.copy(self.checkpoint_path, self.checkpoint_path.with_name(name))
            # Later ones are there if the run was resumed from an earlier one.
            files = checkpoint.of_epochs(self.checkpoint_path.parent)
            past = [file for file in files if file.name <= name]
            for old in past[: -self.settings.keep]:
                old.unlink()

    def _ended(self) -> run_report.Record | None:
        """The record of the epoch that ended just now; None within an epoch."""
        return self.history[-1] if self.history and self.batch == 0 else None

    # ---- where it is

    @property
    def guessing(self) -> int | None:
        """Among how many classes a net that learned nothing guesses, at a loss of ln of that many.

        None where the main cost is not cost.logreg: others have other scales.
        """
        spec = self.model.spec
        return len(self.model.classes) if isinstance(spec[spec.main_cost], LogLoss) else None

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
        """What --lr or --scale-lr, and the plateau, multiply all rates of the parameter file by."""
        wish, base = self.settings.lr, self.settings.batch_scale
        if wish is not None:
            base = wish / max(rate.eps for rate in self.rates)
        return base * self.plateau.scale

    @property
    def rate(self) -> float:
        """The largest rate of any weights now, for people."""
        now = (rate.eps * rate.schedule.factor_at(self.progress) for rate in self.rates)
        return self.rate_scale * max(now)


def _prepare(devices: list[Device], settings: Settings, tuner: dict[str, Any] | None = None) -> None:
    """Sets devices to what a run computes by; tuner: the state of one that a checkpoint has."""
    set_precision(devices, settings.precision)
    shared = Tuner(devices[0]) if settings.tune else None
    if shared and tuner:
        shared.restore(tuner)
    for device in devices:
        device.tuner = shared


def _to_resume(path: Path) -> tuple[Path, Checkpoint]:
    """The checkpoint that --resume names, and its file."""
    path = checkpoint.locate(path)
    atomic.check_folder("--resume", path, path.parent)
    return path, checkpoint.load(path)


def _largest_share(settings: Settings, ranks: Ranks) -> int:
    """The most pictures of a batch that a rank has."""
    if settings.batch_size < ranks.size:
        raise ValueError(
            f"--batch-size {settings.batch_size} is less than one picture for each of {ranks.size} "
            "ranks: raise it, or start fewer processes"
        )
    return ranks.largest_share(settings.batch_size)
