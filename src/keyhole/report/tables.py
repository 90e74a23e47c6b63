"""Tables as both the page and the paper show them: words, no layout."""

from __future__ import annotations

from dataclasses import dataclass

from keyhole.casefile import FindingEntry
from keyhole.evidence import sources
from keyhole.report.wording import NOT_KNOWN, Notes, Text, probability, spread, unit
from keyhole.terms import rank

__all__ = ["Column", "References", "Row", "Table", "findings_tables"]


@dataclass(frozen=True, slots=True)
class Column:
    """The head of one column; numbers stand to the right."""

    label: str
    numeric: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One row; `kind` is "" for an ordinary one, "group" for a heading across the table, "open", "first" or "asked"."""

    cells: tuple[Text, ...]
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, columns and rows; the first cell of each row names it. `foot` explains what the cells mean."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    foot: str = ""


class References:
    """Citations in the order in which they are first used, numbered from 1."""

    def __init__(self) -> None:
        self._keys: list[str] = []

    def cite(self, key: str) -> str:
        """The number of source `key` in brackets; a text that is no key is returned as it is."""
        if key not in sources():
            return key
        if key not in self._keys:
            self._keys.append(key)
        return f"[{self._keys.index(key) + 1}]"

    def listed(self) -> tuple[tuple[int, str, str, str], ...]:
        """Every citation used: number, text, address as text, and the address to open ("" if it has none)."""
        found = []
        for n, key in enumerate(self._keys, start=1):
            cited = sources()[key]
            found.append((n, cited.text, cited.address, _link(cited.doi, cited.pmid, cited.url)))
        return tuple(found)


def _link(doi: str, pmid: str, url: str) -> str:
    if doi:
        return f"https://doi.org/{doi}"
    return f"https://pubmed.ncbi.nlm.nih.gov/{pmid}/" if pmid else url


def _where(finding: FindingEntry) -> str:
    return " ".join(filter(None, (finding.name, finding.level, finding.side)))


def _level_rank(level: str | None) -> int:
    return rank(level.partition("/")[0]) if level else -1


def measured(finding: FindingEntry, notes: Notes) -> Text:
    """The value of `finding` ± sd, without its unit."""
    numbers = notes.add(finding.caveats, _where(finding))
    if finding.value is None:
        return Text(NOT_KNOWN, numbers, known=False)
    return Text(spread(finding.value, finding.sd, None, finding.unit), numbers)


def grade(finding: FindingEntry) -> str:
    """The grade and its probabilities: "moderate (82 %; mild 18 %)"; empty without a grade."""
    if not finding.grade:
        return ""
    chances = finding.grade_probability or {}
    others = sorted(((p, name) for name, p in chances.items() if name != finding.grade and p >= 0.005), reverse=True)
    inside = [probability(chances[finding.grade])] if finding.grade in chances else []
    inside += [f"{name} {probability(p)}" for p, name in others]
    return f"{finding.grade} ({'; '.join(inside)})" if inside else finding.grade


def findings_tables(
    findings: tuple[FindingEntry, ...], asked: str | None, notes: Notes, references: References
) -> tuple[Table, ...]:
    """The findings at the asked level in full, then the other levels and the whole spine, cranial to caudal."""
    chosen = [found for found in findings if found.level == asked] if asked else []
    rest = [found for found in findings if found not in chosen]
    rest.sort(key=lambda found: _level_rank(found.level))
    made = []
    if chosen:
        made.append(_findings_table(f"Findings at {asked}, the level asked for", chosen, notes, references, False))
    if rest:
        title = "Findings at the other levels" if chosen else "Findings"
        made.append(_findings_table(title, rest, notes, references, True))
    return tuple(made)


def _findings_table(
    caption: str, findings: list[FindingEntry], notes: Notes, references: References, levels: bool
) -> Table:
    rows: list[Row] = []
    last: str | None = ""
    for found in findings:
        if levels and found.level != last:
            rows.append(Row((Text(found.level or "Whole spine"),), "group"))
            last = found.level
        name = f"{found.name[:1].upper()}{found.name[1:]}" + (f", {found.side}" if found.side else "")
        cells = (
            Text(name),
            measured(found, notes),
            Text(unit(found.unit)),
            Text(grade(found)),
            Text(references.cite(found.source)),
        )
        rows.append(Row(cells))
    columns = (Column("Measure"), Column("Value ± sd", True), Column("Unit"), Column("Grade"), Column("Source"))
    name = "findings-others" if levels else "findings-asked"
    return Table(name, caption, columns, tuple(rows))
