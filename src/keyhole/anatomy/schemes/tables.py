"""The label tables of other tools: what each integer is called there, and which structure that is here."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from keyhole.terms import rank

TOTALSEGMENTATOR = "totalsegmentator_total"
KEYHOLE = "keyhole"

LEVEL = "{}"
"""In a key: one label for all levels. Which level a voxel belongs to, another label file has to say."""

_MORE_TOTALS = ("totalsegmentator_total_v3", "totalsegmentator_total_v1")


@dataclass(frozen=True, slots=True)
class Row:
    """One structure of a tool's table: its integer (None where only the name is safe), name, key and caveat.

    An empty key: the name is no structure that could be avoided or cut, like the outline of the whole body.
    """

    label: int | None
    name: str
    key: str
    caveat: str


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """One tool's table. `kind` is "labels", or "points" where single voxels mark places and nothing is outlined."""

    scheme: str
    title: str
    kind: str
    modality: str
    licence: str
    origin: tuple[str, ...]
    notes: tuple[str, ...]
    rows: Mapping[int, Row]

    @property
    def by_name(self) -> dict[str, Row]:
        """Name, as `plain` spells it -> row."""
        return {plain(row.name): row for row in self.rows.values()}


def plain(name: str) -> str:
    """`name` in small letters, with one underscore for whatever separates its words; the side last."""
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    sides = [word for word in words if word in ("left", "right")]
    return "_".join([word for word in words if word not in sides] + sides)


@cache
def _index() -> dict[str, dict[str, object]]:
    text = files(__package__).joinpath("tables", "index.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


SCHEMES = (TOTALSEGMENTATOR, KEYHOLE, *(name for name in _index() if name != TOTALSEGMENTATOR))
"""Every name that --scheme takes."""


@cache
def table(scheme: str) -> Table:
    """The table of `scheme`, one of `SCHEMES` other than Keyhole's own, which has no integers of its own."""
    known = _index()[scheme]
    text = files(__package__).joinpath("tables", f"{scheme}.csv").read_text(encoding="utf-8")
    rows = [Row(int(row["label"]), row["name"], row["key"], row["caveat"]) for row in csv.DictReader(text.splitlines())]
    words = {name: str(known[name]) for name in ("title", "kind", "modality", "licence")}
    origin, notes = (_texts(known[name]) for name in ("origin", "notes"))
    held = {row.label: row for row in rows if row.label is not None}
    return Table(scheme, words["title"], words["kind"], words["modality"], words["licence"], origin, notes, held)


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()


@cache
def tables() -> tuple[Table, ...]:
    """Every table, in the order of `SCHEMES`."""
    return tuple(table(scheme) for scheme in SCHEMES if scheme != KEYHOLE)


def title(scheme: str) -> str:
    """`scheme` as a person says it."""
    return "Keyhole" if scheme == KEYHOLE else table(scheme).title


@cache
def totalsegmentator() -> dict[str, Row]:
    """Name -> row of TotalSegmentator's `total` task: the 117 of version 2 with their integers, and others by name.

    References
    ----------
    [totalsegmentator-total] class_map['total'] of version 2.18.0.
    """
    rows = {row.name: row for row in table(TOTALSEGMENTATOR).rows.values()}
    for scheme in _MORE_TOTALS:
        for row in table(scheme).rows.values():
            rows.setdefault(row.name, Row(None, row.name, row.key, row.caveat))
    return rows


def vertebra_of(key: str) -> str:
    """The vertebra that `key` names or is a part of, like "L4"; empty where there is none."""
    head, _, rest = key.partition("/")
    name = rest.partition("/")[0]
    return name if head == "vertebra" and name != LEVEL else ""


def described(keys: list[str], names: list[str]) -> str:
    """What a file holds, in a few words: its vertebrae as ranges, else its first names."""
    held = sorted({vertebra for key in keys if (vertebra := vertebra_of(key))}, key=rank)
    if held:
        spans = f"{held[0]}-{held[-1]}" if len(held) > 1 else held[0]
        others = len([key for key in keys if not vertebra_of(key)])
        return f"vertebrae {spans}" + (f" and {others} other structures" if others else "")
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
