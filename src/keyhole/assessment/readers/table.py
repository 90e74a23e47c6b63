"""The findings of a case as a table for statistics: findings.csv."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from keyhole.casefile import Case, CaseRecord, FindingEntry, FindingsRecord, write_bytes
from keyhole.errors import InvalidInput

COLUMNS = (
    "case", "age", "sex", "level", "side", "name", "value", "sd", "low90", "high90", "unit", "grade",
    "grade_probability", "origin", "levels_confirmed", "source", "method", "caveats",
)  # fmt: skip
"""One row per finding; empty cells are not known. `low90`, `high90`: the 90 % interval, value ∓ 1.645 sd."""

Z90 = 1.6449


def export_findings(case: Case, out: Path) -> int:
    """Write findings.json of `case` to the CSV file `out`, UTF-8, comma separated; returns how many rows."""
    if out.is_dir():
        raise InvalidInput(f"{out} is a folder; name the CSV file to write")
    findings = case.read(FindingsRecord)
    write_bytes(out, findings_csv(case.read(CaseRecord), findings))
    return len(findings.findings)


def findings_csv(record: CaseRecord, findings: FindingsRecord) -> bytes:
    """The findings of the case `record` as a table, UTF-8, comma separated, with `COLUMNS` as its head."""
    confirmed = "yes" if findings.levels is not None and findings.levels.confirmation is not None else "no"
    first = [record.id, _number(record.patient.age), record.patient.sex or ""]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in findings.findings:
        writer.writerow([_safe(cell) for cell in (*first, *_cells(one, confirmed))])
    return text.getvalue().encode()


def _cells(one: FindingEntry, confirmed: str) -> list[str]:
    low, high = "", ""
    if one.value is not None and one.sd is not None:
        low, high = (_number(round(one.value + z * one.sd, 4)) for z in (-Z90, Z90))
    chance = (one.grade_probability or {}).get(one.grade or "")
    return [
        one.level or "", one.side or "", one.name, _number(one.value), _number(one.sd), low, high, one.unit,
        one.grade or "", _number(chance), one.origin, confirmed, one.source, one.method, " | ".join(one.caveats),
    ]  # fmt: skip


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if value == int(value) else repr(value)


def _safe(cell: str) -> str:
    """`cell` so that no spreadsheet takes its text for a formula; numbers stay as they are."""
    if cell.startswith(("=", "+", "@", "\t", "\r")) or (cell.startswith("-") and not _is_number(cell)):
        return "'" + cell
    return cell


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
