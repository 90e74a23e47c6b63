"""The data dictionary: what every column of an export is, in its unit, with its codes, meaning and source."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from keyhole.recovery.instruments import instrument
from keyhole.registry.schedule import visits
from keyhole.registry.tables.analysis import acceptable
from keyhole.registry.tables.fields import WIDE, Field, fields_of
from keyhole.registry.tables.mapping import Column, analysis_plan

COLUMNS = ("file", "name", "type", "unit", "codes", "meaning", "source")


def dictionary_of_tables(tables: Iterable[str]) -> list[tuple[str, ...]]:
    """The rows of the dictionary for the registry's own tables."""
    return [_row(table, field.name, field, field.meaning, field.full) for table in tables for field in fields_of(table)]


def dictionary_of_analysis() -> list[tuple[str, ...]]:
    """The rows of the dictionary for the analysis table."""
    return [_of_analysis(column) for column in analysis_plan().columns]


def as_csv(rows: Iterable[tuple[str, ...]]) -> bytes:
    """The dictionary as CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    return stream.getvalue().encode()


def _of_analysis(column: Column) -> tuple[str, ...]:
    if column.instrument:
        about, visit = instrument(column.instrument), visits()[column.visit]
        loinc = f", LOINC {about.loinc}" if about.loinc else ""
        window = f"days {visit.first} to {visit.last}, the answer nearest to day {visit.target}"
        meaning = f"{about.title} ({about.low:g} to {about.high:g}, {about.better} is better), {visit.title}: {window}"
        field = column.field
        return _row("analysis", column.name, field, meaning, f"responses: {about.key} at {visit.key}{loinc}")
    meaning, source = column.field.meaning, column.field.full
    if column.field.table == WIDE:
        source = "complications, readmissions, reoperations, responses, measures"
        if column.name == "levels":
            source = "procedures.levels, else the imported count"
        if column.name == "recovered":
            meaning = f"{meaning} ({acceptable():g} or less), if it was above before"
            source = "the imported table, else responses: odi (pass of the instrument)"
        if column.name == "recovery_days":
            source = "the imported table, else the visit of the first such ODI"
    return _row("analysis", column.name, column.field, meaning, source)


def _row(file: str, name: str, field: Field, meaning: str, source: str) -> tuple[str, ...]:
    kind = {"name": "text", "choice": "text", "levels": "text", "items": "JSON"}.get(field.type, field.type)
    codes = "1 yes;0 no" if field.type == "flag" else ";".join(field.codes)
    return file, name, kind, field.unit, codes, meaning, source
