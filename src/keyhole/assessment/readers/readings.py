"""Grades that a reader or a network gave, from a table; Keyhole never makes them itself.

Four forms of CSV, told apart by their columns:

* long, as RSNA 2024 has it: ``study_id,condition,level,severity``
* wide, as RSNA 2024's train.csv: ``study_id,spinal_canal_stenosis_l1_l2,..`` one row per study
* chances, as a network's submission to RSNA 2024: ``row_id,normal_mild,moderate,severe``
* simple, for every system: ``system,level,side,value``

Each may have the columns ``reader`` and ``date`` (YYYY-MM-DD).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, cast

from keyhole.casefile import FindingEntry, ReadingEntry
from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.terms import LUMBAR_LEVELS, SIDES, split

CONDITIONS: Mapping[str, tuple[str, str | None]] = {
    "spinal_canal_stenosis": ("spinal canal stenosis", None),
    "left_neural_foraminal_narrowing": ("neural foraminal narrowing", "left"),
    "right_neural_foraminal_narrowing": ("neural foraminal narrowing", "right"),
    "left_subarticular_stenosis": ("subarticular stenosis", "left"),
    "right_subarticular_stenosis": ("subarticular stenosis", "right"),
}
"""RSNA 2024's names of its conditions -> name and side in findings.json [rsna2024]."""

SEVERITIES = ("normal_mild", "moderate", "severe")
SHOWN = {"normal_mild": "normal/mild", "moderate": "moderate", "severe": "severe"}

GRADES: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "schizas": ("Schizas grade", ("A1", "A2", "A3", "A4", "A", "B", "C", "D"), "schizas2010"),
    "pfirrmann": ("Pfirrmann grade", ("1", "2", "3", "4", "5"), "salamat2016"),
    "lee": ("Lee foraminal grade", ("0", "1", "2", "3"), "lee2010"),
    "modic": ("Modic type", ("0", "1", "2", "3"), "modic-types"),
}
"""System -> name in findings.json, its grades, and the source of what they mean."""

