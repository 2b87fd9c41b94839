"""An instruction of PTX, and the table of functions that make C++ of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from statements import C_TYPES, Unsupported, list_of

if TYPE_CHECKING:
    from function import Function

SPACES = ("global", "shared", "local", "const", "param")

# What changes a result in ways that no translation here knows.
UNKNOWN_MODIFIERS = {"cc", "NaN", "xorsign", "relu", "satfinite", "pack", "sp", "clamp_add"}


class Instruction:
    """`@guard name.modifier.modifier operands`, without the guard."""

    def __init__(self, text: str):
        m = re.match(r"([\w.:]+)\s*(.*)$", text)
        if not m:
            raise Unsupported("a statement")
        self.name, *self.modifiers = m.group(1).split(".")
        self.rest = m.group(2)
        self.operands = list_of(self.rest)
        self.ptx_types = [x for x in self.modifiers if x in C_TYPES]
        self.types = [C_TYPES[x] for x in self.ptx_types]
        if unknown := UNKNOWN_MODIFIERS.intersection(self.modifiers):
            raise Unsupported(f".{min(unknown)}")

    @property
    def type(self) -> str:
        """The last type named, which is that of most operands."""
        if not self.types:
            raise Unsupported("no type")
        return self.types[-1]

    def __contains__(self, modifier: str) -> bool:
        return modifier in self.modifiers

    def choice(self, table: dict[str, Any]) -> Any:
        """The table's entry for the one modifier that it names."""
        for modifier in self.modifiers:
            if modifier in table:
                return table[modifier]
        raise Unsupported("none of ." + ", .".join(table))

    def space(self) -> str:
        for modifier in self.modifiers:
            if (name := modifier.split("::")[0]) in SPACES:
                return name
        return "generic"


Translation = Callable[["Function", Instruction], str]
TRANSLATIONS: dict[str, Translation] = {}


def translates(*names: str) -> Callable[[Translation], Translation]:
    """Enters a function that makes C++ statements of the instructions with these names."""

    def enter(translation: Translation) -> Translation:
        TRANSLATIONS.update(dict.fromkeys(names, translation))
        return translation

    return enter
