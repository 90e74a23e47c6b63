"""Who is to be asked what, today: visits that are due, and those that are overdue."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from sqlalchemy import select
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
    once taken back. The baseline is due until the operation: after it nothing can be asked any more.
    """
    wanted = asked() if groups is None else groups
    answered = _answered(session)
    gone = _died(session)
    found: list[Due] = []
    for row in _episodes(session):
        died = gone.get(row.patient_id)
        if died is None or died > today:
            found += _of_episode(row, answered.get(row.id, {}), today, wanted)
    return tuple(sorted(found, key=lambda one: (not one.is_open, one.status == "due", -abs(one.days), one.episode)))


def _of_episode(
    row: Any,
    answered: Mapping[str, set[str]],
    today: date,
    groups: Groups,
) -> Iterable[Due]:
    for visit in VISITS:
        missing = tuple(g[0] for g in groups if not answered.get(visit.key, set()).intersection(g))
        if not missing:
            continue
        if row.surgery_date is None:
            if visit.key == "baseline":
                yield Due(row.code, row.pseudonym, row.centre, visit.key, "due", 0, None, None, True, missing)
            continue
        one = _timed(visit, row.surgery_date, today)
        if one is not None:
            status, days, is_open = one
            target, closes = visit.day(row.surgery_date), visit.closes(row.surgery_date)
            yield Due(row.code, row.pseudonym, row.centre, visit.key, status, days, target, closes, is_open, missing)


def _timed(visit: Visit, surgery: date, today: date) -> tuple[Literal["due", "overdue"], int, bool] | None:
    """Status, days and whether answers still count; None where nothing is to be asked yet, or any more."""
    if today < visit.opens(surgery) or (visit.key == "baseline" and today > surgery):
        return None
    late = (today - visit.day(surgery)).days
    return ("overdue" if late > 0 else "due"), abs(late), today <= visit.closes(surgery)


def _episodes(session: Session) -> Sequence[Any]:
    query = (
        select(Episode.id, Episode.code, Episode.patient_id, Episode.centre, Episode.surgery_date, Patient.pseudonym)
        .join(Patient, Episode.patient_id == Patient.id)
        .where(Episode.voided_at.is_(None), Patient.voided_at.is_(None))
    )
    return session.execute(query.order_by(Episode.id)).all()


def _answered(session: Session) -> dict[int, dict[str, set[str]]]:
    """Episode -> visit -> the instruments answered."""
    found: dict[int, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    query = select(Response.episode_id, Response.visit, Response.instrument).where(Response.voided_at.is_(None))
    for episode, visit, instrument in session.execute(query):
        found[episode][visit].add(instrument)
    return found


def _died(session: Session) -> dict[int, date]:
    query = (
        select(Episode.patient_id, Complication.date)
        .join(Episode, Complication.episode_id == Episode.id)
        .where(Complication.code == "death", Complication.voided_at.is_(None))
    )
    return {row.patient_id: row.date for row in session.execute(query)}
