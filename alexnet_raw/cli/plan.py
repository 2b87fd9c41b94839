"""``alexnet-raw plan``: what training would gain from more ranks, by a model."""

from __future__ import annotations

import argparse
import platform
from typing import TYPE_CHECKING

from tqdm import tqdm

from alexnet_raw.cli import options

if TYPE_CHECKING:
    from alexnet_raw.net_spec import NetSpec
    from alexnet_raw.plan.costs import LayerCost

HELP = "how many ranks are worth it: a model of the step's time on a cluster"
DESCRIPTION = """\
Tells, before a cluster is paid for, how long a training step would take on N ranks (GPUs) of it: data
parallel (each rank has the whole net and a share of the images; gradients are summed while the backward
pass goes on) and hybrid (fully-connected layers are cut over groups of ranks, and activations travel
instead: train --hybrid). docs/parallel.md, "How far it scales", has the formulas.

What a layer costs one rank is measured here, for a few seconds; or read from a file that was written
where such a device is; or follows from images per second. All else is computed from the cluster's
bandwidths and latencies. The output says which is which.

Read in the table: ms of a step, of which `waiting` is communication that no computation hides;
efficiency is images/s per rank beside those of one rank alone. With a batch for each rank (weak
scaling) steps are to stay as short; with one batch for all (strong scaling) they are to get shorter.
"""
EPILOG = """\
examples:
  alexnet-raw plan --network 1.25                         this machine's speed, nodes at 10 Gbit/s
  alexnet-raw plan --images-per-second 30000 --precision bf16 --per-node 8 --link 200 --network 50
  alexnet-raw plan --scaling strong --batch-size 1024 --ranks 1,8,16,32,64
  alexnet-raw plan --devices cuda:0 --save-times h100.json         and then anywhere:
  alexnet-raw plan --times h100.json --network 12.5 --per-node 8 --link 200
"""
RANKS = "1,2,4,8,16,32,64,128,256,512,1024"


def add(command: argparse.ArgumentParser) -> None:
    options.add_net(command, "alexnet")
    command.add_argument(
        "--batch-size",
        metavar="N",
        type=options.integer(1),
        default=128,
        help="pictures of each rank (weak), or of a step (strong) (default: 128)",
    )
    command.add_argument(
        "--scaling",
        choices=("weak", "strong", "both"),
        default="both",
        help="a batch for each rank, one for all, or a table of each (default: both)",
    )
    command.add_argument(
        "--ranks",
        dest="counts",
        metavar="LIST",
        type=numbers,
        default=numbers(RANKS),
        help=f"default: {RANKS}",
    )
    cluster = command.add_argument_group("the cluster")
    cluster.add_argument(
        "--network",
        metavar="GB/S",
        type=options.positive,
        default=12.5,
        help="into and out of a node, for all of its ranks together (default: 12.5, 100 Gbit/s)",
    )
    cluster.add_argument(
        "--latency",
        metavar="US",
        type=options.positive,
        default=5.0,
        help="microseconds of a short message between nodes (default: 5)",
    )
    cluster.add_argument(
        "--per-node",
        metavar="N",
        type=options.integer(1),
        default=1,
        help="ranks of a node (default: 1)",
    )
    cluster.add_argument(
        "--link",
        metavar="GB/S",
        type=options.positive,
        help="into and out of a rank, between ranks of a node; to be given with --per-node",
    )
    cluster.add_argument(
        "--link-latency",
        metavar="US",
        type=options.positive,
        default=2.0,
        help="microseconds of a short message between ranks of a node (default: 2)",
    )
    cluster.add_argument(
        "--all-reduce",
        choices=("ring", "halving"),
        default="ring",
        help="messages of a sum over N ranks: 2 (N-1), or 2 log2(N) (default: ring)",
    )
    cluster.add_argument(
        "--no-overlap",
        action="store_true",
        help="sums wait for the backward pass, as they do where the same cores must do both",
    )
    speed = command.add_argument_group("the speed of one rank, if not measured")
    speed.add_argument(
        "--images-per-second",
        metavar="N",
        type=options.positive,
        help="in steps of --batch-size; shared among the layers by their multiply-adds and bytes",
    )
    speed.add_argument(
        "--flops-per-byte",
        metavar="N",
        type=options.positive,
        default=180.0,
        help="additions and multiplications in the time in which the memory moves a byte (default: "
        "180, of 600 TFLOP/s in bfloat16 and 3.35 TB/s)",
    )
    speed.add_argument("--times", metavar="FILE", help="read what --save-times wrote")
    speed.add_argument("--save-times", metavar="FILE", help="write what was measured (JSON)")
    options.add_class_tree(command)
    options.add_machine(command)


