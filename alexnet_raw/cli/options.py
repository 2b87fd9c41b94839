"""Flags that several commands share, and the checks of their values."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alexnet_raw import atomic, checkpoint, layer_file, recipes

if TYPE_CHECKING:
    from alexnet_raw.device import Device
    from alexnet_raw.net_spec import NetSpec

PACKAGED = ", ".join(layer_file.packaged())
EMBEDDED = "the embedded part of Fashion-MNIST"


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help in lines that can be read, on wide terminals too."""

    def __init__(self, prog: str):
        super().__init__(prog, width=min(shutil.get_terminal_size().columns - 2, 104))


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
        help=f"a packaged net ({PACKAGED}) or a layer-definition file (default: {default})",
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
        help="a Python file with functions that the layer-definition file names as initWFunc, "
        "initBFunc or initCFunc: it is executed (may be given several times)",
    )


def add_recipe(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--recipe",
        choices=tuple(recipes.RECIPES),
        help="train alexnet as the paper's text says (paper), or as its authors ran it (2012: rates "
        "lowered by hand; 2012-auto: by a schedule)",
    )
    differences = ", ".join(recipes.DIFFERENCES)
    command.add_argument(
        "--with",
        dest="more",
        metavar="LIST",
        type=names,
        help=f"switch on single differences between the two: {differences}",
    )
    command.add_argument("--without", metavar="LIST", type=names, help="switch off single ones")


def names(text: str) -> list[str]:
    """An argparse type: a comma list."""
    return [name.strip() for name in text.split(",") if name.strip()]


def recipe(args: argparse.Namespace) -> dict[str, Any]:
    """The settings that --recipe, --with and --without make."""
    if args.recipe is None:
        if args.more or args.without:
            raise ValueError("--with and --without change a recipe: choose one with --recipe")
        return {}
    if args.net or args.params:
        raise ValueError("--recipe brings its own net, alexnet: leave --net and --params out")
    differences = recipes.chosen(args.recipe, args.more or (), args.without or ())
    return {"recipe": args.recipe, "differences": differences}


def add_class_tree(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--class-tree",
        metavar="FILE",
        help='the tree of classes for a net with a treefc layer: JSON, {"child": "parent", ...}; in '
        "training it is tree.json in the folder of the data",
    )


def planted(args: argparse.Namespace, spec: NetSpec) -> NetSpec:
    """The net with the tree of --class-tree, if that was given."""
    from alexnet_raw import class_tree

    if args.class_tree is None:
        return spec
    return spec.with_tree(class_tree.parents(class_tree.load(args.class_tree)))


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
        "val/CLASS/*.jpg, a folder of class folders, or a folder of IDX files (MNIST) or of CIFAR's "
        f"binary files (default: {default})",
    )


def add_machine(command: argparse.ArgumentParser, precision: bool = True) -> None:
    """precision: offer it, too."""
    command.add_argument(
        "--devices",
        metavar="LIST",
        help="where the towers compute: cpu; cpu,cpu; cuda:0; cuda:0,cuda:1 … Layers with gpu=g take "
        "device g of the list, modulo its length. Towers work side by side, on CPUs each on its share "
        "of the cores, and exchange maps meanwhile (default: cpu). Results do not depend on the split. "
        "Of several processes on a machine each takes the GPUs behind those of the one before (default "
        "then: a GPU each, if there are any)",
    )
    command.add_argument(
        "--threads",
        metavar="N",
        type=integer(1),
        help="CPU threads (default: all cores). Results do not depend on it",
    )
    if precision:
        command.add_argument(
            "--precision",
            choices=("fp32", "tf32", "bf16"),
            help="how convolutions and fully-connected layers multiply: fp32; or on a GPU's tensor "
            "cores, with inputs rounded to TF32 or (bf16: and all maps stored as) bfloat16 and float32 "
            "sums (default: fp32; of a run that is resumed: as before)",
        )


def add_ranks(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--mpi",
        action="store_true",
        help="ask MPI for the other processes, where neither mpiexec nor srun started them",
    )
    command.add_argument(
        "--patience",
        metavar="SECONDS",
        type=positive,
        default=600.0,
        help="of several processes: end all when the others have waited so long for one (default: 600)",
    )


def add_checkpoint(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--checkpoint",
        metavar="RUN",
        help="a checkpoint file or the folder of a run (default: the newest under runs/)",
    )


def add_output(command: argparse.ArgumentParser, default: str) -> None:
    command.add_argument(
        "--output", metavar="FILE", help=f"the picture: .png, .pdf or .svg (default: {default})"
    )


def output(args: argparse.Namespace, default: Path) -> Path:
    """Where a picture goes; ValueError, before any work, if nothing can be written there."""
    return atomic.check_name("--output", args.output or default, (".png", ".pdf", ".svg"))


def find_checkpoint(wish: str | None, flag: str = "--checkpoint") -> Path:
    """The checkpoint that the user wishes by a flag, or the newest run's."""
    if wish:
        return checkpoint.locate(wish)
    newest = checkpoint.newest()
    if newest is None:
        raise ValueError(
            "there is no run under runs/ yet: train one with 'alexnet-raw train', "
            f"or name a run or checkpoint: {flag} RUN"
        )
    print(f"checkpoint: {newest}")
    return newest


def devices(args: argparse.Namespace) -> list[Device]:
    """The devices that --devices names, set to --threads and --precision.

    Where a machine has several ranks, each has devices and cores of its own (`parallel.placing`); then
    --threads is set too.
    """
    from alexnet_raw.device import parse_devices, set_precision
    from alexnet_raw.parallel import placing

    if args.threads is None:
        args.threads = placing.threads(args.ranks)
    found = parse_devices(placing.devices(args.devices, args.ranks))
    placing.check_apart(found, args.ranks)
    for device in found:
        if args.threads and not device.is_cuda:
            device.module.set_threads(args.threads)
    set_precision(found, getattr(args, "precision", None) or "fp32")
    return found
