"""Runs an experiment: each variant with each learning rate, the best rate with each seed; a report.

Every run is an ordinary training in a folder of its own. What is finished is not run again and what
was interrupted goes on, so that an experiment of weeks can be stopped and started as one likes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from alexnet_raw import atomic, checkpoint, training
from alexnet_raw.device import Device
from alexnet_raw.experiments import Edit, Experiment
from alexnet_raw.net_spec import NetSpec
from alexnet_raw.net_text import NetText
from alexnet_raw.run import Run
from alexnet_raw.run_report import Record
from alexnet_raw.run_settings import Settings, chosen_net, weight_rates


@dataclass(frozen=True)
class Outcome:
    """What became of one run. Errors are of validation, in 0..1."""

    variant: str
    rate: float
    seed: int
    history: list[Record]
    epochs_to_target: float | None  # None: not reached, or no target

    @property
    def error(self) -> float:
        return self.history[-1]["validation"]["top1"]

    @property
    def error5(self) -> float:
        return self.history[-1]["validation"]["topk"]


class Interrupted(Exception):
    """A run was stopped by a signal; ``code`` is the exit code to leave with."""

    def __init__(self, code: int):
        super().__init__(f"interrupted ({code})")
        self.code = code


@dataclass
class Runner:
    """Trains the variants of an experiment in folders below ``folder``.

    settings: of all runs; its net is the one that the variants are made of.
    """

    experiment: Experiment
    settings: Settings
    folder: Path
    devices: list[Device]
    threads: int | None = None

    def run(self, rates: Sequence[float], seeds: Sequence[int]) -> dict[str, list[Outcome]]:
        """Variant -> its runs: those of the first seed with all rates first, then of the others
        with the best rate. Without rates: with the net's own. Raises Interrupted."""
        outcomes = {}
        # All nets first: one that cannot be made is found before the others are trained.
        edited = [(name, *self._edited(name, edit)) for name, edit in self.experiment.variants.items()]
        nets = {name: self._write(name, spec, settings) for name, spec, settings in edited}
        for variant, net in nets.items():
            tried: list[Outcome] = []
            for rate in rates or (net.lr,):
                tried.append(self._train(variant, replace(net, lr=rate, seed=seeds[0]), tried))
            best = self.best(tried)
            for seed in seeds[1:]:
                tried.append(self._train(variant, replace(net, lr=best.rate, seed=seed), []))
            outcomes[variant] = tried
        return outcomes

    def best(self, outcomes: list[Outcome]) -> Outcome:
        """That which reached the target first, or ended with the lowest error."""
        if self.experiment.target is None:
            return min(outcomes, key=lambda o: (o.error, o.history[-1]["validation"]["loss"]))
        reached = [outcome for outcome in outcomes if outcome.epochs_to_target is not None]
        if reached:
            return min(reached, key=lambda outcome: outcome.epochs_to_target)
        return min(outcomes, key=lambda outcome: outcome.history[-1]["train"]["top1"])

    def _edited(self, variant: str, edit: Edit) -> tuple[NetSpec, Settings]:
        """The net of a variant, and the settings with the rate that it has by itself."""
        base, settings = chosen_net(self.settings)
        text = NetText(base)
        edit(text)
        spec = text.spec(variant, f"{base.name}, {self.experiment.title}: {variant}")
        lr = settings.lr or max(rate.eps for rate in weight_rates(base))
        return spec, replace(settings, recipe=None, lr=lr)

    def _write(self, variant: str, spec: NetSpec, settings: Settings) -> Settings:
        """The layer files of a variant, and the settings that name them."""
        files = [self.folder / f"{slug(variant)}.{what}.cfg" for what in ("layers", "params")]
        for file, content in zip(files, (spec.definition, spec.parameters), strict=True):
            if file.exists() and file.read_text(encoding="utf-8") != content:
                raise ValueError(
                    f"{file} is of another net, or was changed: choose another folder with --output"
                )
            atomic.write_text(file, content)
        return replace(settings, net=str(files[0]), params=str(files[1]))

    def _train(self, variant: str, settings: Settings, before: list[Outcome]) -> Outcome:
        """Trains to the end, or until the target is reached or was reached sooner ``before``."""
        folder = self.folder / f"{slug(variant)}-lr{settings.lr:g}-seed{settings.seed}"
        limit = min((o.epochs_to_target or np.inf for o in before), default=np.inf)

        def done(history: list[Record]) -> bool:
            reached = epochs_to(history, self.experiment.target) is not None
            return self.experiment.target is not None and (reached or len(history) > limit)

        begun = (folder / checkpoint.FILE_NAME).exists()
        if begun:
            saved = checkpoint.load_metadata(folder)["run"]
            self._check_same(folder, saved["settings"], settings)
            history = saved["history"]
            if len(history) > settings.epochs:
                raise ValueError(
                    f"{folder} was trained for {len(history)} epochs already: give --epochs "
                    f"{len(history)} or more, or choose another folder with --output"
                )
        else:
            history = []
        if len(history) < settings.epochs and not done(history):
            print(f"\n== {variant}, learning rate {settings.lr:g}, seed {settings.seed}", flush=True)
            run = (
                Run.resume(folder, self.devices, self.threads, epochs=settings.epochs)
                if begun  # be it in the middle of its first epoch
                else Run.start(settings, self.devices, folder, threads=self.threads)
            )
            if self.experiment.target is None and run.val_loader is None:
                raise ValueError(
                    f"{settings.data} has no validation pictures, whose errors this experiment compares"
                )
            if code := training.train(run, done):
                raise Interrupted(code)
            history = run.history
        reached = epochs_to(history, self.experiment.target)
        return Outcome(variant, settings.lr, settings.seed, history, reached)

    def _check_same(self, folder: Path, saved: dict[str, Any], settings: Settings) -> None:
        before = Settings(**saved)
        for name in (
            *("data", "batch_size", "crop", "size", "schedule", "precision"),
            *("mirror", "colour_noise", "noise_until", "shared_crops"),
        ):
            was, now = getattr(before, name), getattr(settings, name)
            if was != now:
                raise ValueError(
                    f"{folder} was trained with {name} {was}, now it is {now}: choose another folder "
                    "with --output"
                )


