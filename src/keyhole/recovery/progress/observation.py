"""Read observations from CSV or JSON; anything that cannot be is refused with its row."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.recovery.instruments import UNABLE, check, instruments
from keyhole.recovery.progress.model import Observation

COLUMNS = ("instrument", "date", "value")
BESIDE = ("note", "visit", "by")
"""Columns that may stand beside; they are not read."""

ANSWERS = ("red-flag/", "criterion/")
SEEN = "seen"
RED_FLAGS = "red-flags"
EVENTS = ("event/reoperation", "event/readmission")
"""What happened since, 1 on its day: a registry tells it, or a row."""

PHASE = "phase"


def read_observations(path: Path) -> tuple[Observation, ...]:
    """The observations of a CSV (instrument, date, value) or JSON file; rows without a value are left out."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{path} is no text in UTF-8: byte {error.start} is {error.object[error.start]}"
        ) from error
    rows = _json_rows(path, text) if path.suffix.lower() == ".json" else _csv_rows(path, text)
    return parsed(rows)


def parsed(rows: Iterable[tuple[str, Mapping[str, object]]]) -> tuple[Observation, ...]:
    """The observations of `rows`, each with where it is from; rows with an empty value are left out."""
    found = (_parsed(where, row) for where, row in rows)
    return tuple(one for one in found if one is not None)


def _csv_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, object]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UnreadableFile(f"{path}, line {reader.line_num}: no table of comma separated values: {error}") from error
    lines = [(n, row) for n, row in lines if any(cell.strip() for cell in row)]
    if not lines:
        raise UnreadableFile(f"{path} is empty: a table begins with the line {','.join(COLUMNS)}")
    header = [cell.strip().lower() for cell in lines[0][1]]
    _check_header(path, header)
    made: list[tuple[str, Mapping[str, object]]] = []
    for n, row in lines[1:]:
        if len(row) != len(header):
            raise InvalidInput(f"{path}, line {n}: {len(header)} cells were expected, {len(row)} found")
        made.append((f"{path}, line {n}", dict(zip(header, (cell.strip() for cell in row), strict=True))))
    return made


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in header]
    other = [name for name in header if name not in (*COLUMNS, *BESIDE)]
    if missing or other or len(set(header)) < len(header):
        may = f"and may have {', '.join(BESIDE)}"
        raise InvalidInput(f"{path}, line 1: the columns must be {', '.join(COLUMNS)} {may}, found {', '.join(header)}")


def _json_rows(path: Path, text: str) -> list[tuple[str, Mapping[str, object]]]:
    try:
        held = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} is no JSON: {error}") from error
    rows = held.get("observations") if isinstance(held, dict) else held
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InvalidInput(f"{path}: a list of objects with {', '.join(COLUMNS)} was expected")
    made = []
    for n, row in enumerate(rows, start=1):
        missing = [name for name in COLUMNS if name not in row]
        other = [name for name in row if name not in (*COLUMNS, *BESIDE)]
        if missing or other:
            raise InvalidInput(f"{path}, entry {n}: the fields must be {', '.join(COLUMNS)}, found {', '.join(row)}")
        made.append((f"{path}, entry {n}", row))
    return made


def _parsed(where: str, row: Mapping[str, object]) -> Observation | None:
    raw = row["value"]
    if raw is None or (isinstance(raw, str) and not raw.strip()):
        return None
    key = str(row["instrument"]).strip().lower()
    value = _unable(key) if isinstance(raw, str) and raw.strip().lower() == UNABLE else None
    made = Observation(key, _day(where, row["date"]), _number(where, raw) if value is None else value, where)
    check_observation(made)
    return made


def _unable(key: str) -> float | None:
    """The worst value of a functional test: that of a person who cannot do it; None for anything else."""
    known = instruments().get(key)
    if known is None or known.method != "test":
        return None
    return known.high if known.better == "lower" else known.low


def _day(where: str, raw: object) -> date:
    try:
        return date.fromisoformat(str(raw))
    except ValueError as error:
        raise InvalidInput(f"{where}: date must be YYYY-MM-DD, got {raw!r}") from error


def _number(where: str, raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise InvalidInput(f"{where}: value must be a number, got {raw!r}")
    try:
        value = float(raw)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{where}: value must be a number, got {raw!r}") from error
    if not math.isfinite(value):
        raise InvalidInput(f"{where}: value must be a number, got {raw!r}")
    return value


def check_observation(one: Observation) -> None:
    """Refuse an observation of nothing known, or of a value that cannot be."""
    where = one.where or f"{one.instrument} on {one.date}"
    key = one.instrument
    if key in (SEEN, *EVENTS) or (key.startswith((*ANSWERS, f"{SEEN}/")) and not key.endswith("/")):
        if one.value not in (0, 1):
            raise InvalidInput(f"{where}: {key} is 1 (yes) or 0 (no), got {one.value:g}")
    elif key in (RED_FLAGS, PHASE):
        least = 0 if key == RED_FLAGS else 1
        if one.value != int(one.value) or one.value < least:
            raise InvalidInput(f"{where}: {key} is a whole number from {least} on, got {one.value:g}")
    elif key not in instruments():
        known = ", ".join(instruments())
        raise InvalidInput(
            f"{where}: no instrument is called {key!r}; known are {known}, and {RED_FLAGS}, red-flag/NAME, "
            f"criterion/NAME, {SEEN}, {PHASE}, {', '.join(EVENTS)}"
        )
    elif why := check(key, one.value):
        raise InvalidInput(f"{where}: {why}")
