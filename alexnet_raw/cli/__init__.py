"""The command ``alexnet-raw``: one module per command, each with ``add`` (flags) and ``run``.

What the user can put right (a wrong value, a missing file, a full disk) is one line on stderr that
names the thing and the remedy, and exit code 2; ALEXNET_RAW_DEBUG=1 shows the traceback instead.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack, nullcontext, suppress
from typing import NoReturn, TextIO

from tqdm import tqdm

from alexnet_raw.cli import (
    check_grads,
    ensemble,
    evaluate,
    experiment,
    info,
    options,
    plan,
    plot,
    predict,
    prepare,
    ranks,
    show,
    train,
)
from alexnet_raw.device import DeviceError
from alexnet_raw.info import version
from alexnet_raw.parallel import ALONE, RanksError

DESCRIPTION = """\
AlexNet as it was trained in 2012: two towers, every kernel written by hand, on CPUs and GPUs.

  alexnet-raw train                         a small AlexNet learns the embedded Fashion-MNIST
  alexnet-raw eval                          error of the run trained last
  alexnet-raw predict boot.png              what it sees in a picture
  alexnet-raw plot filters RUN              a picture of what its first layer learned
  alexnet-raw show alexnet                  the paper's network as a table
  alexnet-raw plan --network 1.25           how many ranks are worth it, before a cluster is paid for
  alexnet-raw prepare downloads imagenet    ImageNet's tars, once, for training at full speed
  alexnet-raw train --net alexnet --data D  the paper's network on a folder of pictures
"""
EPILOG = """\
'alexnet-raw COMMAND --help' explains each command, with examples.
ALEXNET_RAW_DEBUG=1 in the environment shows tracebacks instead of one-line errors.
"""


class Parser(argparse.ArgumentParser):
    """Argparse whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="alexnet-raw",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=options.Formatter,
    )
    top.add_argument("--version", action="version", version=f"alexnet-raw {version()}")
    commands = top.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for name, module in (
        ("train", train),
        ("prepare", prepare),
        ("eval", evaluate),
        ("ensemble", ensemble),
        ("predict", predict),
        ("plot", plot),
        ("show", show),
        ("plan", plan),
        ("info", info),
        ("experiment", experiment),
        ("check-grads", check_grads),
    ):
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            formatter_class=options.Formatter,
            allow_abbrev=False,
        )
        module.add(command)
        command.set_defaults(run=module.run, takes_ranks=module in (train, evaluate))
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit code: 0, 1 failed, 2 user's error, 128+N by a signal.

    Where several processes run it and one hangs, that of them all is 3.
    """
    with ExitStack() as stack:
        errors = sys.stderr
        if ranks.is_another():
            stack.enter_context(ranks.silence())
        args = parser().parse_args(argv)
        args.ranks = ALONE
        # Threads wait some 50 microseconds awake, which covers the gaps between kernels, then asleep:
        # on a machine with other work, spinning ones take the cores that the threads they wait for
        # need. OpenMP reads these when it is loaded.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        os.environ.setdefault("GOMP_SPINCOUNT", "20000")
        handler = _Warnings(args, errors)
        logger = logging.getLogger("alexnet_raw")
        logger.addHandler(handler)
        stack.callback(logger.removeHandler, handler)
        try:
            return _run(args, errors)
        except BaseException:
            if args.ranks.size > 1:
                with suppress(OSError):  # nobody reads that: the others must not wait all the same
                    print(f"alexnet-raw {args.command}: {ranks.name(args.ranks)}", file=errors)
                    traceback.print_exc(file=errors)
                args.ranks.abort(1)
            raise


def _run(args: argparse.Namespace, errors: TextIO) -> int:
    try:
        args.ranks = ranks.join(args)
        with nullcontext() if args.ranks.is_first else ranks.silence():
            return args.run(args)
    except KeyboardInterrupt:
        args.ranks.abort(130)
        return 130
    except ImportError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # Ctrl-C while a compiled module loads
            return 130
        raise
    except BrokenPipeError:  # the reader went away, as in 'alexnet-raw show | head'
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        args.ranks.abort(141)
        return 141
    except (ValueError, OSError, MemoryError, DeviceError, RanksError) as error:
        if os.environ.get("ALEXNET_RAW_DEBUG", "0") not in ("", "0"):
            raise
        all_fail = args.ranks.all_fail()
        if args.ranks.is_first or not all_fail:
            who = "" if all_fail else ranks.name(args.ranks)
            print(f"alexnet-raw {args.command}: {who}{_one_line(error)}", file=errors, flush=True)
        if not all_fail:
            args.ranks.abort(2)
        return 2


class _Warnings(logging.Handler):
    """Log messages on stderr, above a progress bar and not through it."""

    def __init__(self, args: argparse.Namespace, errors: TextIO):
        super().__init__()
        self._args, self._errors = args, errors

    def emit(self, record: logging.LogRecord) -> None:
        who = "" if self._args.ranks.is_first else ranks.name(self._args.ranks)
        tqdm.write(f"warning: {who}{self.format(record)}", file=self._errors)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename is not None else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return f"{place}{error.strerror}" + (": free some, or write to another disk" if full else "")
    if isinstance(error, MemoryError):
        return f"not enough memory ({error}): lower --batch-size"
    return " ".join(str(error).split()) or type(error).__name__
