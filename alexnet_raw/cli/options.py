"""Flags that several commands share, and the checks of their values."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from alexnet_raw import checkpoint

if TYPE_CHECKING:
    from alexnet_raw.device import Device

EMBEDDED = "the embedded part of Fashion-MNIST"


def integer(low: int) -> Callable[[str], int]:
    """An argparse type: a whole number of at least ``low``."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if value < low:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {low}")
        return value

    return parse


def positive(text: str) -> float:
    """An argparse type: a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def add_net(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--net",
        metavar="NET",
        help="a packaged net (alexnet, alexnet-2012, alexnet-1tower, alexnet-mini) or a "
        f"layer-definition file (default: {default})",
    )
    command.add_argument(
        "--params",
        metavar="FILE",
        help="the layer-parameter file that goes with a layer-definition file",
    )
    command.add_argument(
        "--crop",
        metavar="N",
        type=integer(1),
        help="width and height of the net's input, where its layer-definition file has no crop=",
    )
    command.add_argument(
        "--init-module",
        metavar="FILE",
        action="append",
        type=init_module,
        help="a Python file with functions that the layer-definition file names as initWFunc or "
        "initBFunc: it is executed (may be given several times)",
    )


def init_module(text: str) -> str:
    """The type of --init-module: loads the file."""
    from alexnet_raw import initializers

    try:
        initializers.load_module(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_data(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--data",
        metavar="DIR",
        help="pictures: a store that 'alexnet-raw prepare' wrote, a folder train/CLASS/*.jpg and "
        f"val/CLASS/*.jpg, a folder of class folders, or a folder of IDX files (default: {default})",
    )


def add_machine(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--devices",
        metavar="LIST",
        default="cpu",
        help="where the towers compute: cpu; cpu,cpu; cuda:0; cuda:0,cuda:1 … "
        "(default: cpu). Results do not depend on the split",
    )
    command.add_argument(
        "--threads",
        metavar="N",
        type=integer(1),
        help="CPU threads (default: all cores). Results do not depend on it",
    )


def add_checkpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="a checkpoint file or the folder of a run (default: the newest under runs/)",
    )


def find_checkpoint(args: argparse.Namespace) -> Path:
    """The checkpoint that --checkpoint names, or the newest run's."""
    if args.checkpoint:
        return checkpoint.locate(args.checkpoint)
    newest = checkpoint.newest()
    if newest is None:
        raise ValueError(
            "there is no run under runs/ yet: train one with 'alexnet-raw train', "
            "or name a checkpoint with --checkpoint"
        )
    print(f"checkpoint: {newest}")
    return newest


def devices(args: argparse.Namespace) -> list[Device]:
    """The devices that --devices names, set to --threads."""
    from alexnet_raw.device import parse_devices

    found = parse_devices(args.devices)
    for device in found:
        if args.threads and not device.is_cuda:
            device.module.set_threads(args.threads)
    return found