_ROMAN = {"I": "1", "II": "2", "III": "3", "IV": "4", "V": "5"}
_ROW_ID = re.compile(r"(?P<study>.+?)_(?P<condition>" + "|".join(CONDITIONS) + r")_(?P<level>l\d_[ls]\d)")
_MOST_BYTES = 64 << 20

Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the table: its cells by column in small letters, its line in the file, and where that is."""

    cells: Row
    number: int
    where: str

    def get(self, column: str) -> str:
        """The cell of `column`, without blanks; empty where there is none."""
        return (self.cells.get(column) or "").strip()

    def wrong(self, what: str) -> InvalidInput:
        """The error that names the line."""
        return InvalidInput(f"{self.where}, row {self.number}: {what}")


def read_readings(path: Path, *, study: str | None = None, reader: str | None = None) -> tuple[ReadingEntry, ...]:
    """The grades in the CSV at `path`; any row that is wrong refuses the whole file, with its number.

    Parameters
    ----------
    study : the study_id to take where the file holds several; None: the file may hold only one.
    reader : who graded, where no column says so.
    """
    columns, lines = _lines(path)
    form = _form(path, columns)
    if form is not _simple:
        lines = _of_study(path, lines, form, study)
    found = [entry for line in lines for entry in form(line, reader)]
    if not found:
        raise InvalidInput(f"{path} holds no grade: no cell of its {len(lines)} rows is filled")
    seen: dict[tuple[str, str, str | None, str], ReadingEntry] = {}
    for one in found:
        key = (one.name, one.level, one.side, one.reader)
        if key in seen:
            raise InvalidInput(
                f"{path}, row {one.row}: {one.name} at {' '.join(filter(None, (one.level, one.side)))} by {one.reader} "
                f"is given twice, first in row {seen[key].row}"
            )
        seen[key] = one
    return tuple(found)


def _lines(path: Path) -> tuple[tuple[str, ...], list[_Line]]:
    """Columns and rows of the table; what is not a table is refused."""
    try:
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise InvalidInput(
                f"{path} is no table of grades: it has {size >> 20} MiB, at most {_MOST_BYTES >> 20} fit"
            )
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UnreadableFile(f"{path} could not be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UnreadableFile(
            f"{path} is not a text file in UTF-8: byte {error.start} is {error.object[error.start]}"
        ) from error
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise InvalidInput(f"{path} is not a CSV file: {error}") from error
    if not rows or not any(cell.strip() for cell in rows[0]):
        raise InvalidInput(f"{path} is empty; a table of grades begins with a row of column names")
    columns = tuple(cell.strip().lower() for cell in rows[0])
    if len(set(columns)) != len(columns):
        raise InvalidInput(f"{path}: every column needs a name of its own, got {', '.join(columns)}")
    lines = []
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(columns):
            raise InvalidInput(f"{path}, row {number}: {len(columns)} cells were expected, got {len(row)}")
        lines.append(_Line(dict(zip(columns, row, strict=True)), number, str(path)))
    return columns, lines


Form = Callable[[_Line, str | None], Iterator[ReadingEntry]]


def _form(path: Path, columns: Sequence[str]) -> Form:
    """How the table is to be read."""
    has = set(columns)
    if {"condition", "level", "severity"} <= has:
        return _long
    if {"row_id", *SEVERITIES} <= has:
        return _chances
    if {"system", "level", "value"} <= has:
        return _simple
    wide = {f"{condition}_{level}" for condition in CONDITIONS for level in _LEVELS}
    strange = [c for c in columns if c not in {*wide, "study_id", "reader", "date"}]
    if has & wide and not strange:
        return _wide
    told = f"; not known: {', '.join(strange[:3])}" if has & wide else ""
    raise InvalidInput(
        f"{path}: the columns {', '.join(columns[:6])} are none of the known forms{told}; expected study_id,condition,"
        "level,severity or a column for each condition and level or row_id,normal_mild,moderate,severe or "
        "system,level,side,value"
    )


_LEVELS = {level.lower().replace("/", "_"): level for level in LUMBAR_LEVELS}


def _of_study(path: Path, lines: list[_Line], form: Form, study: str | None) -> list[_Line]:
    """The rows of one study; a file with several needs to be told which."""

    def of(line: _Line) -> str:
        if form is _chances:
            found = _ROW_ID.fullmatch(line.get("row_id").lower())
            return found["study"] if found else ""
        return line.get("study_id")

    studies = list(dict.fromkeys(of(line) for line in lines))
    if study is None:
        if len(studies) > 1:
            raise InvalidInput(
                f"{path} holds {len(studies)} studies ({', '.join(studies[:3])}, ..): say which one is this patient's "
                "with --study ID"
            )
        return lines
    kept = [line for line in lines if of(line) == study]
    if not kept:
        raise InvalidInput(f"{path} holds no study {study}; it holds {', '.join(studies[:5])}")
    return kept


def _long(line: _Line, reader: str | None) -> Iterator[ReadingEntry]:
    yield _rsna(line, line.get("condition"), line.get("level"), line.get("severity"), reader)


def _wide(line: _Line, reader: str | None) -> Iterator[ReadingEntry]:
    for condition in CONDITIONS:
        for level in _LEVELS:
            cell = line.get(f"{condition}_{level}")
            if cell:
                yield _rsna(line, condition, level, cell, reader)


def _chances(line: _Line, reader: str | None) -> Iterator[ReadingEntry]:
    found = _ROW_ID.fullmatch(line.get("row_id").lower())
    if found is None:
        raise line.wrong(
            f"a row_id is STUDY_CONDITION_LEVEL like 1_spinal_canal_stenosis_l1_l2, got {line.get('row_id')!r}"
        )
    chances = {}
    for grade in SEVERITIES:
        try:
            chances[grade] = float(line.get(grade))
        except ValueError:
            raise line.wrong(f"{grade} must be a probability, got {line.get(grade)!r}") from None
    total = sum(chances.values())
    if not (all(0 <= p <= 1 for p in chances.values()) and abs(total - 1) <= 0.01):
        raise line.wrong(f"the three probabilities must lie in 0 to 1 and add up to 1, they add up to {total:.3g}")
    best = max(SEVERITIES, key=lambda grade: chances[grade])
    one = _rsna(line, found["condition"], found["level"], best, reader)
    shares = {SHOWN[grade]: round(p / total, 6) for grade, p in chances.items()}
    yield one.model_copy(update={"probability": shares})


def _rsna(line: _Line, condition: str, level: str, severity: str, reader: str | None) -> ReadingEntry:
    """An entry of RSNA 2024's scheme."""
    key = _plain(condition)
    if key not in CONDITIONS:
        raise line.wrong(f"a condition is one of {', '.join(CONDITIONS)}, got {condition!r}")
    grade = _plain(severity)
    if grade not in SEVERITIES:
        raise line.wrong(f"a severity is one of {', '.join(SEVERITIES)}, got {severity!r}")
    name, side = CONDITIONS[key]
    place = _LEVELS.get(_plain(level))
    if place is None:
        raise line.wrong(f"a level is one of {', '.join(_LEVELS)}, got {level!r}")
    return _entry(line, ("rsna2024", name, SHOWN[grade]), place, side, reader)


