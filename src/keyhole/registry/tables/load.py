"""A CSV file into the registry: one transaction, one report, whole or not at all.

The batch names the file by its SHA-256, every row put in names its batch, and the audit says once for each table how
many rows of the file it got. A kill at any moment leaves the database as it was before or as it is after.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, insert, select, update

from keyhole.casefile.store import RESEARCH_USE, sha256, write_whole
from keyhole.errors import InvalidInput
from keyhole.registry.database import BUSY_SECONDS, Registry
from keyhole.registry.faults import told
from keyhole.registry.models import Audit, Batch
from keyhole.registry.tables import bulk
from keyhole.registry.tables.fields import TABLES
from keyhole.registry.tables.long import writer_of
from keyhole.registry.tables.mapping import Plan, check_header, plan_for
from keyhole.registry.tables.rows import Block, Problem, Text, header_and_blocks
from keyhole.registry.tables.sink import Sink
from keyhole.registry.tables.values import Reader, Values
from keyhole.registry.tables.wide import WideWriter

KEPT = 20
"""Problems that the summary holds; the report has all."""

REPORT = ("row", "field", "found", "expected")


@dataclass(frozen=True, slots=True)
class Asked:
    """How to import. `at` is now, `on_error` abort or skip; `again`: even a file that was imported before."""

    actor: str
    at: datetime
    on_error: str = "abort"
    dry_run: bool = False
    again: bool = False

    def __post_init__(self) -> None:
        if self.on_error not in {"abort", "skip"}:
            raise InvalidInput(f"on error: expected abort or skip, got {self.on_error!r}")
        name = self.actor.strip()
        if not name or len(name) > 120 or not name.isprintable():
            raise InvalidInput(f"by: who imports must be named in 1 to 120 letters, got {self.actor[:40]!r}")

    @property
    def today(self) -> date:
        """The last day that anything in the file can have happened."""
        return self.at.astimezone(UTC).date()


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import. `kept` is false after an abort or a dry run: then the registry is as it was.

    `rows` counts those of the file, `skipped` those that could not be, `put` the rows that each table got (or would
    have got), `wrong` the problems by field, `problems` the first of them.
    """

    file: str
    sha256: str
    mapping: str
    kept: bool
    rows: int
    skipped: int
    put: Mapping[str, int]
    wrong: Mapping[str, int]
    problems: tuple[Problem, ...]
    notes: Mapping[str, int]
    batch: int | None

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "schema": "keyhole.import/1",
            "research_use": RESEARCH_USE,
            **{name: getattr(self, name) for name in ("file", "sha256", "mapping", "kept", "rows", "skipped", "batch")},
            "put": dict(self.put),
            "wrong": dict(self.wrong),
            "notes": dict(self.notes),
            "problems": [{name: getattr(problem, name) for name in REPORT} for problem in self.problems],
        }


@dataclass(slots=True)
class _Tally:
    """Rows read and skipped, and every problem: the first are kept, all go to the report."""

    report: Any = None
    rows: int = 0
    skipped: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    first: list[Problem] = field(default_factory=list)

    def add(self, block: Block, values: Values) -> None:
        """Count a block whose good rows have been put in."""
        self.rows += len(values) + len(block.problems)
        self.skipped += len(values.problems) + len(block.problems)
        problems = [*block.problems, *(one for found in values.problems.values() for one in found)]
        for problem in sorted(problems, key=lambda one: one.row):
            self.wrong[problem.field] += 1
            if len(self.first) < KEPT:
                self.first.append(problem)
            if self.report is not None:
                self.report.writerow([problem.row, problem.field, problem.found, problem.expected])


