"""``alexnet-raw eval``: errors of a trained net."""

from __future__ import annotations

import argparse

from alexnet_raw.cli import options

HELP = "top-1 and top-5 error of a trained net"
DESCRIPTION = """\
Prints the loss and the top-1 and top-5 errors of a trained net on pictures. Nothing is written.
"""
EPILOG = """\
examples:
  alexnet-raw eval
  alexnet-raw eval --views 10
  alexnet-raw eval --checkpoint runs/alexnet-mini --split train
  alexnet-raw eval --checkpoint runs/alexnet --data other/pictures --devices cuda:0

Class folders in DIR must have the names they had in training.
"""


def add(command: argparse.ArgumentParser) -> None:
    options.add_checkpoint(command)
    options.add_data(command, "the pictures of the training run")
    command.add_argument(
        "--split",
        choices=("val", "train"),
        default="val",
        help="which of its pictures (default: val)",
    )
    command.add_argument(
        "--views",
        metavar="N",
        type=int,
        choices=(1, 10),
        default=1,
        help="1: the centre crop. 10: corners and centre with their mirror images, averaged, as in "
        "the paper, section 4.1 (default: 1)",
    )
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        default=128,
        help="pictures at a time; changes the speed only (default: 128)",
    )
    options.add_machine(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, data
    from alexnet_raw.evaluation import TOP, evaluate
    from alexnet_raw.model import Model
    from alexnet_raw.run_report import progress_bar
    from alexnet_raw.run_settings import EMBEDDED

    path = options.find_checkpoint(args)
    saved = checkpoint.load(path)
    where = args.data or saved.metadata["run"]["settings"]["data"]
    model = Model.restore(saved, path, options.devices(args), args.batch_size)
    try:
        source = data.open(where, args.split, size=model.picture_size, classes=model.classes)
    except data.NoValidationPictures as error:
        raise ValueError(f"{error}; --split train evaluates the training pictures") from error
    loader = data.Loader(source, args.batch_size, model.crop, train=False, threads=args.threads)
    print(f"{args.split} pictures of {where or EMBEDDED}: {len(source):,}", flush=True)
    with progress_bar(len(source), "evaluate") as bar:

        def tick(pictures: int) -> bool:
            bar.update(pictures)
            return True

        score = evaluate(model, loader, args.views, tick)
    views = "centre crop" if args.views == 1 else f"{args.views} views"
    print(
        f"loss {score.loss:.4f}  top-1 error {score.top1:.2%}  top-{TOP} error {score.topk:.2%}  "
        f"({score.pictures:,} pictures, {views})"
    )
    return 0