def _plain(word: str) -> str:
    """`word` in small letters, with everything but letters and digits as underscores."""
    return re.sub(r"[^a-z0-9]+", "_", word.strip().lower()).strip("_")


def _simple(line: _Line, reader: str | None) -> Iterator[ReadingEntry]:
    """An entry of any system, or of a condition of RSNA 2024 by its name without the side."""
    system, side, value = line.get("system").lower(), line.get("side").lower(), line.get("value")
    if side not in ("", *SIDES):
        raise line.wrong(f"a side is left, right or empty, got {side!r}")
    if system == "rsna2024" or _plain(system) in CONDITIONS:
        raise line.wrong("conditions of RSNA 2024 are given in its own forms: study_id,condition,level,severity")
    if system not in GRADES:
        raise line.wrong(f"a system is one of {', '.join(GRADES)}, got {system!r}")
    name, grades, _ = GRADES[system]
    grade = _ROMAN.get(value.upper(), value.upper()) if system == "pfirrmann" else value.upper()
    if grade not in grades:
        raise line.wrong(f"a {name} is one of {', '.join(grades)}, got {value!r}")
    if system == "lee" and not side:
        raise line.wrong("a Lee foraminal grade needs a side, left or right")
    if system != "lee" and side:
        raise line.wrong(f"a {name} has no side, got {side}")
    try:
        level = "/".join(split(line.get("level").upper()))
    except InvalidInput as error:
        raise line.wrong(str(error)) from None
    yield _entry(line, (system, name, grade), level, side or None, reader)


def _entry(line: _Line, what: tuple[str, str, str], level: str, side: str | None, reader: str | None) -> ReadingEntry:
    by = line.get("reader") or (reader or "")
    if not by:
        raise line.wrong("nobody is named who gave this grade: add a column reader or say --by NAME")
    when = line.get("date") or None
    if when is not None:
        try:
            when = date.fromisoformat(when).isoformat()
        except ValueError:
            raise line.wrong(f"a date is written YYYY-MM-DD, got {when!r}") from None
    return ReadingEntry(
        system=cast(Literal["rsna2024", "schizas", "pfirrmann", "lee", "modic"], what[0]),
        name=what[1],
        level=level,
        side=cast(Literal["left", "right"] | None, side),
        grade=what[2],
        reader=by,
        date=when,
        row=line.number,
        file=Path(line.where).name,
    )


def joined(old: Sequence[ReadingEntry], new: Sequence[ReadingEntry]) -> tuple[ReadingEntry, ...]:
    """`old` with `new` added: a grade of the same thing by the same reader takes the earlier one's place."""
    every = {(one.name, one.level, one.side, one.reader): one for one in (*old, *new)}
    order = {level: n for n, level in enumerate(LUMBAR_LEVELS)}
    return tuple(sorted(every.values(), key=lambda o: (order.get(o.level, -1), o.name, o.side or "", o.reader)))


def finding_of(one: ReadingEntry) -> FindingEntry:
    """The reading `one` as it stands in findings.json: a grade without a value."""
    source = "rsna2024" if one.system == "rsna2024" else GRADES[one.system][2]
    when = f" on {one.date}" if one.date else ""
    by = f"probabilities given by {one.reader}" if one.probability else f"graded by {one.reader}"
    return FindingEntry(
        name=one.name,
        level=one.level,
        side=one.side,
        value=None,
        sd=None,
        unit="",
        grade=one.grade,
        grade_probability=one.probability,
        source=source,
        method=f"{by}{when}, {one.file} row {one.row}",
        caveats=("entered, not measured by Keyhole",),
        origin="reader",
    )
