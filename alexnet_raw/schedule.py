"""Learning-rate schedules as parameter files name them, e.g. `dexp[tgtFactor=250,numSteps=4]`.

With progress p in 0..1 over the whole run and tgtFactor t the base rate is multiplied by
    default  1
    linear   (1 - p) + p/t                          from 1 down to 1/t in a straight line
    exp      t^(-p)                                 from 1 down to 1/t by equal factors
    dexp     t^(-i/(numSteps-1)), i = floor(p*numSteps)   the same in numSteps equal stairs
    jdexp    as dexp, but where 0.2 < p < 0.9, in the second half of a stair that is not the first,
             the geometric mean of its rate and the one before
    stairs   [p1:f1,p2:f2,...]: 1 until p1, then f1 until p2, ...; ours, for what was done by hand
noiseStdev s multiplies by 1 + s |g|, g a normal draw for each step, the same when the run is repeated.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

# kind -> its arguments in order.
KINDS = {
    "default": (),
    "linear": ("tgtFactor", "noiseStdev"),
    "exp": ("tgtFactor", "noiseStdev"),
    "dexp": ("tgtFactor", "noiseStdev", "numSteps"),
    "jdexp": ("tgtFactor", "noiseStdev", "numSteps"),
    "stairs": ("at:factor", "..."),
}


@dataclass(frozen=True)
class Schedule:
    """A rate's course over the run."""

    kind: str = "default"
    factor: float = 1.0
    steps: int = 2
    noise: float = 0.0
    stairs: tuple[tuple[Fraction, float], ...] = ()  # (progress, factor from there on), ascending

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """Read `kind[...]`, arguments by position or by name; ValueError says what is known."""
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", text)
        if not match or match[1] not in KINDS:
            known = ", ".join(map(_form, KINDS))
            raise ValueError(f"unknown schedule {text!r}: known are {known}")
        kind = match[1]
        if kind == "stairs":
            return cls(kind, stairs=_stairs(text, match[2] or ""))
        values = _arguments(text, kind, match[2] or "")
        if KINDS[kind] and "tgtFactor" not in values:
            raise ValueError(f"schedule {text!r}: no tgtFactor; write {_form(kind)}")
        factor, steps = values.get("tgtFactor", 1.0), values.get("numSteps", 2)
        noise = values.get("noiseStdev", 0.0)
        if not factor > 0:
            raise ValueError(f"schedule {text!r}: tgtFactor must be above 0")
        if steps < 2 or steps != int(steps):
            raise ValueError(f"schedule {text!r}: numSteps must be a whole number of at least 2")
        if not noise >= 0:
            raise ValueError(f"schedule {text!r}: noiseStdev must be at least 0")
        return cls(kind, factor, int(steps), noise)

    def factor_at(self, progress: float) -> float:
        """What the base rate is multiplied by at `progress`, 0 at the start and 1 at the end."""
        p = min(max(progress, 0.0), 1.0)
        rate = self._without_noise(p)
        if self.noise:
            place = zlib.crc32(f"{self}".encode() + struct.pack("<d", progress))
            rate *= 1 + self.noise * abs(np.random.default_rng(place).standard_normal())
        return float(rate)

    def _without_noise(self, p: float) -> float:
        if self.kind == "linear":
            return (1 - p) + p / self.factor
        if self.kind == "exp":
            return self.factor**-p
        if self.kind == "stairs":
            return next((factor for at, factor in reversed(self.stairs) if p >= float(at)), 1.0)
        if self.kind in ("dexp", "jdexp"):
            stair = min(int(p * self.steps), self.steps - 1)
            if self.kind == "jdexp" and stair and 0.2 < p < 0.9 and p * self.steps > stair + 0.5:
                stair -= 0.5
            return self.factor ** -(stair / (self.steps - 1))
        return 1.0

    def __str__(self) -> str:
        if self.kind == "default":
            return self.kind
        if self.kind == "stairs":
            return f"stairs[{','.join(f'{at}:{factor:g}' for at, factor in self.stairs)}]"
        steps = f",numSteps={self.steps}" if self.kind in ("dexp", "jdexp") else ""
        noise = f",noiseStdev={self.noise:g}" if self.noise else ""
        return f"{self.kind}[tgtFactor={self.factor:g}{noise}{steps}]"


CONSTANT = Schedule()


def _arguments(text: str, kind: str, inside: str) -> dict[str, float]:
    """The numbers between the brackets, by name."""
    names = KINDS[kind]
    values = {}
    for position, item in enumerate(filter(None, map(str.strip, inside.split(",")))):
        name, equals, value = item.rpartition("=")
        if not equals and position < len(names):
            name = names[position]
        if name.strip() not in names:
            raise ValueError(f"schedule {text!r}: unexpected {item!r}; write {_form(kind)}")
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"schedule {text!r}: {item!r} is not a number") from None
    return values


def _stairs(text: str, inside: str) -> tuple[tuple[Fraction, float], ...]:
    """The pairs between the brackets; a place may be written as a fraction, 25/91."""
    stairs = []
    for item in filter(None, map(str.strip, inside.split(","))):
        at, _, factor = item.partition(":")
        try:
            stairs.append((Fraction(at.strip()), float(factor)))
        except (ValueError, ZeroDivisionError):
            raise ValueError(
                f"schedule {text!r}: {item!r} is not a part of the run and a factor, such as 25/91:0.1"
            ) from None
    places = [at for at, _ in stairs]
    if not stairs or sorted(set(places)) != places or not 0 <= places[0] <= places[-1] <= 1:
        raise ValueError(f"schedule {text!r}: the places must ascend between 0 and 1")
    if not all(factor >= 0 for _, factor in stairs):
        raise ValueError(f"schedule {text!r}: factors must be at least 0")
    return tuple(stairs)


def _form(kind: str) -> str:
    return kind + (f"[{','.join(KINDS[kind])}]" if KINDS[kind] else "")
