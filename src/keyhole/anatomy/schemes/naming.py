"""Which scheme a label file follows: told by the user, by names in or beside the file, by its name; else refused."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from keyhole.anatomy.schemes.special import EXTRA_DISC, SPIDER, SPIDER_DISCS
from keyhole.anatomy.schemes.tables import (
    KEYHOLE,
    LEVEL,
    SCHEMES,
    TOTALSEGMENTATOR,
    Row,
    Table,
    described,
    plain,
    table,
    tables,
    title,
    totalsegmentator,
    vertebra_of,
)
from keyhole.casefile import LabelsRecord, read_record
from keyhole.errors import InvalidInput, UnknownScheme
from keyhole.terms import VERTEBRAE, are_neighbours, tissue

PATTERNS = (
    (r"verse\d*.*seg-vert", "verse"),
    (r"seg-(spine|subreg)(_|\b)", "spineps_subregion"),
    (r"seg-vert(_|\b)", "spineps_vert_instance"),
    (r"step2_output/[^/]*$", "totalspineseg"),
    (r"step1_levels/[^/]*$", "totalspineseg_levels"),
    (r"(^|/)masks/\d+_t[12](_space)?\.nii", "spider"),
)
"""File names, with the folder they lie in, that only one tool writes."""

MOST_CANDIDATES = 6

_TOTALS = (TOTALSEGMENTATOR, "totalsegmentator_total_v1", "totalsegmentator_total_v3")


def named(names: Mapping[int, str], present: Sequence[int], scheme: str, where: Path) -> dict[int, Row]:
    """The row of each of the `present` labels in `scheme`, by `names` where the file has them."""
    rows = dict(table(scheme).rows)
    if scheme == "totalspineseg":
        text = "the tool's table does not name label 96; taken as the disc L5/L6, as its networks suggest"
        rows[EXTRA_DISC] = Row(EXTRA_DISC, "L5-L6", "disc/L5-L6", text)
    if scheme == SPIDER:
        rows |= {n: Row(n, f"disc {n}", f"disc/{n}", "") for n in SPIDER_DISCS if n not in rows}
    by_name = totalsegmentator() if scheme.startswith(TOTALSEGMENTATOR) and scheme in _TOTALS else None
    by_name = by_name or {row.name: row for row in rows.values()}
    found: dict[int, Row] = {}
    for label in present:
        name = names.get(label) if names else None
        row = by_name.get(name) if name else (None if names else rows.get(label))
        if row is None:
            what = f"is named {name!r}, which is no structure" if name else "has no name"
            raise UnknownScheme(f"{where}: label {label} {what} of {title(scheme)}")
        found[label] = row
    return found


def decided(path: Path, names: Mapping[int, str], present: Sequence[int], scheme: str | None) -> tuple[str, str]:
    """The scheme of the file at `path`, and in words who told it."""
    if scheme is not None and scheme not in SCHEMES:
        raise UnknownScheme(f"{path}: unknown label scheme {scheme!r}; Keyhole reads {', '.join(SCHEMES)}")
    if scheme is not None:
        return scheme, "names in the label file" if names else "--scheme, not the file itself"
    if names:
        bare = [n for n in present if n not in names]
        if bare:
            raise UnknownScheme(f"{path}: label {bare[0]} has no name, though other labels in the file have one")
        return _by_names({n: names[n] for n in present}, path), "names in the label file"
    for pattern, by_file in PATTERNS:
        if re.search(pattern, "/".join(path.parts[-2:]).lower()):
            return by_file, "the label file's name"
    raise UnknownScheme(f"{path} does not say what its integers mean; {candidates(present)}")


def _by_names(names: Mapping[int, str], path: Path) -> str:
    """The scheme that the `names` inside a file belong to: with the same integers, else by the names alone."""
    if all(is_key(name) for name in names.values()):
        return KEYHOLE
    exact = [t for t in tables() if all(n in t.rows and t.rows[n].name == name for n, name in names.items())]
    if all(name in totalsegmentator() for name in names.values()) and TOTALSEGMENTATOR not in {t.scheme for t in exact}:
        held = [t for t in exact if t.scheme not in _TOTALS]
        return held[0].scheme if held else TOTALSEGMENTATOR
    found = exact or [t for t in tables() if all(any(r.name == n for r in t.rows.values()) for n in names.values())]
    if not found:
        known = {row.name for t in tables() for row in t.rows.values()}
        strange = [n for n in names.values() if n not in known and not is_key(n)]
        what = f"the first unknown one is {strange[0]!r}" if strange else f"they mix tools: {_mixed(names)}"
        raise UnknownScheme(f"{path}: the names inside the file belong to no scheme that Keyhole reads; {what}")
    return found[0].scheme


def _mixed(names: Mapping[int, str]) -> str:
    return ", ".join(list(names.values())[:3])


def candidates(present: Sequence[int]) -> str:
    """What the `present` integers would mean in each scheme that knows them all."""
    known = [t for t in tables() if t.kind == "labels" and all(n in t.rows for n in present)]
    if not known:
        return (
            f"no scheme that Keyhole reads knows all of its integers ({_shown(present)}); it reads {', '.join(SCHEMES)}"
        )
    ordered = sorted(known, key=lambda t: -len({v for n in present if (v := vertebra_of(t.rows[n].key))[:1] == "L"}))
    said = "; ".join(f"as {t.scheme}: {_meaning(t, present)}" for t in ordered[:MOST_CANDIDATES])
    more = f"; and {len(ordered) - MOST_CANDIDATES} more" if len(ordered) > MOST_CANDIDATES else ""
    return f"name its scheme with --scheme: {said}{more}"


def _meaning(one: Table, present: Sequence[int]) -> str:
    rows = [one.rows[n] for n in present]
    return described([row.key for row in rows], [row.name for row in rows])


def _shown(present: Sequence[int]) -> str:
    return ", ".join(str(n) for n in present[:8]) + (", ..." if len(present) > 8 else "")


def by_any_name(name: str) -> Row | None:
    """The row that any table gives `name`, spelled loosely, TotalSegmentator's own first; else as people say it."""
    wanted = plain(name)
    for row in totalsegmentator().values():
        if plain(row.name) == wanted:
            return row
    for one in tables():
        if one.kind == "labels" and wanted in one.by_name:
            return one.by_name[wanted]
    return _spoken(name, wanted)


