"""Many rows at once, in and out of the database: prepared inserts for SQLite, COPY for PostgreSQL.

Everything happens on the caller's connection, in its transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from keyhole.registry.database import BUSY_SECONDS

AT_ONCE = 50_000
_LOCK = 20250720  # of PostgreSQL's advisory locks: one import at a time
_WAIT_MS = 600_000
_CACHE_KIB = 64_000


def is_file(connection: Connection) -> bool:
    """Whether the database is a SQLite file."""
    return connection.dialect.name == "sqlite"


def take_turn(connection: Connection) -> None:
    """Wait for another import to end; PostgreSQL's other writers go on."""
    if not is_file(connection):
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        connection.execute(text("SET LOCAL enable_seqscan = off"))  # it knows nothing yet of the rows just put in


def prepare(connection: Connection) -> None:
    """Let SQLite wait longer for another writer than for a single record, and keep more pages in memory."""
    _set(connection, _WAIT_MS, -_CACHE_KIB)


def restore(connection: Connection) -> None:
    """The connection's settings as they are for single records; not inside a transaction."""
    _set(connection, 1000 * BUSY_SECONDS, -2000)


def _set(connection: Connection, wait_ms: int, pages: int) -> None:
    if is_file(connection):
        driver: Any = connection.connection.driver_connection
        driver.execute(f"PRAGMA busy_timeout = {wait_ms}")
        driver.execute(f"PRAGMA cache_size = {pages}")


def insert(connection: Connection, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Put `rows` into `table`; days and moments as they stand, other values as the driver takes them."""
    if not rows:
        return
    if is_file(connection):
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(f"INSERT INTO {table} ({_listed(columns)}) VALUES ({marks})", list(rows))
        return
    _copied(connection, f"COPY {table} ({_listed(columns)}) FROM STDIN", rows)


def new_ids(connection: Connection, table: str, count: int) -> list[int]:
    """Ids for `count` rows to come, which nobody else gets."""
    if is_file(connection):
        last = connection.exec_driver_sql(f"SELECT coalesce(max(id), 0) FROM {table}").scalar_one()
        return list(range(last + 1, last + 1 + count))
    found = connection.execute(
        text("SELECT nextval(pg_get_serial_sequence(:table, 'id')) FROM generate_series(1, :count)"),
        {"table": table, "count": count},
    )
    return [row[0] for row in found]


def where_in(connection: Connection, columns: str, table: str, column: str, wanted: Iterable[Any]) -> list[Any]:
    """The live rows of `table` whose `column` is one of `wanted`, however many; found by the index of the column."""
    values = sorted(set(wanted))
    if not values:
        return []
    if is_file(connection):
        given: Any = json.dumps(values)
        source = "json_each(:given) w"
        matches = f"t.{column} = w.value"
    else:
        kind = "text" if isinstance(values[0], str) else "integer"
        given, source, matches = values, f"unnest(CAST(:given AS {kind}[])) w(value)", f"t.{column} = w.value"
    said = f"SELECT {columns} FROM {source} CROSS JOIN {table} t WHERE {matches} AND t.voided_at IS NULL"
    return list(connection.execute(text(said), {"given": given}).all())


def stream(connection: Connection, query: str, at_once: int = AT_ONCE) -> Iterator[Sequence[Any]]:
    """The rows of `query` as the driver gives them, `at_once` at a time; PostgreSQL keeps the rest."""
    driver: Any = connection.connection.driver_connection
    cursor = driver.cursor() if is_file(connection) else driver.cursor(name="keyhole_rows")
    try:
        cursor.execute(query)
        while block := cursor.fetchmany(at_once):
            yield block
    except driver_errors(connection) as error:
        raise DBAPIError(query, {}, error) from error
    finally:
        cursor.close()


def driver_errors(connection: Connection) -> type[Exception]:
    """The base of what the database's driver raises."""
    found: type[Exception] = connection.dialect.loaded_dbapi.Error
    return found


def as_day(value: Any) -> date | None:
    """A day as the database gave it in plain SQL: SQLite's text or PostgreSQL's date."""
    return value if value is None or isinstance(value, date) else date.fromisoformat(value)


def as_moment(connection: Connection, value: datetime) -> str | datetime:
    """A moment as a plain insert wants it."""
    return value.replace(tzinfo=None).isoformat(" ", "microseconds") if is_file(connection) else value


def _listed(columns: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns)


def _copied(connection: Connection, statement: str, rows: Iterable[tuple[Any, ...]]) -> None:
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in rows:
                copy.write_row(row)
    except driver_errors(connection) as error:
        kind = IntegrityError if isinstance(error, connection.dialect.loaded_dbapi.IntegrityError) else DBAPIError
        raise kind(statement, {}, error) from error
