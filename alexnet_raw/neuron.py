"""Activation functions as layer files name them: `relu`, `tanh[1.7159,0.6667]`, `ident`."""

from __future__ import annotations

import re
from dataclasses import dataclass

# kind -> names of its parameters. The kernels of `neuron.cu` know the same kinds; nrelu, which draws
# random numbers, has its own.
KINDS = {
    "ident": (),
    "relu": (),
    "tanh": ("a", "b"),
    "logistic": (),
    "softrelu": (),
    "sqrt": (),
    "brelu": ("a",),
    "linear": ("a", "b"),
    "abs": (),
    "square": (),
    "drelu": ("a",),
    "nrelu": (),
}


@dataclass(frozen=True)
class Neuron:
    """An elementwise activation f(x).

    ident x, relu max(0, x), tanh a tanh(b x), logistic 1 / (1 + e^-x), softrelu log(1 + e^x),
    sqrt sqrt(x), brelu min(a, max(0, x)), linear a x + b, abs |x|, square x^2,
    drelu x - a tanh(x / a), nrelu max(0, x + N(0, variance logistic(x))) in training, relu in testing.
    """

    kind: str
    a: float = 1.0
    b: float = 1.0

    @classmethod
    def parse(cls, text: str) -> Neuron:
        """Read `kind` or `kind[a,b]`, or nothing, which is ident; ValueError says what is known."""
        if not text.strip():
            return IDENT
        match = re.fullmatch(r"\s*(\w+)\s*(?:\[(.*)\])?\s*", text)
        if not match or match[1] not in KINDS:
            raise ValueError(f"unknown neuron {text!r}: known are {', '.join(map(_form, KINDS))}")
        kind, names = match[1], KINDS[match[1]]
        values = [v for v in (match[2] or "").split(",") if v.strip()]
        if len(values) != len(names):
            raise ValueError(f"neuron {text!r}: write {_form(kind)}")
        try:
            neuron = cls(kind, *map(float, values))
        except ValueError:
            raise ValueError(f"neuron {text!r}: {match[2]!r} are not numbers") from None
        if kind in ("tanh", "drelu") and neuron.a == 0:
            raise ValueError(f"neuron {text!r}: a must not be 0")
        return neuron

    def __str__(self) -> str:
        values = ",".join(repr(getattr(self, name)) for name in KINDS[self.kind])
        return f"{self.kind}[{values}]" if values else self.kind


def _form(kind: str) -> str:
    """How `kind` is written, e.g. tanh[a,b]."""
    return kind + (f"[{','.join(KINDS[kind])}]" if KINDS[kind] else "")


IDENT = Neuron("ident")
RELU = Neuron("relu")