def _spoken(name: str, wanted: str) -> Row | None:
    """The row of a name like "L4 vertebra", "vertebral body L4" or "disc L4/5"; None for anything else."""
    words = wanted.split("_")
    levels = [word.upper() for word in words if re.fullmatch(r"[ctls]\d{1,2}", word)]
    others = {word for word in words if word.upper() not in levels}
    if len(levels) == 1 and levels[0] in VERTEBRAE and others <= {"vertebra", "vertebrae", "vertebral", "body", "bone"}:
        part = "/body" if "body" in others else ""
        return Row(None, name, f"vertebra/{levels[0]}{part}", "")
    if len(levels) == 2 and others <= {"disc", "disk", "ivd", "intervertebral", "discus"} and are_neighbours(*levels):
        return Row(None, name, f"disc/{levels[0]}-{levels[1]}", "")
    return None


def is_key(name: str) -> bool:
    """Whether `name` is one of Keyhole's own structure keys."""
    try:
        tissue(name)
    except InvalidInput:
        return False
    return LEVEL not in name and ("/" in name or name == "sacrum")


def beside(path: Path) -> Path:
    """The JSON file that Keyhole writes beside a label file."""
    return path.with_name(path.name.split(".nii")[0] + ".json")


def record_beside(path: Path) -> LabelsRecord | None:
    """The Keyhole labels record beside a label file, if there is one."""
    file = beside(path)
    if not file.is_file() or b"keyhole.labels/" not in file.read_bytes()[:200]:
        return None
    return read_record(file, LabelsRecord)


def names_beside(path: Path) -> dict[int, str]:
    """Label -> name from a sidecar as BIDS has it, NAME.tsv or NAME.json; empty where there is none.

    The table has columns index and name, the JSON a LabelMap.
    """
    stem = path.name.split(".nii")[0]
    found: dict[int, str] = {}
    try:
        table_file = path.with_name(f"{stem}.tsv")
        if table_file.is_file():
            for row in csv.DictReader(table_file.read_text(encoding="utf-8").splitlines(), delimiter="\t"):
                found[int(row["index"])] = row["name"]
        elif beside(path).is_file():
            told = json.loads(beside(path).read_bytes())
            listed = told.get("LabelMap", {}) if isinstance(told, dict) else {}
            found = {int(label): str(name) for label, name in listed.items()} if isinstance(listed, dict) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {label: name for label, name in found.items() if label > 0 and name}
