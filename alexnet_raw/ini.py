"""INI files and the typed, checked keys of one section.

A layer asks its section for the keys it knows; `Keys.finish` then looks at what nobody asked for.
Every error names the file, the section and the key, and says what to write instead.
"""

from __future__ import annotations

import configparser
import difflib
import math
from collections.abc import Callable, Sequence
from typing import Any

REQUIRED: Any = object()
FLAGS = dict.fromkeys(("1", "true", "yes", "on"), True)
FLAGS |= dict.fromkeys(("0", "false", "no", "off"), False)


class LayerFileError(ValueError):
    """A layer or parameter file that cannot be used; the message says where and what to do."""


def read_ini(text: str, file: str, notes: list[str] | None = None) -> dict[str, dict[str, str]]:
    """Section name -> key in lower case -> value, in file order. `file` is used in errors.

    As in cuda-convnet, sections of one name are one, and of a key given twice the last counts: `notes`
    gets a sentence on that.
    """
    try:
        parser = _parse(text, file, strict=True)
    except (configparser.DuplicateSectionError, configparser.DuplicateOptionError) as e:
        what = "a second section of this name adds to the first"
        if isinstance(e, configparser.DuplicateOptionError):
            what = f"{e.option} is given twice: this one counts"
        if notes is not None:
            notes.append(f"{file} [{e.section}] line {e.lineno}: {what}")
        parser = _parse(text, file, strict=False)
    return {name: dict(parser[name]) for name in parser.sections()}


def _parse(text: str, file: str, strict: bool) -> configparser.ConfigParser:
    """Raises the errors of duplicates if strict, and LayerFileError for all others."""
    parser = configparser.ConfigParser(
        interpolation=None,
        comment_prefixes=("#", ";", "rem ", "REM "),
        inline_comment_prefixes=("#", ";"),
        default_section="",
        strict=strict,
    )
    try:
        parser.read_string(text.removeprefix("\ufeff"), file)
    except configparser.MissingSectionHeaderError as e:
        message = f"line {e.lineno}: {e.line.strip()!r} comes before the first [section]"
        raise LayerFileError(f"{file} {message}") from None
    except configparser.ParsingError as e:
        line, content = e.errors[0]
        raise LayerFileError(f"{file} line {line}: {content} is not of the form key=value") from None
    return parser


