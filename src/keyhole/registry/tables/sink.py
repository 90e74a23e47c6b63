"""Where the rows of an import go: its tables, how many rows each got, and days as the database wants them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from sqlalchemy import Connection

from keyhole.registry.tables import bulk


@dataclass(slots=True)
class Sink:
    """One import in its transaction. `today` is the last day that an answer or event can have."""

    connection: Connection
    batch: int
    today: date
    put: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    _days: dict[date, str] = field(default_factory=dict)

    def rows(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
        """Put rows into a table, each marked as of this import."""
        bulk.insert(self.connection, table, (*columns, "batch_id"), [(*row, self.batch) for row in rows])
        self.put[table] += len(rows)

    def day(self, day: date | None) -> str | None:
        """A day as both databases take it."""
        if day is None:
            return None
        told = self._days.get(day)
        if told is None:
            told = self._days[day] = day.isoformat()
        return told
