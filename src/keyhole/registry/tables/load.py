"""A CSV file into the registry: one transaction, one report, whole or not at all.

The batch names the file by its SHA-256, every row put in names its batch, and the audit says once for each table how
many rows of the file it got. A kill at any moment leaves the database as it was before or as it is after.
"""

from __future__ import annotations

import csv
import gc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, TextIO

from sqlalchemy import Connection, insert, select, update

from keyhole.casefile.store import RESEARCH_USE, sha256, write_whole
from keyhole.errors import InvalidInput
from keyhole.registry.database import Registry
from keyhole.registry.faults import told
from keyhole.registry.models import Audit, Batch
from keyhole.registry.tables import bulk
from keyhole.registry.tables.fields import TABLES
from keyhole.registry.tables.long import writer_of
from keyhole.registry.tables.mapping import Plan, check_header, plan_for, with_decimal
from keyhole.registry.tables.rows import Block, Problem, Text, header_and_blocks
from keyhole.registry.tables.sink import Sink
from keyhole.registry.tables.values import Reader, Values
from keyhole.registry.tables.wide import WideWriter

KEPT = 20
"""Problems that the summary holds; the report has all."""

REPORT = ("row", "field", "found", "expected")


@dataclass(frozen=True, slots=True)
class Asked:
    """How to import. `at` is now, `on_error` abort or skip; `again`: even a file that was imported before.

    `today` is the last day that anything in the file can have happened; without it the day of `at`, UTC. `tell` hears
    how far the import is.
    """

    actor: str
    at: datetime
    today: date = date.max
    on_error: str = "abort"
    dry_run: bool = False
    again: bool = False
    tell: Callable[[str, float], None] = lambda sentence, share: None

    def __post_init__(self) -> None:
        if self.on_error not in {"abort", "skip"}:
            raise InvalidInput(f"on error: expected abort or skip, got {self.on_error!r}")
        if self.today == date.max:
            object.__setattr__(self, "today", self.at.astimezone(UTC).date())
        name = self.actor.strip()
        if not name or len(name) > 120 or not name.isprintable():
            raise InvalidInput(f"by: who imports must be named in 1 to 120 letters, got {self.actor[:40]!r}")


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
    named: tuple[str, ...] = ()
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
                self.report.writerow([*self.named, problem.row, problem.field, problem.found, problem.expected])


def own_tables(folder: Path) -> list[Path]:
    """The tables in a folder that `export` wrote, in the order in which one needs the other."""
    found = [folder / f"{table}.csv" for table in TABLES if (folder / f"{table}.csv").is_file()]
    if not found:
        raise InvalidInput(f"{folder} holds none of the registry's tables; expected patients.csv, episodes.csv, ...")
    return found


def import_files(
    registry: Registry,
    files: Sequence[Path],
    asked: Asked,
    *,
    plan: Plan | None = None,
    text: Text | None = None,
    decimal: str | None = None,
    report: Path | None = None,
) -> tuple[Imported, ...]:
    """Bring CSV files into the registry, all in one transaction, and say row by row what could not be.

    Parameters
    ----------
    plan : which column is which field; without one each header must be that of a table that Keyhole knows.
    text, decimal : encoding, separator and sign of decimals, if they are not the mapping's.
    report : where the row report goes (CSV), whole or not at all; it is written after an abort too.

    Raises
    ------
    InvalidInput : a file was imported before, its header is no mapping's, or it cannot be read as a whole. Nothing
        is imported then. Rows that cannot be raise nothing: they are counted, and `kept` says what was done.
    """
    sources = [_source(path, (plan, text, decimal)) for path in files]
    if report is None:
        return _imported(registry, sources, asked, None)
    if any(report.resolve() == path.resolve() for path in files):
        raise InvalidInput(f"{report} is the file that is imported; give the report another name")
    found: list[tuple[Imported, ...]] = []

    def fill(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as stream:
            found.append(_imported(registry, sources, asked, stream))

    write_whole(report, fill)
    return found[0]


def import_file(registry: Registry, path: Path, asked: Asked, *, plan: Plan | None = None) -> Imported:
    """Bring one CSV file into the registry; see `import_files`."""
    return import_files(registry, [path], asked, plan=plan)[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """One file, opened and understood as far as its header."""

    path: Path
    digest: str
    plan: Plan
    header: Sequence[str]
    blocks: Iterator[Block]


def _source(path: Path, how: tuple[Plan | None, Text | None, str | None]) -> _Source:
    plan, said, decimal = how
    digest = sha256(path)
    text = said or (plan.text if plan is not None else Text())
    header, blocks = header_and_blocks(path, text)
    if plan is None:
        plan = plan_for(header, path.name, text)
    if decimal is not None:
        plan = with_decimal(plan, decimal)
    check_header(plan, header, path.name)
    return _Source(path, digest, plan, header, blocks)


def _imported(
    registry: Registry, sources: Sequence[_Source], asked: Asked, report: TextIO | None
) -> tuple[Imported, ...]:
    writer = None if report is None else csv.writer(report, lineterminator="\n")
    if writer is not None:
        writer.writerow(REPORT if len(sources) == 1 else ("file", *REPORT))
    with _turn(registry) as connection, _no_collection():
        found = []
        for source in sources:
            named = () if len(sources) == 1 else (source.path.name,)
            found.append(_one(connection, source, asked, _Tally(writer, named)))
        kept = not asked.dry_run and (asked.on_error == "skip" or not any(one.skipped for one in found))
        if kept:
            connection.commit()
            return tuple(found)
        connection.rollback()
    return tuple(replace(one, kept=False, batch=None) for one in found)


def _one(connection: Connection, source: _Source, asked: Asked, tally: _Tally) -> Imported:
    name, plan = source.path.name, source.plan
    _check_new(connection, name, source.digest, asked)
    sink = Sink(connection, _batch(connection, name, source.digest, asked), asked.today)
    put = WideWriter(sink).put if plan.is_wide else writer_of(plan.table, sink, plan.nominal_dates)
    reader = Reader(plan, source.header, asked.today)
    size = max(source.path.stat().st_size, 1)
    for block in source.blocks:
        values = reader.values(block)
        put(values)
        tally.add(block, values)
        asked.tell(name, min(block.read / size, 1.0))
    if sha256(source.path) != source.digest:
        raise InvalidInput(f"{name} changed while it was read; nothing was imported")
    _finish(sink, tally, (asked, source.digest, name))
    return _told(sink, tally, (name, source.digest, plan.title))


def _told(sink: Sink, tally: _Tally, about: tuple[str, str, str]) -> Imported:
    put = {table: sink.put[table] for table in TABLES if sink.put[table]}
    wrong = dict(tally.wrong.most_common())
    notes = {what: count for what, count in sink.notes.items() if count}
    return Imported(*about, True, tally.rows, tally.skipped, put, wrong, tuple(tally.first), notes, sink.batch)


@contextmanager
def _turn(registry: Registry) -> Iterator[Connection]:
    """A connection in a transaction, when it is this import's turn; taken back unless it was committed."""
    with told(registry.name), registry.engine.connect() as opened:
        connection = opened.execution_options(keyhole_writes=True)
        bulk.prepare(connection)
        try:
            bulk.take_turn(connection)
            yield connection
        finally:
            connection.rollback()
            bulk.restore(connection)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Rows by the million make no cycles; looking for some would take a quarter of the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


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


def _finish(sink: Sink, tally: _Tally, about: tuple[Asked, str, str]) -> None:
    """The batch's counts, and a line of the audit for each table."""
    asked, digest, name = about
    sink.connection.execute(
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
        sink.connection.execute(insert(Audit), lines)
