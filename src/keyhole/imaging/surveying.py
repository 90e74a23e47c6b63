"""What images a folder, zip, disc or file holds, where they lie, and what each is good for."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import KeyholeError, UnreadableFile
from keyhole.geometry import Grid, affine
from keyhole.imaging.deidentify import scrubbed
from keyhole.imaging.dicom import quiet
from keyhole.imaging.dicom_files import DAMAGED, reason
from keyhole.imaging.dicom_pixels import check_pixels
from keyhole.imaging.dicom_series import Series, contents, direction
from keyhole.imaging.dicom_stack import direction_of
from keyhole.imaging.model import check_values
from keyhole.imaging.nifti import read_nifti
from keyhole.imaging.scan import inferred_modality, is_dicom, stated_modality
from keyhole.imaging.verdict import Verdict, best, extent, verdict, verdict_of

NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True, slots=True)
class SurveyRow:
    """One image. `choice` is what --series takes, or the file's name; unknown geometry is None.

    `spacing` is along rows, columns and slices, `extent` along left, posterior and superior, mm; `tilt` in degrees.
    """

    choice: str
    modality: str
    description: str
    slices: int
    size: tuple[int, int] | None
    spacing: tuple[float, float, float] | None
    orientation: str
    extent: tuple[float, float, float] | None
    tilt: float
    verdict: Verdict
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything at a path: images, objects set aside (reason -> how many), damaged files (name -> why), the rest.

    `problem` says why nothing of it may be imported as it is; `suggested` is the choice that serves most.
    """

    rows: tuple[SurveyRow, ...]
    aside: Mapping[str, int] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    others: int = 0
    absent: tuple[str, ...] = ()
    problem: str = ""
    suggested: str = ""


def survey(path: Path) -> Survey:
    """What is at `path`: a DICOM folder, zip, DICOMDIR or file, a NIfTI file, or a folder of them.

    Nothing is refused but a path without any image; what cannot be used is listed with the reason.
    """
    if not path.exists():
        raise UnreadableFile(f"{path} could not be read: there is no such file or folder")
    try:
        with quiet():
            return _survey(path)
    except KeyholeError:
        raise
    except (*DAMAGED, MemoryError) as error:
        raise UnreadableFile(f"{path} holds a value that cannot be read: {reason(error)}") from error


def _survey(path: Path) -> Survey:
    if path.is_file() and path.name.lower().endswith(NIFTI):
        return Survey((_nifti_row(path, path.name),))
    if path.is_file() and not (zipfile.is_zipfile(path) or is_dicom(path) or path.suffix.lower() == ".zip"):
        raise UnreadableFile(f"{path} is neither DICOM nor NIfTI nor a zip of them")
    found = contents(path)
    rows = [_dicom_row(one, place, found.series) for place, one in enumerate(found.series, start=1)]
    chosen = best([s for s, row in zip(found.series, rows, strict=True) if row.verdict.use != "nothing"])
    suggested = next((row.choice for s, row in zip(found.series, rows, strict=True) if s is chosen), "")
    files = sorted(p for p in path.rglob("*") if p.name.lower().endswith(NIFTI)) if path.is_dir() else []
    rows += [_nifti_row(file, str(file.relative_to(path))) for file in files if file.is_file()]
    if not rows and not found.aside and not found.damaged:
        raise UnreadableFile(f"{path} holds no image: no DICOM object and no NIfTI file among {found.others} files")
    others = found.others - len(files)
    return Survey(tuple(rows), found.aside, found.damaged, others, found.absent, found.mixed, suggested)


def _dicom_row(one: Series, place: int, found: tuple[Series, ...]) -> SurveyRow:
    labels = [s.label for s in found]
    choice = one.label if one.label and labels.count(one.label) == 1 else f"#{place}"
    said, stack, plane = verdict_of(one), one.stack, one.planes[0]
    told = scrubbed(", ".join(text for text in (one.description, one.told) if text), plane.file.header)
    if stack is None:
        size = (plane.shape[1], plane.shape[0])
        return SurveyRow(
            choice, one.modality, told, len(one.planes), size, None, direction(plane), None, 0.0, said, one.caveats
        )
    try:
        check_pixels(stack, f"series {choice}", one.modality)
    except KeyholeError as error:
        said = Verdict(False, False, str(error))
    rows, columns = plane.shape
    reach = extent(Grid((columns, rows, stack.depth), affine(stack.matrix)))
    return SurveyRow(
        choice,
        one.modality,
        told,
        len(one.planes),
        (columns, rows),
        stack.spacing,
        direction(plane),
        (float(reach[0]), float(reach[1]), float(reach[2])),
        stack.tilt,
        said,
        (*one.caveats, *stack.caveats),
    )


def _nifti_row(path: Path, name: str) -> SurveyRow:
    try:
        found = read_nifti(path)
        caveats = (*found.caveats, *check_values(found.volume, name))
    except KeyholeError as error:
        said = Verdict(False, False, str(error))
        return SurveyRow(name, "?", "", 0, None, None, "unknown", None, 0.0, said)
    grid = found.volume.grid
    reach, spacing = extent(grid), grid.spacing
    slices = 2 if spacing[2] >= 0.9 * spacing.max() else int(spacing.argmax())
    across, down = (n for n in range(3) if n != slices)
    steps = [float(spacing[n]) for n in (across, down, slices)]
    is_thick = steps[2] > 1.05 * min(steps)
    modality = stated_modality(path) or inferred_modality(found.volume)[0]
    said = verdict(modality, steps, reach)
    if found.names or _is_labels(found.volume.array):
        modality, said = "labels", Verdict(False, False, "a label map: give it to import with --labels")
    return SurveyRow(
        name,
        modality,
        "",
        grid.shape[slices],
        (grid.shape[across], grid.shape[down]),
        (steps[0], steps[1], steps[2]),
        direction_of(grid.patient_from_index.matrix[:3, slices] / spacing[slices]) if is_thick else "any",
        (float(reach[0]), float(reach[1]), float(reach[2])),
        0.0,
        said,
        caveats,
    )


def _is_labels(array: NDArray[Any]) -> bool:
    """Whether an image without names in it looks like one of labels: few whole numbers, most of it nothing."""
    sample = array[::3, ::3, ::3]
    if not (np.equal(np.rint(sample), sample).all() and sample.min() == 0):
        return False
    return bool(np.count_nonzero(sample == 0) > 0.4 * sample.size and np.unique(sample).size <= 150)
