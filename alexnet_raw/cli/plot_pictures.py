"""The kinds of ``alexnet-raw plot`` that look at pictures: predictions, neighbours, features."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alexnet_raw.cli import options, trained

if TYPE_CHECKING:
    from alexnet_raw import data
    from alexnet_raw.model import Model
    from alexnet_raw.picture_plots import Prediction

PREDICTIONS = """\
Pictures with the five classes that the net finds likeliest, the true one in another colour (paper,
fig. 4 left). Files are given by name; their true class is the name of their folder, if that is a class.
Without files, pictures of the data set are drawn at random.

  alexnet-raw plot predictions runs/alexnet cat.jpg dog.jpg
  alexnet-raw plot predictions runs/alexnet --only-errors --count 12 --seed 3
"""
NEIGHBOURS = """\
For pictures of the data set, drawn at random, the six training pictures that are nearest in a layer, by
Euclidean distance (paper, fig. 4 right). Passes over the training set once.

  alexnet-raw plot neighbours runs/alexnet
  alexnet-raw plot neighbours runs/alexnet --layer fc6 --count 8 --devices cuda:0
"""
FEATURES = """\
Writes what a layer says of each picture (centre crop): a matrix (pictures, features) float32.
  .npy          the matrix; labels in NAME.labels.npy, names in NAME.names.txt beside it
  .safetensors  features, labels and names in one file
It is written as it is computed: data sets of any size do.

  alexnet-raw plot features runs/alexnet --layer fc7 --split train --output fc7.npy