def epochs_to(history: list[Record], target: float | None) -> float | None:
    """Epochs until the training error was at most ``target``, between two epochs by a straight line.

    The error of an epoch is that of its batches as they were trained on, so it belongs to its middle.
    """
    errors = [record["train"]["top1"] for record in history]
    for i, error in enumerate(errors if target is not None else ()):
        if error <= target:
            part = (errors[i - 1] - target) / (errors[i - 1] - error) if i else 1.0
            return i - 0.5 + part
    return None


def slug(variant: str) -> str:
    """A variant's name as part of a file name."""
    return variant.replace(" ", "-")


def table(runner: Runner, outcomes: dict[str, list[Outcome]]) -> str:
    """The result in Markdown: for each variant the means over seeds at its best rate."""
    experiment, settings = runner.experiment, chosen_net(runner.settings)[1]
    lines = [
        f"# {experiment.title}",
        "",
        experiment.paper,
        "",
        f"Here: net {runner.settings.recipe or runner.settings.net}, {settings.epochs} epochs at most "
        f"of {settings.batch_size} pictures a batch, data "
        f"{Path(settings.data).name if settings.data else 'Fashion-MNIST, the embedded part'}.",
        "",
    ]
    chosen = {variant: at_best_rate(runner, tried) for variant, tried in outcomes.items()}
    if experiment.target is not None:
        return "\n".join(lines + _target_lines(experiment.target, outcomes, chosen)) + "\n"
    lines += [
        "| variant | learning rate | seeds | top-1 error | top-5 error | top-1, against the first |",
        "|---|---|---|---|---|---|",
    ]
    first = np.mean([outcome.error for outcome in next(iter(chosen.values()))])
    for variant, runs in chosen.items():
        top1, top5 = [o.error for o in runs], [o.error5 for o in runs]
        spread = f" ± {np.std(top1, ddof=1):.2%}" if len(runs) > 1 else ""
        lines.append(
            f"| {variant} | {runs[0].rate:g} | {len(runs)} | {np.mean(top1):.2%}{spread} | "
            f"{np.mean(top5):.2%} | {100 * (np.mean(top1) - first):+.2f} points |"
        )
    return "\n".join(lines) + "\n"


def at_best_rate(runner: Runner, tried: list[Outcome]) -> list[Outcome]:
    """The runs of all seeds with the rate that was best for the first."""
    best = runner.best([outcome for outcome in tried if outcome.seed == tried[0].seed])
    return [outcome for outcome in tried if outcome.rate == best.rate]


def _target_lines(
    target: float, outcomes: dict[str, list[Outcome]], chosen: dict[str, list[Outcome]]
) -> list[str]:
    lines = [
        f"Epochs to {target:.0%} training error:",
        "",
        "| variant | learning rates tried | best | seeds | epochs |",
        "|---|---|---|---|---|",
    ]
    means = {}
    for variant, runs in chosen.items():
        reached = [o.epochs_to_target for o in runs if o.epochs_to_target is not None]
        tried = ", ".join(
            f"{o.rate:g} ({o.epochs_to_target:.1f})"
            if o.epochs_to_target is not None
            else f"{o.rate:g} (> {len(o.history)})"
            for o in outcomes[variant]
            if o.seed == outcomes[variant][0].seed
        )
        spread = f" ± {np.std(reached, ddof=1):.1f}" if len(reached) > 1 else ""
        if len(reached) == len(runs):
            means[variant] = float(np.mean(reached))
            epochs = f"{means[variant]:.1f}{spread}"
        else:
            epochs = f"more than {max(len(o.history) for o in runs)}"
        lines.append(f"| {variant} | {tried} | {runs[0].rate:g} | {len(runs)} | {epochs} |")
    if len(means) == len(chosen) == 2:
        (one, fast), (other, slow) = means.items()
        lines += ["", f"{other} takes {slow / fast:.1f} times as many epochs as {one}."]
    return lines


def write(runner: Runner, outcomes: dict[str, list[Outcome]]) -> str:
    """results.json and table.md in the experiment's folder; returns the table."""
    text = table(runner, outcomes)
    runs = [
        {"variant": o.variant, "rate": o.rate, "seed": o.seed, "epochs_to_target": o.epochs_to_target}
        | {"history": o.history}
        for tried in outcomes.values()
        for o in tried
    ]
    atomic.write_text(runner.folder / "results.json", json.dumps(runs) + "\n")
    atomic.write_text(runner.folder / "table.md", text)
    return text
