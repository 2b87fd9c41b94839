"""Ctrl-C and SIGTERM ask a long run to stop at the next good moment; asked twice it stops at once."""

from __future__ import annotations

import signal
import sys
from types import FrameType

from alexnet_raw.parallel import ALONE, Ranks

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """``with Interrupts() as interrupts``: ``interrupts.asked()`` is the one that came, or 0.

    The second signal meets the default action of the system: the process ends there and then,
    inside a kernel too. Only the main thread may use it (a rule of Python's signal module).

    came: the signal that has come to this process, or 0.
    """

    def __init__(self, notice: str, ranks: Ranks = ALONE):
        """notice: printed when the first signal comes. ranks: who stop together."""
        self.notice, self._ranks = notice, ranks
        self.came = 0

    def asked(self) -> int:
        """The signal that has come to any of the ranks, or 0; all ask together."""
        return max(self._ranks.gather(self.came))

    def __enter__(self) -> Interrupts:
        self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.came = number
        print(f"\n{self.notice}", file=sys.stderr, flush=True)
        for again in SIGNALS:
            signal.signal(again, signal.SIG_DFL)