"""


def add_predictions(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_path", metavar="RUN", help="a folder or a checkpoint")
    command.add_argument(
        "pictures", metavar="PICTURE", nargs="*", help="files (default: of the data set)"
    )
    command.add_argument("--only-errors", action="store_true", help="only what the net gets wrong")
    _add_choice(command, 8)
    options.add_output(command, "predictions.png in the folder of the run")
    trained.add_pictures(command)
    trained.add_views(command)
    trained.add_speed(command)


def predictions(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, picture_plots
    from alexnet_raw.class_names import output_names
    from alexnet_raw.data.errors import shown
    from alexnet_raw.evaluation import outputs

    path = checkpoint.locate(args.run_path)
    output = options.output(args, path.parent / "predictions.png")
    net = trained.Trained(args, path)
    candidates = _of_files(net.model, args) if args.pictures else _of_data(net, args)
    found: list[Prediction] = []
    most = len(args.pictures) or args.count
    with closing(candidates):
        for prediction in candidates:
            wrong = prediction.label != int(prediction.probabilities.argmax())
            if wrong or not args.only_errors:
                found.append(prediction)
            if len(found) == most:
                break
    if not found:
        raise ValueError("the net gets all of these pictures right: there is no error to show")
    for prediction in found:
        print(shown(prediction.name))
    names = output_names(net.model.names, outputs(net.model))
    picture_plots.predictions(output, found, names)
    print(f"wrote {output}")
    return 0


def _of_files(model: Model, args: argparse.Namespace) -> Iterator[Prediction]:
    from alexnet_raw.picture_plots import Prediction

    for name in args.pictures:
        folder = Path(name).absolute().parent.name
        label = model.classes.index(folder) if folder in model.classes else None
        if label is None and args.only_errors:
            raise ValueError(
                f"{name}: --only-errors needs the true class, the name of the picture's folder; "
                f"{folder!r} is no class of this net"
            )
        batch = model.read(name)
        pixels = content(batch.pictures[0], model)
        yield Prediction(pixels, model.probabilities(batch, args.views)[0], label, Path(name).name)


def _of_data(net: trained.Trained, args: argparse.Namespace) -> Iterator[Prediction]:
    """All pictures of the data set in a random order, as long as they are asked for."""
    from alexnet_raw.picture_plots import Prediction

    source = net.source(args.split)
    most = None if args.only_errors else args.count
    for batch, where in _shuffled(net, source, args.seed, most):
        probabilities = net.model.probabilities(batch, args.views)
        for i, index in enumerate(where):
            pixels = content(batch.pictures[i], net.model)
            yield Prediction(pixels, probabilities[i], int(batch.labels[i]), source.name(int(index)))


def add_neighbours(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_path", metavar="RUN", help="a folder or a checkpoint")
    _add_layer(command)
    _add_choice(command, 5)
    command.add_argument(
        "--neighbours",
        metavar="N",
        type=options.integer(1),
        default=6,
        help="training pictures for each (default: 6)",
    )
    options.add_output(command, "neighbours.png in the folder of the run")
    trained.add_pictures(command)
    trained.add_speed(command)


def neighbours(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, features, picture_plots
    from alexnet_raw.data.errors import shown
    from alexnet_raw.run_report import progress_bar

    path = checkpoint.locate(args.run_path)
    output = options.output(args, path.parent / "neighbours.png")
    net = trained.Trained(args, path)
    layers = features.find_layers(net.model.spec, args.layer)
    asked, train = net.source(args.split), net.source("train")
    queries, chosen, rows = [], [], []
    for batch, where in _shuffled(net, asked, args.seed, args.count):
        rows.append(features.of_batch(net.model, batch, layers))
        chosen += where.tolist()
        queries += _contents(net.model, batch.pictures, batch.labels)
        if len(queries) >= args.count:
            break
    queries, chosen = queries[: args.count], np.array(chosen[: args.count])
    nearest = features.Nearest(np.concatenate(rows)[: args.count], args.neighbours)
    with progress_bar(len(train), f"{','.join(layers)} of training pictures") as bar:
        for batch in net.loader(train).epoch(0):
            itself = chosen if args.split == "train" else None
            nearest.add(batch.indices, features.of_batch(net.model, batch, layers), itself)
            bar.update(len(batch))
    found = [_contents(net.model, *train.load(indices)) for indices in nearest.indices]
    for index, (_, label), others in zip(chosen, queries, found, strict=True):
        same = sum(other == label for _, other in others)
        picture, name = shown(asked.name(int(index))), shown(net.model.names[label])
        print(f"{picture}: {same} of {len(others)} are {name}")
    title = f"{net.model.spec.name}: the training pictures nearest in {'+'.join(layers)}"
    picture_plots.neighbours(output, queries, found, net.model.names, title)
    print(f"wrote {output}")
    return 0


def add_features(command: argparse.ArgumentParser) -> None:
    command.add_argument("run_path", metavar="RUN", help="a folder or a checkpoint")
    _add_layer(command)
    command.add_argument(
        "--output", metavar="FILE", required=True, help="the file: .npy or .safetensors"
    )
    trained.add_pictures(command)
    trained.add_speed(command)


def write_features(args: argparse.Namespace) -> int:
    from alexnet_raw import checkpoint, features, probabilities, row_file
    from alexnet_raw.run_report import progress_bar

    output = row_file.check_name("--output", args.output)
    net = trained.Trained(args, checkpoint.locate(args.run_path))
    layers = features.find_layers(net.model.spec, args.layer)
    source, width = net.source(args.split), features.width(net.model, layers)
    about = {"classes": net.model.classes, "layers": layers, "split": args.split}
    about["checkpoint"] = probabilities.made_by(net.model, net.path)
    with (
        row_file.create(output, "features", width, about) as out,
        progress_bar(len(source), "features") as bar,
    ):
        for batch in net.loader(source).epoch(0):
            names = probabilities.picture_names(source, batch.indices)
            out.add(features.of_batch(net.model, batch, layers), batch.labels, names)
            bar.update(len(batch))
    print(f"wrote {output}: {len(out.names):,} pictures, {width:,} features of {', '.join(layers)}")
    return 0


KINDS = (
    ("predictions", add_predictions, predictions, "pictures with five bars (fig. 4 left)", PREDICTIONS),
    (
        "neighbours",
        add_neighbours,
        neighbours,
        "the nearest training pictures (fig. 4 right)",
        NEIGHBOURS,
    ),
    ("features", add_features, write_features, "write a layer's features to a file", FEATURES),
)


def content(pixels: np.ndarray, model: Model) -> np.ndarray:
    """What a prepared picture (height, width, 3) shows, without the black border of small ones."""
    margin = (pixels.shape[0] - model.content_size) // 2
    return pixels[margin : margin + model.content_size, margin : margin + model.content_size]


def _add_layer(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--layer",
        metavar="NAME",
        help="a layer or a comma list of them; fc7 means fc7a and fc7b where the net has towers "
        "(default: the last hidden layer)",
    )


def _add_choice(command: argparse.ArgumentParser, count: int) -> None:
    command.add_argument(
        "--count",
        metavar="N",
        type=options.integer(1),
        default=count,
        help=f"pictures shown (default: {count})",
    )
    command.add_argument(
        "--seed",
        metavar="N",
        type=options.integer(0),
        default=1,
        help="another seed draws other pictures (default: 1)",
    )


def _shuffled(
    net: trained.Trained, source: data.Source, seed: int, most: int | None
) -> Iterator[tuple[data.Batch, np.ndarray]]:
    """Batches in a random order, each with its pictures' indices in the source.

    most: how many pictures will do, if none turns out to be broken; None: that is not known.
    """
    from alexnet_raw.features import Subset

    order = np.random.default_rng(seed).permutation(len(source))
    with closing(net.loader(Subset(source, order), most).epoch(0)) as batches:
        for batch in batches:
            yield batch, order[batch.indices]


def _contents(model: Model, pictures: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, int]]:
    """Pairs of pixels and class, to be drawn."""
    return [(content(p, model), int(n)) for p, n in zip(pictures, labels, strict=True)]