def numbers(text: str) -> list[int]:
    """An argparse type: a comma list of numbers of ranks, in rising order."""
    whole = options.integer(1)
    return sorted({whole(number.strip()) for number in text.split(",")})


def run(args: argparse.Namespace) -> int:
    from alexnet_raw.plan.cluster import Cluster
    from alexnet_raw.plan.table import plan, table, verdicts
    from alexnet_raw.run_settings import load_spec

    if args.per_node > 1 and args.link is None:
        raise ValueError(f"--per-node {args.per_node} needs --link, the GB/s between ranks of a node")
    if args.times and args.images_per_second:
        raise ValueError("--times and --images-per-second both say how fast a rank is: give one")
    if args.save_times and (args.times or args.images_per_second):
        raise ValueError("--save-times writes what is measured: leave --times and others out")
    cluster = Cluster(
        args.network * 1e9,
        args.latency * 1e-6,
        args.per_node,
        (args.link or float("inf")) * 1e9,
        args.link_latency * 1e-6,
        args.all_reduce,
    )
    for ranks in args.counts:  # before anything is measured
        cluster.everyone(ranks)
    spec = options.planted(args, load_spec(args.net or "alexnet", args.params, args.crop))
    number = 2 if args.precision == "bf16" else 4
    layers, source = costs(args, spec, number)
    print(f"net {spec.name}, one rank: {source}")
    print(f"model: all that follows. {describe(args)}")
    for kind in ("weak", "strong"):
        if args.scaling not in (kind, "both"):
            continue
        is_fixed = kind == "strong"
        found = plan(
            layers, cluster, args.counts, args.batch_size, is_fixed, number, not args.no_overlap
        )
        whose = "one batch for all ranks" if is_fixed else "a batch for each rank"
        print(f"\n{kind} scaling, {whose}: {args.batch_size} pictures\n{table(found)}")
        for verdict in verdicts(found):
            print(verdict)
    return 0


def costs(args: argparse.Namespace, spec: NetSpec, number: int) -> tuple[list[LayerCost], str]:
    """The layers' times, and where they are from. number: bytes of a number of the activations."""
    from alexnet_raw.plan import costs

    if args.times:
        layers, source = costs.load(args.times)
        if [layer.name for layer in layers] != [layer.name for layer in costs.described(spec)]:
            raise ValueError(
                f"{args.times} has the times of another net than {spec.name}: give its --net"
            )
        return layers, f"times of {args.times}: {source}"
    if args.images_per_second:
        rate, size = args.images_per_second, args.batch_size
        layers = costs.from_rate(spec, rate, size, number, args.flops_per_byte)
        source = f"taken to train {rate:,.0f} images/s in steps of {size} (not measured); its layers "
        source += f"share that by multiply-adds and bytes, {args.flops_per_byte:g} FLOP per byte"
        return layers, source
    from alexnet_raw.plan.measure import PASSES, measure

    devices = options.devices(args)
    bar = tqdm(
        total=PASSES, desc=f"measure {spec.name}", unit=" steps", leave=False, dynamic_ncols=True
    )
    with bar:
        layers = measure(spec, devices, args.batch_size, bar.update)
    seconds = costs.step_on_one(layers, args.batch_size)
    names, machine = ",".join(device.name for device in devices), platform.node()
    source = f"measured on {names} of {machine}, a step of {args.batch_size} pictures takes "
    source += f"{seconds * 1e3:,.1f} ms ({args.batch_size / seconds:,.1f} images/s)"
    if args.save_times:
        costs.save(args.save_times, layers, source)
    return layers, source


def describe(args: argparse.Namespace) -> str:
    """The cluster in words."""
    text = f"Nodes at {args.network:g} GB/s and {args.latency:g} us"
    if args.per_node > 1:
        text += f", of {args.per_node} ranks at {args.link:g} GB/s and {args.link_latency:g} us"
    beside = "after" if args.no_overlap else "beside"
    return f"{text}; sums by {args.all_reduce}, {beside} the backward pass."
