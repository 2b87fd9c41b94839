"""Two network namespaces of this machine, as if they were two machines on a slow network.

Needs root and iproute2. A namespace has its own network card; the pair of them is a cable, whose
bandwidth the kernel limits in both directions.
"""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

CARD = "eth9"  # its name in both namespaces
ADDRESSES = {"alexnet-raw-0": "10.213.0.1", "alexnet-raw-1": "10.213.0.2"}
# In place of ssh: it is called with options, an address and a command.
LAUNCHER = """\
#!/bin/sh
while [ "${{1#-}}" != "$1" ]; do shift; done
case "$1" in {cases} esac
shift
exec ip netns exec $space sh -c "$*"
"""


@contextlib.contextmanager
def limited_network(gigabits: float) -> Iterator[list[str]]:
    """The command, without that of a rank, that starts two ranks with that many Gbit/s between them."""
    first, second = ADDRESSES
    with contextlib.ExitStack() as stack:
        for space in ADDRESSES:
            _run("netns", "add", space)
            stack.callback(_run, "netns", "delete", space)
        _run("link", "add", CARD, "netns", first, "type", "veth", "peer", "name", CARD, "netns", second)
        for space, address in ADDRESSES.items():
            _run("-n", space, "address", "add", f"{address}/24", "dev", CARD)
            for card in (CARD, "lo"):
                _run("-n", space, "link", "set", card, "up")
            limit = ["tbf", "rate", f"{gigabits}gbit", "burst", "4mb", "latency", "50ms"]
            command = ["ip", "netns", "exec", space, "tc", "qdisc", "add", "dev", CARD, "root", *limit]
            subprocess.run(command, check=True)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        launcher = folder / "launch"
        cases = " ".join(f"{address}) space={space};;" for space, address in ADDRESSES.items())
        launcher.write_text(LAUNCHER.format(cases=cases))
        launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
        mpiexec = ["mpiexec", "-n", "2", "-ppn", "1", "-hosts", ",".join(ADDRESSES.values())]
        mpiexec += ["-localhost", ADDRESSES[first], "-launcher", "ssh", "-launcher-exec", str(launcher)]
        for name, value in {
            "MPIR_CVAR_NOLOCAL": "1",  # no shared memory between them
            "MPIR_CVAR_CH4_NETMOD": "ofi",
            "FI_PROVIDER": "tcp",
            "FI_TCP_IFACE": CARD,
        }.items():
            mpiexec += ["-genv", name, value]
        yield ["ip", "netns", "exec", first, *mpiexec]


def _run(*arguments: str) -> None:
    if os.geteuid():
        sys.exit("network namespaces need root")
    subprocess.run(["ip", *arguments], check=True)
