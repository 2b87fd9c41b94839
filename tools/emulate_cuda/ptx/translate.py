#!/usr/bin/env python3
"""Makes C++ of PTX, to be compiled against machine.h and linked with the emulator's runtime.

    translate.py kernels.ptx kernels.cpp

Every kernel becomes a function that one CUDA thread runs; README.md says what is checked then. What
the translator does not know it names, with its line, and fails.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

import arithmetic
import control
import conversion
import hopper
import memory
from function import Function
from statements import (
    C_TYPES,
    SIZES,
    Statement,
    Unsupported,
    Variable,
    identifier,
    statements,
    variable,
)

TRANSLATIONS_OF = (
    arithmetic,
    control,
    conversion,
    hopper,
    memory,
)  # they enter themselves when imported

PROLOGUE = """#include "memory.h"
#include "warp.h"
#include "wgmma.h"

using namespace emulator;

namespace {
"""


def quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def bytes_of(number: str, size: int) -> bytes:
    if not re.match(r"-?(?:0[xXfFdD])?[0-9a-fA-F]+U?$", number):
        raise Unsupported(f"initial value {number}")
    number = number.rstrip("U")
    value = int(number[2:], 16) if number[1:2] in tuple("fFdD") else int(number, 0)
    return (value & (1 << 8 * size) - 1).to_bytes(size, "little")


def registers_of_products(texts: Iterable[str]) -> set[str]:
    """The names of registers that hold operands of wgmma, or are moved to or from such."""
    found: set[str] = set()
    moves = []
    for text in texts:
        if "wgmma.mma_async" in text:
            found.update(re.findall(r"[%\w$]+", " ".join(re.findall(r"\{([^}]*)\}", text))))
        elif m := re.match(r"(?:@!?[%\w$]+\s+)?mov\.[bfsu]32\s+([%\w$]+)\s*,\s*(%[\w$]+)$", text):
            moves.append(m.groups())
    while found and (more := {x for move in moves if found.intersection(move) for x in move} - found):
        found |= more
    return found


class Module:
    """A file of PTX."""

    def __init__(self, text: str, name: str):
        self.name = name
        self.files = dict(re.findall(r'^\s*\.file\s+(\d+)\s+"([^"]*)"', text, re.MULTILINE))
        self.place = ("", 0)  # the line of CUDA C++ that statements come from
        self.sites: list[tuple[str, int, str]] = []
        self.variables: set[str] = set()  # in global and constant memory
        self.shared: dict[str, Variable] = {}
        self.functions: set[str] = set()
        self.output: list[str] = []
        self.errors: list[str] = []
        all_statements = list(statements(text))
        self.tagged = registers_of_products(s.text for s in all_statements)
        self.translate(all_statements)

    def site(self, text: str, line: int) -> int:
        file, source_line = self.place
        self.sites.append((file, source_line, text) if source_line else (self.name, line, text))
        return len(self.sites) - 1

    def translate(self, all_statements: list[Statement]) -> None:
        function, depth = None, 0
        for s in all_statements:
            try:
                if s.kind == "directive":
                    if m := re.match(r"\.loc\s+(\d+)\s+(\d+)", s.text):
                        self.place = (self.files.get(m[1], "?"), int(m[2]))
                elif s.kind == "function":
                    function = Function(self, s.text)
                elif function:
                    function.add(s)
                    depth += (s.kind == "open") - (s.kind == "close")
                    if depth == 0:
                        self.functions.add(function.name)
                        self.output.append(function.definition())
                        function = None
                elif s.kind == "code":
                    self.declare(variable(s.text))
            except (Unsupported, KeyError, ValueError) as error:
                self.errors.append(f"{self.name}:{s.line}: not supported ({error}): {s.text}")

    def declare(self, v: Variable) -> None:
        if v.space == "shared":
            self.shared[v.name] = v
            return
        element = SIZES[C_TYPES[v.type]]
        numbers = re.findall(r"[^\s,{}]+", v.initial or "")
        values = ", ".join(str(b) for number in numbers for b in bytes_of(number, element))
        name = f"variable_{identifier(v.name)}"
        self.variables.add(v.name)
        self.output.append(
            f"alignas(256) u8 {name}[{v.size}] = {{{values}}};\n"
            f'const VariableEntry entry_{identifier(v.name)}("{v.name}", {name}, {v.size});\n'
        )

    def cpp(self) -> str:
        sites = "".join(f"    {{{quoted(f)}, {n}, {quoted(t)}}},\n" for f, n, t in self.sites)
        table = f"const Site sites[] = {{\n{sites}    {{nullptr, 0, nullptr}}}};\n"
        return PROLOGUE + table + "\n".join(self.output) + "\n}  // namespace\n"


def main() -> int:
    source, target = map(Path, sys.argv[1:])
    module = Module(source.read_text(), source.name)
    if module.errors:
        print("\n".join(module.errors), file=sys.stderr)
        return 1
    target.write_text(module.cpp())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