def import_file(
    registry: Registry, path: Path, asked: Asked, *, plan: Plan | None = None, text: Text | None = None,
    report: Path | None = None,
) -> Imported:  # fmt: skip
    """Bring the CSV file at `path` into the registry, and say row by row what could not be.

    Parameters
    ----------
    plan : which column is which field; without one the header must be that of a table that Keyhole knows.
    text : encoding and separator, if they are not the mapping's.
    report : where the row report goes (CSV), whole or not at all; it is written after an abort too.

    Raises
    ------
    InvalidInput : the file was imported before, its header is no mapping's, or it cannot be read as a whole. Nothing
        is imported then. Rows that cannot be raise nothing: they are counted, and `kept` says what was done.
    """
    if report is None:
        return _imported(registry, path, asked, (plan, text), None)
    found: list[Imported] = []

    def fill(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            found.append(_imported(registry, path, asked, (plan, text), stream))

    write_whole(report, fill)
    return found[0]


def _imported(
    registry: Registry, path: Path, asked: Asked, how: tuple[Plan | None, Text | None], report: TextIO | None
) -> Imported:
    digest = sha256(path)
    plan, header, blocks = _opened(path, *how)
    tally = _Tally()
    if report is not None:
        tally.report = csv.writer(report, lineterminator="\n")
        tally.report.writerow(REPORT)
    with _turn(registry) as connection:
        _check_new(connection, path.name, digest, asked)
        batch = _batch(connection, path.name, digest, asked)
        sink = Sink(connection, batch, asked.today)
        put = WideWriter(sink).put if plan.is_wide else writer_of(plan.table, sink, plan.nominal_dates)
        reader = Reader(plan, header, asked.today)
        for block in blocks:
            values = reader.values(block)
            put(values)
            tally.add(block, values)
        if sha256(path) != digest:
            raise InvalidInput(f"{path.name} changed while it was read; nothing was imported")
        kept = not asked.dry_run and (asked.on_error == "skip" or not tally.skipped)
        _finish(connection, sink, tally, (asked, digest, path.name))
        if not kept:
            connection.rollback()
        else:
            connection.commit()
    return _told(sink, tally, (path.name, digest, plan.title), batch if kept else None)


def _told(sink: Sink, tally: _Tally, about: tuple[str, str, str], batch: int | None) -> Imported:
    put = {table: sink.put[table] for table in TABLES if sink.put[table]}
    wrong = dict(tally.wrong.most_common())
    notes = {what: count for what, count in sink.notes.items() if count}
    return Imported(*about, batch is not None, tally.rows, tally.skipped, put, wrong, tuple(tally.first), notes, batch)


def _opened(path: Path, plan: Plan | None, text: Text | None) -> tuple[Plan, list[str], Iterator[Block]]:
    how = text or (plan.text if plan is not None else Text())
    header, blocks = header_and_blocks(path, how)
    plan = plan_for(header, path.name, how) if plan is None else replace(plan, text=how)
    check_header(plan, header, path.name)
    return plan, header, blocks


@contextmanager
def _turn(registry: Registry) -> Iterator[Connection]:
    """A connection in a transaction, when it is this import's turn; taken back unless it was committed."""
    with told(registry.name), registry.engine.connect() as opened:
        connection = opened.execution_options(keyhole_writes=True)
        bulk.be_patient(connection)
        try:
            bulk.take_turn(connection)
            yield connection
        finally:
            connection.rollback()
            bulk.be_patient(connection, 1000 * BUSY_SECONDS)


def _check_new(connection: Connection, name: str, digest: str, asked: Asked) -> None:
    found = connection.execute(
        select(Batch.id, Batch.file, Batch.started, Batch.rows, Batch.skipped)
        .where(Batch.sha256 == digest)
        .order_by(Batch.id.desc())
    ).first()
    if found is None or asked.again:
        return
    as_name = "" if found.file == name else f" as {found.file}"
    left = f"; {found.skipped} rows were skipped then" if found.skipped else ""
    raise InvalidInput(
        f"{name} was imported on {found.started:%Y-%m-%d}{as_name} (import {found.id}, the same SHA-256){left}; "
        "nothing was added. With --again its rows are looked at once more, and those that are recorded are refused"
    )


def _batch(connection: Connection, name: str, digest: str, asked: Asked) -> int:
    made = connection.execute(
        insert(Batch).values(file=name, sha256=digest, started=asked.at, actor=asked.actor.strip(), rows=0, skipped=0)
    )
    key: Sequence[Any] = made.inserted_primary_key or (0,)
    return int(key[0])


def _finish(connection: Connection, sink: Sink, tally: _Tally, about: tuple[Asked, str, str]) -> None:
    """The batch's counts, and a line of the audit for each table."""
    asked, digest, name = about
    connection.execute(
        update(Batch).where(Batch.id == sink.batch).values(rows=tally.rows - tally.skipped, skipped=tally.skipped)
    )
    lines = [
        {
            "at": asked.at,
            "actor": asked.actor.strip(),
            "action": "insert",
            "entity": table,
            "after": {"file": name, "sha256": digest, "rows": count},
            "batch_id": sink.batch,
        }
        for table, count in sink.put.items()
        if count
    ]
    if lines:
        connection.execute(insert(Audit), lines)
