"""The paper's learning-rate schedule (section 5)."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar


@dataclass
class Plateau:
    """Divides the rates by 10 when the validation error stops improving, three times at most.

    The authors judged by eye; here an error has stopped when PATIENCE epochs brought no better one,
    and with few pictures as many epochs as make PATIENCE_STEPS updates, since a handful of updates
    shows nothing. Without validation pictures the training loss takes its place.
    """

    scale: float = 1.0  # of all rates
    divided: int = 0
    best: float = math.inf
    epochs_since_best: int = 0
    steps_since_best: int = 0

    PATIENCE: ClassVar[int] = 5
    PATIENCE_STEPS: ClassVar[int] = 1000
    DIVISIONS: ClassVar[int] = 3

    def update(self, error: float, steps: int) -> bool:
        """Takes in the error of an epoch of that many steps; True if that made the rates fall."""
        if error < self.best:
            self.best, self.epochs_since_best, self.steps_since_best = error, 0, 0
            return False
        self.epochs_since_best += 1
        self.steps_since_best += steps
        patient = self.epochs_since_best < self.PATIENCE or self.steps_since_best < self.PATIENCE_STEPS
        if patient or self.divided == self.DIVISIONS:
            return False
        self.scale, self.divided = self.scale / 10, self.divided + 1
        self.epochs_since_best = self.steps_since_best = 0
        return True

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "best": self.best if math.isfinite(self.best) else None}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plateau:
        return cls(**{**values, "best": math.inf if values["best"] is None else values["best"]})
