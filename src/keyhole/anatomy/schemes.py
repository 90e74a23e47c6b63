"""Label files of other tools, and Keyhole's own, as structures with names."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.casefile import EvidenceEntry, LabelsRecord, VertebraEntry, read_record
from keyhole.errors import InvalidInput, UnknownScheme
from keyhole.geometry import LabelMap
from keyhole.imaging.nifti import read_nifti, whole_numbers
from keyhole.terms import Origin, tissue

TOTALSEGMENTATOR = "totalsegmentator_total"
KEYHOLE = "keyhole"
SCHEMES = (TOTALSEGMENTATOR, KEYHOLE)

SD_PER_MM = 0.53 / 3
"""Positional sd of a labelled boundary, mm per mm of the coarsest voxel side; the upper end of what was measured on
3 mm labels [keyhole-coarse-labels], taken as proportional to the voxel. A segmenter's own mistakes are not in it."""

_WORDS = {TOTALSEGMENTATOR: "TotalSegmentator total", KEYHOLE: "Keyhole"}


@dataclass(frozen=True, slots=True)
class Row:
    """One structure of a tool's table: its integer (None where only the name is safe), name, key and caveat."""

    label: int | None
    name: str
    key: str
    caveat: str


@dataclass(frozen=True, slots=True, eq=False)
class NamedLabels:
    """Labels with every integer named; `basis` says in words what the names rest on.

    A method that knows more says it: `vertebrae` how sure it is of each one, `evidence` what speaks for or against
    the names.
    """

    labels: LabelMap
    structures: Mapping[str, Structure]
    scheme: str
    basis: str
    caveats: tuple[str, ...] = ()
    vertebrae: Mapping[str, VertebraEntry] = field(default_factory=dict)
    evidence: tuple[EvidenceEntry, ...] = ()


@cache
def totalsegmentator() -> dict[str, Row]:
    """Name -> row of TotalSegmentator's `total` task: the 117 of version 2 with their integers, and others by name.

    References
    ----------
    [totalsegmentator-total] class_map['total'] of version 2.18.0.
    """
    text = files("keyhole.anatomy").joinpath("totalsegmentator_total.csv").read_text(encoding="utf-8")
    rows = [
        Row(int(row["label"]) if row["label"] else None, row["name"], row["key"], row["caveat"])
        for row in csv.DictReader(text.splitlines())
    ]
    return {row.name: row for row in rows}


def boundary_sd(spacing: NDArray[np.float64]) -> float:
    """Positional sd of a labelled boundary on voxels of `spacing` (3,) mm, mm.

    References
    ----------
    [keyhole-coarse-labels].
    """
    return round(SD_PER_MM * float(np.max(spacing)), 3)


def read_labels(path: Path, scheme: str | None = None) -> NamedLabels:
    """The label file at `path` with structure keys.

    What the integers mean comes from `scheme`, else from the labels.json beside a Keyhole file, else from the names
    inside the file. Never from the integers alone: the same number means different things in different tools.
    """
    found = read_nifti(path)
    array = whole_numbers(found.volume.array, path)
    present = [int(n) for n in np.flatnonzero(np.bincount(array.ravel())) if n]
    if not present:
        raise InvalidInput(f"{path}: a label file needs labelled voxels, all {array.size} hold 0")
    record = _record_beside(path) if scheme in (None, KEYHOLE) else None
    chosen = scheme or (KEYHOLE if record else _scheme_of(found.names, path))
    if chosen not in SCHEMES:
        raise UnknownScheme(f"{path}: unknown label scheme {chosen!r}; Keyhole reads {' and '.join(SCHEMES)}")
    sd = boundary_sd(found.volume.grid.spacing)
    if record:
        structures = _from_record(record, found.names, present, path)
    elif chosen == KEYHOLE:
        structures = _from_keys(found.names, present, path, sd)
    else:
        structures = _from_total(found.names, present, path, sd)
    labels = LabelMap(array, found.volume.patient_from_index, {n: structure.key for n, structure in structures.items()})
    told = "names in the label file" if found.names else ("labels.json" if record else "--scheme, not the file itself")
    basis = f"{told} ({_WORDS[chosen]})"
    caveats = (*found.caveats, *(record.caveats if record else _doubts(chosen, found.names)))
    return NamedLabels(labels, {s.key: s for s in structures.values()}, chosen, basis, caveats)


