"""The rules of progress: read from a data file that a clinic may edit, and checked before anything is advised."""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import sources
from keyhole.recovery.instruments import instruments
from keyhole.recovery.progress.model import Word
from keyhole.recovery.progress.observation import EVENTS, RED_FLAGS

GUARDS: dict[str, tuple[Word, ...]] = {
    "red-flag": ("call",),
    "before-operation": ("call", "hold"),
    "after-today": ("call", "hold"),
    "conflict": ("call", "hold"),
    "phase-unknown": ("call", "hold"),
    "unsigned": ("call", "hold"),
    "too-early": ("call", "hold"),
    "last-phase": ("call", "hold"),
    "not-met": ("call", "hold"),
    "unknown": ("call", "hold"),
    "ready": ("advance",),
}
"""Kinds that every file must have exactly once, with what they may advise."""

NEEDS: dict[str, tuple[str, ...]] = {
    "level": ("instruments", "at"),
    "worsened": ("instruments",),
    "gain": ("instruments", "below", "from_day"),
    "band": (),
    "steps": ("part",),
    "overdue": ("days",),
    "needed": ("instruments",),
    "event": ("instruments",),
}
TAKES: dict[str, tuple[str, ...]] = {
    "level": ("days", "from_day", "to_day"),
    "worsened": ("by", "share", "days", "at", "from_day", "to_day"),
    "gain": ("to_day",),
    "band": ("visits", "from_day", "to_day"),
    "steps": ("from_day", "to_day"),
    "overdue": (),
    "needed": (),
    "event": ("within",),
    "phase-unknown": ("days",),
}
COMMON = ("name", "advice", "kind", "says", "source")
_WHOLE = ("days", "visits", "within", "from_day", "to_day")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; what its kind does not need is as it is here."""

    name: str
    advice: Word
    kind: str
    says: str
    source: str
    beside: tuple[str, ...] = ()  # sources of single settings
    instruments: tuple[str, ...] = ()
    at: float | None = None
    by: float | None = None
    share: float | None = None
    below: float | None = None
    part: float | None = None
    days: int = 1
    visits: int = 1
    within: int | None = None
    from_day: int | None = None
    to_day: int | None = None


@dataclass(frozen=True, slots=True)
class StepsCourse:
    """Steps a day as published, as a share of the own baseline by day, and the window of a mean."""

    days: tuple[float, ...]
    shares: tuple[float, ...]
    source: str
    window: int
    least: int


@dataclass(frozen=True, slots=True)
class Rules:
    """All rules, how long a value is fresh, which difference is a conflict, and which change matters."""

    title: str
    version: str
    digest: str
    file: str
    rules: tuple[Rule, ...]
    fresh: Mapping[str, int]
    fresh_default: int
    conflict: Mapping[str, float]
    conflict_default: float
    matters: Mapping[str, float]
    matters_source: str
    steps: StepsCourse

    def fresh_days(self, key: str) -> int:
        """Days that a value of `key` speaks for; answers about warning signs share one limit."""
        key = RED_FLAGS if key.startswith("red-flag/") else key
        return self.fresh.get(key, self.fresh_default)

    def tolerance(self, key: str) -> float:
        """How far values of `key` of one day may lie apart."""
        return self.conflict.get(key, self.conflict_default)


@cache
def shipped_rules() -> Rules:
    """Keyhole's own rules."""
    made = parse_rules(files("keyhole.recovery.progress").joinpath("rules.toml").read_bytes(), "rules.toml")
    for key in (
        made.matters_source,
        made.steps.source,
        *(one.source for one in made.rules),
        *(key for one in made.rules for key in one.beside),
    ):
        if key not in sources():
            raise InvalidInput(f"rules.toml: no source has the key {key!r}")
    return made


def read_rules(path: Path) -> Rules:
    """The rules in a clinic's own file; what is wrong in it is refused with the rule's name."""
    try:
        return parse_rules(path.read_bytes(), str(path))
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error


