"""One CT or MR series as a volume in LPS mm."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.geometry import Volume, affine
from keyhole.imaging.deidentify import file_name, kept
from keyhole.imaging.dicom_files import DAMAGED, reason
from keyhole.imaging.dicom_pixels import voxels
from keyhole.imaging.dicom_planes import attribute
from keyhole.imaging.dicom_series import Series, chosen, contents, patient_of, refuse_damaged, usable
from keyhole.imaging.dicom_stack import Stack, normal_of
from keyhole.imaging.model import WEIGHTINGS, Acquired, ScanImage
from keyhole.imaging.shear import upright
from keyhole.imaging.verdict import suggestion, weighting_of

STEP_DIFFERS = 0.05
"""Share by which the stated distance between slices may differ from the measured one without a word
[keyhole-choice]."""


@contextmanager
def quiet() -> Iterator[None]:
    """Nothing printed or warned by pydicom or a decoder: what matters is checked value by value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def read_dicom(path: Path, series: str | None = None, *, keep_identity: bool = False) -> ScanImage:
    """The CT or MR series in the folder, zip, DICOMDIR or multi-frame file at `path`; `series` chooses one of several.

    Slices are sorted by position along their normal and rescaled; array axes are column, row, slice. CT pixels
    marked as padding (outside the reconstruction) and a few missing slices become nan. A tilted stack is resampled
    once onto perpendicular axes, with a caveat that gives the angle. Uneven, gappy, contradictory or incomplete
    series are refused with one sentence that holds the number. Names, numbers and dates of the patient are left
    behind unless `keep_identity`.
    """
    try:
        with quiet():
            return _read(path, series, keep_identity)
    except KeyholeError:
        raise
    except MemoryError as error:
        raise UnreadableFile(f"{path} claims more voxels than this machine can hold") from error
    except DAMAGED as error:  # pydicom converts a value when it is first asked for
        raise UnreadableFile(f"{path} holds a DICOM value that cannot be read: {reason(error)}") from error


def _read(path: Path, series: str | None, keep_identity: bool) -> ScanImage:
    found = contents(path)
    listed = usable(found, path)
    if path.is_file() and len(listed) == 1 and len(listed[0].planes) == 1:
        raise UnreadableFile(f"{path} is one DICOM slice; give the folder or zip that holds the whole series")
    one = chosen(listed, series, path, suggestion(listed))
    others = refuse_damaged(found, one, path)
    where = f"{path}, series {one.label or one.uid or 'without a UID'}"
    if one.stack is None:
        raise InvalidInput(f"{path}: {one.problem}" if str(path) not in one.problem else one.problem)
    stack = one.stack
    array, told, digest = voxels(stack, where, one.modality)
    volume = Volume(array, affine(stack.matrix))
    acquired = None
    caveats = [*one.caveats, *stack.caveats, *_contradictions(one), *told]
    if not one.uid:
        caveats.insert(0, "the files state no series; slices of one frame of reference and size were taken as one")
    if others:
        caveats.append(f"{others} damaged files of other series were left out")
    if found.absent:
        caveats.append(f"the disc's index names {len(found.absent)} files that are not there")
    if stack.tilt or not stack.is_even:
        acquired = _acquired(stack, volume)
        volume = upright(array, stack)
        caveats += _resampled(stack, float(volume.grid.spacing[2]))
    header = _header(one)
    present = frozenset[str]().union(*(plane.file.present for plane in one.planes))
    left = kept(header, present, keep_identity=keep_identity)
    return ScanImage(
        volume,
        one.modality,
        one.modality.lower(),
        path.name if keep_identity else file_name(path.name, header, "dicom"),
        left.identifiers,
        (*caveats, *left.caveats),
        patient_of(header),
        digest,
        dropped=left.dropped,
        identity=left.identity,
        age=left.age,
        sex=left.sex,
        acquired=acquired,
        weighting=_weighting(one),
    )


def _weighting(one: Series) -> str:
    """T1 or T2 of an MR series, by its header; empty where that does not tell, and for maps."""
    found = weighting_of(one) if one.modality == "MR" else ""
    return found if found in WEIGHTINGS else ""


def _acquired(stack: Stack, volume: Volume) -> Acquired:
    """The slices as they lay."""
    return Acquired.model_validate(
        {
            "shape": volume.grid.shape,
            "patient_from_index": stack.matrix.tolist(),
            "positions": stack.positions.tolist(),
        }
    )


def _resampled(stack: Stack, step: float) -> list[str]:
    """Caveats that say why a stack was resampled."""
    told = []
    if stack.tilt:
        told.append(
            f"the slices lean {stack.tilt:.1f} degrees against the stack (gantry tilt); each was moved within its own "
            "plane onto perpendicular axes, and what no slice shows counts as unseen"
        )
    if not stack.is_even:
        steps = np.diff(stack.positions @ normal_of(stack.matrix[:3, :2].T))
        low, high = sorted((abs(float(steps.min())), abs(float(steps.max()))))
        told.append(f"slices lie {low:.3f} to {high:.3f} mm apart; they were resampled once onto {step:.3f} mm steps")
    return told


def _header(one: Series) -> Any:
    """The header of the first slice, with what a multi-frame file says of its first frame."""
    header = one.planes[0].file.header
    if not header.get("PerFrameFunctionalGroupsSequence"):
        return header
    from pydicom.dataset import Dataset  # noqa: PLC0415

    merged = Dataset(header)
    for tag in ("SliceThickness", "SpacingBetweenSlices", "RepetitionTime", "FlipAngle", "ConvolutionKernel"):
        value = attribute(one.planes[0], tag)
        if value is not None:
            setattr(merged, tag, value)
    echo = attribute(one.planes[0], "EffectiveEchoTime")
    if echo is not None:
        merged.EchoTime = str(round(float(echo), 6))
    return merged


def _contradictions(one: Series) -> list[str]:
    """Caveats where the header's distances are not those of the positions, which were used."""
    stack, plane = one.stack, one.planes[0]
    if stack is None:
        return []
    step = float(np.linalg.norm(stack.matrix[:3, 2]))
    told = []
    stated, thickness = (attribute(plane, tag) for tag in ("SpacingBetweenSlices", "SliceThickness"))
    if stated and abs(abs(float(stated)) - step) > STEP_DIFFERS * step and not stack.tilt:
        told.append(f"the header states {float(stated):g} mm between slices; by their positions it is {step:g} mm")
    if thickness and step > 1.05 * float(thickness):
        told.append(f"slices of {float(thickness):g} mm lie {step:g} mm apart; what lies between is not seen")
    return told
