"""The training loop: epochs, progress, checkpoints, interruption."""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from tqdm import tqdm

from alexnet_raw import atomic, data, run_report
from alexnet_raw.costs import Cost
from alexnet_raw.evaluation import TOP, Score, errors, evaluate
from alexnet_raw.interrupts import Interrupts
from alexnet_raw.metrics import Metrics, NoMetrics, Record, weight_sizes
from alexnet_raw.run import Run, TrainingError

PICTURES_EVERY = 20  # seconds between drawings of the learning curve and the filters
INTERRUPTED = "Stopping after this batch to save. (Again: leaves at once, without saving.)"


def train(run: Run, done: Callable[[list[Record]], bool] = lambda history: False) -> int:
    """Trains to the last epoch; returns the exit code: 0, or 128+N if signal N came.

    ``done``, given the history after each epoch, may end the run earlier.

    Raises TrainingError when the loss is no longer a number or another process trains in the folder,
    CheckpointError when nothing can be saved.
    """
    if not run.ranks.is_first:
        return _train(run, done)
    run.folder.mkdir(parents=True, exist_ok=True)
    busy = TrainingError(
        f"{run.folder}: another 'alexnet-raw train' is at work there: wait until it ends, or choose "
        "another folder with --output"
    )
    with atomic.held(run.folder, busy):
        return _train(run, done)


def _train(run: Run, done: Callable[[list[Record]], bool]) -> int:
    print(run_report.announcement(run), flush=True)
    drawn = -math.inf
    metrics = NoMetrics()
    if run.ranks.is_first:
        run_report.write_net(run.folder, run.model.spec)
        metrics = Metrics(run.folder, run.step, run.settings.tensorboard)
    with Interrupts(INTERRUPTED, run.ranks) as interrupts, closing(metrics):
        while run.epoch < run.settings.epochs:
            signal = _train_epoch(run, interrupts, metrics) or _end_epoch(run, interrupts, metrics)
            if signal:
                run.save()
                print(
                    f"saved {run.checkpoint_path} in epoch {run.epoch + 1}, after batch "
                    f"{run.batch} of {len(run.train_loader)}; go on with\n"
                    f"  alexnet-raw train --resume {run.checkpoint_path}"
                )
                return 128 + signal
            last = run.epoch == run.settings.epochs or done(run.history)
            if last or run.epoch % run.settings.save_every == 0:
                run.save()
            if run.ranks.is_first and (last or time.monotonic() - drawn > PICTURES_EVERY):
                run_report.draw(run.folder, run.history, run.model)
                drawn = time.monotonic()
            if last:
                break
    if best := run_report.best_epoch(run.history):
        error = best["validation"]["top1"]
        print(f"lowest validation error {error:.2%} (epoch {best['epoch']})")
    print(f"wrote {run.checkpoint_path}, and history and pictures in {run.folder}")
    return 0


def _train_epoch(run: Run, interrupts: Interrupts, metrics: Metrics | NoMetrics) -> int:
    """The rest of the epoch's batches; returns the signal that interrupted them, or 0.

    A GPU is given the next batch before the score of the last one is read, so that it does not wait
    for the host. Whatever is saved or told of an epoch has all scores in it.
    """
    late = int(run.model.net.input_device.is_cuda)  # scores that may be missing meanwhile
    batches = run.model.uploads.ahead(run.train_loader.epoch(run.epoch, run.batch))
    due: deque[_Trained] = deque()

    def take_in(missing: int) -> None:
        while len(due) > missing:
            trained = due.popleft()
            score = trained.score()
            if not score.pictures:  # no rank could read one
                continue
            bar.update(score.pictures)
            run.score.add(score)
            metrics.batch(trained.step, trained.position, score)
            if warning := run.guessing and metrics.stuck(trained.step, run.guessing):
                tqdm.write(f"warning: {warning}", file=sys.stderr)

    signal = 0
    with _bar(run, "train", run.train_loader, run.score.pictures) as bar, closing(batches):
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            waited = time.perf_counter() - began
            run.stall, run.seconds = run.stall + waited, run.seconds + waited
            if batch is None:
                break
            # All that ranks need to know of each other before a step.
            told = run.ranks.gather((interrupts.came, len(batch), run.save_is_due()))
            signals, counts, saves = zip(*told, strict=True)
            if signal := max(signals):
                break
            if saves[0] and run.batch:
                take_in(0)
                run.save()
            began = time.perf_counter()
            score = train_batch(run, batch, counts)
            position = {"epoch": run.epoch + 1, "batch": run.batch, "rate": run.rate}
            due.append(_Trained(run.step, position, score))
            take_in(late)
            run.seconds += time.perf_counter() - began
            if run.score.pictures:
                bar.set_postfix_str(
                    f"loss {run.score.loss:.3f}, error {run.score.top1:.1%}, "
                    f"stall {run.stall / run.seconds:.0%}",
                    refresh=False,
                )
        began = time.perf_counter()
        take_in(0)
        run.seconds += time.perf_counter() - began
    if not signal:
        run.batch = len(run.train_loader)  # broken pictures may have left batches out
        if run.ranks.first(run.save_is_due):
            run.save()
    return signal


