"""Who is to be asked what, today: visits that are due, and those that are overdue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.orm import Session

from keyhole.registry.models import Complication, Episode, Patient, Response
from keyhole.registry.schedule import VISITS, Visit, asked

Groups = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Due:
    """A visit that wants answers. `days` to the day meant (due) or since it (overdue).

    `missing` are the instruments not answered, of a group the first. `is_open`: answers still count for the visit.
    """

    episode: str
    patient: str
    centre: str | None
    visit: str
    status: Literal["due", "overdue"]
    days: int
    target: date | None
    closes: date | None
    is_open: bool
    missing: tuple[str, ...]


def instruments_asked(settings: Mapping[str, str]) -> Groups:
    """The groups of instruments that a registry asks for, of each of which one is enough."""
    own = settings.get("instruments")
    return asked() if own is None else tuple(tuple(group) for group in json.loads(own))


def due(session: Session, today: date, *, groups: Groups | None = None) -> tuple[Due, ...]:
    """Every visit that is due or overdue on `today`: those that still count first, the longest overdue first.

    A visit is due from the first day of its window, and overdue after the day meant. Nobody is asked after death or
    once taken back, nor when the window of the last visit has closed. The baseline is due until the operation.
    """
    wanted = asked() if groups is None else groups
    answered = _answered(session, today, wanted)
    gone = _died(session)
    everything = (1 << len(wanted)) - 1
    missing = [tuple(g[0] for n, g in enumerate(wanted) if not mask >> n & 1) for mask in range(everything + 1)]
    found: list[Due] = []
    for row in session.execute(_episodes(today)):
        died = gone.get(row.patient_id)
        if died is not None and died <= today:
            continue
        for n, visit in enumerate(VISITS):
            mask = answered.get((row.id, n), 0)
            if mask != everything:
                found += _visit(row, visit, today, missing[mask])
    return tuple(sorted(found, key=lambda one: (not one.is_open, one.status == "due", -abs(one.days), one.episode)))


def _visit(row: Any, visit: Visit, today: date, missing: tuple[str, ...]) -> Iterator[Due]:
    """The visit of an episode, if it wants answers today."""
    surgery = row.surgery_date
    if surgery is None:
        if visit.key == "baseline":
            yield Due(row.code, row.pseudonym, row.centre, visit.key, "due", 0, None, None, True, missing)
        return
    day = (today - surgery).days
    if day < visit.first or (visit.key == "baseline" and day > 0):
        return
    late = day - visit.target
    yield Due(
        row.code,
        row.pseudonym,
        row.centre,
        visit.key,
        "overdue" if late > 0 else "due",
        abs(late),
        visit.day(surgery),
        visit.closes(surgery),
        day <= visit.last,
        missing,
    )


def _within(today: date) -> ColumnElement[bool]:
    """Episodes of which something may be asked on `today`."""
    day = Episode.surgery_date
    between = day.between(today - timedelta(days=VISITS[-1].last), today - timedelta(days=VISITS[0].first))
    return and_(Episode.voided_at.is_(None), or_(day.is_(None), between))


def _episodes(today: date) -> Any:
    return (
        select(Episode.id, Episode.code, Episode.patient_id, Episode.centre, Episode.surgery_date, Patient.pseudonym)
        .join(Patient, Episode.patient_id == Patient.id)
        .where(_within(today), Patient.voided_at.is_(None))
        .order_by(Episode.id)
    )


def _answered(session: Session, today: date, groups: Groups) -> dict[tuple[int, int], int]:
    """Episode and visit -> the groups answered, a bit each."""
    bits = {key: 1 << n for n, group in enumerate(groups) for key in group}
    places = {visit.key: n for n, visit in enumerate(VISITS)}
    query = (
        select(Response.episode_id, Response.visit, Response.instrument)
        .join(Episode, Response.episode_id == Episode.id)
        .where(Response.voided_at.is_(None), Response.instrument.in_(list(bits)), _within(today))
    )
    found: dict[tuple[int, int], int] = {}
    for episode, visit, instrument in session.execute(query):
        place = episode, places[visit]
        found[place] = found.get(place, 0) | bits[instrument]
    return found


def _died(session: Session) -> dict[int, date]:
    query = (
        select(Episode.patient_id, Complication.date)
        .join(Episode, Complication.episode_id == Episode.id)
        .where(Complication.code == "death", Complication.voided_at.is_(None))
    )
    return {row.patient_id: row.date for row in session.execute(query)}