class Keys:
    """The keys of one section. Each getter takes a key's name (any case) and its default.

    Without a default the key is required. Lists are comma-separated and must have `count`
    values; their default is one value, repeated.
    """

    def __init__(self, file: str, section: str, values: dict[str, str] | None):
        self.file, self.section = file, section
        self.present = values is not None
        self._values = {key.lower(): value.strip() for key, value in (values or {}).items()}
        self._asked: dict[str, str] = {}
        self._notes: list[str] = []

    def __contains__(self, key: str) -> bool:
        return key.lower() in self._values

    def error(self, key: str, message: str) -> LayerFileError:
        """The exception to raise for `key` (or, if it is empty, for the whole section)."""
        return LayerFileError(f"{self.file} [{self.section}] {key + ': ' if key else ''}{message}")

    def finish(self) -> list[str]:
        """Look at keys that no getter has asked for: refuse slips of the pen, report the others.

        cuda-convnet ignored keys that it did not know, and files of its time have some.
        """
        ignored = list(self._notes)
        for key in filter(lambda key: key not in self._asked, self._values):
            absent = [asked for asked in self._asked if asked not in self._values]
            if close := difflib.get_close_matches(key, absent, n=1, cutoff=0.75):
                known = ", ".join(self._asked.values())
                raise self.error(
                    key, f"unknown key; did you mean {self._asked[close[0]]}? known here: {known}"
                )
            ignored.append(f"{self.file} [{self.section}] {key}: unknown key, ignored")
        return ignored

    def text(self, key: str, default: Any = REQUIRED) -> Any:
        return self._get(key, default, str, "a word")

    def integer(self, key: str, default: Any = REQUIRED, least: int | None = None) -> int:
        return self._least(key, [self._get(key, default, int, "a whole number")], least)[0]

    def number(self, key: str, default: Any = REQUIRED, least: float | None = None) -> float:
        return self._least(key, [self._get(key, default, _number, "a number")], least)[0]

    def flag(self, key: str, default: Any = REQUIRED) -> bool:
        return self._get(key, default, lambda text: FLAGS[text.lower()], "0 or 1")

    def flags(self, key: str, count: int, default: Any = REQUIRED) -> list[bool]:
        return self._list(key, count, default, lambda text: FLAGS[text.lower()], "0 or 1")

    def choice(self, key: str, choices: Sequence[str], default: Any = REQUIRED) -> str:
        def choose(text: str) -> str:
            return choices[choices.index(text)]

        return self._get(key, default, choose, f"one of {', '.join(choices)}")

    def names(self, key: str, default: Any = REQUIRED) -> list[str]:
        """A comma list of names, of any length."""
        return self._get(key, default, _split, "a comma list of names")

    def integers(
        self, key: str, count: int, default: Any = REQUIRED, least: int | None = None
    ) -> list[int]:
        return self._least(key, self._list(key, count, default, int, "whole numbers"), least)

    def integers_or_one(self, key: str, count: int, least: int | None = None) -> list[int]:
        """As `integers`, where a single value will do for all inputs."""
        if "," in self._values.get(key.lower(), ""):
            return self.integers(key, count, least=least)
        return [self.integer(key, least=least)] * count

    def numbers(
        self, key: str, count: int, default: Any = REQUIRED, least: float | None = None
    ) -> list[float]:
        return self._least(key, self._list(key, count, default, _number, "numbers"), least)

    def parsed(self, key: str, parse: Callable[[str], Any], default: Any = REQUIRED) -> Any:
        """What `parse` makes of the text; its ValueError is reported with file and section."""
        text = self.text(key, default)
        if key not in self:
            return text
        try:
            return parse(text)
        except ValueError as e:
            raise self.error(key, str(e)) from None

    def only(self, key: str, *accepted: str) -> None:
        """Accept a key of cuda-convnet's whose effect is not built, at values without effect."""
        if self.text(key, None) not in (None, *accepted):
            values = " or ".join(f"{key}={value}" for value in accepted)
            remedy = f"use {values}, or remove it" if accepted else "remove it"
            raise self.error(key, f"{self.text(key)!r} is not supported; {remedy}")

    def note(self, key: str, message: str) -> None:
        """Tell the user, with `finish`, what becomes of a key that is there."""
        self._notes.append(f"{self.file} [{self.section}] {key}: {message}")

    def _get(self, key: str, default: Any, convert: Callable[[str], Any], kind: str) -> Any:
        self._asked[key.lower()] = key
        if key in self:
            text = self._values[key.lower()]
            try:
                return convert(text)
            except (ValueError, KeyError):
                raise self.error(key, f"{text!r} is not {kind}") from None
        if default is not REQUIRED:
            return default
        if not self.present:
            raise self.error(
                key, f"missing, and so is the whole section: add [{self.section}] with {key}="
            )
        raise self.error(key, f"missing: add {key}= ({kind})")

    def _list(self, key: str, count: int, default: Any, convert: Callable, kind: str) -> list:
        def convert_all(text: str) -> list:
            return [convert(value) for value in _split(text.removesuffix(","))]

        values = self._get(key, default, convert_all, f"a comma list of {kind}")
        if values is default:
            return [default] * count
        if len(values) != count:
            raise self.error(
                key, f"{len(values)} values, but the layer has {count} inputs: give one for each"
            )
        return values

    def _least(self, key: str, values: list, least: float | None) -> list:
        for value in values:
            if least is not None and value is not None and not value >= least:
                raise self.error(key, f"is {value}, but must be at least {least}")
        return values


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


def _split(text: str) -> list[str]:
    return [value.strip() for value in text.split(",")]
