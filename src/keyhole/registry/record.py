"""Record, correct and take back: the only ways in which the registry's rows come, change and go.

Nothing is overwritten: a patient or an episode gets a higher version, any other record is voided and replaced, and
the trail keeps before and after with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from keyhole.errors import InvalidInput, Refused
from keyhole.registry.audit import Work, plain
from keyhole.registry.edge import (
    TABLE_OF,
    check_alive,
    check_episode,
    check_event,
    check_procedure,
    check_response,
    values,
)
from keyhole.registry.faults import ONCE
from keyhole.registry.models import (
    ENTITIES,
    Anchored,
    Base,
    Complication,
    Episode,
    Patient,
    Readmission,
    Reoperation,
    Response,
)

EVENTS = ("complication", "readmission", "reoperation")
_KEYS = {"patient": "pseudonym", "episode": "code"}
_LONGEST_REASON = 500
_OURS = {"id", "voided_at", "batch_id", "version", "replaces_id", "patient_id", "episode_id"}


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was recorded: its word, its number, its values, and what must be said with it."""

    entity: str
    id: int
    values: Mapping[str, Any]
    caveats: tuple[str, ...] = ()


def record(work: Work, entity: str, given: Mapping[str, object], *, today: date) -> Recorded:
    """Add a record of `entity` from what is `given` by field; `patient` and `episode` are their codes."""
    if entity not in TABLE_OF:
        raise InvalidInput(f"{entity!r} cannot be recorded; there are {', '.join(TABLE_OF)}")
    found = values(entity, given, today)
    row, caveats = _checked(work.session, entity, found)
    _refuse_twice(work.session, row)
    return _added(work, entity, row, caveats, action="insert")


def correct(work: Work, entity: str, key: str, changes: Mapping[str, object], *, reason: str, today: date) -> Recorded:
    """Put right what is recorded under `key` (a pseudonym, a code, or a record's number); the rest stays as it is."""
    if not changes:
        raise Refused("set", "expected at least one field to change, got none")
    row = find(work.session, entity, key, lock=True)
    given = _given(work.session, entity, row)
    unknown = [name for name in changes if name not in given]
    if unknown:
        raise Refused(unknown[0], f"is no field of a {entity}; the fields are {', '.join(given)}")
    if "items" in given and "items" not in changes and "value" in changes:
        given["items"] = None
    if "items" in changes and "value" not in changes:
        given["value"] = None
    told = told_of(reason)
    found = values(entity, given | dict(changes), today)
    fresh, caveats = _checked(work.session, entity, found, row)
    _refuse_twice(work.session, fresh, besides=row.id)
    if isinstance(row, Anchored):
        return _revised(work, entity, row, fresh, (told, caveats))
    fresh.replaces_id = row.id
    old = plain(row)
    row.voided_at = work.at
    work.session.flush()
    made = _added(work, entity, fresh, caveats, action="update", before=old, reason=told)
    work.note("void", row, old, {"replaced_by": made.id}, told)
    return made


def void(work: Work, entity: str, key: str, *, reason: str) -> tuple[tuple[str, int], ...]:
    """Take back what is recorded under `key`, and all that hangs on it; returns table and number of each."""
    row = find(work.session, entity, key, lock=True)
    told = told_of(reason)
    rows = [*_hanging(work.session, row), row]
    for one in rows:
        before = plain(one)
        one.voided_at = work.at
        if isinstance(one, Anchored):
            one.version += 1
        work.session.flush()
        work.note("void", one, before, None, told)
    return tuple((one.__tablename__, int(one.id)) for one in rows)


def find(
    session: Session, entity: str, key: str, *, lock: bool = False, shared: bool = False, voided: bool = False
) -> Any:
    """The record of `entity` under `key`: a pseudonym, an episode's code, or a number; refused if there is none.

    `lock`: nobody else changes it until the transaction ends; `shared`: others may lean on it too.
    """
    if entity not in ENTITIES:
        raise InvalidInput(f"no record is called {entity!r}; there are {', '.join(ENTITIES)}")
    model: Any = ENTITIES[entity]
    name = _KEYS.get(entity, "id")
    asked = select(model)
    if name == "id":
        if not key.isascii() or not key.isdigit() or len(key) > 9:
            raise Refused(entity, f"expected the number of the record, got {key[:40]!r}")
        asked = asked.where(model.id == int(key))
    else:
        asked = asked.where(getattr(model, name) == key)
    if not voided:
        asked = asked.where(model.voided_at.is_(None))
    if lock or shared:
        asked = asked.with_for_update(read=not lock)
    row = session.scalars(asked.order_by(model.id.desc()).limit(1)).first() if key.isprintable() else None
    if row is None:
        raise Refused(entity, f"there is no {entity} {key[:60]!r} in the registry")
    return row


def died(session: Session, patient_id: int) -> date | None:
    """The day on which the patient died, if that is recorded."""
    asked = (
        select(Complication.date)
        .join(Episode, Complication.episode_id == Episode.id)
        .where(Complication.code == "death", Complication.voided_at.is_(None), Episode.patient_id == patient_id)
    )
    return session.scalars(asked.order_by(Complication.date).limit(1)).first()


