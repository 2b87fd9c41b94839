"""``alexnet-raw experiment``: the paper's experiments, each a comparison of nets."""

from __future__ import annotations

import argparse
from pathlib import Path

from alexnet_raw.cli import options
from alexnet_raw.experiments import EXPERIMENTS

HELP = "repeat an experiment of the paper: fig1, lrn, overlap, towers, depth"
DESCRIPTION = """\
Trains nets that differ in one thing, each with its best learning rate and several seeds, and compares
them: a table and a plot. What is finished is kept; run the same command again to go on.

""" + "\n".join(f"  {name:<9}{e.title}" for name, e in EXPERIMENTS.items())
EPILOG = """\
examples:
  alexnet-raw experiment towers                                    small nets on the embedded set
  alexnet-raw experiment fig1 --data cifar10                       figure 1, within an hour on two cores
  alexnet-raw experiment lrn --data cifar10 --rates 0.01,0.02 --seeds 1,2,3
  alexnet-raw experiment depth --net alexnet --data imagenet --devices cuda:0

files written in experiments/NAME (or --output):
  table.md, plot.png, plot.svg   the result
  results.json                   every run's history
  VARIANT-lrR-seedN/             the runs, as 'alexnet-raw train' leaves them
  VARIANT.layers.cfg, ...        the nets
"""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("experiment", choices=tuple(EXPERIMENTS), help="which one")
    options.add_net(command, "a small one: cifar10-quick for fig1, else alexnet-mini")
    options.add_recipe(command)
    options.add_data(command, options.EMBEDDED)
    command.add_argument(
        "--rates",
        metavar="LIST",
        type=rates,
        help="learning rates to choose the best of, for each variant (default: fig1: "
        "0.002,0.004,0.008; else the net's own)",
    )
    command.add_argument(
        "--seeds",
        metavar="LIST",
        type=seeds,
        default=[1],
        help="repeat with these seeds; the rate is chosen with the first (default: 1)",
    )
    command.add_argument(
        "--epochs",
        metavar="N",
        type=options.integer(1),
        help="passes over the pictures, of each run (default: as 'train' has it)",
    )
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        help="pictures per step (default: as 'train' has it)",
    )
    command.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="the folder of the experiment (default: experiments/NAME)",
    )
    options.add_machine(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import atomic, experiment_plots, experiment_run
    from alexnet_raw.run_settings import Settings

    experiment = EXPERIMENTS[args.experiment]
    chosen = {name: getattr(args, name) for name in ("params", "data", "crop", "epochs", "batch_size")}
    chosen |= options.recipe(args)
    precision = args.precision or "fp32"
    settings = Settings(net=args.net or experiment.net, precision=precision, **chosen)
    folder = args.output or Path("experiments") / args.experiment
    atomic.check_folder("--output", folder, folder)
    runner = experiment_run.Runner(experiment, settings, folder, options.devices(args), args.threads)
    try:
        outcomes = runner.run(args.rates or experiment.rates, args.seeds)
    except experiment_run.Interrupted as interrupted:
        print("run the same command again to go on with the experiment")
        return interrupted.code
    best = {name: experiment_run.at_best_rate(runner, tried) for name, tried in outcomes.items()}
    print("\n" + experiment_run.write(runner, outcomes))
    for kind in ("png", "svg"):
        path = folder / f"plot.{kind}"
        if experiment.target is None:
            experiment_plots.validation_errors(path, experiment.title, best)
        else:
            experiment_plots.training_errors(path, experiment.title, best, experiment.target)
    print(f"wrote table.md, plot.png, plot.svg and results.json in {folder}")
    return 0


def rates(text: str) -> list[float]:
    """The type of --rates."""
    found = [options.positive(item) for item in options.names(text)]
    if len(set(found)) != len(found) or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different rates")
    return found


def seeds(text: str) -> list[int]:
    """The type of --seeds."""
    found = [options.integer(0)(item) for item in options.names(text)]
    if len(set(found)) != len(found) or not found:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of different seeds")
    return found
