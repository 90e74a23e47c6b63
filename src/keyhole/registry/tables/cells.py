"""One cell's text as the value that its field holds, or what is wrong with it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, TypeAlias

from keyhole.errors import InvalidInput
from keyhole.registry.tables.fields import Field
from keyhole.terms import split

MISSING = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", ".")
ISO = "%Y-%m-%d"
LONGEST = {"name": 64, "text": 2000}
LARGEST = 1e12
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,2})?")
_LEVEL = re.compile(r"(C[1-7]|T([1-9]|1[0-2])|L[1-6]|S1)(/(C[1-7]|T([1-9]|1[0-2])|L[1-6]|S1))?")
_FLAGS = {"1": True, "0": False, "true": True, "false": False, "yes": True, "no": False, "1.0": True, "0.0": False}
_UNITS = {
    ("mL", "L"): 1000.0,
    ("mL", "dL"): 100.0,
    ("mL", "cL"): 10.0,
    ("min", "h"): 60.0,
    ("min", "s"): 1 / 60,
    ("d", "h"): 1 / 24,
    ("d", "wk"): 7.0,
    ("a", "mo"): 1 / 12,
}


Cell: TypeAlias = Callable[[str], Any]
Day: TypeAlias = date


@dataclass(frozen=True, slots=True)
class Wrong:
    """Why a cell cannot be: what stands there and what was expected."""

    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Reading:
    """How the cells of a column are written."""

    date: str = ISO
    decimal: str = "."
    missing: tuple[str, ...] = MISSING
    values: Mapping[str, str] = field(default_factory=dict)
    factor: float = 1.0
    last: Day | None = None


def factor_of(known: Field, unit: str) -> float:
    """What a number in `unit` is to be multiplied with for the field's own unit."""
    if unit in {"", known.unit}:
        return 1.0
    if (known.unit, unit) not in _UNITS:
        others = [mine for own, mine in _UNITS if own == known.unit]
        raise InvalidInput(
            f"{known.full} cannot be read in {unit!r}; expected {' or '.join([known.unit, *others]) or 'no unit'}, "
            "or a factor"
        )
    return _UNITS[known.unit, unit]


def cell_of(known: Field, reading: Reading) -> Cell:
    """The function that turns a cell of the field's column into its value, None where missing, or what is `Wrong`."""
    parse = _PARSERS[known.type]
    missing = frozenset(reading.missing)

    def value(cell: str) -> Any:
        bare = cell.strip()
        bare = reading.values.get(bare, bare)
        if bare in missing:
            return Wrong("nothing", known.expected) if known.needed else None
        return parse(bare, known, reading)

    return value


def _number(cell: str, known: Field, reading: Reading) -> float | Wrong:
    if reading.decimal == "," and "." in cell:
        return Wrong(repr(cell), f"{known.expected}, with a decimal comma")
    plain = cell.replace(",", ".") if reading.decimal == "," else cell
    if not _NUMBER.fullmatch(plain):
        hint = ', with a decimal point (or say decimal = ",")' if "," in cell else ""
        return Wrong(repr(cell[:60]), f"{known.expected}{hint}")
    number = float(plain)
    if reading.factor != 1.0:
        number = float(f"{number * reading.factor:.12g}")
    if not math.isfinite(number) or abs(number) > LARGEST or not _is_between(number, known):
        return Wrong(cell if reading.factor == 1.0 else f"{cell} ({number:g} {known.unit})", known.expected)
    return number


def _is_between(number: float, known: Field) -> bool:
    return (known.low is None or number >= known.low) and (known.high is None or number <= known.high)


def _integer(cell: str, known: Field, reading: Reading) -> int | Wrong:
    number = _number(cell, known, reading)
    if isinstance(number, Wrong):
        return number
    return int(number) if number.is_integer() else Wrong(cell, known.expected)


def _day(cell: str, known: Field, reading: Reading) -> date | Wrong:
    try:
        if reading.date == ISO:
            found = date.fromisoformat(cell) if len(cell) == 10 and cell[4] == "-" else None
        else:
            found = datetime.strptime(cell, reading.date).date()
    except ValueError:
        found = None
    if found is None:
        written = "" if reading.date == ISO else f" written as {reading.date}"
        return Wrong(repr(cell[:60]), f"a day, YYYY-MM-DD{written}" if not written else f"a day{written}")
    if found.year < 1900:
        return Wrong(found.isoformat(), "a day since 1900")
    if reading.last is not None and found > reading.last:
        return Wrong(found.isoformat(), f"a day up to {reading.last.isoformat()}")
    return found


def _flag(cell: str, known: Field, reading: Reading) -> bool | Wrong:
    return _FLAGS.get(cell.lower(), Wrong(repr(cell[:60]), known.expected))


def _choice(cell: str, known: Field, reading: Reading) -> str | Wrong:
    return cell if cell in known.codes else Wrong(repr(cell[:60]), known.expected)


def _words(cell: str, known: Field, reading: Reading) -> str | Wrong:
    if len(cell) > LONGEST[known.type]:
        return Wrong(f"{len(cell)} characters", f"at most {LONGEST[known.type]}")
    if not all(sign.isprintable() or (sign == "\n" and known.type == "text") for sign in cell):
        return Wrong(repr(cell[:60]), "text without control characters")
    if known.type == "name" and any(sign.isspace() for sign in cell):
        return Wrong(repr(cell[:60]), known.expected)
    return cell


def _levels(cell: str, known: Field, reading: Reading) -> str | Wrong:
    parts = [part.strip() for part in cell.split(";")]
    if not all(_is_level(part) for part in parts) or len(set(parts)) != len(parts):
        return Wrong(repr(cell[:60]), known.expected)
    return ";".join(parts)


def _is_level(part: str) -> bool:
    """Whether it is a vertebra, or two that are neighbours."""
    if not _LEVEL.fullmatch(part):
        return False
    try:
        return "/" not in part or bool(split(part))
    except InvalidInput:
        return False


def _items(cell: str, known: Field, reading: Reading) -> list[Any] | Wrong:
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(_is_answer(item) for item in found):
        return Wrong(repr(cell[:60]), known.expected)
    return found


def _is_answer(item: object) -> bool:
    if item is None:
        return True
    return isinstance(item, int | float) and not isinstance(item, bool) and math.isfinite(item)


_PARSERS: Mapping[str, Callable[[str, Field, Reading], Any]] = {
    "number": _number,
    "integer": _integer,
    "date": _day,
    "flag": _flag,
    "choice": _choice,
    "name": _words,
    "text": _words,
    "levels": _levels,
    "items": _items,
}
