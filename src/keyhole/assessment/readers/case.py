"""Grades of a reader in a case: kept in readings.json, joined into findings.json."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from keyhole.anatomy.gate import lowest_lumbar
from keyhole.assessment.norms.indicated import indicated
from keyhole.assessment.readers.readings import finding_of, joined, read_readings
from keyhole.casefile import (
    Case,
    CaseRecord,
    FindingEntry,
    FindingsRecord,
    LabelsRecord,
    ReadingsRecord,
    provenance,
    sha256,
)
from keyhole.terms import are_neighbours, rank

READINGS = "readings.json"

OTHER_NAMES = (
    "the grades in readings.json were entered when {then} was the lowest lumbar vertebra, now it is {now}: they are "
    "left out; import them again"
)
NOT_IN_VIEW = "a reader graded {level}, which is not in view here: the grade is kept, and no level is proposed by it"


def import_readings(
    case: Case, path: Path, *, study: str | None = None, reader: str | None = None
) -> tuple[ReadingsRecord, int]:
    """Add the grades in the CSV at `path` to readings.json of `case`, and to findings.json where there is one.

    A grade of the same thing by the same reader takes the earlier one's place. Returns everything that readings.json
    then holds, and how many grades the file gave.
    """
    new = read_readings(path, study=study, reader=reader)
    now = _lowest(case)
    before = case.read(ReadingsRecord) if case.has(ReadingsRecord) else None
    kept = before if before is not None and before.lowest_lumbar == now else None
    record = ReadingsRecord(
        schema="keyhole.readings/1",
        readings=joined(kept.readings if kept else (), new),
        lowest_lumbar=now,
        provenance=provenance({**(kept.provenance.inputs if kept else {}), path.name: sha256(path)}),
    )
    case.write(record)
    if case.has(FindingsRecord):
        _rejoin(case)
    return record, len(new)


def _lowest(case: Case) -> str | None:
    return lowest_lumbar(case.read(LabelsRecord)) if case.has(LabelsRecord) else None


def with_readings(case: Case, measured: Sequence[FindingEntry]) -> tuple[tuple[FindingEntry, ...], tuple[str, ...]]:
    """`measured` with the grades of readings.json at their levels, and what has to be said of them."""
    if not case.has(ReadingsRecord):
        return tuple(measured), ()
    record, now = case.read(ReadingsRecord), _lowest(case)
    if record.lowest_lumbar != now:
        return tuple(measured), (OTHER_NAMES.format(then=record.lowest_lumbar, now=now),)
    added = [finding_of(one) for one in record.readings]
    seen = set(levels_of(measured))
    absent = dict.fromkeys(one.level for one in added if one.level not in seen)
    notes = tuple(NOT_IN_VIEW.format(level=level) for level in absent)
    return tuple(sorted((*measured, *added), key=_place)), notes


def levels_of(findings: Iterable[FindingEntry]) -> tuple[str, ...]:
    """The levels with both vertebrae in view: those that something was to be measured at."""
    named = dict.fromkeys(one.level for one in findings if one.level and one.origin == "measured")
    return tuple(level for level in named if "/" in level and are_neighbours(*level.split("/")))


def _place(found: FindingEntry) -> tuple[bool, int, bool]:
    """Spans last; a vertebra comes before the level below it."""
    first, _, second = (found.level or "").partition("/")
    return bool(second) and not are_neighbours(first, second), rank(first) if first else -1, bool(second)


def _rejoin(case: Case) -> None:
    """findings.json with the present grades and what is indicated by them; nothing is measured again."""
    record = case.read(FindingsRecord)
    measured = [one for one in record.findings if one.origin == "measured"]
    entries, notes = with_readings(case, measured)
    inputs = record.provenance.inputs | case.digest(READINGS)
    told = [c for c in record.caveats if not c.startswith(("the grades in readings.json", "a reader graded "))]
    case.write(
        record.model_copy(
            update={
                "findings": entries,
                "indicated": indicated(entries, levels_of(entries), case.read(CaseRecord).patient),
                "caveats": (*told, *notes),
                "provenance": record.provenance.model_copy(update={"inputs": dict(sorted(inputs.items()))}),
            }
        )
    )