def _doubts(scheme: str, names: Mapping[int, str]) -> tuple[str, ...]:
    if names or scheme != TOTALSEGMENTATOR:
        return ()
    return (
        "the label file carries no names; its integers were read in the order of TotalSegmentator version 2, in which "
        "26 is S1 (versions 1 and 3 number differently)",
    )


def _scheme_of(names: Mapping[int, str], path: Path) -> str:
    """The scheme that the `names` inside a file belong to."""
    if not names:
        raise UnknownScheme(
            f"{path} does not say what its integers mean; name the scheme with --scheme {' or --scheme '.join(SCHEMES)}"
        )
    if all(name in totalsegmentator() for name in names.values()):
        return TOTALSEGMENTATOR
    if all(_is_key(name) for name in names.values()):
        return KEYHOLE
    strange = next(name for name in names.values() if name not in totalsegmentator() and not _is_key(name))
    raise UnknownScheme(
        f"{path}: the names inside the file belong to no scheme that Keyhole reads ({' or '.join(SCHEMES)}); "
        f"the first unknown one is {strange!r}"
    )


def _is_key(name: str) -> bool:
    try:
        tissue(name)
    except InvalidInput:
        return False
    return True


def _source(path: Path, scheme: str) -> str:
    return f"{path.name}, {_WORDS[scheme]}"


def _from_total(names: Mapping[int, str], present: list[int], path: Path, sd: float) -> dict[int, Structure]:
    table = totalsegmentator()
    by_label = {row.label: row for row in table.values() if row.label is not None}
    made: dict[int, Structure] = {}
    for label in present:
        name = names.get(label) if names else None
        row = table.get(name) if name else (None if names else by_label.get(label))
        if row is None:
            what = f"is named {name!r}, which is no structure" if name else "has no name"
            raise UnknownScheme(f"{path}: label {label} {what} of TotalSegmentator total")
        caveats = (row.caveat,) if row.caveat else ()
        made[label] = Structure(row.key, Origin.LABELLED, _source(path, TOTALSEGMENTATOR), sd, caveats)
    return _distinct(made, path)


def _from_keys(names: Mapping[int, str], present: list[int], path: Path, sd: float) -> dict[int, Structure]:
    if not names:
        raise UnknownScheme(
            f"{path}: Keyhole's own labels carry their names inside the file or in {_beside(path).name} beside it; "
            "neither was found"
        )
    made: dict[int, Structure] = {}
    for label in present:
        if not _is_key(names.get(label, "")):
            raise UnknownScheme(f"{path}: label {label} is named {names.get(label)!r}, which is not a structure key")
        made[label] = Structure(names[label], Origin.LABELLED, _source(path, KEYHOLE), sd)
    return _distinct(made, path)


def _from_record(
    record: LabelsRecord, names: Mapping[int, str], present: list[int], path: Path
) -> dict[int, Structure]:
    made: dict[int, Structure] = {}
    for label in present:
        entry = record.structures.get(label)
        if entry is None or not _is_key(entry.key):
            raise UnknownScheme(f"{path}: label {label} has no structure key in {_beside(path).name}")
        if names.get(label, entry.key) != entry.key:
            raise UnknownScheme(
                f"{path}: label {label} is {names[label]!r} inside the file and {entry.key!r} in {_beside(path).name}"
            )
        made[label] = Structure(entry.key, Origin(entry.origin), entry.source, entry.sd, entry.caveats)
    return _distinct(made, path)


def _distinct(made: dict[int, Structure], path: Path) -> dict[int, Structure]:
    seen: dict[str, int] = {}
    for label, structure in made.items():
        if structure.key in seen:
            raise UnknownScheme(
                f"{path}: labels {seen[structure.key]} and {label} are both {structure.key}; each needs its own name"
            )
        seen[structure.key] = label
    return made


def _beside(path: Path) -> Path:
    return path.with_name(path.name.split(".nii")[0] + ".json")


def _record_beside(path: Path) -> LabelsRecord | None:
    """The Keyhole labels record beside a label file, if there is one."""
    file = _beside(path)
    if not file.is_file() or b"keyhole.labels/" not in file.read_bytes()[:200]:
        return None
    return read_record(file, LabelsRecord)