def _checked(session: Session, entity: str, found: dict[str, Any], old: Any = None) -> tuple[Any, tuple[str, ...]]:
    """A new row of what was found, checked against what it hangs on and what hangs on `old`."""
    caveats: tuple[str, ...] = ()
    if entity == "patient":
        for episode in [] if old is None else _episodes(session, old):
            check_episode(_plain_episode(episode), Patient(**found))
        return Patient(**found), caveats
    if entity == "episode":
        patient = find(session, "patient", found.pop("patient"), shared=True)
        check_episode(found, patient)
        fresh = Episode(**found, patient_id=patient.id)
        if old is not None:
            _check_hanging(session, old, fresh)
        return fresh, caveats
    episode = find(session, "episode", found.pop("episode"), shared=True)
    if entity == "procedure":
        check_procedure(found)
    elif entity == "response":
        caveats = check_response(found, episode)
    elif entity in EVENTS:
        check_event(entity, found, episode)
    if "date" in found and found.get("code") != "death":
        check_alive(found, died(session, episode.patient_id))
    return ENTITIES[entity](**found, episode_id=episode.id), caveats


def _added(work: Work, entity: str, row: Any, caveats: tuple[str, ...], **trail: Any) -> Recorded:
    row.batch_id = work.batch_id
    work.session.add(row)
    work.session.flush()
    after = plain(row)
    work.note(trail["action"], row, trail.get("before"), after, trail.get("reason"))
    return Recorded(entity, row.id, after, caveats)


def _revised(work: Work, entity: str, row: Any, fresh: Any, told: tuple[str, tuple[str, ...]]) -> Recorded:
    """A patient or an episode with the values of `fresh` under the next version; `told`: reason and caveats."""
    before = plain(row)
    for column in row.__table__.columns:
        if column.name not in _OURS - {"patient_id"}:
            setattr(row, column.name, getattr(fresh, column.name))
    row.version += 1
    work.session.flush()
    after = plain(row)
    changed = {name for name in after if after[name] != before[name]}
    work.note("update", row, _only(before, changed), _only(after, changed), told[0])
    return Recorded(entity, row.id, after, told[1])


def _only(found: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name in names}


def _given(session: Session, entity: str, row: Any) -> dict[str, object]:
    """The values of `row` by the names under which they were given."""
    found: dict[str, object] = {c.name: getattr(row, c.name) for c in row.__table__.columns if c.name not in _OURS}
    if entity == "episode":
        found["patient"] = session.get_one(Patient, row.patient_id).pseudonym
    elif entity != "patient":
        found["episode"] = session.get_one(Episode, row.episode_id).code
    return found


def _refuse_twice(session: Session, row: Any, besides: int = 0) -> None:
    """Refuse what is there already, with its number; `besides` is the one that is being corrected."""
    model: Any = type(row)
    index = next(one for one in model.__table__.indexes if one.unique)
    names = [column.name for column in index.columns]
    same = [getattr(model, name) == getattr(row, name) for name in names]
    live = select(model.id).where(model.voided_at.is_(None), model.id != besides, *same)
    there = session.scalars(live.limit(1)).first()
    if there is not None:
        field, what = ONCE[model.__tablename__]
        raise Refused(field, f"{what} is recorded already, as number {there}; correct it instead")


def _episodes(session: Session, patient: Patient) -> list[Episode]:
    asked = select(Episode).where(Episode.patient_id == patient.id, Episode.voided_at.is_(None))
    return list(session.scalars(asked.order_by(Episode.id)))


def _hanging(session: Session, row: Base) -> Iterator[Any]:
    """What goes with `row` when it is taken back, leaves first."""
    if isinstance(row, Patient):
        for episode in _episodes(session, row):
            yield from _hanging(session, episode)
            yield episode
    elif isinstance(row, Episode):
        for entity, model in ENTITIES.items():
            if entity not in _KEYS:
                leaf: Any = model
                asked = select(leaf).where(leaf.episode_id == row.id, leaf.voided_at.is_(None))
                yield from session.scalars(asked.order_by(leaf.id))


def _check_hanging(session: Session, old: Episode, fresh: Episode) -> None:
    """Refuse another day of operation that what is recorded of the episode contradicts."""
    if fresh.surgery_date == old.surgery_date:
        return
    for one in _hanging(session, old):
        if isinstance(one, Complication | Readmission | Reoperation) or (
            isinstance(one, Response) and one.visit != "baseline"
        ):
            if fresh.surgery_date is None or one.date < fresh.surgery_date:
                what = f"{one.__tablename__[:-1]} {one.id} on {one.date}"
                raise Refused("surgery_date", f"{what} lies before the operation on {fresh.surgery_date or 'no day'}")
        elif isinstance(one, Response) and fresh.surgery_date is not None and one.date > fresh.surgery_date:
            raise Refused("surgery_date", f"the baseline {one.id} of {one.date} lies after {fresh.surgery_date}")


def _plain_episode(episode: Episode) -> dict[str, Any]:
    return {"surgery_date": episode.surgery_date, "age": episode.age}


def told_of(reason: str) -> str:
    """The reason as the trail keeps it; refused where there is none."""
    told = reason.strip()
    if not told or len(told) > _LONGEST_REASON or not told.isprintable():
        raise Refused("reason", f"expected why, in 1 to {_LONGEST_REASON} letters on one line, got {told[:40]!r}")
    return told
