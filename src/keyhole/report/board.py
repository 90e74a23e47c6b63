"""The board of measures: one row per measure, one column per level, each cell beside the norm and with its grade."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from keyhole.casefile import FindingEntry
from keyhole.report.emblem import shaded
from keyhole.report.measures import grade
from keyhole.report.norm import Band, Bar, Norms, bars, interval_words, norm_words
from keyhole.report.roster import kind, place
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, number, probability, unit
from keyhole.terms import rank

TITLES = {"level": "Levels", "vertebra": "Vertebrae", "whole": "Whole lumbar spine and pelvis"}
_SIDES = ("left", "right")


@dataclass(frozen=True, slots=True)
class Cell:
    """One measure at one place: its value without unit, 90 % interval, why it is not known, norm bar and grade."""

    side: str
    said: Text
    interval: str
    why: str
    bar: Bar | None
    grade: str
    chances: tuple[tuple[str, float, str], ...]  # class, share, colour
    grade_said: str


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One measure over all columns; a column holds nothing, one cell, or left and right."""

    label: str
    unit: str
    notes: tuple[int, ...]
    source: str
    norm: str
    cells: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True, slots=True)
class Silent:
    """Measures that are known nowhere, and why."""

    names: str
    why: Text


@dataclass(frozen=True, slots=True)
class Block:
    """Measures of one kind of structure."""

    title: str
    rows: tuple[BoardRow, ...]
    silent: tuple[Silent, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """One table of the sheet.

    `missing` says why most of a column's unknown values are not known, `flagged` which columns are indicated,
    `has_sides` whether any cell has a side.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    missing: tuple[str, ...]
    flagged: tuple[bool, ...]
    has_sides: bool
    blocks: tuple[Block, ...]
    foot: str


MOST = 0.6
"""Share of the known values of a row or column that carry a note, from which it stands at its head [keyhole-choice]."""

Key = tuple[str, str, str]
"""Row, column and side of a finding."""


@dataclass(frozen=True, slots=True, eq=False)
class _Field:
    """The findings of one board by their place, and the numbers of the notes that each carries."""

    table: Mapping[Key, FindingEntry]
    marks: Mapping[Key, frozenset[int]]

    def of(self, part: int, value: str) -> frozenset[int]:
        """The notes that most known values of one row (`part` 0) or column (1) carry."""
        return self._shared([key for key in self.table if key[part] == value], MOST)

    @property
    def common(self) -> frozenset[int]:
        """The notes that all known values carry."""
        return self._shared(list(self.table), 1.0)

    def _shared(self, keys: Sequence[Key], share: float) -> frozenset[int]:
        found = [self.marks[key] for key in keys if is_known(self.table[key])]
        counts = Counter(number for numbers in found for number in numbers)
        return frozenset(number for number, count in counts.items() if count >= share * len(found))

    def why(self, column: str) -> str:
        """The reason that most often stands for the unknown values of `column`, if at least three give it.

        Rows without a single value are not counted: they are told apart.
        """
        heard = self.heard
        reasons = Counter(
            _why(found)
            for key, found in self.table.items()
            if key[1] == column and key[0] in heard and not is_known(found)
        )
        first = max(reasons, key=lambda words: reasons[words], default="")
        return first if reasons[first] >= 3 else ""

    @property
    def heard(self) -> frozenset[str]:
        """The rows with at least one value."""
        return frozenset(key[0] for key, found in self.table.items() if is_known(found))

    def row(self, name: str) -> dict[Key, FindingEntry]:
        """The findings of the row `name`."""
        return {key: found for key, found in self.table.items() if key[0] == name}

    def base(self, name: str) -> str:
        """The measure's own name of the row `name`."""
        return next(iter(self.row(name).values())).name


def boards(
    findings: Sequence[FindingEntry], norms: Norms, flagged: frozenset[str], notes: Notes, references: References
) -> tuple[Board, ...]:
    """The boards of levels, of vertebrae and of the whole spine; `flagged` are the levels that are indicated."""
    made = []
    for which, caption in TITLES.items():
        members = [found for found in findings if kind(found.name, found.level) == which]
        if members:
            field = _field(members, which, notes)
            columns = _columns(field, which)
            common = field.common
            made.append(
                Board(
                    name=f"board-{which}",
                    caption=caption,
                    columns=tuple(Column(c, True, tuple(sorted(field.of(1, c) - common))) for c in columns),
                    missing=tuple(field.why(c) for c in columns),
                    flagged=tuple(c in flagged for c in columns),
                    has_sides=any(side for name, _, side in field.table if name in field.heard),
                    blocks=tuple(_blocks(field, columns, norms, references)),
                    foot=_foot(common),
                )
            )
    return tuple(made)


def _foot(common: frozenset[int]) -> str:
    every = f"Notes that all values carry: {', '.join(map(str, sorted(common)))}. " if common else ""
    return every + "Notes beside a level or a measure hold for most of its values; findings.json has those of each."


def _field(members: Sequence[FindingEntry], which: str, notes: Notes) -> _Field:
    table: dict[Key, FindingEntry] = {
        (_row(found, which), _column(found, which), found.side or ""): found for found in members
    }
    return _Field(table, {key: frozenset(notes.add(found.caveats, _where(found))) for key, found in table.items()})


def _blocks(field: _Field, columns: Sequence[str], norms: Norms, references: References) -> Iterable[Block]:
    """The rows by kind of structure; rows without a single value are told at the end of their block."""
    names = sorted({name for name, _, _ in field.table}, key=lambda name: (place(field.base(name))[::2], name))
    for title, group in groupby(names, key=lambda name: place(field.base(name)).title):
        listed = list(group)
        heard = [name for name in listed if name in field.heard]
        rows = tuple(_line(name, columns, field, norms, references) for name in heard)
        yield Block(title, rows, tuple(_silences([name for name in listed if name not in heard], field)))


def is_known(found: FindingEntry) -> bool:
    """Whether there is a value, or a reader's grade."""
    return found.value is not None or found.grade is not None


def norms_table(findings: Sequence[FindingEntry], norms: Norms, references: References) -> Table | None:
    """The norms that the measures stand beside, and of whom they are; None where there are none."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    cited: dict[tuple[str, str, str], str] = {}
    for found in sorted(findings, key=lambda found: place(found.name)[::2]):
        band = norms(found) if is_known(found) else None
        if band is not None:
            key = (found.name, norm_words(band, found.unit), band.words)
            rows.setdefault(key, []).append(found.level or "")
            cited[key] = references.cite(band.source)
    made = [
        Row((Text(name[:1].upper() + name[1:]), Text(", ".join(dict.fromkeys(where))), Text(span), Text(of), Text(n)))
        for ((name, span, of), where), n in zip(rows.items(), cited.values(), strict=True)
    ]
    heads = (Column("Measure"), Column("At"), Column("Norm"), Column("Of whom"), Column("Source"))
    return Table("norms", "Norms that are drawn as bands", heads, tuple(made)) if made else None


def _row(found: FindingEntry, which: str) -> str:
    """What names the row: for the whole spine its span too."""
    return f"{found.name}, {found.level}" if which == "whole" and found.level else found.name


def _column(found: FindingEntry, which: str) -> str:
    return "Value" if which == "whole" else str(found.level)


def _columns(field: _Field, which: str) -> list[str]:
    found = {column for _, column, _ in field.table}
    return ["Value"] if which == "whole" else sorted(found, key=lambda level: rank(level.partition("/")[0]))


def _where(found: FindingEntry) -> str:
    return " ".join(filter(None, (found.name, found.level, found.side)))


def _line(name: str, columns: Sequence[str], field: _Field, norms: Norms, references: References) -> BoardRow:
    table, shared = field.row(name), field.common
    of_row = field.of(0, name) - shared
    keys = [(name, c, side) for c in columns for side in ("", *_SIDES) if (name, c, side) in table]
    bands = [norms(table[key]) for key in keys]
    drawn = dict(zip(keys, bars([(table[k], b) for k, b in zip(keys, bands, strict=True)]), strict=True))
    cells = []
    for c in columns:
        told, reason = shared | of_row | field.of(1, c), field.why(c)
        here = [key for key in keys if key[1] == c]
        cells.append(tuple(_cell(table[key], field.marks[key] - told, drawn[key], reason) for key in here))
    first = table[keys[0]]
    cited = dict.fromkeys([references.cite(first.source), *(references.cite(b.source) for b in bands if b is not None)])
    return BoardRow(
        label=f"{name[:1].upper()}{name[1:]}",
        unit=unit(first.unit),
        notes=tuple(sorted(of_row)),
        source=" ".join(cited),
        norm=_norms_said(first, bands),
        cells=tuple(cells),
    )


def _norms_said(first: FindingEntry, bands: Iterable[Band | None]) -> str:
    """The row's norm in words where it is the same in all columns, else that it differs."""
    said = list(dict.fromkeys(norm_words(band, first.unit) for band in bands if band is not None))
    return "" if not said else f"norm {said[0]}" if len(said) == 1 else "norms differ by level"


def _cell(found: FindingEntry, numbers: frozenset[int], bar: Bar | None, told: str) -> Cell:
    left = tuple(sorted(numbers))
    chances = shaded(found.grade_probability or {})
    if found.value is None and found.grade:
        return Cell(found.side or "", Text(found.grade, left), "", "", None, "", chances, grade(found))
    if found.value is None:
        why = "" if _why(found) == told else _why(found)
        return Cell(found.side or "", Text(NOT_KNOWN, left, known=False), "", why, None, "", (), "")
    return Cell(
        side=found.side or "",
        said=Text(number(found.value, found.unit), left),
        interval=interval_words(found),
        why="",
        bar=bar,
        grade=_likeliest(found),
        chances=chances,
        grade_said=grade(found),
    )


def _likeliest(found: FindingEntry) -> str:
    """The grade with its probability: "moderate 82 %"."""
    if not found.grade:
        return ""
    chance, words = (found.grade_probability or {}).get(found.grade), found.grade.replace("mm2", "mm²")
    return words if chance is None else f"{words} {probability(chance)}"


def _why(found: FindingEntry) -> str:
    """Why a value is missing: its first caveat."""
    return found.caveats[0] if found.caveats else ""


def _silences(names: Sequence[str], field: _Field) -> Iterable[Silent]:
    """Rows without a single value, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    numbers: dict[str, set[int]] = {}
    for name in names:
        found = field.row(name)
        firsts = list(dict.fromkeys(one.caveats[0] for one in found.values() if one.caveats))
        why = firsts[0] if len(firsts) == 1 else f"{firsts[0]}, and more" if firsts else "no reason was given"
        reasons.setdefault(why, []).append(name)
        numbers.setdefault(why, set()).update(*(field.marks[key] for key in found))
    for why, members in reasons.items():
        said = ", ".join(members)
        yield Silent(f"{said[:1].upper()}{said[1:]}", Text(why, tuple(sorted(numbers[why])), known=False))
