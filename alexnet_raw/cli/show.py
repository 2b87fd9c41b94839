"""``alexnet-raw show``: a network as a table."""

from __future__ import annotations

import argparse

from alexnet_raw.cli import options

HELP = "a net's layers with shapes, parameters, multiply-adds, memory and device"
DESCRIPTION = """\
Prints the layers of a network: what each reads, its output, parameters, multiply-adds and memory,
and the device that its gpu= key puts it on. Computes nothing and needs no device.
"""
EPILOG = """\
examples:
  alexnet-raw show alexnet
  alexnet-raw show alexnet --devices cuda:0,cuda:1 --batch-size 256
  alexnet-raw show my.layers.cfg --params my.params.cfg --classes 10
"""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "net",
        metavar="NET",
        nargs="?",
        help=f"a packaged net ({options.PACKAGED}) or a layer-definition file (default: alexnet)",
    )
    command.add_argument("--params", metavar="FILE", help="the layer-parameter file of such a file")
    options.add_recipe(command)
    command.add_argument(
        "--crop",
        metavar="N",
        type=options.integer(1),
        help="width and height of the input (default: as the file says, or 224)",
    )
    command.add_argument(
        "--classes", metavar="N", type=options.integer(1), help="outputs of the last layer"
    )
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        default=128,
        help="pictures per step, for the memory column (default: 128)",
    )
    command.add_argument(
        "--devices",
        metavar="LIST",
        default="cpu,cpu",
        help="device names to place the towers on (default: cpu,cpu)",
    )
    options.add_class_tree(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import show
    from alexnet_raw.run_settings import Settings, chosen_net, load_spec

    if chosen := options.recipe(args):
        spec, _ = chosen_net(Settings(**chosen, crop=args.crop))
    else:
        spec = options.planted(args, load_spec(args.net or "alexnet", args.params, args.crop))
    if args.classes:
        spec = spec.with_classes(args.classes)
    shape = None if spec.crop else (spec.channels or 3, 224, 224)
    print(show.table(spec, args.batch_size, args.devices.split(","), shape))
    return 0
