"""How each structure of the label map came to be known, as a table."""

from __future__ import annotations

import re

from keyhole.casefile import LabelsRecord, StructureEntry
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import Notes, Text, listed, number, structure

_VERTEBRA = re.compile(r"\b(T1[0-3]|T[1-9]|L[1-6]|S1)\b")
_HEADS = {
    "vertebra": "",
    "root": "roots ",
    "disc": "discs ",
    "foramen": "foramina ",
    "canal": "",
    "muscle": "muscles: ",
    "vessel": "vessels: ",
    "organ": "organs: ",
    "rib": "ribs ",
}


def structures(labels: LabelsRecord, notes: Notes, references: References) -> Table:
    """How each structure is known; those known in the same way share a row."""
    shared: dict[tuple[str, str, float], list[StructureEntry]] = {}
    for _, entry in sorted(labels.structures.items()):
        way = _VERTEBRA.sub("each vertebra", entry.source) if entry.origin == "derived" else entry.source
        shared.setdefault((entry.origin, way, entry.sd), []).append(entry)
    rows = []
    for (origin, way, sd), entries in sorted(shared.items(), key=lambda item: item[0]):
        numbers: set[int] = set()
        for entry in entries:
            numbers.update(notes.add(entry.caveats, structure(entry.key)))
        names = gathered([entry.key for entry in entries])
        marked = Text(origin, tuple(sorted(numbers)))
        rows.append(Row((Text(names), marked, Text(references.cite(way)), Text(number(sd, "mm")))))
    heads = (Column("Structures"), Column("Origin"), Column("Source"), Column("sd, mm", True))
    foot = (
        "Labelled: read from a label file. Derived: cut out of labels or image by geometry. Modelled: placed by a "
        "model, seen by nobody. Classed: by Hounsfield units alone. sd: positional sd of the boundary."
    )
    return Table("structures", "How each structure is known", heads, tuple(rows), foot)


def gathered(keys: list[str]) -> str:
    """Structure keys in words, with what they share said once: "L1 to L5: body, pedicle, lamina"."""
    by_head: dict[str, list[list[str]]] = {}
    for key in keys:
        head, *rest = [part for part in key.split("/") if part not in {"left", "right"}]
        by_head.setdefault(head, []).append(rest)
    return "; ".join(_of_head(head, tails) for head, tails in by_head.items())


def _of_head(head: str, tails: list[list[str]]) -> str:
    """The structures of one kind: those with the same parts together."""
    if head in {"tissue", "canal"}:
        return ", ".join(dict.fromkeys(structure("/".join([head, *tail])) for tail in tails))
    parts: dict[str, list[str]] = {}
    for tail in tails:
        if tail:
            named = " ".join(reversed(tail[1:])).replace("_", " ")
            parts.setdefault(tail[0], [])
            if named and named not in parts[tail[0]]:
                parts[tail[0]].append(named)
    same: dict[tuple[str, ...], list[str]] = {}
    for first, inside in parts.items():
        same.setdefault(tuple(inside), []).append(first.replace("-", "/").replace("_", " "))
    said = [", ".join(names) + (f": {listed(list(inside))}" if inside else "") for inside, names in same.items()]
    return (_HEADS.get(head, f"{head} ") + "; ".join(said)).strip()