def parse_rules(content: bytes, where: str) -> Rules:
    """Rules from TOML; `where` names it in messages."""
    try:
        held = tomllib.loads(content.decode("utf-8-sig"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UnreadableFile(f"{where} is no TOML: {error}") from error
    _only(held, ("title", "version", "fresh", "conflict", "matters", "rule", "steps"), where)
    rows = held.get("rule")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"{where}: at least one [[rule]] was expected")
    rules = tuple(_rule(row, n, where) for n, row in enumerate(rows, start=1))
    _check_guards(rules, where)
    fresh, conflict, matters = (_table(held, name, where) for name in ("fresh", "conflict", "matters"))
    days = _numbers(fresh, "days", f"{where}, fresh", 1)
    return Rules(
        title=_text(held, "title", where),
        version=_text(held, "version", where),
        digest=hashlib.sha256(content).hexdigest(),
        file=Path(where).name,
        rules=rules,
        fresh={key: int(value) for key, value in days.items()},
        fresh_default=int(_number(fresh, "default", f"{where}, fresh", 1)),
        conflict=_numbers(conflict, "points", f"{where}, conflict", 0),
        conflict_default=_number(conflict, "default", f"{where}, conflict", 0),
        matters=_numbers(matters, "points", f"{where}, matters", 0),
        matters_source=_text(matters, "source", f"{where}, matters"),
        steps=_steps(_table(held, "steps", where), f"{where}, steps"),
    )


def _rule(row: Mapping[str, Any], n: int, where: str) -> Rule:
    place = f"{where}, rule {row.get('name', n)}"
    kind = _text(row, "kind", place)
    if kind not in GUARDS and kind not in NEEDS:
        raise InvalidInput(f"{place}: no kind is called {kind!r}; known are {', '.join((*GUARDS, *NEEDS))}")
    able = (*NEEDS.get(kind, ()), *TAKES.get(kind, ()))
    beside = {f"{name}_source": name for name in able if name != "instruments"}
    _only(row, (*COMMON, *able, *beside), place)
    for name in (*COMMON, *NEEDS.get(kind, ())):
        if name not in row:
            raise InvalidInput(f"{place}: {name} is missing")
    advice = _text(row, "advice", place)
    allowed = GUARDS.get(kind, ("call", "hold"))
    if advice not in get_args(Word) or advice not in allowed:
        raise InvalidInput(f"{place}: a rule of kind {kind} may advise {' or '.join(allowed)}, not {advice!r}")
    given = {name: _setting(row, name, place) for name in row if name not in (*COMMON, *beside, "instruments")}
    if kind == "worsened" and ("by" in given) == ("share" in given):
        raise InvalidInput(f"{place}: a rule of kind worsened needs either by or share")
    return Rule(
        name=_text(row, "name", place),
        advice=advice,
        kind=kind,
        says=_text(row, "says", place),
        source=_text(row, "source", place),
        beside=tuple(_text(row, name, place) for name in beside if name in row),
        instruments=_instruments(row, place),
        **given,
    )


def _setting(row: Mapping[str, Any], name: str, place: str) -> Any:
    value = _number(row, name, place, -math.inf)
    if name in _WHOLE:
        if value != int(value) or value < (1 if name in ("days", "visits", "within") else 0):
            raise InvalidInput(f"{place}: {name} must be a whole number of days, got {value:g}")
        return int(value)
    if name in ("share", "part") and not 0 < value < 1:
        raise InvalidInput(f"{place}: {name} must lie between 0 and 1, got {value:g}")
    if name in ("by", "below") and not value > 0:
        raise InvalidInput(f"{place}: {name} must be more than 0, got {value:g}")
    return value


def _instruments(row: Mapping[str, Any], place: str) -> tuple[str, ...]:
    found = row.get("instruments", [])
    if not isinstance(found, list) or ("instruments" in row and not found):
        raise InvalidInput(f"{place}: instruments must be a list of names")
    for key in found:
        if key not in instruments() and key not in (RED_FLAGS, *EVENTS):
            raise InvalidInput(f"{place}: no instrument is called {key!r}; known are {', '.join(instruments())}")
    return tuple(found)


def _check_guards(rules: tuple[Rule, ...], where: str) -> None:
    kinds = Counter(rule.kind for rule in rules)
    for kind in GUARDS:
        if kinds[kind] != 1:
            raise InvalidInput(f"{where}: exactly one rule of kind {kind} is needed, found {kinds[kind]}")
    if not kinds["needed"]:
        raise InvalidInput(f"{where}: at least one rule of kind needed is needed: missing data must never advance")
    names = Counter(rule.name for rule in rules)
    twice = [name for name, n in names.items() if n > 1]
    if twice:
        raise InvalidInput(f"{where}: two rules are called {twice[0]}")


def _steps(row: Mapping[str, Any], place: str) -> StepsCourse:
    _only(row, ("source", "days", "shares", "window", "least", "window_source"), place)
    days, shares = (row.get(name) for name in ("days", "shares"))
    if not (isinstance(days, list) and isinstance(shares, list) and len(days) == len(shares) > 0):
        raise InvalidInput(f"{place}: days and shares must be lists of the same length")
    if not all(isinstance(x, int | float) and math.isfinite(x) and x > 0 for x in (*days, *shares)):
        raise InvalidInput(f"{place}: days and shares must be numbers above 0")
    if sorted(set(days)) != days:
        raise InvalidInput(f"{place}: days must ascend")
    window, least = (int(_number(row, name, place, 1)) for name in ("window", "least"))
    return StepsCourse(tuple(map(float, days)), tuple(map(float, shares)), _text(row, "source", place), window, least)


def _only(row: Mapping[str, Any], known: tuple[str, ...], place: str) -> None:
    other = [name for name in row if name not in known]
    if other:
        raise InvalidInput(f"{place}: {other[0]!r} is not known here; known are {', '.join(known)}")


def _table(held: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    found = held.get(name)
    if not isinstance(found, dict):
        raise InvalidInput(f"{where}: the table [{name}] is missing")
    return found


def _text(row: Mapping[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InvalidInput(f"{place}: {name} must be a text that is not empty, got {value!r}")
    return value


def _number(row: Mapping[str, Any], name: str, place: str, least: float) -> float:
    value = row.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or not value >= least:
        more = f" from {least:g} on" if math.isfinite(least) else ""
        raise InvalidInput(f"{place}: {name} must be a number{more}, got {value!r}")
    return float(value)


def _numbers(row: Mapping[str, Any], name: str, place: str, least: float) -> dict[str, float]:
    _only(row, ("default", "source", name), place)
    _text(row, "source", place)
    held = row.get(name, {})
    if not isinstance(held, dict):
        raise InvalidInput(f"{place}: {name} must be a table")
    return {key: _number(held, key, place, least) for key in held}
