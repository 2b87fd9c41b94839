"""``alexnet-raw eval``: errors of a trained net."""

from __future__ import annotations

import argparse
import contextlib

from alexnet_raw.cli import options, trained

HELP = "top-1 and top-5 error of a trained net, by class too"
DESCRIPTION = """\
Prints the loss and the top-1 and top-5 errors of a trained net on pictures; on demand also which
classes it confuses, and a table by class. Files are written only where a flag names them.
"""
EPILOG = """\
examples:
  alexnet-raw eval
  alexnet-raw eval --views 10
  alexnet-raw eval --checkpoint runs/alexnet-mini --split train
  alexnet-raw eval --checkpoint runs/alexnet --data other/pictures --devices cuda:0
  alexnet-raw eval --confusion --per-class classes.csv
  alexnet-raw eval --views 10 --save-probs a.safetensors
  mpiexec -n 4 alexnet-raw eval --checkpoint runs/alexnet

Class folders in DIR must have the names they had in training. Saved probabilities of several nets are
averaged by 'alexnet-raw ensemble'; 'alexnet-raw plot confusion' draws the confusion of classes.
"""
SHOWN = 20  # pairs and classes that are printed; files hold all


def add(command: argparse.ArgumentParser) -> None:
    options.add_checkpoint(command)
    trained.add_pictures(command)
    trained.add_views(command)
    command.add_argument(
        "--confusion",
        metavar="FILE",
        nargs="?",
        const="",
        help=f"print the {SHOWN} most frequent confusions of two classes; with FILE (.csv or .npy) "
        "write the whole matrix, a row for each true class",
    )
    command.add_argument(
        "--per-class",
        metavar="FILE",
        nargs="?",
        const="",
        help=f"print the {SHOWN} classes with the largest errors; with FILE (.csv) write all",
    )
    command.add_argument(
        "--save-probs",
        metavar="FILE",
        help="write the probabilities of each picture and class, labels and names (.safetensors)",
    )
    trained.add_speed(command)
    options.add_ranks(command)


def run(args: argparse.Namespace) -> int:
    from alexnet_raw import atomic, confusion, probabilities, row_file
    from alexnet_raw.evaluation import outputs
    from alexnet_raw.run_settings import EMBEDDED

    for flag, path, suffixes in (
        ("--confusion", args.confusion, confusion.MATRIX_SUFFIXES),
        ("--per-class", args.per_class, (".csv",)),
    ):
        if path:
            atomic.check_name(flag, path, suffixes)
    if args.save_probs:
        row_file.check_name("--save-probs", args.save_probs, probabilities.SUFFIXES)
    path = args.ranks.first(lambda: options.find_checkpoint(args.checkpoint))
    net = trained.Trained(args, path)
    source = net.source(args.split)
    print(f"{args.split} pictures of {net.where or EMBEDDED}: {len(source):,}", flush=True)
    visitors = []
    if by_class := args.confusion is not None or args.per_class is not None:
        tally = confusion.Confusion(net.model.names, outputs(net.model))
        visitors.append(lambda batch, rows: tally.add(batch.labels, rows))
    with contextlib.ExitStack() as files:
        if args.save_probs and args.ranks.is_first:
            about = {"views": args.views, "split": args.split}
            saving = probabilities.saving(args.save_probs, net.model, net.path, source, **about)
            visitors.append(files.enter_context(saving))
        score = net.evaluate(source, *visitors)
    views = "centre crop" if args.views == 1 else f"{args.views} views"
    print(f"{trained.score_text(score)}  ({score.pictures:,} pictures, {views})")
    if by_class and args.ranks.is_first:
        _tell(tally, args)
    if args.save_probs:
        print(f"wrote {args.save_probs}")
    return 0


def _tell(tally, args: argparse.Namespace) -> None:
    """Confusions and errors by class: printed, and into the files that were named."""
    if args.confusion is not None:
        print("most confused:", *(tally.pair_lines(SHOWN) or ["  nothing"]), sep="\n")
        if args.confusion:
            tally.write_matrix(args.confusion)
            print(f"wrote {args.confusion}")
    if args.per_class is not None:
        print("errors by class, the largest first:", *tally.table_lines(SHOWN), sep="\n")
        if args.per_class:
            tally.write_table(args.per_class)
            print(f"wrote {args.per_class}")
