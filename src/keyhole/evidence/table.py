"""Tables of published results: read, checked row by row, and joined.

A row that cannot be true is refused with its file, row and column; nothing is repaired.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.evidence.rows import FINDINGS, STATUSES, Arm, Row, sign_is_open

ARM_COLUMNS = ("n", "mean", "sd", "events", "pct")
COLUMNS = (
    "procedure",
    "comparator",
    "outcome",
    "unit",
    "timepoint",
    *(f"{name}_{arm}" for arm in ("miss", "open") for name in ARM_COLUMNS),
    "effect",
    "ci_low",
    "ci_high",
    "source",
    "ids",
    "url",
    "status",
    "design",
    "note",
)
OPTIONAL = (
    "label",
    "cohort",
    "studies",
    "turned",
    "finding",
    *(f"{name}_{arm}" for arm in ("miss", "open") for name in ("median", "q1", "q3")),
)
COVARIATE = "x_"
SHIPPED = "studies.csv"
SMALLEST, LARGEST = 1e-9, 1e9  # beyond these nothing is a measurement, and squares lose their meaning
_ID = re.compile(r"(doi:10\.\S+|pmid:\d+|PMC\d+)", re.IGNORECASE)
_TURNED = {"": None, "no": False, "yes": True}


class _Refused(Exception):
    """Why a row cannot be: the column and what is wrong with it."""

    def __init__(self, column: str, wrong: str):
        super().__init__(column, wrong)
        self.column, self.wrong = column, wrong


def shipped() -> tuple[Row, ...]:
    """The rows that Keyhole ships, checked."""
    return _shipped()


@cache
def _shipped() -> tuple[Row, ...]:
    return parse(files("keyhole.evidence").joinpath(SHIPPED).read_text(encoding="utf-8"), SHIPPED)


def read_table(path: Path) -> tuple[Row, ...]:
    """The rows of the table at `path`; the first row that cannot be is refused, with how many more there are."""
    return parse(text_of(path), path.name)


def parse(text: str, name: str) -> tuple[Row, ...]:
    """The rows of a table's `text`; `name` is the file's, for messages."""
    rows, wrong = examined(text, name)
    if wrong:
        more = f" ({len(wrong) - 1} more: keyhole evidence check {name})" if len(wrong) > 1 else ""
        raise InvalidInput(wrong[0] + more)
    return rows


def text_of(path: Path) -> str:
    """The text of the file at `path`, UTF-8 with or without its mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile(f"{path.name} must be UTF-8 text; byte {error.start} is not") from error
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read: {error.strerror or error}") from error


def examined(text: str, name: str) -> tuple[tuple[Row, ...], tuple[str, ...]]:
    """The rows of a table that can be, and a sentence for each that cannot."""
    lines = csv.reader(text.splitlines(keepends=True), delimiter=_delimiter(text), strict=True)
    try:
        records = list(lines)
    except csv.Error as error:
        raise UnreadableFile(f"{name}, near line {lines.line_num}: not a CSV table: {error}") from error
    if not records or not any(records[0]):
        raise UnreadableFile(f"{name} is empty; expected a header with the columns of docs/evidence.md")
    header = _header(records[0], name)
    rows, wrong = [], []
    for index, record in enumerate(records[1:], start=2):
        if not any(cell.strip() for cell in record):
            continue
        place = f"{name}, row {index}"
        try:
            rows.append(_row(_cells(header, record), place))
        except _Refused as refused:
            wrong.append(f"{place}, column {refused.column}: {refused.wrong}")
    return tuple(rows), (*wrong, *_repeated(rows))


def joined(*tables: Iterable[Row]) -> tuple[Row, ...]:
    """All rows of `tables`; the same result twice is refused."""
    rows = [row for table in tables for row in table]
    repeated = _repeated(rows)
    if repeated:
        raise InvalidInput(repeated[0])
    return tuple(rows)


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return ";" if first.count(";") > first.count(",") else ","


def _header(record: list[str], name: str) -> list[str]:
    header = [cell.strip() for cell in record]
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise InvalidInput(f"{name}, row 1: the columns {', '.join(missing)} are missing")
    strange = [c for c in header if c not in {*COLUMNS, *OPTIONAL} and not c.startswith(COVARIATE)]
    if strange:
        known = f"{', '.join(OPTIONAL)} or a covariate {COVARIATE}NAME"
        raise InvalidInput(f"{name}, row 1: column {strange[0]!r} is not known; beside the usual ones: {known}")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise InvalidInput(f"{name}, row 1: the column {twice[0]} is there twice")
    return header


def _cells(header: list[str], record: list[str]) -> dict[str, str]:
    if len(record) != len(header):
        raise _Refused(header[min(len(record), len(header)) - 1], f"{len(header)} cells expected, got {len(record)}")
    return dict(zip(header, (cell.strip() for cell in record), strict=True))


def _row(cells: Mapping[str, str], place: str) -> Row:
    for column in ("procedure", "comparator", "outcome", "unit", "source", "status", "design"):
        if not cells[column]:
            raise _Refused(column, "is empty; a row without it is refused")
    if cells["status"] not in STATUSES:
        raise _Refused("status", f"must be {', '.join(STATUSES)}, got {cells['status']!r}")
    row = Row(
        place=place,
        procedure=cells["procedure"],
        comparator=cells["comparator"],
        outcome=cells["outcome"],
        unit=cells["unit"],
        timepoint=cells["timepoint"],
        miss=_arm(cells, "miss"),
        open=_arm(cells, "open"),
        effect=_number(cells, "effect"),
        low=_number(cells, "ci_low"),
        high=_number(cells, "ci_high"),
        source=cells["source"],
        ids=_ids(cells),
        url=cells["url"],
        status=cells["status"],
        design=cells["design"],
        note=cells["note"],
        cohort=cells.get("cohort", ""),
        studies=_count(cells, "studies", least=1),
        turned=_turned(cells),
        covariates=_covariates(cells),
        label=cells.get("label", ""),
        finding=_finding(cells),
    )
    _check_interval(row)
    return row


