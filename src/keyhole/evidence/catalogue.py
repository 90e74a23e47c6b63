"""What the rows of a table are about: outcome, comparison and time, in words that tables share."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.evidence.rows import Row

HORIZONS = ("baseline", "perioperative", "early", "middle", "late", "not said", "any")
"""Before the operation; around it; to 3 months; to a year; a year and later; and of outcomes without a time, any."""
_DAYS = {"d": 1.0, "day": 1.0, "w": 7.0, "week": 7.0, "mo": 30.4375, "month": 30.4375, "y": 365.25, "year": 365.25}
_TIME = re.compile(r"(\d+(?:\.\d+)?)\s*(days?|d|weeks?|w|months?|mo|years?|y)\b", re.IGNORECASE)
_NUMBERED = re.compile(r"\b(day|week|month|year)\s+(\d+)\b", re.IGNORECASE)
_AROUND = re.compile(r"peri-?op|intra-?op|post-?operative|hospital", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An outcome: its unit, which direction is better ("lower", "higher"; empty: not known) and what matters.

    `matters` is the difference below which none is called, in `unit`, after the source `matters_source`.
    """

    key: str
    title: str
    unit: str
    better: str = ""
    timed: bool = True
    matters: float | None = None
    matters_source: str = ""
    names: tuple[str, ...] = ()
    improvements: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    units: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """What a row answers: which comparison, which outcome, when; and how its numbers come to the outcome's unit.

    `factor` turns the row's unit into the outcome's, with the sign turned for an improvement; nan: not known how.
    """

    family: str
    outcome: Outcome
    horizon: str
    factor: float

    @property
    def key(self) -> tuple[str, str, str]:
        """Comparison, outcome and time: rows of one key may be pooled."""
        return self.family, self.outcome.key, self.horizon


def _table(name: str) -> dict[str, dict[str, object]]:
    return tomllib.loads(files("keyhole.evidence").joinpath(name).read_text(encoding="utf-8"))


@cache
def outcomes() -> dict[str, Outcome]:
    """Every outcome that Keyhole knows, by key."""
    return {key: _outcome(key, entry) for key, entry in _table("outcomes.toml").items()}


def _outcome(key: str, entry: dict[str, object]) -> Outcome:
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    units = plain.pop("units")
    factors = tuple(units.items()) if isinstance(units, dict) else ()
    plain.setdefault("timed", False)
    return Outcome(key, units=factors, **plain)  # type: ignore[arg-type]  # the fields of the file


@cache
def families() -> dict[str, str]:
    """Title of every comparison that Keyhole knows, by key."""
    return {key: str(entry["title"]) for key, entry in _table("comparisons.toml").items()}


@cache
def _pairs() -> dict[tuple[str, str], str]:
    found = {}
    for key, entry in _table("comparisons.toml").items():
        pairs = entry["pairs"]
        for procedure, comparator in pairs if isinstance(pairs, list) else []:
            found[procedure.casefold(), comparator.casefold()] = key
    return found


@cache
def _names() -> dict[str, tuple[str, int, bool]]:
    """Outcome key, sign and whether a year or more is in the name, by the words of tables."""
    found: dict[str, tuple[str, int, bool]] = {}
    for key, outcome in outcomes().items():
        kinds = ((outcome.names, 1, False), (outcome.improvements, -1, False), (outcome.late, 1, True))
        for words, sign, late in kinds:
            found |= {name.casefold(): (key, sign, late) for name in words}
    return found


def question(row: Row) -> Question:
    """What `row` answers; words that no catalogue knows are a question of their own."""
    pair = (row.procedure.casefold(), row.comparator.casefold())
    family = _pairs().get(pair, f"{row.procedure} against {row.comparator}")
    key, sign, late = _names().get(row.outcome.casefold(), ("", 1, False))
    when = "late" if late else horizon(row.timepoint)
    if not key:
        own = Outcome(f"{row.outcome}, {row.unit}".casefold(), row.outcome, row.unit)
        return Question(family, own, when, 1.0)
    outcome = outcomes()[key]
    when = when if outcome.timed or when == "baseline" else "any"
    if row.scale in {"or", "rr", "smd"} or outcome.unit == "events":
        return Question(family, outcome, when, float(sign))
    return Question(family, outcome, when, sign * dict(outcome.units).get(row.unit, float("nan")))


def horizon(timepoint: str) -> str:
    """Which of `HORIZONS` a time point falls in; of several times the latest counts.

    >>> horizon("last follow-up (mean 36-38 mo)"), horizon("1 week"), horizon("perioperative")
    ('late', 'early', 'perioperative')
    """
    words = timepoint.casefold()
    if "baseline" in words or "before" in words:
        return "baseline"
    days = last_day(words)
    if days is not None:
        return "early" if days <= 92 else "middle" if days < 360 else "late"
    return "perioperative" if _AROUND.search(words) else "not said"


def last_day(timepoint: str) -> float | None:
    """The latest day that `timepoint` names; None where it names none."""
    found = [(float(n), unit.casefold().rstrip("s")) for n, unit in _TIME.findall(timepoint)]
    found += [(float(n), unit.casefold()) for unit, n in _NUMBERED.findall(timepoint)]
    return max((n * _DAYS[unit] for n, unit in found), default=None)
