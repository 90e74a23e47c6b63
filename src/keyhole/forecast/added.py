"""What the results that a clinic added bear on: which rows of its tables are of an operation, and of which outcomes."""

from __future__ import annotations

from keyhole.casefile import AddedEntry
from keyhole.evidence import AddedTable, Row, question
from keyhole.forecast.published import Literature

NONE_USED = "none of its rows is of this operation's comparisons: it changes nothing here"
NOT_POOLED = "unverified rows are named and never used"
TWICE = "rows that were measured here stand beside own patients: if they are the same people, give one of both"
BESIDE = "results that the clinic added stand beside Keyhole's own: words and numbers may rest on them"


def bears_on(held: Literature, row: Row) -> str:
    """Key of the outcome that `row` is about, where it is of the operation in `held`; else empty."""
    asked = question(row)
    names = {name.casefold() for name in held.technique.published_as}
    is_alone = row.comparator.casefold() == "none" and row.procedure.casefold() in names
    return asked.outcome.key if asked.family in held.families or is_alone else ""


def notes_of(held: Literature, outcome: str) -> tuple[str, ...]:
    """For each added table that says something of `outcome`: how many rows, and which."""
    found = []
    for table in held.added:
        rows = [row for row in table.rows if bears_on(held, row) == outcome]
        if rows:
            places = ", ".join(row.place.rpartition(" ")[2] for row in rows)
            found.append(f"the clinic added results of this outcome: {table.name}, row {places}")
    return tuple(found)


def added_entries(held: Literature, outcomes: tuple[str, ...]) -> tuple[AddedEntry, ...]:
    """The added tables as entries of forecast.json; `outcomes` are the keys of the file."""
    return tuple(_entry(held, table, outcomes) for table in held.added)


def _entry(held: Literature, table: AddedTable, outcomes: tuple[str, ...]) -> AddedEntry:
    used = [row for row in table.rows if bears_on(held, row) in outcomes]
    about = {bears_on(held, row) for row in used}
    unsure = any(row.status == "unverified" for row in used)
    return AddedEntry(
        file=table.name,
        sha256=table.digest,
        rows=len(table.rows),
        used=len(used),
        outcomes=tuple(key for key in outcomes if key in about),
        caveats=(*(() if used else (NONE_USED,)), *((NOT_POOLED,) if unsure else ())),
    )