def _ids(cells: Mapping[str, str]) -> tuple[str, ...]:
    found = tuple(match.group(0).rstrip(";,") for match in _ID.finditer(cells["ids"]))
    if cells["ids"] and not found:
        raise _Refused("ids", f"must hold doi:10..., pmid:NUMBER or PMCNUMBER, got {cells['ids']!r}")
    if not found and not cells["url"] and cells["status"] != "measured":
        raise _Refused("source", "has no address: give ids (doi, pmid, PMC) or a url")
    return found


def _turned(cells: Mapping[str, str]) -> bool | None:
    said = cells.get("turned", "").casefold()
    if said not in _TURNED:
        raise _Refused("turned", f"must be yes or no, got {cells['turned']!r}")
    turned = _TURNED[said]
    return turned if turned is not None or sign_is_open(cells["unit"]) else False


def _finding(cells: Mapping[str, str]) -> str:
    said = cells.get("finding", "").casefold()
    if said not in FINDINGS:
        raise _Refused("finding", f"must be empty or one of {', '.join(FINDINGS[1:])}, got {cells['finding']!r}")
    if said and (cells["ci_low"] or cells["ci_high"]):
        raise _Refused("finding", "is for results without an interval; here is one")
    return said


def _covariates(cells: Mapping[str, str]) -> tuple[tuple[str, float], ...]:
    found = [(column, _number(cells, column)) for column in cells if column.startswith(COVARIATE)]
    return tuple((column.removeprefix(COVARIATE), value) for column, value in found if value is not None)


def _number(cells: Mapping[str, str], column: str) -> float | None:
    text = cells.get(column, "")
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        raise _Refused(column, f"must be a number, got {text!r}") from None
    if not math.isfinite(value):
        raise _Refused(column, f"must be a finite number, got {text}")
    if value != 0 and not SMALLEST <= abs(value) <= LARGEST:
        raise _Refused(column, f"must be 0 or between {SMALLEST:g} and {LARGEST:g} in size, got {text}")
    return value


def _count(cells: Mapping[str, str], column: str, least: int) -> int | None:
    value = _number(cells, column)
    if value is None:
        return None
    if value < least or value != int(value):
        raise _Refused(column, f"must be a whole number of {least} or more, got {cells[column]}")
    return int(value)


def _arm(cells: Mapping[str, str], arm: str) -> Arm:
    values = {name: _number(cells, f"{name}_{arm}") for name in ("mean", "sd", "pct", "median", "q1", "q3")}
    found = Arm(n=_count(cells, f"n_{arm}", 1), events=_count(cells, f"events_{arm}", 0), **values)
    for column, wrong in _impossible(found):
        raise _Refused(f"{column}_{arm}", wrong)
    return found


def _impossible(arm: Arm) -> Iterable[tuple[str, str]]:
    """The columns of `arm` that cannot be, with what is wrong."""
    if arm.sd is not None and not arm.sd > 0:
        yield "sd", f"must be above 0, got {arm.sd:g}"
    if arm.sd is not None and arm.mean is None:
        yield "sd", f"is {arm.sd:g} without a mean"
    if arm.events is not None and arm.n is None:
        yield "events", f"is {arm.events} without n"
    if arm.events is not None and arm.n is not None and arm.events > arm.n:
        yield "events", f"must not exceed n, got {arm.events} of {arm.n}"
    if arm.pct is not None and not 0 <= arm.pct <= 100:
        yield "pct", f"must lie in 0 to 100, got {arm.pct:g}"
    if not _ascending(arm.q1, arm.median, arm.q3):
        yield "median", f"must lie between its quartiles {_end(arm.q1)} and {_end(arm.q3)}, got {_end(arm.median)}"


def _ascending(*values: float | None) -> bool:
    known = [value for value in values if value is not None]
    return known == sorted(known)


def _check_interval(row: Row) -> None:
    if row.scale in {"or", "rr"}:
        for column, value in (("effect", row.effect), ("ci_low", row.low), ("ci_high", row.high)):
            if value is not None and not value > 0:
                raise _Refused(column, f"a ratio must be above 0, got {value:g}")
    low, effect, high = (_end(value) for value in (row.low, row.effect, row.high))
    if not _ascending(row.low, row.high):
        raise _Refused("ci_low", f"must not exceed ci_high, got {low} and {high}")
    if not _ascending(row.low, row.effect, row.high):
        raise _Refused("effect", f"must lie in its interval, got {effect} outside [{low}, {high}]")


def _end(value: float | None) -> str:
    return "?" if value is None else f"{value:g}"


def _repeated(rows: Iterable[Row]) -> list[str]:
    """A sentence for each result that is there twice; what is unverified may stand beside what was read."""
    seen: dict[tuple[object, ...], Row] = {}
    found = []
    for row in rows:
        what = (row.procedure, row.comparator, row.outcome, row.unit, row.timepoint)
        key = (row.patients, *(text.casefold() for text in what), row.status == "unverified")
        if key in seen:
            same = "the same source (or cohort), procedure, outcome and time point"
            found.append(
                f"{row.place}, column cohort: {same} as {seen[key].place}; name cohorts to tell patients apart"
            )
        seen.setdefault(key, row)
    return found
