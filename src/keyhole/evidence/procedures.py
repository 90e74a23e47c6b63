"""Which published comparison stands for a planned operation."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from keyhole.errors import InvalidInput
from keyhole.evidence.source import source


@dataclass(frozen=True, slots=True)
class Technique:
    """An approach of a plan, what studies call it, the source that says so, and what must be said beside it."""

    approach: str
    title: str
    published_as: tuple[str, ...]
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class CourseRows:
    """Rows of the table that tell how `outcome` goes on: their words, and the factor to the outcome's own unit."""

    outcome: str
    procedure: str
    comparator: str
    named: str
    factor: float

    @property
    def is_shared(self) -> bool:
        """Whether the rows have one arm, which then stands for both operations."""
        return self.comparator == "none"


@dataclass(frozen=True, slots=True)
class SharedRisk:
    """A published risk that is no row of two arms: `value` of 1 in `patients`, and whose it is."""

    outcome: str
    value: float
    patients: int
    words: str
    source: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """An operation: the goal of the plan, when it is meant, its comparison in the table, and its techniques.

    `open` is the open approach of a plan that the studies compared with.
    """

    key: str
    title: str
    goal: str
    when: str
    family: str
    comparator: str
    open: str
    techniques: tuple[Technique, ...]
    courses: tuple[CourseRows, ...]
    shares: tuple[SharedRisk, ...]
    together: bool = False  # studies of lumbar operations together hold this one
    note: str = ""

    def has(self, approach: str) -> bool:
        """Whether `approach` is one of its techniques."""
        return any(one.approach == approach for one in self.techniques)

    def technique(self, approach: str) -> Technique:
        """The technique of `approach`; an approach that no study of this operation stands for is refused."""
        for one in self.techniques:
            if one.approach == approach:
                return one
        known = ", ".join(one.approach for one in self.techniques)
        raise InvalidInput(
            f"nothing published is known for {approach!r} as a {self.key}: no forecast is made; known are {known}"
        )


@cache
def procedures() -> dict[str, Procedure]:
    """Every operation that a forecast can be made for, by key."""
    table = tomllib.loads(files("keyhole.evidence").joinpath("procedures.toml").read_text(encoding="utf-8"))
    return {key: _procedure(key, entry) for key, entry in table.items()}


def procedure(key: str) -> Procedure:
    """The operation `key`; an unknown one is refused."""
    if key not in procedures():
        raise InvalidInput(f"no operation is called {key!r}: no forecast is made; known are {', '.join(procedures())}")
    return procedures()[key]


def _procedure(key: str, entry: dict[str, Any]) -> Procedure:
    techniques = tuple(
        Technique(name, one["title"], tuple(one["published_as"]), source(one["source"]).key, one.get("note", ""))
        for name, one in entry["approaches"].items()
    )
    return Procedure(
        key=key,
        title=entry["title"],
        goal=entry["goal"],
        when=entry["when"],
        family=entry["family"],
        comparator=entry["comparator"],
        open=entry["open"],
        techniques=techniques,
        courses=tuple(CourseRows(**one) for one in entry.get("course", ())),
        together=bool(entry.get("together", False)),
        note=entry.get("note", ""),
        shares=tuple(SharedRisk(**one | {"source": source(one["source"]).key}) for one in entry.get("share", ())),
    )
