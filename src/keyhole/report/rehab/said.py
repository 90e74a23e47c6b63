"""Days and weeks in words, and what both pages say alike."""

from __future__ import annotations

import datetime

from keyhole.casefile import CriterionEntry, PhaseEntry, RehabRecord

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

ACTS = (("now", "Go to an emergency department now"), ("today", "Call the clinic the same day"))
"""How soon to act on a red flag."""


UNCHECKED = (
    "Nobody has yet checked that the level named above is the right one. Ask your surgeon: who checked it, and how?"
)


def weeks(phase: PhaseEntry) -> str:
    """The weeks of a phase after the operation, counted from 1."""
    first, last = phase.from_day // 7 + 1, (phase.to_day + 1) // 7
    return f"week {first}" if last <= first else f"weeks {first} to {last}"


def day(start: str, after: int) -> str:
    """The date `after` days from `start`: 1 December 2026."""
    found = datetime.date.fromisoformat(start) + datetime.timedelta(days=after)
    return f"{found.day} {_MONTHS[found.month - 1]} {found.year}"


def dates(record: RehabRecord, phase: PhaseEntry) -> str:
    """First and last day of a phase; empty where the day of the operation is not known."""
    if record.start is None:
        return ""
    first, last = day(record.start, phase.from_day), day(record.start, phase.to_day)
    for shared in (last.partition(" ")[2], last.rpartition(" ")[2]):
        if first.endswith(f" {shared}"):
            return f"{first.removesuffix(f' {shared}')} to {last}"
    return f"{first} to {last}"


def signed(record: RehabRecord) -> str:
    """Who answers for the red flags; empty where nobody does."""
    found = record.signature
    return "" if found is None else f"Checked for the clinic by {found.by} on {day(found.date, 0)}."


def measured(one: CriterionEntry) -> str:
    """How a criterion is measured: the test, its rule and its limit; empty where a person answers."""
    return "" if one.test is None else f"{one.test} {one.rule} {one.threshold:g} {one.unit}".strip()
