"""What a registry holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from keyhole.registry.models import ENTITIES, Audit


@dataclass(frozen=True, slots=True)
class Count:
    """How many records of a table hold, and how many were taken back or replaced."""

    table: str
    records: int
    voided: int


@dataclass(frozen=True, slots=True)
class Status:
    """The counts, how many changes the trail has, and when and by whom the last was."""

    counts: tuple[Count, ...]
    changes: int
    last: tuple[datetime, str] | None


def status(session: Session) -> Status:
    """What the registry holds now."""
    counts = []
    for entity in ENTITIES.values():
        model: Any = entity
        total, live = session.execute(
            select(func.count(), func.count().filter(model.voided_at.is_(None))).select_from(model)
        ).one()
        counts.append(Count(model.__tablename__, live, total - live))
    changes = session.scalar(select(func.count()).select_from(Audit)) or 0
    last = session.execute(select(Audit.at, Audit.actor).order_by(Audit.id.desc()).limit(1)).first()
    return Status(tuple(counts), changes, None if last is None else (last[0], last[1]))
