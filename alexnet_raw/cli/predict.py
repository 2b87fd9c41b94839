"""``alexnet-raw predict``: what a trained net sees in pictures."""

from __future__ import annotations

import argparse

import numpy as np

from alexnet_raw.cli import options, trained

HELP = "what a trained net sees in pictures: the five likeliest classes"
DESCRIPTION = """\
Prints for each picture the five classes that the net finds likeliest, with bars, as figure 4 of the
paper. Pictures of any size and format are prepared as in training. Nothing is written.
"""
EPILOG = """\
examples:
  alexnet-raw predict shoe.png bag.jpg
  alexnet-raw predict --checkpoint runs/alexnet --views 10 *.jpg

The embedded Fashion-MNIST shows light clothes before a black background, small and grey: a net
trained on it expects such pictures.
"""
BAR = 30  # characters of a bar that means certainty
EIGHTHS = " ▏▎▍▌▋▊▉"


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("pictures", metavar="PICTURE", nargs="+", help="JPEG, PNG and other files")
    options.add_checkpoint(command)
    command.add_argument(
        "--top", metavar="N", type=options.integer(1), default=5, help="classes shown (default: 5)"
    )
    trained.add_views(command)
    options.add_machine(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw.model import Model

    model = Model.load(options.find_checkpoint(args.checkpoint), options.devices(args), batch_size=1)
    for path in args.pictures:
        probabilities = model.probabilities(model.read(path), args.views)[0]
        print(path)
        for line in lines(probabilities, model.names, args.top):
            print(line)
    return 0


def lines(probabilities: np.ndarray, classes: list[str], top: int) -> list[str]:
    """``top`` lines: class, bar, percentage; the likeliest first. Outputs of no class are unnamed."""
    from alexnet_raw.class_names import output_names
    from alexnet_raw.data.errors import shown

    likeliest = np.argsort(-probabilities, kind="stable")[:top]
    every = output_names(classes, len(probabilities))
    names = [shown(every[i]) for i in likeliest]
    width = max(map(len, names))
    return [
        f"  {name:<{width}}  {bar(float(probabilities[i])):<{BAR}} {probabilities[i]:6.1%}"
        for name, i in zip(names, likeliest, strict=True)
    ]


def bar(probability: float) -> str:
    """A bar of block characters, to an eighth of a character."""
    full, eighths = divmod(round(probability * BAR * 8), 8)
    return "█" * full + EIGHTHS[eighths].strip()
