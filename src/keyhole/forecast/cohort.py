"""The clinic's own patients: a table of outcomes, one row a patient, checked cell by cell."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence import procedures
from keyhole.forecast.effects import Array
from keyhole.forecast.risk import fields

ARMS = ("miss", "open")
AMOUNTS = {
    "stay": (0.0, 400.0),
    "blood-loss": (0.0, 20000.0),
    "operating-time": (0.0, 2880.0),
    "radiation": (0.0, 20000.0),
    "return-to-work": (0.0, 3650.0),
    "return-to-driving": (0.0, 3650.0),
}
"""Outcomes that are amounts, with the least and most that can be: days, mL, min, s, days, days."""

EVENTS = ("infection", "dural-tear", "nerve-injury", "reoperation", "recurrence")
SCORES = {"leg-pain": (0.0, 10.0), "back-pain": (0.0, 10.0), "odi": (0.0, 100.0)}
"""Scores, one column per time: odi_0 before the operation, odi_12 a year after it."""

_SCORE = re.compile(r"(leg_pain|back_pain|odi)_(\d+(?:\.\d+)?)$")
_YES, _NO = {"1", "true", "yes"}, {"0", "false", "no"}
_MISSING = {"", "na", "nan"}


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Own patients as columns; nan is not known. `arm` holds 0 for a small opening and 1 for open."""

    name: str
    digest: str
    patients: tuple[str, ...]
    procedure: tuple[str, ...]  # empty string: not said
    arm: NDArray[np.int8]
    day: Array  # days since 1970, nan where not given
    columns: Mapping[str, Array]
    score_months: Mapping[str, tuple[float, ...]]

    @property
    def n(self) -> int:
        """Number of patients."""
        return len(self.patients)

    def of(self, procedure: str) -> NDArray[np.bool_]:
        """Patients of one kind of operation; those whose kind is not said count, if nobody's is."""
        if not any(self.procedure):
            return np.ones(self.n, dtype=np.bool_)
        return np.array([one == procedure for one in self.procedure])

    def values(self, column: str, procedure: str, arm: str) -> Array:
        """What is known of `column` in one arm of one kind of operation."""
        if column not in self.columns:
            return np.empty(0)
        found = self.columns[column][self.of(procedure) & (self.arm == ARMS.index(arm))]
        known: Array = found[np.isfinite(found)]
        return known


def cohort_columns() -> dict[str, str]:
    """Every column that a cohort may have, with what it holds."""
    found = {
        "patient": "a code of the patient, each once; never a name",
        "arm": "miss (small opening) or open",
        "procedure": f"{', '.join(procedures())}; where the column is left out, all rows count for every operation",
        "operated": "day of the operation, YYYY-MM-DD; for the drift check",
    }
    units = {"stay": "days", "blood-loss": "mL", "operating-time": "min", "radiation": "s of fluoroscopy"}
    found |= {column_of(key): units.get(key, "days after the operation") for key in AMOUNTS}
    found |= {column_of(key): "1 it happened, 0 it did not" for key in EVENTS}
    found |= {
        f"{column_of(key)}_MONTHS": f"score {lo:g} to {hi:g}; 0 months is before" for key, (lo, hi) in SCORES.items()
    }
    found |= {name: f"field of the risk scores: {'; '.join(words)}" for name, words in fields().items()}
    return found


def column_of(outcome: str) -> str:
    """The column of an outcome."""
    return outcome.replace("-", "_")


def read_cohort(path: Path) -> Cohort:
    """The cohort in the CSV file at `path`; one impossible cell and the whole file is refused, with row and column."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path.name} must be UTF-8 text: {error}") from error
    return parse_cohort(text, path.name, hashlib.sha256(raw).hexdigest())


def parse_cohort(text: str, name: str = "cohort", digest: str = "") -> Cohort:
    """The cohort in CSV `text` (comma or semicolon)."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text), delimiter=";" if first.count(";") > first.count(",") else ",")
    try:
        table = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(c.strip() for c in row)]
    except csv.Error as error:
        raise UnreadableFile(f"{name} is no CSV table: {error}") from error
    if len(table) < 2:
        raise InvalidInput(f"{name} holds no patient: expected a header and at least one row")
    (_, header), rows = table[0], table[1:]
    _check_header(header, name)
    for n, row in rows:
        if len(row) != len(header):
            raise InvalidInput(f"{name}, row {n}: expected {len(header)} cells, found {len(row)}")
    cells = {column: [(n, row[k]) for n, row in rows] for k, column in enumerate(header)}
    return _cohort(cells, name, digest or hashlib.sha256(text.encode()).hexdigest())


