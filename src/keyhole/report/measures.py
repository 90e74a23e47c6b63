"""The findings as tables: the asked level in full, and how each measure was taken."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from keyhole.casefile import FindingEntry
from keyhole.report.roster import place
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, probability, spread, unit


def asked_table(
    findings: tuple[FindingEntry, ...], asked: str | None, notes: Notes, references: References
) -> Table | None:
    """The findings at the asked level in full; None where there are none."""
    chosen = [found for found in findings if asked is not None and found.level == asked]
    if not chosen:
        return None
    marks = {id(found): _numbers(found, notes) for found in chosen}
    common = _shared(marks.values())
    rows: list[Row] = []
    for found in sorted(chosen, key=lambda found: place(found.name)[::2]):
        left = sorted(marks[id(found)] - common)
        cells = (_value(found), Text(unit(found.unit)), Text(grade(found)), Text(references.cite(found.source)))
        rows.append(Row((Text(_name(found)), *cells, Text(", ".join(map(str, left))))))
    heads = (Column("Measure"), Column("Value ± sd", True), Column("Unit"), Column("Grade and its probability"))
    columns = (*heads, Column("Source"), Column("Notes"))
    return Table(
        "findings-asked", f"All measures at {asked}, the level asked for", columns, tuple(rows), _all_carry(common)
    )


def methods_table(findings: Sequence[FindingEntry], references: References) -> Table | None:
    """How each measure was taken, once per measure; None without findings."""
    firsts: dict[str, FindingEntry] = {}
    for found in findings:
        if found.name not in firsts or (firsts[found.name].value is None and found.value is not None):
            firsts[found.name] = found
    rows: list[Row] = []
    for title, group in groupby(sorted(firsts, key=lambda n: (place(n)[::2], n)), key=lambda n: place(n).title):
        rows.append(Row((Text(title),), "group"))
        for name in group:
            one = firsts[name]
            said = one.method if one.value is not None else "not taken in this case"
            cells = (Text(name[:1].upper() + name[1:]), Text(unit(one.unit)), Text(said, known=one.value is not None))
            rows.append(Row((*cells, Text(references.cite(one.source)))))
    heads = (Column("Measure"), Column("Unit"), Column("How it was taken, in words of one level"), Column("Source"))
    return Table("methods", "How the measures were taken", heads, tuple(rows)) if rows else None


def _name(finding: FindingEntry) -> str:
    return f"{finding.name[:1].upper()}{finding.name[1:]}" + (f", {finding.side}" if finding.side else "")


def _numbers(finding: FindingEntry, notes: Notes) -> frozenset[int]:
    where = " ".join(filter(None, (finding.name, finding.level, finding.side)))
    return frozenset(notes.add(finding.caveats, where))


def _value(finding: FindingEntry, numbers: Iterable[int] = ()) -> Text:
    """The value ± sd without its unit."""
    if finding.value is None:
        return Text(NOT_KNOWN, tuple(sorted(numbers)), known=False)
    return Text(spread(finding.value, finding.sd, None, finding.unit), tuple(sorted(numbers)))


def grade(finding: FindingEntry) -> str:
    """The grade and its probabilities: "moderate (82 %; mild 18 %)"; empty without a grade."""
    if not finding.grade:
        return ""
    chances = finding.grade_probability or {}
    others = sorted(((p, name) for name, p in chances.items() if name != finding.grade and p >= 0.005), reverse=True)
    inside = [probability(chances[finding.grade])] if finding.grade in chances else []
    inside += [f"{name} {probability(p)}" for p, name in others]
    return f"{finding.grade} ({'; '.join(inside)})" if inside else finding.grade


def _shared(sets: Iterable[frozenset[int]]) -> frozenset[int]:
    found = list(sets)
    return frozenset.intersection(*found) if found else frozenset()


def _all_carry(numbers: frozenset[int]) -> str:
    return f"Notes that all values carry: {', '.join(map(str, sorted(numbers)))}." if numbers else ""
