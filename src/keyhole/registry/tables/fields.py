"""What every column of the registry's tables may hold: the words, bounds and units that import and dictionary share."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.registry.tables.vocabulary import words

TABLES = (
    "patients",
    "episodes",
    "procedures",
    "responses",
    "complications",
    "readmissions",
    "reoperations",
    "measures",
)
"""In the order in which one needs the other."""

WIDE = "wide"


@dataclass(frozen=True, slots=True)
class Field:
    """One column: where it belongs, what a cell may be, and what it means."""

    table: str
    name: str
    type: str
    meaning: str
    words: str | tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    needed: bool = False
    key: bool = False

    @property
    def full(self) -> str:
        """Table and name, as a mapping writes it."""
        return f"{self.table}.{self.name}"

    @property
    def codes(self) -> tuple[str, ...]:
        """What a choice may be; a long list is only loaded when it is asked for."""
        return words(self.words) if isinstance(self.words, str) else self.words

    @property
    def expected(self) -> str:
        """What a cell must be, in words."""
        if self.type == "choice":
            shown = ", ".join(self.codes[:12])
            return f"one of {shown}{' ...' if len(self.codes) > 12 else ''}"
        told = {
            "name": "a code without blanks",
            "text": "text",
            "date": "a day, YYYY-MM-DD",
            "flag": "1 or 0",
            "levels": "levels such as L4/L5, with ; between them",
            "items": "a JSON list of numbers",
            "integer": "a whole number",
            "number": "a number",
        }[self.type]
        return f"{told}{self._bounds}"

    @property
    def _bounds(self) -> str:
        if self.low is not None and self.high is not None:
            return f" from {self.low:g} to {self.high:g}"
        return "" if self.low is None else f" of at least {self.low:g}"


@cache
def fields() -> Mapping[str, Field]:
    """Every field by its full name, in the order of the tables."""
    text = files("keyhole.registry.tables").joinpath("fields.toml").read_text(encoding="utf-8")
    found = {}
    for table, rows in tomllib.loads(text).items():
        for name, row in rows.items():
            known = row.pop("codes", ())
            field = Field(table, name, words=known if isinstance(known, str) else tuple(known), **row)
            found[field.full] = field
    return found


def fields_of(table: str) -> tuple[Field, ...]:
    """The fields of one table."""
    return tuple(field for field in fields().values() if field.table == table)
