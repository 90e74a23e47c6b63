"""The registry's tables as arrays: few columns, fetched in blocks, never an object for a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Executable, select
from sqlalchemy.orm import Session

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

_AT_ONCE = 100_000


def from_registry(registry: Registry) -> Data:
    """All that the dashboard counts, as one moment of the registry has it."""
    with registry.reading() as session:
        episodes = _columns(session, _episodes(), 6)
        ids = episodes[0].astype(np.int64)
        procedures = _columns(session, _procedures(), 4)
        where = _places(procedures[0], ids)
        answers = _answers(session, ids)
        events = [_events(session, table, code, ids) for table, code in _EVENTS]
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
        groups=tuple(tuple(group) for group in instruments_asked(registry.settings)),
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
    result = session.execute(query, execution_options={"stream_results": True})
    cursor: Any = result.cursor  # type: ignore[attr-defined]
    while rows := cursor.fetchmany(_AT_ONCE):
        yield rows
    result.close()


def _columns(session: Session, query: Executable, width: int) -> list[NDArray[Any]]:
    """The columns of `query` as objects."""
    rows = list(chain.from_iterable(_blocks(session, query)))
    columns = zip(*rows, strict=True) if rows else ((),) * width
    return [_objects(column) for column in columns]


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


def _answers(session: Session, ids: Ints) -> dict[str, Answers]:
    """Every instrument's scores by episode and visit; of several answers at one visit the latest."""
    query = select(Response.episode_id, Response.visit, Response.instrument, Response.value, Response.date).where(
        Response.voided_at.is_(None)
    )
    visit_of = {key: n for n, key in enumerate(VISIT_KEYS)}
    found: dict[str, Answers] = {}
    latest: dict[str, Dates] = {}
    for rows in _blocks(session, query):
        episode, visit, instrument, value, date = zip(*rows, strict=True)
        place = _places(episode, ids)
        at = np.fromiter(map(visit_of.__getitem__, visit), dtype=np.int64, count=len(rows))
        values, days = np.array(value, dtype=np.float64), _dates(date)
        words = np.array(instrument)
        for key in dict.fromkeys(instrument):
            mine = (words == key) & (place >= 0)
            _put(str(key), found, latest, (place[mine], at[mine], values[mine], days[mine]), len(ids))
    return {key: found[key] for key in sorted(found)}


def _put(
    key: str,
    found: dict[str, Answers],
    latest: dict[str, Dates],
    rows: tuple[Ints, Ints, NDArray[np.float64], Dates],
    n: int,
) -> None:
    """Put a block's answers where they are later than what is there."""
    shape = (n, len(VISIT_KEYS))
    if key not in found:
        found[key] = Answers(np.full(shape, np.nan), np.zeros(shape, dtype=bool))
        latest[key] = np.full(shape, "0001-01-01", dtype="datetime64[D]")
    order = np.argsort(rows[3], kind="stable")
    place, at, value, day = (column[order] for column in rows)
    later = day >= latest[key][place, at]
    place, at, value, day = place[later], at[later], value[later], day[later]
    found[key].value[place, at] = value
    found[key].given[place, at] = True
    latest[key][place, at] = day


def _events(session: Session, table: Any, code: Any, ids: Ints) -> Events:
    query = select(table.episode_id, code, table.date).where(table.voided_at.is_(None)).order_by(table.id)
    episode, words, days = _columns(session, query, 3)
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
