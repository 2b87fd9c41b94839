"""``alexnet-raw train``: trains a net, or goes on with a run that was interrupted."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

from alexnet_raw.cli import options

HELP = "train a net, or go on with an interrupted run"
DESCRIPTION = """\
Trains a network with the paper's method: SGD with momentum 0.9 and weight decay, random crops and
mirror images. Without flags a small two-tower AlexNet learns the embedded Fashion-MNIST in a few
minutes. Ctrl-C saves and leaves; --resume goes on where it stopped, bit for bit.
"""
EPILOG = """\
examples:
  alexnet-raw train
  alexnet-raw train --epochs 3 --devices cpu,cpu --output runs/quick
  alexnet-raw train --net alexnet --data pictures --devices cuda:0
  alexnet-raw train --recipe 2012 --data imagenet --devices cuda:0,cuda:1
  alexnet-raw train --recipe paper --with first-weights,layer-order --data imagenet
  alexnet-raw train --net my.layers.cfg --params my.params.cfg --data pictures --classes auto
  alexnet-raw train --net alexnet --data flowers --classes auto --init-from runs/alexnet --lr 0.001
  alexnet-raw train --resume runs/alexnet-mini
  mpiexec -n 4 alexnet-raw train --net alexnet --data imagenet

Several processes, started by mpiexec or srun, train one net together: each has its share of every
batch of --batch-size pictures. --devices and --threads are those of each; see docs/parallel.md.

files written in the folder of the run:
  checkpoint.safetensors   weights, velocities, settings, position and history; the newest
  best.safetensors         the same at the end of the epoch with the lowest validation error
  epoch-0001.safetensors   the same at the end of an epoch, of the last K with --keep K
  history.jsonl            one JSON record per epoch: loss and errors of both sets, speed, mean sizes of
                           weights and updates
  tensorboard/             event files, with --tensorboard
  batches.jsonl            one for each 100 batches: step, loss, error, rate
  net.layers.cfg, net.params.cfg   the net's layer files
  learning-curve.png       loss and error per epoch
  filters.png              what the first layer learned, by tower (figure 3 of the paper)

