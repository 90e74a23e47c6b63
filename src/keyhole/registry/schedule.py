"""When patients are asked: the visits, their windows, and what is asked for at each."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import Any


def _table() -> dict[str, Any]:
    return tomllib.loads(files("keyhole.registry").joinpath("schedule.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit; `target`, `first` and `last` in days from the operation, both ends counting."""

    key: str
    title: str
    target: int
    first: int
    last: int

    def day(self, surgery: date) -> date:
        """The day meant."""
        return surgery + timedelta(days=self.target)

    def opens(self, surgery: date) -> date:
        """The first day that counts."""
        return surgery + timedelta(days=self.first)

    def closes(self, surgery: date) -> date:
        """The last day that counts."""
        return surgery + timedelta(days=self.last)


@cache
def visits() -> Mapping[str, Visit]:
    """Every visit by key, in time's order."""
    rows = _table()["visits"]
    return {key: Visit(key, row["title"], row["target"], *row["window"]) for key, row in rows.items()}


@cache
def asked() -> tuple[tuple[str, ...], ...]:
    """The instruments asked for at every visit: groups, of each of which one is enough."""
    return tuple(tuple(group) for group in _table()["instruments"])


VISITS = tuple(visits().values())
"""Every visit, in time's order."""


def visit_of(days_after: int) -> str | None:
    """The visit whose window holds the day `days_after` the operation; None in no window."""
    for key, visit in visits().items():
        if visit.first <= days_after <= visit.last:
            return key
    return None
