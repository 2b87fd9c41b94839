"""``alexnet-raw info``: what was built and can be used here; what a checkpoint holds."""

from __future__ import annotations

import argparse
import json

HELP = "what was built, which devices can be used, what a checkpoint holds"
DESCRIPTION = """\
Prints what this installation was built with, and every device with the reason why it can or cannot
be used. With a checkpoint (or the folder of a run), prints what that holds, as JSON.
"""
EPILOG = """\
examples:
  alexnet-raw info
  alexnet-raw info runs/alexnet-mini
  alexnet-raw info runs/alexnet-mini | jq .history[-1]
"""


def add(command: argparse.ArgumentParser) -> None:
    command.add_argument("checkpoint", nargs="?", help="a checkpoint, or the folder of a run")


def run(args: argparse.Namespace) -> int:
    if args.checkpoint:
        from alexnet_raw import checkpoint

        print(json.dumps(checkpoint.load_metadata(args.checkpoint), indent=2, ensure_ascii=False))
        return 0
    from alexnet_raw import info

    for label, text in info.report():
        print(f"{label:<15}{text}".rstrip())
    return 0
