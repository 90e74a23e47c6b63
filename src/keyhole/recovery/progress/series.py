"""Values of one instrument by day: worst and best of each, what is fresh, what contradicts itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from keyhole.recovery.instruments import instrument, instruments
from keyhole.recovery.progress.model import Better, Observation
from keyhole.recovery.progress.observation import RED_FLAGS

BEFORE_DAYS = 180
"""A value before the operation counts as one of it if it is no older [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Day:
    """All values of one instrument on one day."""

    date: date
    worst: float
    best: float
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """Every observation up to today, by what it tells; in an order of its own, whatever the rows' order was."""

    start: date
    today: date
    used: tuple[Observation, ...]
    later: tuple[Observation, ...]  # dated after today

    @property
    def day(self) -> int:
        """Days since the operation."""
        return (self.today - self.start).days

    def of(self, key: str) -> tuple[Day, ...]:
        """The days of `key` with their values, ascending."""
        return grouped((one for one in self.used if one.instrument == key), better(key))

    def after(self, key: str) -> tuple[Day, ...]:
        """Days after the operation's."""
        return tuple(one for one in self.of(key) if one.date > self.start)

    def before(self, key: str) -> tuple[Day, ...]:
        """Days up to the operation's, not older than `BEFORE_DAYS`."""
        oldest = self.start - timedelta(days=BEFORE_DAYS)
        return tuple(one for one in self.of(key) if oldest <= one.date <= self.start)

    def latest(self, key: str) -> Day | None:
        """The last day after the operation; None where there is none."""
        found = self.after(key)
        return found[-1] if found else None

    def age(self, one: Day) -> int:
        """How many days ago that was."""
        return (self.today - one.date).days

    def is_fresh(self, key: str, days: int) -> bool:
        """Whether a value after the operation is at most `days` days old."""
        last = self.latest(key)
        return last is not None and self.age(last) <= days

    def names(self) -> tuple[str, ...]:
        """Every instrument and answer that has a value, in order of their names."""
        return tuple(sorted({one.instrument for one in self.used}))


def held(observations: Iterable[Observation], start: date, today: date) -> Held:
    """`observations` in one order, and those dated after `today` apart."""
    rows = sorted(set(observations), key=lambda one: (one.date, one.instrument, one.value, one.where))
    return Held(
        start, today, tuple(one for one in rows if one.date <= today), tuple(one for one in rows if one.date > today)
    )


def grouped(rows: Iterable[Observation], way: Better) -> tuple[Day, ...]:
    """`rows` by day, ascending."""
    days: dict[date, list[float]] = {}
    for one in rows:
        days.setdefault(one.date, []).append(one.value)
    found = []
    for day in sorted(days):
        values = tuple(sorted(days[day], reverse=way == "higher"))
        found.append(Day(day, worst=values[-1], best=values[0], values=values))
    return tuple(found)


def better(key: str) -> Better:
    """Which way is better; warning signs and unknown answers: fewer, criteria and phases: more."""
    if key in instruments():
        return instrument(key).better
    return "lower" if key == RED_FLAGS or key.startswith(("red-flag/", "event/")) else "higher"


def worse_by(key: str, value: float, than: float) -> float:
    """How many points `value` is worse than `than`; below 0 it is better."""
    return value - than if better(key) == "lower" else than - value


def least_bad(key: str, days: Sequence[Day]) -> float:
    """The best of the days' worst values: all of them are at least this bad."""
    return (min if better(key) == "lower" else max)(one.worst for one in days)


def nth_best(key: str, days: Sequence[Day], n: int) -> float | None:
    """The n-th best of the days' best values; None where there are fewer. A worse day more does not change it."""
    if len(days) < n:
        return None
    return sorted((one.best for one in days), reverse=better(key) == "higher")[n - 1]


def mean(days: Sequence[Day]) -> float:
    """The mean of the days' worst values."""
    return sum(one.worst for one in days) / len(days)
