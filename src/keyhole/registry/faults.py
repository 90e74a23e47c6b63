"""What a database says when something fails, in one sentence of ours."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from keyhole.errors import InvalidInput, KeyholeError, Refused, StorageFailure, WrongRegistry

_KEPT = "nothing was written"

# a part of the driver's text -> what it means
_MEANS: tuple[tuple[str, type[KeyholeError], str], ...] = (
    ("file is not a database", WrongRegistry, "is not a registry: it is no SQLite database"),
    ("disk image is malformed", WrongRegistry, "is damaged: SQLite cannot read all of it; take the last backup"),
    ("disk is full", StorageFailure, f"could not be written: the disk is full; {_KEPT}"),
    ("No space left on device", StorageFailure, f"could not be written: the disk is full; {_KEPT}"),
    ("readonly database", StorageFailure, f"may not be written: it is read-only; {_KEPT}"),
    ("read-only transaction", StorageFailure, f"may not be written: it is read-only; {_KEPT}"),
    ("unable to open database", StorageFailure, "could not be opened: file or folder may not be read and written"),
    ("database is locked", StorageFailure, f"is held by another program, waited in vain; {_KEPT}"),
    ("database table is locked", StorageFailure, f"is held by another program, waited in vain; {_KEPT}"),
    ("disk I/O error", StorageFailure, f"could not be read or written: the disk reports an error; {_KEPT}"),
    ("permission denied", StorageFailure, f"may not be written by this user; {_KEPT}"),
)

ONCE = {
    "patients": ("pseudonym", "a patient of this pseudonym"),
    "episodes": ("code", "an episode of this code"),
    "procedures": ("operation", "this operation of the episode"),
    "snapshots": ("kind", "this snapshot of the episode"),
    "responses": ("instrument", "a response of this instrument, visit and date"),
    "complications": ("code", "this complication on this date"),
    "readmissions": ("date", "a readmission on this date"),
    "reoperations": ("date", "a reoperation at this level on this date"),
    "measures": ("name", "this measure at this level and side on this date"),
}
"""Of each table the field that is named where a row is there already, and what is there."""


@contextmanager
def told(name: str) -> Iterator[None]:
    """Errors of the database `name` as errors of Keyhole; the transaction has been taken back by then."""
    try:
        yield
    except IntegrityError as error:
        raise _refused(error) from error
    except DBAPIError as error:
        raise _meant(name, str(error.orig), is_lost=error.connection_invalidated) from error
    except sqlite3.Error as error:  # of the driver itself, before a transaction
        raise _meant(name, str(error)) from error


def _refused(error: IntegrityError) -> InvalidInput:
    said = str(error.orig)
    if "keyhole: " in said:
        return InvalidInput(f"{_first_line(said).partition('keyhole: ')[2]}; {_KEPT}")
    for table, (column, what) in ONCE.items():
        if f"uq_{table}_" in said or f"UNIQUE constraint failed: {table}." in said:
            return Refused(column, f"{what} is recorded already; correct it instead of recording it again")
    return InvalidInput(f"the registry refuses the record: {_first_line(said)}; {_KEPT}")


def _meant(name: str, said: str, is_lost: bool = False) -> KeyholeError:
    if "keyhole: " in said:
        return InvalidInput(f"{name}: {_first_line(said).partition('keyhole: ')[2]}; {_KEPT}")
    for part, kind, meaning in _MEANS:
        if part in said:
            return kind(f"{name} {meaning}")
    if is_lost or "connect" in said:
        return WrongRegistry(f"{name} could not be reached: {_first_line(said)}")
    return StorageFailure(f"{name} could not be read or written: {_first_line(said)}; {_KEPT}")


def _first_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[0].rstrip(".;") if lines else "no reason given"
