"""Label files of other tools, and Keyhole's own, as structures with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes.masks import mask_layers
from keyhole.anatomy.schemes.merge import one_partition
from keyhole.anatomy.schemes.model import Layer, NamedLabels, boundary_sd
from keyhole.anatomy.schemes.naming import beside, decided, is_key, named, names_beside, record_beside
from keyhole.anatomy.schemes.special import check_scheme, settled
from keyhole.anatomy.schemes.tables import KEYHOLE, TOTALSEGMENTATOR, Row, title
from keyhole.casefile import LabelsRecord
from keyhole.errors import InvalidInput, UnknownScheme, UnreadableFile
from keyhole.imaging.nifti import read_nifti, whole_numbers
from keyhole.terms import Origin

if TYPE_CHECKING:
    from keyhole.imaging import ScanImage

DECIDE = "auto"
"""In place of a scheme's name: let the file say."""


def read_labels(
    path: Path | Sequence[Path],
    scheme: str | Sequence[str | None] | None = None,
    images: Sequence[ScanImage] = (),
) -> NamedLabels:
    """The label files at `path` with structure keys, one partition.

    What the integers mean comes from `scheme`, else from the labels.json beside a Keyhole file, else from the names
    in or beside the file, else from its name. Never from the integers alone: the same number means different things
    in different tools. Where files disagree the first one wins, but for a part inside its own whole.

    Parameters
    ----------
    path : NIfTI label files, folders of one-structure masks, DICOM SEG or RTSTRUCT files.
    scheme : one of `SCHEMES`, or `DECIDE`, for each of the files in their order; None lets all of them say.
    images : what DICOM contours were drawn on.
    """
    paths = [path] if isinstance(path, Path) else list(path)
    if not paths:
        raise InvalidInput("no label file was given")
    layers = [
        layer for one, told in zip(paths, _schemes(scheme, paths), strict=True) for layer in _layers(one, told, images)
    ]
    return one_partition([settled(layer) for layer in layers])


def _schemes(scheme: str | Sequence[str | None] | None, paths: Sequence[Path]) -> list[str | None]:
    """The scheme of each of `paths`."""
    told = [scheme] if scheme is None or isinstance(scheme, str) else list(scheme)
    if (len(told) == 1 and told[0] is None) or not told:
        return [None] * len(paths)
    if len(told) != len(paths):
        raise InvalidInput(
            f"{len(paths)} label files need as many schemes in the same order ({DECIDE} lets a file say), "
            f"got {len(told)}: {', '.join(str(t) for t in told)}"
        )
    return [None if one == DECIDE else one for one in told]


def _layers(path: Path, scheme: str | None, images: Sequence[ScanImage]) -> list[Layer]:
    """What is at `path`: one label file, or the masks of a folder, or a DICOM object."""
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.name.lower().endswith((".nii", ".nii.gz")) and p.name[0] != ".")
        if found and not _are_masks(found, scheme):
            return [_nifti(one, scheme) for one in found]
        if found:
            return mask_layers(path, found, scheme)
        dicom = [p for p in sorted(path.iterdir()) if p.is_file() and _is_dicom(p)]
        if not dicom:
            raise UnreadableFile(f"{path} holds no label file: expected NIfTI masks, or a DICOM SEG or RTSTRUCT")
        return [layer for one in dicom for layer in _dicom(one, scheme, images)]
    if path.is_file() and _is_dicom(path):
        return _dicom(path, scheme, images)
    return [_nifti(path, scheme)]


def _dicom(path: Path, scheme: str | None, images: Sequence[ScanImage]) -> list[Layer]:
    from keyhole.anatomy.schemes.dicom_objects import dicom_layers  # noqa: PLC0415  (heavy import)

    return dicom_layers(path, scheme, images)


def _are_masks(files: Sequence[Path], scheme: str | None) -> bool:
    """Whether a folder's files are masks named by their structures, not a tool's several label maps."""
    if scheme is not None and scheme != KEYHOLE:
        return True
    tools = ("seg-vert", "seg-spine", "seg-subreg")
    return not any(word in file.name for word in tools for file in files)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(132)[128:] == b"DICM"


def _nifti(path: Path, scheme: str | None) -> Layer:
    found = read_nifti(path)
    array = whole_numbers(found.volume.array, path)
    present = [int(n) for n in np.flatnonzero(_counts(array)) if n]
    if not present:
        raise InvalidInput(f"{path}: a label file needs labelled voxels, all {array.size} hold 0")
    record = record_beside(path) if scheme in (None, KEYHOLE) else None
    names = dict(found.names) or ({} if record else names_beside(path))
    chosen, told = (KEYHOLE, "labels.json") if record else decided(path, names, present, scheme)
    sd = boundary_sd(found.volume.grid.spacing)
    if record:
        structures = _from_record(record, found.names, present, path)
        told = "names in the label file" if found.names else told
    elif chosen == KEYHOLE:
        structures = _from_keys(names, present, path, sd)
    else:
        if not names:
            check_scheme(chosen, present, str(path))
        structures = _from_rows(named(names, present, chosen, path), chosen, path.name, sd)
    caveats = (*found.caveats, *(record.caveats if record else _doubts(chosen, names)))
    return Layer(array, found.volume.patient_from_index, structures, chosen, path.name, told, caveats)


def _counts(array: NDArray[Any]) -> NDArray[np.int64]:
    """How often each integer occurs, slab by slab so that no wide copy is made."""
    count = np.zeros(int(array.max(initial=0)) + 1, dtype=np.int64)
    for slab in array:
        count += np.bincount(slab.ravel(), minlength=len(count))
    return count


def _from_rows(rows: Mapping[int, Row], scheme: str, file: str, sd: float) -> dict[int, Structure]:
    return {
        label: Structure(row.key, Origin.LABELLED, source(file, scheme), sd, (row.caveat,) if row.caveat else ())
        for label, row in rows.items()
    }


def source(file: str, scheme: str) -> str:
    """Where a labelled structure comes from."""
    return f"{file}, {title(scheme)}"


def _doubts(scheme: str, names: Mapping[int, str]) -> tuple[str, ...]:
    if names or scheme != TOTALSEGMENTATOR:
        return ()
    return (
        "the label file carries no names; its integers were read in the order of TotalSegmentator version 2, in which "
        "26 is S1 (versions 1 and 3 number differently)",
    )


def _from_keys(names: Mapping[int, str], present: list[int], path: Path, sd: float) -> dict[int, Structure]:
    if not names:
        raise UnknownScheme(
            f"{path}: Keyhole's own labels carry their names inside the file or in {beside(path).name} beside it; "
            "neither was found"
        )
    made: dict[int, Structure] = {}
    for label in present:
        if not is_key(names.get(label, "")):
            raise UnknownScheme(f"{path}: label {label} is named {names.get(label)!r}, which is not a structure key")
        made[label] = Structure(names[label], Origin.LABELLED, source(path.name, KEYHOLE), sd)
    return made


def _from_record(
    record: LabelsRecord, names: Mapping[int, str], present: list[int], path: Path
) -> dict[int, Structure]:
    made: dict[int, Structure] = {}
    for label in present:
        entry = record.structures.get(label)
        if entry is None or not is_key(entry.key):
            raise UnknownScheme(f"{path}: label {label} has no structure key in {beside(path).name}")
        if names.get(label, entry.key) != entry.key:
            raise UnknownScheme(
                f"{path}: label {label} is {names[label]!r} inside the file and {entry.key!r} in {beside(path).name}"
            )
        made[label] = Structure(entry.key, Origin(entry.origin), entry.source, entry.sd, entry.caveats)
    return made