@dataclass(frozen=True)
class _Trained:
    """A batch that was trained on, whose score is due."""

    step: int
    position: Record
    score: Callable[[], Score]


def train_batch(
    run: Run, batch: data.Batch, counts: Sequence[int] | None = None
) -> Callable[[], Score]:
    """One step of gradient descent; returns what tells what the net made of the batch before it.

    Where several ranks train, the batch is this one's share, counts are the pictures of each, without
    those that cannot be read, and the score is that of all pictures.
    To tell waits for the device and all ranks, and raises TrainingError where the loss is no longer a
    number.
    """
    run.batch = batch.number
    run.model.net.rate_scale = run.rate_scale
    own = _own_step(run, batch, counts or [len(batch)])
    check = partial(_check_finite, run, run.epoch, run.batch, run.rate)
    run.batch += 1

    def score() -> Score:
        whole = Score()
        for part in run.ranks.gather(own()):
            if part.pictures:
                whole.add(part)
        check(whole.loss)
        return whole

    return score


def _own_step(run: Run, batch: data.Batch, counts: Sequence[int]) -> Callable[[], Score]:
    """This rank's part of a step; returns what tells what the net made of its pictures before it."""
    net = run.model.net
    if not any(counts):
        return Score
    main = net.spec[net.spec.main_cost]

    def read() -> tuple[Callable[[], dict[str, Cost]], np.ndarray | None]:
        return net.costs_later(), None if net.counts_errors(main) else net.probabilities()

    images, labels = run.model.upload(batch) if len(batch) else (None, run.model.no_answers(batch))
    shares = counts if run.ranks.size > 1 else None
    results = net.train_step(images, labels, run.step, run.progress, shares, read)
    if results is None:
        return Score
    costs, outputs = results

    def score() -> Score:
        cost = costs()[main.name]
        top1, topk = cost.top1, cost.topk
        if outputs is not None:  # the errors of the largest outputs, as in evaluation
            top1, topk = (float(errors(outputs, batch.labels, k).mean()) for k in (1, TOP))
        return Score(cost.loss, top1, topk, len(batch))

    return score


def _end_epoch(run: Run, interrupts: Interrupts, metrics: Metrics | NoMetrics) -> int:
    """Validation, history, plateau; then the next epoch is next. Returns the signal that interrupted
    before, or 0."""
    validation = _validate(run, interrupts)
    if signal := interrupts.asked():
        return signal
    seconds = max(run.seconds, 1e-9)
    record = {
        "epoch": run.epoch + 1,
        "train": asdict(run.score),
        "validation": validation and asdict(validation),
        "rate": run.rate,
        "seconds": round(seconds, 3),
        "images_per_second": round(run.score.pictures / seconds, 1),
        "stall": round(run.stall / seconds, 4),
        "weights": weight_sizes(run.model.net.state(), run.model.net.parameters),
    }
    run.history.append(record)
    metrics.epoch(run.step, run.history)
    print(run_report.epoch_line(record, run.settings.epochs), flush=True)
    if run.settings.show_weights:
        print(run_report.weights_table(record), flush=True)
    if warning := run.guessing and run_report.not_learning(run.history, run.guessing):
        print(f"warning: {warning}", file=sys.stderr)
    if run.settings.schedule == "plateau":
        what = "validation error" if validation else "training loss"
        if run.plateau.update(validation.top1 if validation else run.score.loss, run.batch):
            print(f"the {what} has stopped falling: rate {run.rate:.2g} from now on", flush=True)
    run.epoch, run.batch = run.epoch + 1, 0
    run.score, run.seconds, run.stall = Score(), 0.0, 0.0
    return 0


def _validate(run: Run, interrupts: Interrupts) -> Score | None:
    """The validation score; None without validation pictures, and when interrupted."""
    if run.val_loader is None:
        return None
    with _bar(run, "validate", run.val_loader) as bar:

        def tick(pictures: int) -> bool:
            bar.update(pictures)
            return not interrupts.asked()

        score = evaluate(run.whole_model(), run.val_loader, tick=tick, ranks=run.ranks)
    if score is not None:
        _check_finite(run, run.epoch, run.batch, run.rate, score.loss)
    return score


def _check_finite(run: Run, epoch: int, batch: int, rate: float, loss: float) -> None:
    if math.isfinite(loss):
        return
    kept = "no checkpoint was written yet"
    if run.checkpoint_path.exists():
        kept = f"{run.checkpoint_path} still holds what was saved last"
    raise TrainingError(
        f"the loss became {loss} in epoch {epoch + 1}, batch {batch + 1}: the weights ran away. Lower "
        f"the rate, e.g. --lr {rate / 10:.2g} (it is {rate:.2g}), or raise --batch-size; {kept}"
    )


def _bar(run: Run, what: str, loader: data.Loader, done: int = 0) -> tqdm:
    what = f"{what} {run.epoch + 1}/{run.settings.epochs}"
    return run_report.progress_bar(len(loader.source), what, done)
