"""The cells of a block as values, column by column, and what is wrong with its rows.

A column says the same few things again and again, so every distinct cell is understood once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from keyhole.recovery.instruments import check
from keyhole.registry.tables.cells import Cell, Wrong, cell_of
from keyhole.registry.tables.fields import fields
from keyhole.registry.tables.mapping import Column, Plan
from keyhole.registry.tables.rows import Block, Problem

REMEMBERED = 100_000
"""Distinct cells of one column that are remembered before it forgets them all."""


@dataclass(slots=True)
class Answers:
    """An outcome column of a wide file: what was answered, and on which days (None: the visit's own)."""

    column: Column
    values: list[Any]
    days: list[Any] | None


@dataclass(slots=True)
class Values:
    """A block as values: a list for each field, the outcome columns, and the problems of each row that has any."""

    numbers: list[int]
    known: dict[str, list[Any]]
    names: dict[str, str]
    answers: list[Answers]
    problems: dict[int, list[Problem]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.numbers)

    def of(self, full: str) -> list[Any]:
        """The values of a field, None in every row where no column fills it."""
        found = self.known.get(full)
        if found is None:
            found = self.known[full] = [None] * len(self.numbers)
        return found

    def refuse(self, index: int, full: str, found: str, expected: str) -> None:
        """Say what is wrong with a row; `full` is the field, told by its column's name."""
        problem = Problem(self.numbers[index], self.names.get(full, full), found, expected)
        self.problems.setdefault(index, []).append(problem)

    def good(self) -> list[int]:
        """The rows that nothing is wrong with so far."""
        if not self.problems:
            return list(range(len(self.numbers)))
        return [index for index in range(len(self.numbers)) if index not in self.problems]


class Understood:
    """One column of the file, which remembers what its cells came to."""

    def __init__(self, name: str, index: int, cell: Cell):
        self.name, self.index, self._cell = name, index, cell
        self._seen: dict[str, Any] = {}
        self._wrong = False

    def values(self, cells: Sequence[str], into: Values) -> list[Any]:
        """The values of the cells; those that cannot be are None and a problem of their row."""
        seen = self._seen
        for cell in set(cells).difference(seen):
            value = seen[cell] = self._cell(cell)
            self._wrong = self._wrong or type(value) is Wrong
        found = [seen[cell] for cell in cells]
        if self._wrong:
            for index, value in enumerate(found):
                if type(value) is Wrong:
                    found[index] = None
                    into.refuse(index, self.name, value.found, value.expected)
        if len(seen) > REMEMBERED:
            seen.clear()
            self._wrong = False
        return found


def _scored(column: Column, cell: Cell) -> Cell:
    """The cell of an outcome column, held against the instrument's scale."""
    if not column.instrument:
        return cell

    def value(text: str) -> Any:
        found = cell(text)
        told = check(column.instrument, found) if isinstance(found, float) else ""
        return Wrong(text, told) if told else found

    return value


class Reader:
    """Turns blocks of a file of one header and mapping into values. `last` is the latest day that a date may be."""

    def __init__(self, plan: Plan, header: Sequence[str], last: date):
        place = {name: index for index, name in enumerate(header)}
        self._plan = plan
        self._fields: list[tuple[str, Understood]] = []
        self._answers: list[tuple[Column, Understood, Understood | None]] = []
        for column in plan.columns:
            if column.name not in place:
                continue
            reading = replace(column.reading, last=last)
            cell = cell_of(column.field, reading)
            here = Understood(column.name, place[column.name], _scored(column, cell))
            if not column.instrument:
                self._fields.append((column.field.full, here))
                continue
            on = None
            if column.on:
                day = cell_of(fields()["responses.date"], replace(reading, values={}))
                on = Understood(column.on, place[column.on], day)
            self._answers.append((column, here, on))
        self._names = {column.field.full: column.name for column in plan.columns if not column.instrument}

    def values(self, block: Block) -> Values:
        """The values of a block's rows."""
        columns = list(zip(*block.cells, strict=True))
        found = Values(block.numbers, {}, self._names, [])
        if not columns:
            return found
        for full, column in self._fields:
            found.known[full] = column.values(columns[column.index], found)
        for about, column, on in self._answers:
            days = None if on is None else on.values(columns[on.index], found)
            found.answers.append(Answers(about, column.values(columns[column.index], found), days))
        for full, value in self._plan.constants.items():
            found.known[full] = self._constant(full, value, found)
        return found

    def _constant(self, full: str, value: str, into: Values) -> list[Any]:
        column = Understood(full, -1, cell_of(fields()[full], self._plan.columns[0].reading))
        return column.values([value] * len(into), into)
