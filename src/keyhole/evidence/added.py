"""Tables that a clinic adds to the one that Keyhole ships: read, checked beside it, named by their digest."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from keyhole.errors import InvalidInput
from keyhole.evidence.rows import Row
from keyhole.evidence.table import SHIPPED, joined, read_table, shipped


@dataclass(frozen=True, slots=True, eq=False)
class AddedTable:
    """A checked table of a clinic: its file's name and SHA-256, and its rows."""

    name: str
    digest: str
    rows: tuple[Row, ...]


def read_added(paths: Sequence[Path]) -> tuple[AddedTable, ...]:
    """The tables at `paths`; a row that cannot be, or a result that is there already, is refused."""
    names = [SHIPPED, *(path.name for path in paths)]
    for name in names:
        if names.count(name) > 1:
            raise InvalidInput(f"two tables of results are called {name}: provenance tells them by name; rename one")
    tables = tuple(
        AddedTable(path.name, rows=read_table(path), digest=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
    )
    every_row(tables)
    return tables


def every_row(added: Sequence[AddedTable]) -> tuple[Row, ...]:
    """Keyhole's rows and those that were added; the same result twice is refused."""
    return joined(shipped(), *(table.rows for table in added))
