"""The registry's tables as arrays: few columns, fetched in blocks, never an object for a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Executable, case, select
from sqlalchemy.orm import Session

from keyhole.recovery.instruments import instruments
from keyhole.registry.database import Registry
from keyhole.registry.due import instruments_asked
from keyhole.registry.models import Complication, Episode, Patient, Procedure, Readmission, Reoperation, Response
from keyhole.report.dashboard.data import (
    BOTH,
    MISS,
    OPEN,
    UNKNOWN,
    VISIT_KEYS,
    Answers,
    Data,
    Dates,
    Events,
    Ints,
    named,
)

_AT_ONCE = 20_000


def from_registry(registry: Registry, today: date) -> Data:
    """All that the dashboard counts, as one moment of the registry has it; what is dated after `today` is left out."""
    with registry.reading() as session:
        episodes = _columns(session, _episodes(), 6)
        ids = episodes[0].astype(np.int64)
        procedures = _columns(session, _procedures(), 4)
        where = _places(procedures[0], ids)
        answers = _answers(session, ids, today)
        events = [_events(session, table, code, ids, today) for table, code in _EVENTS]
    arm, operation = _operations(len(ids), where, procedures)
    return Data(
        name=registry.name,
        code=episodes[1],
        surgery=_dates(episodes[2]),
        died=_died(episodes[3], events[0]),
        arm=arm,
        centre=named(episodes[4]),
        surgeon=named(episodes[5]),
        operation=named(operation),
        approach_of=where[where >= 0],
        approach=named(procedures[3][where >= 0]),
        answers=answers,
        complications=events[0],
        readmissions=events[1],
        reoperations=events[2],
        asked=(tuple(tuple(group) for group in instruments_asked(registry.settings)),) * len(VISIT_KEYS),
    )


_EVENTS: tuple[tuple[Any, Any], ...] = (
    (Complication, Complication.code),
    (Readmission, Readmission.reason),
    (Reoperation, Reoperation.reason),
)


def _episodes() -> Executable:
    return (
        select(Episode.id, Episode.code, Episode.surgery_date, Episode.patient_id, Episode.centre, Episode.surgeon)
        .join(Patient, Episode.patient_id == Patient.id)
        .where(Episode.voided_at.is_(None), Patient.voided_at.is_(None))
        .order_by(Episode.id)
    )


def _procedures() -> Executable:
    return (
        select(Procedure.episode_id, Procedure.is_miss, Procedure.operation, Procedure.approach)
        .where(Procedure.voided_at.is_(None))
        .order_by(Procedure.id)
    )


def _blocks(session: Session, query: Executable) -> Iterator[Sequence[Any]]:
    """The driver's own rows, a block at a time."""
    result = session.connection().execute(query)
    cursor: Any = result.cursor
    while rows := cursor.fetchmany(_AT_ONCE):
        yield rows
    result.close()


def _columns(session: Session, query: Executable, width: int) -> list[NDArray[Any]]:
    """The columns of `query` as objects."""
    blocks = [[_objects(column) for column in zip(*rows, strict=True)] for rows in _blocks(session, query)]
    if not blocks:
        return [_objects(()) for _ in range(width)]
    return [np.concatenate(columns) for columns in zip(*blocks, strict=True)]


def _objects(values: Sequence[Any]) -> NDArray[Any]:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def _dates(values: Sequence[Any] | NDArray[Any]) -> Dates:
    """Days, of words in SQLite and of dates in PostgreSQL; NaT where there is none."""
    if not len(values):
        return np.zeros(0, dtype="datetime64[D]")
    return np.array([value if value is not None else "NaT" for value in values], dtype="datetime64[D]")


def _places(episode_ids: Sequence[Any] | NDArray[Any], ids: Ints) -> Ints:
    """Where each episode stands in `ids`, which ascend; -1 where it does not."""
    wanted = np.asarray(episode_ids, dtype=np.int64)
    if not len(ids):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(ids, wanted), len(ids) - 1)
    return np.where(ids[place] == wanted, place, -1)


def _operations(n: int, where: Ints, procedures: list[NDArray[Any]]) -> tuple[NDArray[np.int8], NDArray[Any]]:
    """Small, open, both or unknown, and the first operation, of every episode."""
    known = where >= 0
    place, small = where[known], procedures[1][known].astype(bool)
    has = np.zeros((n, 2), dtype=bool)
    has[place[~small], 0] = True
    has[place[small], 1] = True
    arm = np.select([has.all(axis=1), has[:, 1], has[:, 0]], [BOTH, MISS, OPEN], UNKNOWN).astype(np.int8)
    operation = np.full(n, None, dtype=object)
    operation[place[::-1]] = procedures[2][known][::-1]  # the first recorded is written last
    return arm, operation


def _answers(session: Session, ids: Ints, today: date) -> dict[str, Answers]:
    """Every instrument's scores by episode and visit; of several answers at one visit the latest.

    The database turns words into numbers and hands the rows over in the order of its own index, the latest last.
    """
    known, visits = tuple(instruments()), len(VISIT_KEYS)
    instrument = case({key: n for n, key in enumerate(known)}, value=Response.instrument, else_=-1)
    visit = case({key: n for n, key in enumerate(VISIT_KEYS)}, value=Response.visit)
    order = (Response.episode_id, Response.instrument, Response.visit, Response.date)
    query = select(Response.episode_id, instrument * visits + visit, Response.value)
    found: dict[str, Answers] = {}
    for rows in _blocks(session, query.where(Response.voided_at.is_(None), Response.date <= today).order_by(*order)):
        block = np.array(rows, dtype=np.float64)
        place, at = _places(block[:, 0], ids), block[:, 1].astype(np.int64)
        for n in np.unique(at[(place >= 0) & (at >= 0)] // visits):
            mine = (at // visits == n) & (place >= 0)
            answers = found.setdefault(known[n], _empty(len(ids)))
            answers.value[place[mine], at[mine] % visits] = block[mine, 2]
            answers.given[place[mine], at[mine] % visits] = True
    return {key: found[key] for key in sorted(found)}


def _empty(n: int) -> Answers:
    shape = (n, len(VISIT_KEYS))
    return Answers(np.full(shape, np.nan), np.zeros(shape, dtype=bool))


def _events(session: Session, table: Any, code: Any, ids: Ints, today: date) -> Events:
    query = select(table.episode_id, code, table.date).where(table.voided_at.is_(None), table.date <= today)
    episode, words, days = _columns(session, query.order_by(table.id), 3)
    place = _places(episode, ids)
    kept = place >= 0
    return Events(place[kept], named(words[kept]), _dates(days[kept]))


def _died(patients: NDArray[Any], complications: Events) -> Dates:
    """The day of the patient's death, whichever episode it was recorded with."""
    day = np.full(len(patients), "NaT", dtype="datetime64[D]")
    if "death" not in complications.code.names:
        return day
    deaths = complications.code.index == complications.code.names.index("death")
    _, person = np.unique(patients.astype(np.int64), return_inverse=True)
    first = np.full(int(person.max()) + 1, "NaT", dtype="datetime64[D]")
    order = np.argsort(complications.date[deaths])[::-1]
    first[person[complications.episode[deaths][order]]] = complications.date[deaths][order]
    found: Dates = first[person]
    return found
