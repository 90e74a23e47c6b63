"""Tables that a clinic brings itself: EQ-5D value sets, and T scores of raw sums."""

from __future__ import annotations

import hashlib
import itertools
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.instruments.parts import rows

_DIMENSIONS = ("d1", "d2", "d3", "d4", "d5")
_PROFILES = tuple("".join(digits) for digits in itertools.product("12345", repeat=5))


@dataclass(frozen=True, slots=True)
class ValueSet:
    """What each of the 3,125 profiles is worth, the file's name and digest, and what is odd about it."""

    name: str
    sha256: str
    values: Mapping[str, float]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TScores:
    """T score of each raw sum, and the file's name and digest."""

    name: str
    sha256: str
    values: Mapping[int, float]


def value_set(path: Path) -> ValueSet:
    """The value set in `path`: a CSV with the columns profile and value for every profile, or a TOML of decrements.

    The TOML has `name`, `full_health` (the worth of 11111), d1 to d5 in the form's order with five numbers each (what
    levels 1 to 5 take off; the first is 0), and optionally `constant` (taken off as soon as one level is above 1).
    A set in which one profile is missing, repeated or worth more than full health is refused.
    """
    text, digest = _text(path)
    values, name = _additive(path, text) if path.suffix.casefold() == ".toml" else (_listed(path, text), path.name)
    worst = max(values, key=lambda profile: values[profile])
    if not all(-2 <= value <= 1 for value in values.values()) or values[worst] > values["11111"]:
        raise InvalidInput(
            f"{path.name}: values lie between -2 and 1 and none is above that of 11111 ({values['11111']:g}); "
            f"{worst} has {values[worst]:g}"
        )
    return ValueSet(name, digest, values, _disorder(values))


def t_scores(path: Path) -> TScores:
    """The table in `path`: a CSV with the columns raw and t, one row for every sum."""
    text, digest = _text(path)
    values: dict[int, float] = {}
    for line, row in _rows(path, text, ("raw", "t")):
        raw = _decimal(path, line, row["raw"])
        if raw != int(raw) or int(raw) in values:
            raise InvalidInput(f"{path.name}, line {line}: every whole sum stands once, got {row['raw']!r}")
        values[int(raw)] = _decimal(path, line, row["t"])
    gaps = sorted(set(range(min(values), max(values) + 1)) - set(values)) if values else [0]
    if gaps:
        raise InvalidInput(f"{path.name}: there is no row for the sum {gaps[0]}")
    return TScores(path.name, digest, values)


def _text(path: Path) -> tuple[str, str]:
    try:
        data = path.read_bytes()
        return data.decode("utf-8-sig"), hashlib.sha256(data).hexdigest()
    except OSError as error:
        raise UnreadableFile(f"{path}: cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path}: is not text in UTF-8") from error


def _rows(path: Path, text: str, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    names, found = rows(path, text)
    named = {name.strip().casefold(): name for name in names}
    if not set(columns) <= set(named):
        raise InvalidInput(f"{path.name}: needs the columns {' and '.join(columns)}, has {', '.join(names) or 'none'}")
    return [(line, {column: row[named[column]].strip() for column in columns}) for line, row in found]


def _decimal(path: Path, line: int, word: str) -> float:
    try:
        value = float(word.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InvalidInput(f"{path.name}, line {line}: {word[:40]!r} is not a number")
    return value


def _listed(path: Path, text: str) -> dict[str, float]:
    values: dict[str, float] = {}
    for line, row in _rows(path, text, ("profile", "value")):
        if row["profile"] in values or len(row["profile"]) != 5 or not set(row["profile"]) <= set("12345"):
            raise InvalidInput(f"{path.name}, line {line}: {row['profile'][:20]!r} is no profile, or stands twice")
        values[row["profile"]] = _decimal(path, line, row["value"])
    missing = [profile for profile in _PROFILES if profile not in values]
    if missing:
        raise InvalidInput(f"{path.name}: {len(missing)} of 3,125 profiles have no value, the first is {missing[0]}")
    return values


def _additive(path: Path, text: str) -> tuple[dict[str, float], str]:
    try:
        entry = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UnreadableFile(f"{path.name}: is not TOML ({error})") from error
    unknown = set(entry) - {"name", "full_health", "constant", *_DIMENSIONS}
    steps = [entry.get(name) for name in _DIMENSIONS]
    if unknown or not all(
        isinstance(s, list) and len(s) == 5 and all(_is_number(x) for x in s) and s[0] == 0 for s in steps
    ):
        raise InvalidInput(f"{path.name}: needs d1 to d5 with five numbers each, the first 0, and no other key")
    full, constant = entry.get("full_health", 1.0), entry.get("constant", 0.0)
    if not (_is_number(full) and _is_number(constant)):
        raise InvalidInput(f"{path.name}: full_health and constant are numbers, got {full!r} and {constant!r}")
    values = {
        profile: full
        - (constant if profile != "11111" else 0.0)
        - sum(step[int(digit) - 1] for step, digit in zip(steps, profile, strict=True) if step)
        for profile in _PROFILES
    }
    return {profile: round(value, 6) for profile, value in values.items()}, str(entry.get("name", path.name))


def _is_number(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x)


def _disorder(values: Mapping[str, float]) -> tuple[str, ...]:
    """A caveat where one more problem is worth more than one fewer."""
    for profile in _PROFILES:
        for n, digit in enumerate(profile):
            worse = f"{profile[:n]}{int(digit) + 1}{profile[n + 1 :]}"
            if digit != "5" and values[worse] > values[profile]:
                return (f"in this value set {worse} is worth more than {profile}, although it is worse",)
    return ()
