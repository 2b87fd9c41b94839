"""The command ``alexnet-raw``, also as ``python -m alexnet_raw``."""

import signal
import sys


def main() -> int:
    """Loads the commands and runs one; returns the exit code."""
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:  # Ctrl-C while modules load: leaves without a traceback from one of them
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from alexnet_raw.parallel import guard

    guard.begin()
    from alexnet_raw import cli

    if interruptible:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
