"""Reading the fields of a catalogue's row: numbers with their source, words, remarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.evidence import source
from keyhole.terms import level as checked_level
from keyhole.terms import split

CLINIC = "clinic"
"""Source of a number that a clinic's own file gives without one."""

PAIRS = ("entry_lateral", "azimuth", "tilt", "reach", "dock_depth", "portal_distance", "portal_angle", "tip_distance")
WORDS = ("goals", "aims", "bone_soft", "implants", "instruments")
WORD = ("title", "docking", "kind", "exposes")


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence and the key of its source."""

    text: str
    source: str


@dataclass(frozen=True, slots=True)
class Retraction:
    """A structure that the operation holds aside; `amount` mm, None where nothing is published."""

    structure: str
    source: str
    amount: float | None = None


Parsed = tuple[dict[str, Any], dict[str, str], dict[str, dict[str, Any]]]


def parsed(row: Mapping[str, Any], where: str, *, own: bool) -> Parsed:
    """Values by field, sources by field, and by level the values that differ there."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    levels: dict[str, dict[str, Any]] = {}
    for field, entry in row.items():
        if field in WORD or field in WORDS:
            values[field] = _words(where, field, entry)
        elif field == "contraindications":
            values[field] = tuple(_remark(where, one, own=own) for one in _list(where, field, entry))
        elif field == "retracts":
            values[field] = tuple(_retraction(where, one, own=own) for one in _list(where, field, entry))
        else:
            value, key, there = _sourced(where, field, entry, own=own)
            values[field], sources[field] = number(where, field, value), key
            for name, other in there.items():
                levels.setdefault(_level(where, field, name), {})[field] = number(where, field, other)
    return values, sources, levels


def _words(where: str, field: str, entry: object) -> object:
    if field in WORD:
        if not (isinstance(entry, str) and entry.strip()):
            raise InvalidInput(f"{where}: {field} must be words, got {entry!r}")
        return entry
    words = _list(where, field, entry)
    if not all(isinstance(word, str) for word in words):
        raise InvalidInput(f"{where}: {field} must be a list of words, got {entry!r}")
    return tuple(words)


def _list(where: str, field: str, entry: object) -> list[Any]:
    if not isinstance(entry, list):
        raise InvalidInput(f"{where}: {field} must be a list, got {entry!r}")
    return entry


def _key(where: str, given: object, *, own: bool) -> str:
    if given is None and own:
        return source(CLINIC).key
    try:
        return source(str(given or "")).key
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {error}") from error


def _sourced(where: str, field: str, entry: object, *, own: bool) -> tuple[object, str, Mapping[str, object]]:
    """The value, the key of its source, and the values at single levels of a number's `entry`."""
    if isinstance(entry, dict):
        unknown = set(entry) - {"value", "source", "at"}
        if unknown:
            raise InvalidInput(f"{where}: {field} knows value, source and at, got {sorted(unknown)[0]!r}")
        there = entry.get("at", {})
        if not isinstance(there, dict):
            raise InvalidInput(f"{where}: {field}, at must be a table by level, got {there!r}")
        return entry.get("value"), _key(f"{where}: {field}", entry.get("source"), own=own), there
    if own:
        return entry, source(CLINIC).key, {}
    raise InvalidInput(f"{where}: {field} is a number without a source")


def _level(where: str, field: str, name: str) -> str:
    try:
        return checked_level(*split(name))
    except InvalidInput as error:
        raise InvalidInput(f"{where}: {field}, at: {error}") from error


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def number(where: str, field: str, value: object) -> object:
    """The checked value of a numeric field: a pair, ascending radii, two steps, or one number >= 0."""
    numbers = list(value) if isinstance(value, list) and all(_is_number(v) for v in value) else None
    if field in PAIRS or field == "steps":
        if numbers is None or len(numbers) != 2 or (field != "steps" and numbers[0] > numbers[1]):
            raise InvalidInput(f"{where}: {field} must be two ascending numbers, got {value!r}")
        return float(numbers[0]), float(numbers[1])
    if field == "radii":
        if not numbers or numbers != sorted(set(numbers)) or not numbers[0] > 0:
            raise InvalidInput(f"{where}: radii must be ascending and > 0 mm, got {value!r}")
        return tuple(float(r) for r in numbers)
    if not (_is_number(value) and float(value) >= 0):  # type: ignore[arg-type]  # known to be a number here
        raise InvalidInput(f"{where}: {field} must be a number >= 0, got {value!r}")
    return float(value)  # type: ignore[arg-type]  # known to be a number here


def _remark(where: str, entry: object, *, own: bool) -> Remark:
    if isinstance(entry, str) and own:
        return Remark(entry, source(CLINIC).key)
    if not (isinstance(entry, dict) and isinstance(entry.get("text"), str)):
        raise InvalidInput(f"{where}: a contraindication is a text with its source, got {entry!r}")
    return Remark(entry["text"], _key(f"{where}: contraindications", entry.get("source"), own=own))


def _retraction(where: str, entry: object, *, own: bool) -> Retraction:
    if not (isinstance(entry, dict) and isinstance(entry.get("structure"), str)):
        raise InvalidInput(f"{where}: retracts holds structures with their source, got {entry!r}")
    amount = entry.get("amount")
    if amount is not None:
        amount = number(where, "retracts", amount)
    return Retraction(entry["structure"], _key(f"{where}: retracts", entry.get("source"), own=own), amount)  # type: ignore[arg-type]  # a number >= 0
