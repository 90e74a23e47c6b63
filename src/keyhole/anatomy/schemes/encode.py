"""Keyhole's label maps in another tool's integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.schemes.special import SPIDER, SPIDER_PARTIAL, SPINEPS
from keyhole.anatomy.schemes.tables import LEVEL, Row, table
from keyhole.geometry import LabelMap
from keyhole.terms import belongs

SYNONYMS = {"muscle/gluteus_": "muscle/gluteus/"}
"""Spellings of the tables that a label map may write with one more step."""

_OTHERS = {"vertebra/S1": ("sacrum",), "sacrum": ("vertebra/S1",)}

_EXTRA = {
    SPINEPS: {"disc/L5-L6": "disc/L5-S1", "disc/T12-T13": "disc/T12-L1"},
    "totalspineseg": {"disc/L6-S1": "disc/L5-S1"},
}
"""Discs at L6 and T13, and the row that holds them: the tables name each disc as if neither were there."""

_REST = "/posterior"


def written_as(labels: LabelMap, scheme: str) -> tuple[NDArray[np.uint16], dict[int, str]]:
    """`labels` in the integers of `scheme`, uint16, and the scheme's names of the integers in use.

    A row stands for every structure at or below its key, a finer row before a coarser one. What the scheme has no
    row for is 0.
    """
    rows = _writable(scheme)
    top = max([*labels.structures, int(labels.array.max(initial=0))], default=0)
    lookup = np.zeros(top + 1, dtype=np.uint16)
    names: dict[int, str] = {}
    for n, key in labels.structures.items():
        row = _row_for(key, rows, _EXTRA.get(scheme, {}))
        if row is not None and row.label is not None:
            lookup[n] = row.label
            names[row.label] = row.name
    return lookup[labels.array], names


def _writable(scheme: str) -> list[Row]:
    """Rows of `scheme` that can be written, finest key first, the rest of an arch after its parts."""
    rows = [
        row
        for n, row in table(scheme).rows.items()
        if row.key and not (scheme == SPIDER and SPIDER_PARTIAL < n <= 2 * SPIDER_PARTIAL)
    ]
    return sorted(rows, key=lambda row: (-row.key.count("/"), row.key.endswith(_REST), row.key))


def _row_for(key: str, rows: Sequence[Row], extra: Mapping[str, str]) -> Row | None:
    """The row that stands for the structure `key`; S1 and sacrum stand for each other where only one has a row."""
    start = "/".join(key.split("/")[:2])
    for one in (key, *_OTHERS.get(start, ()), *([extra[start]] if start in extra else [])):
        found = next((row for row in rows if _covers(row.key, one)), None)
        if found is not None:
            return found
    return None


def _covers(wanted: str, key: str) -> bool:
    """Whether a row with the key `wanted` stands for the structure `key`."""
    for short, long in SYNONYMS.items():
        key = key.replace(long, short)
    if LEVEL not in wanted:
        return belongs(key, wanted)
    head, _, tail = wanted.partition(LEVEL)
    if not key.startswith(head) or key.startswith("vertebra/S1"):
        return False
    rest = key.removeprefix(head).partition("/")[2]
    if tail == _REST:
        return bool(rest) and not belongs(rest, "body")
    return not tail or belongs(rest, tail.removeprefix("/"))