_Cells = Sequence[tuple[int, str]]
"""Row and text of each cell of a column."""


def _check_header(header: list[str], name: str) -> None:
    known = cohort_columns()
    for column in header:
        if header.count(column) > 1:
            raise InvalidInput(f"{name}: the column {column!r} is there twice")
        if column not in known and not _SCORE.match(column):
            raise InvalidInput(f"{name}: no cohort has the column {column!r}; `keyhole forecast --columns` lists them")
    for column in ("patient", "arm"):
        if column not in header:
            raise InvalidInput(f"{name}: the column {column!r} is missing")


def _cohort(cells: Mapping[str, _Cells], name: str, digest: str) -> Cohort:
    seen: set[str] = set()
    for n, one in cells["patient"]:
        if not one or one in seen:
            raise InvalidInput(f"{name}, row {n}: a patient must have a code of their own, got {one!r}")
        seen.add(one)
    columns = {c: _column(c, cells[c], name) for c in cells if c not in ("patient", "arm", "procedure", "operated")}
    months: dict[str, list[float]] = {}
    for column in columns:
        if match := _SCORE.match(column):
            months.setdefault(match[1].replace("_", "-"), []).append(float(match[2]))
    return Cohort(
        name=name,
        digest=digest,
        patients=tuple(one for _, one in cells["patient"]),
        procedure=_procedures(cells, name),
        arm=np.array([_arm(one, n, name) for n, one in cells["arm"]], dtype=np.int8),
        day=np.array([_day(one, n, name) for n, one in cells.get("operated", _blank(cells))]),
        columns=columns,
        score_months={key: tuple(sorted(found)) for key, found in months.items()},
    )


def _arm(text: str, row: int, name: str) -> int:
    if text not in ARMS:
        raise InvalidInput(f"{name}, row {row}, arm: expected miss or open, got {text!r}")
    return ARMS.index(text)


def _blank(cells: Mapping[str, _Cells]) -> _Cells:
    return [(n, "") for n, _ in cells["patient"]]


def _procedures(cells: Mapping[str, _Cells], name: str) -> tuple[str, ...]:
    given = cells.get("procedure", _blank(cells))
    for n, one in given:
        if one and one not in procedures():
            raise InvalidInput(f"{name}, row {n}, procedure: expected {', '.join(procedures())}, got {one!r}")
    return tuple(one for _, one in given)


def _day(text: str, row: int, name: str) -> float:
    if text.casefold() in _MISSING:
        return math.nan
    try:
        return float((date.fromisoformat(text) - date(1970, 1, 1)).days)
    except ValueError as error:
        raise InvalidInput(f"{name}, row {row}, operated: expected a day YYYY-MM-DD, got {text!r}") from error


def _column(column: str, cells: _Cells, name: str) -> Array:
    bounds = _bounds(column)
    return np.array([_cell(text, bounds, f"{name}, row {n}, {column}") for n, text in cells])


def _bounds(column: str) -> tuple[float, float] | None:
    """The least and most a number may be; None: yes or no (or F and M)."""
    key = column.replace("_", "-")
    if key in AMOUNTS:
        return AMOUNTS[key]
    if match := _SCORE.match(column):
        return SCORES[match[1].replace("_", "-")]
    return {"age": (0.0, 120.0), "bmi": (8.0, 120.0), "operating_hours": (0.0, 48.0)}.get(column)


def _cell(text: str, bounds: tuple[float, float] | None, place: str) -> float:
    word = text.casefold()
    if word in _MISSING:
        return math.nan
    if bounds is None and word in _YES | _NO:
        return float(word in _YES)
    if place.endswith(", sex"):
        if text not in ("F", "M"):
            raise InvalidInput(f"{place}: expected F or M, got {text!r}")
        return float(text == "M")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    low, high = bounds or (0.0, 200.0)
    if not low <= value <= high:
        wanted = f"a number from {low:g} to {high:g}" if bounds else "1 or 0"
        raise InvalidInput(f"{place}: expected {wanted}, got {text!r}")
    if bounds is None and place.rpartition(", ")[2] in {column_of(key) for key in EVENTS}:
        raise InvalidInput(f"{place}: expected 1 or 0, got {text!r}")
    return value
