"""A table with one row an episode as arrays: what it does not hold is not known, and said."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.comparison.table import Table, numbers, texts
from keyhole.errors import InvalidInput
from keyhole.report.dashboard.data import (
    MISS,
    OPEN,
    UNKNOWN,
    VISIT_KEYS,
    Answers,
    Data,
    Dates,
    Events,
    Groups,
    Ints,
    named,
)

_VISIT = re.compile(r"^(?P<name>.+)_(?P<visit>0|baseline|6w|3m|6m|12m|24m)$")


def from_table(table: Table) -> Data:
    """All that the dashboard counts, as far as `table` holds it; needs `surgery_date` and one score at a visit."""
    answers = _answers(table)
    if "surgery_date" not in table or not answers:
        raise InvalidInput(
            f"{table.name}: a dashboard needs the column surgery_date and scores named like odi_0 and odi_12m"
        )
    n = len(table)
    events = [_events(table, column) for column in ("complication", "readmitted", "reoperated")]
    return Data(
        name=table.name,
        code=_words(table, "episode", n),
        surgery=_surgery(table),
        died=np.full(n, "NaT", dtype="datetime64[D]"),
        arm=_arm(table, n),
        centre=named(_words(table, "centre", n)),
        surgeon=named(_words(table, "surgeon", n)),
        operation=named(_words(table, "operation", n)),
        approach_of=np.arange(n),
        approach=named(_words(table, "operation", n)),
        answers=answers,
        complications=events[0],
        readmissions=events[1],
        reoperations=events[2],
        asked=_asked(table, answers),
        has_approaches=False,
        notes=_notes(table),
    )


def _answers(table: Table) -> dict[str, Answers]:
    found: dict[str, Answers] = {}
    for column in table.columns:
        match = _VISIT.match(column)
        if match is None or table.is_text(column):
            continue
        key = match["name"].replace("_", "-")
        if key not in found:
            shape = (len(table), len(VISIT_KEYS))
            found[key] = Answers(np.full(shape, np.nan), np.zeros(shape, dtype=bool))
        values = numbers(table, column)
        at = VISIT_KEYS.index(_visit(match))
        found[key].value[:, at] = values
        found[key].given[:, at] = np.isfinite(values)
    return found


def _asked(table: Table, answers: Mapping[str, Answers]) -> tuple[Groups, ...]:
    """At every visit the scores for which the table has a column."""
    held = {
        (m["name"].replace("_", "-"), _visit(m))
        for column in table.columns
        if (m := _VISIT.match(column)) and not table.is_text(column)
    }
    return tuple(tuple((key,) for key in answers if (key, visit) in held) for visit in VISIT_KEYS)


def _visit(match: re.Match[str]) -> str:
    return {"0": "baseline"}.get(match["visit"], match["visit"])


def _words(table: Table, column: str, n: int) -> NDArray[Any]:
    return texts(table, column) if column in table else np.full(n, "", dtype=object)


def _surgery(table: Table) -> Dates:
    words = texts(table, "surgery_date")
    try:
        return np.array([word or "NaT" for word in words], dtype="datetime64[D]")
    except ValueError:
        for row, word in enumerate(words, 1):
            if word and not re.fullmatch(r"\d{4}-\d\d-\d\d", word):
                raise InvalidInput(f"{table.name}, row {row}: surgery_date is a day YYYY-MM-DD, got {word!r}") from None
        raise InvalidInput(f"{table.name}: surgery_date holds a day that is none") from None


def _arm(table: Table, n: int) -> NDArray[np.int8]:
    if "miss" not in table:
        return np.full(n, UNKNOWN, dtype=np.int8)
    miss = numbers(table, "miss")
    return np.select([miss == 1, miss == 0], [MISS, OPEN], UNKNOWN).astype(np.int8)


def _events(table: Table, column: str) -> Events:
    """Whether something happened, without a code or day of its own."""
    if column not in table:
        none: Ints = np.zeros(0, dtype=np.int64)
        return Events(none, named([]), np.zeros(0, dtype="datetime64[D]"))
    where = np.flatnonzero(numbers(table, column) == 1)
    return Events(where, named(["any"] * len(where)), np.full(len(where), "NaT", dtype="datetime64[D]"))


def _notes(table: Table) -> tuple[str, ...]:
    said = ["the table names no approaches, codes of complications or deaths: open a registry for those"]
    for column, what in (
        ("complication", "complications"),
        ("readmitted", "readmissions"),
        ("reoperated", "reoperations"),
    ):
        if column not in table:
            said.append(f"the table has no column {column}: {what} are not known")
        else:
            empty = int(np.isnan(numbers(table, column)).sum())
            if empty:
                said.append(f"{column} is empty in {empty:,} rows: whether it happened there is not known")
    words = [c for c in table.columns if _VISIT.match(c) and table.is_text(c)]
    said += [f"{column} holds words among its numbers and was left out" for column in words]
    return tuple(said)
