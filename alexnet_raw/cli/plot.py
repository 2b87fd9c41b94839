"""``alexnet-raw plot``: pictures of runs and nets, and features written to a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from alexnet_raw.cli import options, plot_pictures, trained

HELP = "draw error curves, filters, predictions, neighbours, confusions; write features"
DESCRIPTION = """\
Draws what a run learned and what a trained net does. RUN is the folder of a run or a checkpoint. The
picture is written into the folder of the run, or to --output FILE: .png, .pdf or .svg.
"""
EPILOG = """\
examples:
  alexnet-raw plot curves runs/alexnet runs/alexnet-2012
  alexnet-raw plot filters runs/alexnet --output filters.pdf
  alexnet-raw plot predictions runs/alexnet --only-errors
  alexnet-raw plot neighbours runs/alexnet
  alexnet-raw plot confusion runs/alexnet
  alexnet-raw plot features runs/alexnet --layer fc7 --output fc7.npy

for those who know cuda-convnet's shownet:
  --show-cost=logprob         plot curves
  --show-filters=conv1        plot filters
  --show-preds=probs          plot predictions
  --only-errors               plot predictions --only-errors
  --write-features=fc7        plot features --layer fc7 --output FILE

'alexnet-raw plot WHAT --help' explains each.
"""


def add(command: argparse.ArgumentParser) -> None:
    kinds = command.add_subparsers(title="what", dest="what", metavar="WHAT", required=True)
    for name, add_flags, run_kind, help_text, description in (
        ("curves", add_curves, curves, "errors over epochs, of several runs", CURVES),
        ("filters", add_filters, filters, "filters of layer 1 by tower (fig. 3)", FILTERS),
        ("confusion", add_confusion, confusion, "which classes are taken for which", CONFUSION),
        *plot_pictures.KINDS,
    ):
        kind = kinds.add_parser(
            name,
            help=help_text,
            description=description,
            formatter_class=options.Formatter,
            allow_abbrev=False,
        )
        add_flags(kind)
        kind.set_defaults(plot=run_kind)


def run(args: argparse.Namespace) -> int:
    return args.plot(args)


CURVES = """\
Error curves over epochs, of one run or of several in one picture: validation drawn through, training
dashed. Numbers in the legend are of the last epoch.

  alexnet-raw plot curves runs/a runs/b --measure top1,loss --output curves.svg
