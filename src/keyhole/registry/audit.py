"""The trail: who changed what, when, from what to what, and why; only ever added to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import insert, inspect, select
from sqlalchemy.orm import Session

from keyhole.errors import InvalidInput
from keyhole.registry.database import Registry
from keyhole.registry.models import Audit, Base, Batch

_LONGEST_NAME = 120


@dataclass(frozen=True, slots=True)
class Work:
    """A transaction that writes: whose it is, when, and of which import."""

    session: Session
    actor: str
    at: datetime
    batch_id: int | None = None

    def note(  # one argument a column of the trail
        self,
        action: str,
        row: Base,
        before: Mapping[str, Any] | None,
        after: Mapping[str, Any] | None,
        reason: str | None = None,
    ) -> None:
        """Add to the trail what happened to `row`, which has its id by now."""
        self.session.execute(
            insert(Audit).values(
                at=self.at,
                actor=self.actor,
                action=action,
                entity=row.__tablename__,
                entity_id=number_of(row),
                before=None if before is None else dict(before),
                after=None if after is None else dict(after),
                batch_id=self.batch_id,
                reason=reason,
            )
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail. `batch` names the file of the import that it belongs to."""

    at: datetime
    actor: str
    action: str
    entity: str
    entity_id: int | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    reason: str | None
    batch: str | None


@contextmanager
def working(registry: Registry, actor: str, at: datetime) -> Iterator[Work]:
    """One transaction of `actor`: all that is recorded in the block is kept, or nothing of it."""
    name = actor.strip()
    if not name or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidInput(f"by: who records must be named in 1 to {_LONGEST_NAME} letters, got {actor[:40]!r}")
    with registry.writing() as session:
        yield Work(session, name, at)


def number_of(row: Base) -> int:
    """The number under which the database keeps `row`."""
    identity = inspect(row).identity
    if identity is None:
        raise ValueError("the row is not in the database yet")
    return int(identity[0])


def plain(row: Base) -> dict[str, Any]:
    """The columns of `row` as JSON has them; bytes are never told."""
    return {column.key: _plain(getattr(row, column.key)) for column in inspect(type(row)).column_attrs}


def history(session: Session, row: Base) -> tuple[Entry, ...]:
    """All that happened to `row` and to those that it replaces, oldest first."""
    entries: list[Entry] = []
    while True:
        entries = [*_entries(session, row), *entries]
        earlier = getattr(row, "replaces_id", None)
        found = None if earlier is None else session.get(type(row), earlier)
        if found is None:
            return tuple(entries)
        row = found


def _entries(session: Session, row: Base) -> list[Entry]:
    """The trail of one row; of a row that came with an import without a line of its own, that import's line."""
    entity_id = number_of(row)
    asked = select(Audit, Batch.file).outerjoin(Batch, Audit.batch_id == Batch.id).order_by(Audit.id)
    mine = session.execute(asked.where(Audit.entity == row.__tablename__, Audit.entity_id == entity_id)).all()
    batch = getattr(row, "batch_id", None)
    if batch is not None and not any(entry.action == "insert" for entry, _ in mine):
        of_batch = session.execute(asked.where(Audit.batch_id == batch, Audit.entity_id.is_(None))).all()
        named = [one for one in of_batch if one[0].entity == row.__tablename__]
        mine = [*(named or of_batch), *mine]
    return [_entry(entry, file) for entry, file in mine]


def _entry(entry: Audit, file: str | None) -> Entry:
    return Entry(
        entry.at,
        entry.actor,
        entry.action,
        entry.entity,
        entry.entity_id,
        entry.before,
        entry.after,
        entry.reason,
        file,
    )


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, date):
        return value.isoformat()
    return "encrypted" if isinstance(value, bytes) else value
