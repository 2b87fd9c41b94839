"""``alexnet-raw ensemble``: the averaged probabilities of several nets."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alexnet_raw.cli import trained

if TYPE_CHECKING:
    from alexnet_raw.row_file import RowFile

HELP = "errors of several nets' averaged probabilities"
DESCRIPTION = """\
Averages the probabilities of several nets, as in table 2 of the paper (5 nets: 38.1 % top-1, 16.4 %
top-5; 7 nets: 36.7 %, 15.4 %), and prints the errors of each and of the average. A member is a run,
which is evaluated now, or a file of 'alexnet-raw eval --save-probs'. Nothing is written.
"""
EPILOG = """\
examples:
  alexnet-raw ensemble runs/a runs/b runs/c
  alexnet-raw ensemble a.safetensors b.safetensors runs/c --views 10
  alexnet-raw ensemble a.safetensors b.safetensors --weights 2,1
  alexnet-raw ensemble a.safetensors b.safetensors --fit-weights

All members must be of the same pictures and classes, in the same order; --data, --split and --views
hold for the runs among them.
"""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "members",
        metavar="RUN_OR_PROBS",
        nargs="+",
        help="the folder of a run, a checkpoint, or a file of saved probabilities",
    )
    weights = command.add_mutually_exclusive_group()
    weights.add_argument(
        "--weights",
        metavar="W,W,...",
        type=weight_list,
        help="a weight for each member, 0 or more (default: all the same)",
    )
    weights.add_argument(
        "--fit-weights",
        action="store_true",
        help="the weights with the least log loss on every second picture; all errors are then "
        "those on the other half, which the fit has not seen",
    )
    weights.add_argument(
        "--fit-on",
        metavar="PROBS",
        nargs="+",
        help="fit the weights on these files instead, one for each member, of other pictures",
    )
    trained.add_pictures(command)
    trained.add_views(command)
    trained.add_speed(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import ensemble

    _check(args)
    with tempfile.TemporaryDirectory() as folder:
        members = [
            _open(member, args, Path(folder) / f"{i}.safetensors")
            for i, member in enumerate(args.members)
        ]
        ensemble.check_agree(members, args.members)
        weights, keep, kind = _weights(args, members)
        for line in table(args.members, members, weights, keep, kind):
            print(line)
    return 0


def table(
    names: list[str], members: list[RowFile], weights: np.ndarray, keep: np.ndarray, kind: str
) -> list[str]:
    """Errors of each member and of the average, on the pictures where ``keep`` is True."""
    from alexnet_raw import ensemble
    from alexnet_raw.evaluation import TOP

    equal = equal_weights(members)
    rows = [
        (name, f"{weight:.3f}", str(member.metadata["views"]), ensemble.score([member], [1.0], keep))
        for name, weight, member in zip(names, weights, members, strict=True)
    ]
    averages = [("equal weights", equal)]
    if not np.array_equal(weights, equal):
        averages.append((kind, weights))
    for what, shares in averages:
        name = f"average of {len(members)}, {what}"
        rows.append((name, "", "", ensemble.score(members, shares, keep)))
    width = max(len(row[0]) for row in rows)
    return [
        f"{np.count_nonzero(keep):,} pictures",
        f"{'':<{width}}  weight  views    loss  top-1 error  top-{TOP} error",
        *(
            f"{name:<{width}}  {weight:>6}  {views:>5}  {s.loss:.4f}  {s.top1:>11.2%}  {s.topk:>11.2%}"
            for name, weight, views, s in rows
        ),
    ]


def equal_weights(members: list[RowFile]) -> np.ndarray:
    return np.full(len(members), 1 / len(members))


def weight_list(text: str) -> np.ndarray:
    """The type of --weights."""
    try:
        weights = np.array([float(part) for part in text.split(",")])
    except ValueError:
        weights = np.zeros(0)
    if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.sum() > 0):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a comma list of numbers, 0 or more and one above 0"
        )
    return weights


def _check(args: argparse.Namespace) -> None:
    """Refuses what would be refused later, after runs have been evaluated for hours."""
    from alexnet_raw import checkpoint, probabilities

    for member in args.members:
        if not probabilities.is_saved(member):
            checkpoint.load_metadata(member)
    for flag, given, what in (
        ("--weights", args.weights, "weights"),
        ("--fit-on", args.fit_on, "files"),
    ):
        if given is not None and len(given) != len(args.members):
            raise ValueError(f"{flag}: {len(given)} {what} for {len(args.members)} members")
    for path in args.fit_on or ():
        probabilities.load(path)


def _open(member: str, args: argparse.Namespace, temporary: Path) -> RowFile:
    """The probabilities of a member; those of a run are computed into ``temporary``."""
    from alexnet_raw import checkpoint, probabilities

    path = Path(member)
    if probabilities.is_saved(path):
        return probabilities.load(path)
    net = trained.Trained(args, checkpoint.locate(path))
    source = net.source(args.split)
    about = {"views": args.views, "split": args.split}
    with probabilities.saving(temporary, net.model, net.path, source, **about) as visitor:
        net.evaluate(source, visitor)
    return probabilities.load(temporary)


def _weights(args: argparse.Namespace, members: list[RowFile]) -> tuple[np.ndarray, np.ndarray, str]:
    """The weights, the pictures (True) that they are judged on, and what to call them."""
    from alexnet_raw import ensemble

    keep = np.ones(len(members[0]), bool)
    if args.weights is not None:
        return args.weights / args.weights.sum(), keep, "given weights"
    if args.fit_on:
        return _fit_on(args.fit_on, members), keep, "fitted weights"
    if args.fit_weights:
        if len(keep) < 2:
            raise ValueError("--fit-weights needs two pictures or more: one half to fit on")
        keep[::2] = False
        weights = ensemble.fit_weights(ensemble.own_probabilities(members)[~keep])
        return weights, keep, f"fitted on {np.count_nonzero(~keep):,} others"
    return equal_weights(members), keep, "equal weights"


def _fit_on(paths: list[str], members: list[RowFile]) -> np.ndarray:
    """Weights fitted on other files: one for each member, of the same nets in the same order."""
    from alexnet_raw import ensemble, probabilities

    files = [probabilities.load(path) for path in paths]
    ensemble.check_agree(files, paths)
    for path, file, member in zip(paths, files, members, strict=True):
        made_by = file.metadata["checkpoint"]["sha256"], member.metadata["checkpoint"]["sha256"]
        if made_by[0] != made_by[1]:
            raise ValueError(f"--fit-on {path}: is of another checkpoint than {member.path}")
    return ensemble.fit_weights(ensemble.own_probabilities(files))