"""


def add_curves(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "runs", metavar="RUN", nargs="+", help="a folder, a checkpoint or a history.jsonl"
    )
    command.add_argument(
        "--measure",
        metavar="M,M",
        default="top1",
        help="top1, top5 (of validation pictures), loss: a panel for each (default: top1)",
    )
    options.add_output(command, "curves.png in the folder of the first run")


def curves(args: argparse.Namespace) -> int:
    from alexnet_raw import plots

    measures = args.measure.split(",")
    if unknown := [measure for measure in measures if measure not in plots.MEASURES]:
        raise ValueError(f"--measure {unknown[0]}: give some of {', '.join(plots.MEASURES)}")
    paths = [Path(text) for text in args.runs]
    folder = paths[0] if paths[0].is_dir() else paths[0].parent
    output = options.output(args, folder / "curves.png")
    names = run_names(paths)
    histories = {name: history(path) for name, path in zip(names, paths, strict=True)}
    if "top5" in measures and not any(
        r["validation"] for records in histories.values() for r in records
    ):
        raise ValueError("--measure top5: none of these runs had validation pictures; leave it out")
    plots.curves(output, histories, measures)
    return wrote(output)


def run_names(paths: list[Path]) -> list[str]:
    """The folders' names; where two are the same, the paths as they were given."""
    folders = [path if path.is_dir() else path.parent for path in paths]
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def history(path: Path) -> list[dict[str, Any]]:
    """The records of a run's epochs, from history.jsonl or from a checkpoint."""
    from alexnet_raw import checkpoint

    if path.is_dir() and (path / "history.jsonl").is_file():
        path = path / "history.jsonl"
    if path.suffix != ".jsonl":
        records = checkpoint.load_metadata(path)["run"]["history"]
    else:
        try:
            records = [json.loads(line) for line in path.read_text().splitlines()]
            records = [{key: r.get(key) for key in ("epoch", "train", "validation")} for r in records]
            for part in (r[key] for r in records for key in ("train", "validation") if r[key]):
                part["loss"], part["top1"], part["topk"]
        except (ValueError, AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: not the history of a run, or cut short: {error}") from error
    records = [record for record in records if record.get("epoch") and record.get("train")]
    if not records:
        raise ValueError(f"{path}: no epoch of this run has ended yet: there is nothing to draw")
    return records


FILTERS = """\
The filters of layer 1, a block for each tower (paper, fig. 3), each scaled to its own strongest weight.
Printed and in the titles: how much of the filters is colour, the part of their energy off the grey axis
(red = green = blue). 0 % takes all channels alike; random weights have 67 %.

  alexnet-raw plot filters runs/alexnet
"""


def add_filters(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_path", metavar="RUN", help="a folder or a checkpoint")
    options.add_output(command, "filters.png in the folder of the run")


def filters(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, colour, plots
    from alexnet_raw.device import parse_devices
    from alexnet_raw.model import Model
    from alexnet_raw.run_report import first_filters

    path = checkpoint.locate(args.run_path)
    output = options.output(args, path.parent / "filters.png")
    model = Model.load(path, parse_devices("cpu"), batch_size=1)
    banks = first_filters(model)
    if not banks:
        raise ValueError(f"{path}: net {model.spec.name} has no conv layer that sees the pictures")
    for name, bank in banks.items():
        about = colour.measure(bank) if bank.shape[0] == 3 else "grey: the training pictures were"
        print(f"{name}  {bank.shape[3]} filters  {about}")
    plots.filters(output, banks, f"{model.spec.name}: filters of layer 1")
    return wrote(output)


CONFUSION = """\
The confusion of classes: rows are true classes, columns what the net took them for. Of more than 30
classes also the 20 most frequent mistakes. 'alexnet-raw eval --confusion FILE' writes the numbers.

  alexnet-raw plot confusion runs/alexnet --views 10
  alexnet-raw plot confusion saved.safetensors
"""


def add_confusion(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "run_path",
        metavar="RUN_OR_PROBS",
        help="a folder, a checkpoint, or a file of 'alexnet-raw eval --save-probs'",
    )
    options.add_output(command, "confusion.png in the folder of the run or file")
    trained.add_pictures(command)
    trained.add_views(command)
    trained.add_speed(command)


def confusion(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, picture_plots, probabilities
    from alexnet_raw.confusion import Confusion
    from alexnet_raw.evaluation import outputs

    path = Path(args.run_path)
    if path.is_file() and probabilities.is_saved(path):
        output = options.output(args, path.with_name("confusion.png"))
        saved = probabilities.load(path)
        tally = Confusion(saved.metadata.get("names", saved.metadata["classes"]), saved.shape[1])
        for here in probabilities.chunks(len(saved)):
            tally.add(saved.labels[here], saved.rows(here.start, here.stop))
        name = saved.metadata["checkpoint"]["net"]
    else:
        path = checkpoint.locate(path)
        output = options.output(args, path.parent / "confusion.png")
        net = trained.Trained(args, path)
        tally = Confusion(net.model.names, outputs(net.model))
        net.evaluate(net.source(args.split), lambda batch, rows: tally.add(batch.labels, rows))
        name = net.model.spec.name
    pictures = int(tally.counts.sum())
    error = tally.wrong[0].sum() / pictures
    title = f"{name}: top-1 error {error:.2%} of {pictures:,} pictures"
    picture_plots.confusion(output, tally, title)
    return wrote(output)


def wrote(path: Path) -> int:
    print(f"wrote {path}")
    return 0
