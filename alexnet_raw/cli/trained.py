"""What commands about a trained net share: its pictures, its model, and the flags that choose them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_raw.cli import options

if TYPE_CHECKING:
    from alexnet_raw import data
    from alexnet_raw.evaluation import Score, Visitor
    from alexnet_raw.model import Model


def add_pictures(command: argparse.ArgumentParser) -> None:
    """--data, --split."""
    options.add_data(command, "the pictures of the training run")
    command.add_argument(
        "--split",
        choices=("val", "train"),
        default="val",
        help="which of its pictures (default: val)",
    )


def add_views(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--views",
        metavar="N",
        type=int,
        choices=(1, 10),
        default=1,
        help="1: the centre crop. 10: corners and centre with their mirror images, averaged, as in "
        "the paper, section 4.1 (default: 1)",
    )


def add_speed(command: argparse.ArgumentParser) -> None:
    """--batch-size, --devices, --threads."""
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        default=128,
        help="pictures at a time; changes the speed only (default: 128)",
    )
    options.add_machine(command)


class Trained:
    """A trained net and the pictures that a command is about.

    Attributes:
        path: the checkpoint file. where: the folder of the pictures, None for the embedded ones.
    """

    def __init__(self, args: argparse.Namespace, path: Path):
        from alexnet_raw import checkpoint
        from alexnet_raw.model import Model

        self._args, self.path = args, path
        saved = args.ranks.first(lambda: checkpoint.load(path))
        self.where: str | None = args.data or saved.metadata["run"]["settings"]["data"]
        self.model: Model = Model.restore(saved, path, options.devices(args), args.batch_size)

    def source(self, split: str) -> data.Source:
        """Its "train" or "val" pictures, prepared as in training."""
        from alexnet_raw import data

        size, classes = self.model.picture_size, self.model.classes
        try:
            return data.open(self.where, split, size=size, classes=classes, ranks=self._args.ranks)
        except data.NoValidationPictures as error:
            raise ValueError(f"{error}; --split train takes the training pictures") from error

    def loader(self, source: data.Source, most: int | None = None) -> data.Loader:
        """Batches of them, unaltered and in their order; of ``most`` pictures, if that is fewer."""
        from alexnet_raw import data

        size = min(self._args.batch_size, most or self._args.batch_size)
        threads, ranks = self._args.threads, self._args.ranks
        return data.Loader(source, size, self.model.crop, train=False, threads=threads, ranks=ranks)

    def evaluate(self, source: data.Source, *visitors: Visitor) -> Score:
        """Its score on all pictures of a source, with a progress bar."""
        from alexnet_raw.evaluation import evaluate
        from alexnet_raw.run_report import progress_bar

        with progress_bar(len(source), "evaluate") as bar:

            def tick(pictures: int) -> bool:
                bar.update(pictures)
                return True

            loader, views = self.loader(source), self._args.views
            return evaluate(self.model, loader, views, tick, visitors, self._args.ranks)


def score_text(score: Score) -> str:
    from alexnet_raw.evaluation import TOP

    return f"loss {score.loss:.4f}  top-1 error {score.top1:.2%}  top-{TOP} error {score.topk:.2%}"
