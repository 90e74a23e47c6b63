"""What was done and what went wrong, counted; nothing recorded is not the same as nothing happened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np

from keyhole.registry.codes import codes
from keyhole.registry.schedule import VISITS
from keyhole.report.dashboard.data import MISS, OPEN, VISIT_KEYS, Data, Events, Mask

MONTH = 30
"""Days after the operation within which a return to hospital is called early."""


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with the 95 % interval after Wilson (None where there is nobody)."""

    count: int
    of: int
    interval: tuple[float, float] | None

    @property
    def value(self) -> float | None:
        """The share, 0 to 1."""
        return self.count / self.of if self.of else None


@dataclass(frozen=True, slots=True)
class Counted:
    """One line: small openings, open operations, and all episodes together."""

    key: str
    title: str
    miss: Share
    open: Share
    all: Share


@dataclass(frozen=True, slots=True)
class Done:
    """One approach: how often in each year, and in all."""

    key: str
    years: tuple[int, ...]
    total: int


@dataclass(frozen=True, slots=True)
class Unit:
    """One centre or surgeon: what was done there, how complete it is at a year, and what was recorded."""

    name: str
    operations: int
    small: Share
    complete: Share
    score_n: int
    score: float | None
    complications: Share
    reoperated: Share


def share(count: int, of: int) -> Share:
    """`count` of `of`, with Wilson's interval."""
    if of == 0:
        return Share(count, of, None)
    z = 1.959963984540054
    p, n = count / of, float(of)
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Share(count, of, (max(0.0, middle - half), min(1.0, middle + half)))


def complications(data: Data) -> tuple[Counted, ...]:
    """Episodes with any complication, then with each, the most frequent first."""
    return _lines(data, data.complications, "complications", "any complication")


def reoperations(data: Data) -> tuple[Counted, ...]:
    """Episodes operated on again, then by reason."""
    return _lines(data, data.reoperations, "reoperations", "any reoperation")


def readmissions(data: Data) -> tuple[Counted, ...]:
    """Episodes with a return to hospital: any, within 30 days, and by reason."""
    events = data.readmissions
    lines = _lines(data, events, "readmissions", "any readmission")
    days = events.date - data.surgery[events.episode]
    early = ~np.isnat(days) & (days <= np.timedelta64(MONTH, "D"))
    if not early.any():
        return lines
    return (lines[0], _counted(data, "early", f"within {MONTH} days", events.episode[early]), *lines[1:])


def _lines(data: Data, events: Events, kind: str, title: str) -> tuple[Counted, ...]:
    titles: Mapping[str, str] = {key: code.title for key, code in codes(kind).items()}
    found = [
        _counted(data, name, titles.get(name, name), events.episode[events.code.index == n])
        for n, name in enumerate(events.code.names)
        if name != "any"
    ]
    found.sort(key=lambda line: (-line.all.count, line.key))
    return (_counted(data, "any", title, events.episode), *found)


def _counted(data: Data, key: str, title: str, episodes: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Counted:
    """Episodes, not events: two tears of one patient count once."""
    hit = np.zeros(len(data), dtype=bool)
    hit[episodes] = True
    return Counted(
        key, title, *(_of(hit, data.operated & mine) for mine in (data.arm == MISS, data.arm == OPEN, _all(data)))
    )


def _of(hit: Mask, among: Mask) -> Share:
    return share(int((hit & among).sum()), int(among.sum()))


def _all(data: Data) -> Mask:
    return np.ones(len(data), dtype=bool)


def approaches(data: Data, *, most: int = 8) -> tuple[tuple[str, ...], tuple[Done, ...]]:
    """The last years as words, and every approach with its numbers in them, the most frequent first."""
    years = data.surgery[data.approach_of].astype("datetime64[Y]")
    known = ~np.isnat(years) & (data.approach.index >= 0)
    if not known.any():
        return (), ()
    year = years[known].astype(np.int64) + 1970
    index = data.approach.index[known]
    last, first = int(year.max()), max(int(year.min()), int(year.max()) - most + 1)
    table = np.zeros((len(data.approach.names), last - first + 1), dtype=np.int64)
    np.add.at(table, (index[year >= first], year[year >= first] - first), 1)
    totals = np.bincount(index, minlength=len(data.approach.names))
    order = sorted(range(len(totals)), key=lambda n: (-totals[n], data.approach.names[n]))
    done = tuple(
        Done(data.approach.names[n], tuple(int(x) for x in table[n]), int(totals[n])) for n in order if totals[n]
    )
    return tuple(str(y) for y in range(first, last + 1)), done


def units(data: Data, today: date, by: str, key: str) -> tuple[Unit, ...]:
    """Every centre, or every surgeon, by name; episodes that name none come last as "not recorded".

    `key` is the instrument whose mean is shown; "" for none.
    """
    column = data.centre if by == "centre" else data.surgeon
    at = VISIT_KEYS.index("12m")
    closed = data.surgery + np.timedelta64(VISITS[at].last, "D") < np.datetime64(today, "D")
    closed &= np.isnat(data.died)
    score = data.answers[key].value[:, at] if key else np.full(len(data), np.nan)
    answered = np.any([a.given[:, at] for a in data.answers.values()], axis=0) if data.answers else _all(data) & False
    sick, again = (np.zeros(len(data), dtype=bool) for _ in range(2))
    sick[data.complications.episode] = True
    again[data.reoperations.episode] = True
    found = []
    for n, name in [*enumerate(column.names), (-1, "not recorded")]:
        mine = (column.index == n) & data.operated
        if not mine.any():
            continue
        held = score[mine & np.isfinite(score)]
        found.append(
            Unit(
                name,
                int(mine.sum()),
                share(int((mine & (data.arm == MISS)).sum()), int((mine & np.isin(data.arm, (MISS, OPEN))).sum())),
                _of(answered, mine & closed),
                len(held),
                float(held.mean()) if len(held) else None,
                _of(sick, mine),
                _of(again, mine),
            )
        )
    return tuple(found)