--lr R makes R the largest weight rate of the parameter file and scales all the other
rates with it, biases included. When a run is resumed, --lr and --schedule set the rates anew.
"""
FIXED = {  # what a resumed run keeps
    "--net": "net",
    "--params": "params",
    "--recipe": "recipe",
    "--with": "more",
    "--without": "without",
    "--crop": "crop",
    "--size": "size",
    "--mirror": "mirror",
    "--colour-noise": "colour_noise",
    "--shared-crops": "shared_crops",
    "--init-module": "init_module",
    "--init-from": "init_from",
    "--classes": "outputs",
    "--batch-size": "batch_size",
    "--scale-lr": "scale_lr",
    "--seed": "seed",
    "--output": "output",
    "--checkpoint": "checkpoint",
}

CHANGEABLE = (  # settings that a resumed run may change
    *("epochs", "lr", "schedule", "data", "precision", "tune", "graphs"),
    *("save_every", "save_minutes", "keep", "tensorboard", "show_weights"),
)


def add(command: argparse.ArgumentParser) -> None:
    what = command.add_argument_group("what to train")
    options.add_net(what, "alexnet-mini")
    options.add_recipe(what)
    options.add_data(what, options.EMBEDDED)
    what.add_argument(
        "--classes",
        dest="outputs",
        metavar="N",
        type=outputs,
        help="outputs of the last layer: a number, or auto for as many as the data has "
        "(default: as the net says, or more if the data has more)",
    )
    what.add_argument(
        "--init-from",
        metavar="RUN",
        help="a run or checkpoint: layers of the same name, shapes and classes start from its weights "
        "(fine-tuning); the others are new. Says which",
    )
    how = command.add_argument_group("how to train")
    how.add_argument(
        "--epochs",
        metavar="N",
        type=options.integer(1),
        help="passes over the pictures (default: 90 as the paper; recipe 2012: 91, alexnet-mini: 10, "
        "cifar10 and cifar10-lrn: 30, cifar10-quick: 60)",
    )
    how.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        help="pictures per step (default: 128; alexnet-mini: 32, cifar10-quick: 64)",
    )
    how.add_argument(
        "--lr",
        metavar="RATE",
        type=options.positive,
        help="learning rate (default: those of the parameter file)",
    )
    how.add_argument(
        "--scale-lr",
        choices=("linear", "sqrt"),
        help="let the rates grow with the batch size: times --batch-size divided by its default, or "
        "the square root of that (default: not)",
    )
    how.add_argument(
        "--schedule",
        choices=("file", "plateau"),
        help="how the rates fall: file, as the parameter file says; plateau, divided by 10 when "
        "the validation error stops improving, as in the paper (default: file if that file has "
        "schedules, else plateau)",
    )
    how.add_argument(
        "--seed",
        metavar="N",
        type=options.integer(0),
        help="of weights, order, crops and dropout; the same seed repeats the run bit for bit "
        "(default: 1)",
    )
    pictures = command.add_argument_group("how pictures are varied")
    pictures.add_argument(
        "--size",
        metavar="N",
        type=options.integer(1),
        help="prepare pictures to N x N pixels, of which the net sees random crops (default: as its "
        "file says, or 8/7 of the crop: 256 for 224)",
    )
    pictures.add_argument(
        "--mirror",
        action=argparse.BooleanOptionalAction,
        help="mirror half of the pictures (default: yes, but not IDX files, which may be digits, nor "
        "for nets cifar10...)",
    )
    pictures.add_argument(
        "--colour-noise",
        choices=("none", "eigenvalues", "deviations"),
        help="shift the colours of each picture along the principal components: by eigenvalues as in "
        "the paper's text, by deviations as its authors ran it (default: eigenvalues; IDX files, "
        "CIFAR and nets cifar10...: none)",
    )
    pictures.add_argument(
        "--shared-crops",
        metavar="N",
        type=options.integer(1),
        help="draw crop and mirror once for N pictures in a row; the authors ran 32 (default: 1)",
    )
    where = command.add_argument_group("where")
    options.add_machine(where)
    options.add_ranks(where)
    where.add_argument(
        "--hybrid",
        metavar="N",
        type=options.integer(1),
        default=1,
        help="of several processes: let each N share the fully-connected layers (arXiv:1404.5997). "
        "Each has the weights of some outputs, and computes these for the pictures of all N (default: "
        "1, each has all weights)",
    )
    where.add_argument(
        "--tune",
        action=argparse.BooleanOptionalAction,
        help="time the algorithms that each convolution could run by in the first step, and keep to "
        "the fastest: rounding then differs from machine to machine (default: no, sizes alone decide)",
    )
    where.add_argument(
        "--graphs",
        action=argparse.BooleanOptionalAction,
        help="record training steps as CUDA graphs, where all devices are one GPU: a step is then one "
        "launch instead of hundreds (default: yes; results are the same to the bit)",
    )
    where.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="the folder of the run (default: runs/NET, or runs/NET-2 and so on if that exists)",
    )
    where.add_argument(
        "--checkpoint",
        metavar="FILE",
        type=Path,
        help="write the checkpoint there (default: checkpoint.safetensors in the run's folder)",
    )
    where.add_argument(
        "--save-every",
        metavar="N",
        type=options.integer(1),
        help="epochs between checkpoints (default: 1)",
    )
    where.add_argument(
        "--save-minutes",
        metavar="M",
        type=options.positive,
        help="minutes between checkpoints within an epoch (default: 15)",
    )
    where.add_argument(
        "--keep",
        metavar="K",
        type=options.integer(0),
        help="keep the checkpoints of the last K epochs too, as epoch-0001.safetensors and so on "
        "(default: 0)",
    )
    where.add_argument(
        "--tensorboard",
        action=argparse.BooleanOptionalAction,
        help="write TensorBoard event files into the run's folder (pip install "
        "'alexnet-raw[tensorboard]')",
    )
    where.add_argument(
        "--show-weights",
        action=argparse.BooleanOptionalAction,
        help="print the mean sizes of each layer's weights and last updates after each epoch",
    )
    where.add_argument(
        "--resume",
        metavar="RUN",
        nargs="?",
        const="",
        help="go on with this run (its folder or its checkpoint; without a value: the newest under "
        "runs/). Its settings are kept; --epochs, --lr, --schedule, --data, --devices, --threads, "
        "--hybrid, --precision, --tune, --graphs, --save-every, --save-minutes, --keep, --tensorboard "
        "and --show-weights may change",
    )


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import training
    from alexnet_raw.run import Run
    from alexnet_raw.run_settings import Settings

    if args.resume is not None:
        given = [flag for flag, name in FIXED.items() if getattr(args, name) is not None]
        if given:
            raise ValueError(f"{given[0]} cannot change when a run is resumed: leave it out")
        changes = {name: getattr(args, name) for name in CHANGEABLE}
        changes = {name: value for name, value in changes.items() if value is not None}
        path = args.ranks.first(lambda: options.find_checkpoint(args.resume, "--resume"))
        devices = options.devices(args)
        machine = (args.threads, args.ranks, args.hybrid)
        return training.train(Run.resume(path, devices, *machine, **changes))
    names = {field.name for field in fields(Settings)}
    chosen = {name: v for name, v in vars(args).items() if name in names and v is not None}
    settings = Settings(**{**chosen, **options.recipe(args)})
    devices, machine = options.devices(args), (args.threads, args.ranks, args.hybrid)
    return training.train(Run.start(settings, devices, args.output, args.checkpoint, *machine))


def outputs(text: str) -> int | str:
    """The type of --classes."""
    return text if text == "auto" else options.integer(2)(text)
