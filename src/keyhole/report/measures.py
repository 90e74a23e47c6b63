"""The findings as tables: the asked level in full, the other levels side by side."""

from __future__ import annotations

from collections.abc import Iterable

from keyhole.casefile import FindingEntry
from keyhole.errors import InvalidInput
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, probability, spread, unit
from keyhole.terms import rank, split


def findings_tables(
    findings: tuple[FindingEntry, ...], asked: str | None, notes: Notes, references: References
) -> tuple[Table, ...]:
    """The findings at the asked level and of the whole spine in full, then the other levels side by side."""
    chosen = [found for found in findings if asked is not None and found.level == asked]
    spanning = [found for found in findings if found.level is None or not _is_level(found.level)]
    others = [found for found in findings if found not in chosen and found not in spanning]
    made = []
    if chosen or spanning:
        groups = [(f"{asked}, the level asked for", chosen)] if chosen else []
        for level in dict.fromkeys(found.level for found in spanning):
            name = f"Lumbar spine, {level}" if level else "Whole spine"
            groups.append((name, [found for found in spanning if found.level == level]))
        caption = f"Findings at {asked}" + (" and of the whole spine" if spanning else "") if chosen else "Whole spine"
        made.append(_full(caption, groups, notes, references))
    if others:
        made.append(_by_level("Findings at the other levels" if chosen else "Findings", others, notes, references))
    return tuple(made)


def _is_level(name: str) -> bool:
    try:
        split(name)
    except InvalidInput:
        return False
    return True


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


def _full(caption: str, groups: list[tuple[str, list[FindingEntry]]], notes: Notes, references: References) -> Table:
    marks = {id(found): _numbers(found, notes) for _, members in groups for found in members}
    common = _shared(marks.values())
    rows: list[Row] = []
    for name, members in groups:
        rows.append(Row((Text(name),), "group"))
        for found in members:
            left = sorted(marks[id(found)] - common)
            cells = (_value(found), Text(unit(found.unit)), Text(grade(found)), Text(references.cite(found.source)))
            rows.append(Row((Text(_name(found)), *cells, Text(", ".join(map(str, left))))))
    heads = (Column("Measure"), Column("Value ± sd", True), Column("Unit"), Column("Grade and its probability"))
    columns = (*heads, Column("Source"), Column("Notes"))
    return Table("findings-asked", caption, columns, tuple(rows), _all_carry(common))


def _by_level(caption: str, findings: list[FindingEntry], notes: Notes, references: References) -> Table:
    levels = sorted({str(found.level) for found in findings}, key=lambda level: rank(level.partition("/")[0]))
    table = {(_name(found), found.level): found for found in findings}
    marks = {place: _numbers(found, notes) for place, found in table.items()}
    common = _shared(marks.values())
    names = list(dict.fromkeys(name for name, _ in table))
    of_level = {n: _shared(m for (_, level), m in marks.items() if level == n) - common for n in levels}
    of_name = {n: _shared(m for (name, _), m in marks.items() if name == n) - common for n in names}
    rows: list[Row] = []
    for name in names:
        first = next(found for (n, _), found in table.items() if n == name)
        cells, grades = [], []
        for level in levels:
            found = table.get((name, level))
            left = marks.get((name, level), frozenset()) - common - of_name[name] - of_level[level]
            cells.append(_value(found, left) if found is not None else Text("–"))
            grades.append(grade(found) if found is not None else "")
        label = f"{name}, {unit(first.unit)}".rstrip(", ")
        rows.append(Row((Text(label, tuple(sorted(of_name[name]))), *cells, Text(references.cite(first.source)))))
        if any(grades):
            rows.append(Row((Text("grade"), *(Text(words) for words in grades), Text("")), "part"))
    heads = [Column(level, True, tuple(sorted(of_level[level]))) for level in levels]
    columns = (Column("Measure"), *heads, Column("Source"))
    return Table("findings-others", caption, columns, tuple(rows), _all_carry(common))
