"""PTX text as statements, and the names of its types in C++."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# PTX's types by the C++ types that hold their registers (machine.h).
C_TYPES = {
    "pred": "bool", "b8": "u8", "u8": "u8", "s8": "s8", "b16": "u16", "u16": "u16", "s16": "s16",
    "b32": "u32", "u32": "u32", "s32": "s32", "b64": "u64", "u64": "u64", "s64": "s64",
    "f32": "f32", "f64": "f64", "f16": "u16", "bf16": "u16", "f16x2": "u32", "bf16x2": "u32",
    "tf32": "u32",
}  # fmt: skip
SIZES = {"bool": 1} | {t: int(t[1:]) // 8 for t in C_TYPES.values() if t != "bool"}


class Unsupported(Exception):
    """PTX that the translator does not know."""


@dataclass(frozen=True)
class Statement:
    kind: str  # open, close, label, directive, function, prototype or code
    text: str
    line: int  # of the PTX


LABEL = re.compile(r"([A-Za-z_$%][\w$]*)\s*:(?!:)")
DIRECTIVE = re.compile(r"\.(version|target|address_size|file|loc)\b[^\n]*")
SECTION = re.compile(r"\.section\b[^{]*\{[^}]*\}")
FUNCTION = re.compile(r"(?:\.(?:visible|weak|extern)\s+)*\.(?:entry|func)\b")


def statements(text: str) -> Iterator[Statement]:
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    at, line = 0, 1
    while at < len(text):
        end, found = at + 1, None
        if text[at] in "{}":
            found = Statement("open" if text[at] == "{" else "close", "", line)
        elif text[at].isspace():
            pass
        elif m := LABEL.match(text, at):
            end, found = m.end(), Statement("label", m.group(1), line)
        elif m := DIRECTIVE.match(text, at):
            end, found = m.end(), Statement("directive", m.group(), line)
        elif m := SECTION.match(text, at):  # debug information
            end = m.end()
        elif FUNCTION.match(text, at):
            end = re.compile("[{;]").search(text, at).start()
            kind = "prototype" if text[end] == ";" else "function"
            found = Statement(kind, " ".join(text[at:end].split()), line)
            end += kind == "prototype"
        else:
            end = re.compile(r'(?:[^;"]|"[^"]*")*').match(text, at).end()
            found = Statement("code", " ".join(text[at:end].split()), line)
            end += 1
        if found:
            yield found
        line += text.count("\n", at, end)
        at = end


@dataclass(frozen=True)
class Variable:
    space: str
    name: str
    type: str  # of PTX
    size: int
    alignment: int
    dynamic: bool  # shared memory whose size the launch tells
    initial: str | None


VARIABLE = re.compile(
    r"(?:\.(?:visible|weak|extern)\s+)*\.(global|const|shared|local|param)"
    r"((?:\s*\.(?:align\s+\d+|attribute\(\w+\)|v[24]))*)"
    r"\s*\.(\w+)\s+([\w$%]+)((?:\[[^\]]*\])*)\s*(?:=\s*(.*))?$"
)


def variable(text: str) -> Variable:
    """The declaration of a variable or parameter."""
    m = VARIABLE.match(re.sub(r"\.ptr(?: \.\w+)?(?: \.align \d+)?", "", text))
    if not m:
        raise Unsupported("a variable")
    space, qualifiers, type_, name, dimensions, initial = m.groups()
    lanes = re.search(r"\.v([24])", qualifiers)
    element = SIZES[C_TYPES[type_]] * (int(lanes.group(1)) if lanes else 1)
    size, dynamic = element, False
    for dimension in re.findall(r"\[([^\]]*)\]", dimensions):
        dynamic = dynamic or not dimension.strip()
        size *= int(dimension or "1", 0)
    aligned = re.search(r"align\s+(\d+)", qualifiers)
    alignment = int(aligned.group(1)) if aligned else element
    return Variable(space, name, type_, size, alignment, dynamic, initial)


def list_of(text: str) -> list[str]:
    """The parts between commas that no bracket encloses."""
    parts, depth, part = [], 0, ""
    for character in text:
        depth += (character in "{[(") - (character in "}])")
        if character == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += character
    return [*parts, part.strip()] if part.strip() else parts


def identifier(name: str) -> str:
    """A name of PTX as one of C++."""
    return re.sub(r"[^A-Za-z0-9_]", lambda m: f"_{ord(m.group()):x}_", name.lstrip("%"))
