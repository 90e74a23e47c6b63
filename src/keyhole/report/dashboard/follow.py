"""Who has answered, who is missing, and whom to ask today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from keyhole.registry.schedule import VISITS, Visit
from keyhole.report.dashboard.data import Data, Mask

LISTED = 12
"""How many of those to ask are named on the page."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """One visit: of those whose window has closed, how many answered; and where the others stand.

    `asked` = answered + missing. `whole` answered every instrument asked for; `groups` say how many answered each
    (None: not asked at this visit).
    `open_answered` and `waiting` are in their window, `early` before it, `died` before the day meant.
    """

    visit: str
    title: str
    asked: int
    answered: int
    whole: int
    missing: int
    open_answered: int
    waiting: int
    early: int
    died: int
    groups: tuple[tuple[str, int | None], ...]

    @property
    def share(self) -> float | None:
        """Answered, of those asked; None where nobody was."""
        return self.answered / self.asked if self.asked else None


@dataclass(frozen=True, slots=True)
class ToAsk:
    """How many are to be asked for one visit: due, overdue and still in the window, and too late."""

    visit: str
    title: str
    due: int
    overdue: int
    too_late: int


@dataclass(frozen=True, slots=True)
class Person:
    """One episode to ask: `days` since the day meant, negative before it."""

    episode: str
    centre: str
    visit: str
    days: int
    closes: str
    missing: tuple[str, ...]


def completeness(data: Data, today: date) -> tuple[Completeness, ...]:
    """Every visit in time's order."""
    return tuple(_completeness(data, visit, n, np.datetime64(today, "D")) for n, visit in enumerate(VISITS))


def _completeness(data: Data, visit: Visit, n: int, today: np.datetime64) -> Completeness:
    operated = data.operated
    target, opens, closes = (data.surgery + np.timedelta64(d, "D") for d in (visit.target, visit.first, visit.last))
    asked = data.asked[n]
    groups = _grouped(data, n)
    anything, everything = groups.any(axis=0), groups.all(axis=0)
    died = operated & ~np.isnat(data.died) & (data.died < target) & ~anything
    baseline = visit.key == "baseline"
    closed = operated & ~died & ((today >= data.surgery) if baseline else (today > closes))
    early = operated & ~died & ~closed & (today < opens)
    in_window = (operated & ~died & ~closed & ~early) | (~operated if baseline else False)
    counts = {group: int((held & closed).sum()) for group, held in zip(asked, groups, strict=True)}
    told = tuple((_names(group, data), counts.get(group)) for group in data.groups)
    return Completeness(
        visit=visit.key,
        title=visit.title,
        asked=int(closed.sum()),
        answered=int((closed & anything).sum()),
        whole=int((closed & everything).sum()),
        missing=int((closed & ~anything).sum()),
        open_answered=int((in_window & anything).sum()),
        waiting=int((in_window & ~anything).sum()),
        early=int(early.sum()),
        died=int(died.sum()),
        groups=told,
    )


def _names(group: tuple[str, ...], data: Data) -> str:
    return " or ".join(key for key in group if key in data.answers) or group[0]


def _grouped(data: Data, n: int) -> Mask:
    """Who answered each group asked for at visit `n`; (groups, episodes)."""
    asked = data.asked[n]
    return np.array([_answered(data, group, n) for group in asked], dtype=bool).reshape(len(asked), len(data))


def _answered(data: Data, group: tuple[str, ...], n: int) -> Mask:
    """Who answered one of `group` at visit `n`."""
    held: Mask = np.zeros(len(data), dtype=bool)
    for key in group:
        if key in data.answers:
            held |= data.answers[key].given[:, n]
    return held


def to_ask(data: Data, today: date) -> tuple[tuple[ToAsk, ...], tuple[Person, ...]]:
    """How many are to be asked at every visit, and the first of those whose answers still count.

    The same rule as the registry's own list: due from the first day of the window, overdue after the day meant,
    nobody after death or once the window of the last visit has closed, no baseline once operated.
    """
    now = np.datetime64(today, "D")
    alive = np.isnat(data.died) | (data.died > now)
    alive &= ~data.operated | (now <= data.surgery + np.timedelta64(VISITS[-1].last, "D"))
    counts, persons = [], []
    for n, visit in enumerate(VISITS):
        wants = alive & ~_grouped(data, n).all(axis=0)
        target, opens, closes = (data.surgery + np.timedelta64(d, "D") for d in (visit.target, visit.first, visit.last))
        baseline = visit.key == "baseline"
        timed = wants & data.operated & (now >= opens) & ((now <= data.surgery) if baseline else True)
        waiting = wants & ~data.operated if baseline else np.zeros(len(data), dtype=bool)
        late = np.where(data.operated, (now - target).astype(np.int64), 0)
        is_open = (timed & (now <= closes)) | waiting
        due = (timed & (late <= 0)) | waiting
        counts.append(
            ToAsk(
                visit.key,
                visit.title,
                int((due & is_open).sum()),
                int((timed & (late > 0) & is_open).sum()),
                int((timed & ~is_open).sum()),
            )
        )
        first = np.flatnonzero(is_open)
        first = first[np.argsort(-late[first], kind="stable")][:LISTED]
        persons += [_person(data, int(row), n, int(late[row]), closes[row]) for row in first]
    persons.sort(key=lambda one: (one.days <= 0, -abs(one.days), one.episode))
    return tuple(counts), tuple(persons[:LISTED])


def _person(data: Data, row: int, n: int, late: int, closes: np.datetime64) -> Person:
    missing = tuple(
        group[0]
        for group in data.asked[n]
        if not any(key in data.answers and data.answers[key].given[row, n] for key in group)
    )
    place = int(data.centre.index[row])
    centre = data.centre.names[place] if place >= 0 else ""
    return Person(
        str(data.code[row]) or f"row {row + 1}",
        centre,
        VISITS[n].title,
        late,
        "" if np.isnat(closes) else str(closes),
        missing,
    )
