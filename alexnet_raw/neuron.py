"""Activation functions as layer files name them: `relu`, `tanh[1.7159,0.6667]`, `ident`."""

from __future__ import annotations

import re
from dataclasses import dataclass

# kind -> names of its parameters. The kernels of `neuron.cu` know the same kinds.
KINDS = {"ident": (), "relu": (), "tanh": ("a", "b")}


@dataclass(frozen=True)
class Neuron:
    """An elementwise activation: ident x, relu max(0, x), tanh a*tanh(b*x)."""

    kind: str
    a: float = 1.0
    b: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Neuron:
        """Read `kind` or `kind[a,b]`; ValueError says what is known."""
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", text)
        if not match or match[1] not in KINDS:
            raise ValueError(f"unknown neuron {text!r}: known are {', '.join(map(_form, KINDS))}")
        kind, names = match[1], KINDS[match[1]]
        values = [v for v in (match[2] or "").split(",") if v.strip()]
        if len(values) != len(names):
            raise ValueError(f"neuron {text!r}: write {_form(kind)}")
        try:
            return cls(kind, *map(float, values))
        except ValueError:
            raise ValueError(f"neuron {text!r}: {match[2]!r} are not numbers") from None

    def __str__(self) -> str:
        values = ",".join(repr(getattr(self, name)) for name in KINDS[self.kind])
        return f"{self.kind}[{values}]" if values else self.kind


def _form(kind: str) -> str:
    """How `kind` is written, e.g. tanh[a,b]."""
    return kind + (f"[{','.join(KINDS[kind])}]" if KINDS[kind] else "")


IDENT = Neuron("ident")
RELU = Neuron("relu")
