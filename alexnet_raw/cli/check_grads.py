"""``alexnet-raw check-grads``: every gradient of a net against differences of its loss."""

from __future__ import annotations

import argparse

from alexnet_raw.cli import options

HELP = "compare a net's gradients with numerical ones"
DESCRIPTION = """\
Moves single weights of a net by a little, watches the loss, and compares with the gradient that the
kernels compute, for every parameter. Exit code 1 if one is wrong.
"""
EPILOG = """\
examples:
  alexnet-raw check-grads
  alexnet-raw check-grads --net my.layers.cfg --params my.params.cfg --devices cpu,cpu
"""


def add(command: argparse.ArgumentParser) -> None:
    options.add_net(command, "alexnet-mini")
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        default=32,
        help="random pictures to check with; with few, kinks of ReLU and pooling show (default: 32)",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=options.integer(0),
        default=1,
        help="of weights and pictures (default: 1)",
    )
    options.add_class_tree(command)
    options.add_machine(command, precision=False)  # small differences need float32's


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import check_grads
    from alexnet_raw.run_settings import load_spec

    spec = options.planted(args, load_spec(args.net or "alexnet-mini", args.params, args.crop))
    report = check_grads.check(spec, options.devices(args), args.batch_size, args.seed)
    print(report)
    return 0 if report.passed else 1
