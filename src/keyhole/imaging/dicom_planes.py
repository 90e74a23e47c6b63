"""The image planes of DICOM objects: one for each slice of a classic file or frame of a multi-frame one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from keyhole.errors import InvalidInput, UnreadableFile
from keyhole.imaging.dicom_files import DAMAGED, DicomFile, reason

CT_CLASSES = ("1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2")
MR_CLASSES = ("1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4")
CLASSIC = (CT_CLASSES[0], MR_CLASSES[0])
"""CT and MR Image Storage; the others are enhanced and legacy converted enhanced: many slices in one file."""

DIRECTORY = "1.2.840.10008.1.3.10"

MOST_PIXELS = 1 << 26
MOST_FRAMES = 1 << 16
"""Largest slice and largest number of slices in a file that are believed [keyhole-choice]."""

TELLING = (
    "EffectiveEchoTime",
    "InversionTime",
    "DiffusionBValue",
    "FlipAngle",
    "TemporalPosition",
    "ImageType",
    "ConvolutionKernel",
    "ContrastBolusAgent",
    "KVP",
    "StackID",
    "AcquisitionNumber",
    "TriggerTime",
    "AcquisitionTime",
)
"""What tells images of one place apart, most meaningful first."""

_NO_SLICE = {
    "MIP": "a projection",
    "MAX_IP": "a projection",
    "MIN_IP": "a projection",
    "PROJECTION IMAGE": "a projection",
    "VRT": "a rendering",
    "VOLREN": "a rendering",
    "SHADED": "a rendering",
    "SCREEN SAVE": "a screen capture",
    "SCREEN": "a screen capture",
    "DOSE_INFO": "a dose sheet",
    "PASTED": "a pasted image",
}


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One slice: its file and frame, where it lies (LPS mm), how its stored values are to be read.

    `problem` is the sentence that says why its place is not known; `position`, `axes` and `spacing` are then nan.
    `axes` holds the directions along a row and down a column; `spacing` the distances along a row and down a column.
    """

    name: str
    file: DicomFile
    frame: int
    shape: tuple[int, int]
    position: NDArray[np.float64]
    axes: NDArray[np.float64]
    spacing: NDArray[np.float64]
    number: int
    slope: float | None
    intercept: float | None
    problem: str = ""
    telling: Mapping[str, str] = field(default_factory=dict)


def kind(header: Any) -> str:
    """SOP class of a file; anonymisers empty it in the data set but leave it in the file's own header."""
    return str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "").strip()


def checked_kind(file: DicomFile) -> str:
    """SOP class of a file that says clearly what it is; CT and MR images have a size and pixels."""
    header = file.header
    try:
        found = kind(header)
        stored = str(header.file_meta.get("MediaStorageSOPClassUID") or found).strip()
        size = [header.get(tag) for tag in ("Rows", "Columns")]
        if not found or stored != found:
            raise ValueError("it does not say clearly what kind of object it holds")
        if found in CT_CLASSES + MR_CLASSES:
            rows, columns = (int(n or 0) for n in size)
            if not (rows >= 1 and columns >= 1):
                raise ValueError("it ends before the size of its image")
            if rows * columns > MOST_PIXELS:
                raise ValueError(f"it states slices of {columns} x {rows} voxels")
    except DAMAGED as error:
        raise UnreadableFile(f"{file.name} is truncated or damaged: {reason(error)}") from error
    return found


def aside(file: DicomFile, found: str) -> str:
    """Why an object is no slice of a CT or MR series, in a few words; empty for one that is."""
    header = file.header
    if found == DIRECTORY:
        return "a disc's index"
    if found not in CT_CLASSES + MR_CLASSES:
        return UID(found).name if UID(found).is_valid else "an unknown object"
    types = [str(part).strip().upper() for part in _several(header.get("ImageType"))]
    if "LOCALIZER" in types or "SCOUT" in types:
        return "a localizer"
    for word, what in _NO_SLICE.items():
        if word in types:
            return what
    if int(header.get("SamplesPerPixel") or 1) != 1:
        return "a colour image"
    return ""


def planes(file: DicomFile, found: str) -> Iterator[Plane]:
    """The planes of a CT or MR object; contradictions in their number are refused by the file's name."""
    header = file.header
    stated = int(header.get("NumberOfFrames") or 1)
    if found in CLASSIC:
        if stated > 1:
            raise InvalidInput(
                f"{file.name} contradicts itself: {UID(found).name} holds one slice a file, its header states {stated}"
            )
        yield _plane(file, 0, file.name, {})
        return
    frames = list(header.get("PerFrameFunctionalGroupsSequence") or ())
    if not 1 <= stated <= MOST_FRAMES or len(frames) != stated:
        raise InvalidInput(
            f"{file.name} contradicts itself: it states {stated} frames and describes {len(frames)} of them"
        )
    shared = _flat((header.get("SharedFunctionalGroupsSequence") or [{}])[0])
    for n, groups in enumerate(frames):
        yield _plane(file, n, f"{file.name} frame {n + 1}", shared | _flat(groups))


_MACROS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept", "RescaleType"),
    "FrameContentSequence": ("StackID", "TemporalPositionIndex", "FrameAcquisitionNumber", "InStackPositionNumber"),
    "MREchoSequence": ("EffectiveEchoTime",),
    "MRDiffusionSequence": ("DiffusionBValue",),
    "MRTimingAndRelatedParametersSequence": ("RepetitionTime", "FlipAngle"),
    "MRModifierSequence": ("InversionTimes",),
    "MRImageFrameTypeSequence": ("FrameType",),
    "CTImageFrameTypeSequence": ("FrameType",),
    "CTReconstructionSequence": ("ConvolutionKernel",),
}


def _flat(groups: Any) -> dict[str, Any]:
    """The attributes of the functional groups that matter, by keyword."""
    found = {}
    for sequence, tags in _MACROS.items():
        for item in groups.get(sequence) or ():
            found.update({tag: item.get(tag) for tag in tags if item.get(tag) is not None})
    return found


def attribute(plane: Plane, tag: str) -> Any:
    """The value of `tag` for a plane: of its frame, of all frames, or of the file; None where it is not stated."""
    if not plane.file.header.get("PerFrameFunctionalGroupsSequence"):
        return plane.file.header.get(tag)
    header = plane.file.header
    shared = _flat((header.get("SharedFunctionalGroupsSequence") or [{}])[0])
    own = _flat(header.PerFrameFunctionalGroupsSequence[plane.frame])
    return (shared | own).get(tag, header.get(tag))


def _plane(file: DicomFile, frame: int, name: str, groups: Mapping[str, Any]) -> Plane:
    header = file.header

    def get(tag: str) -> Any:
        return groups[tag] if tag in groups else header.get(tag)

    nowhere = np.full(3, np.nan)
    try:
        axes = _numbers(name, get, "ImageOrientationPatient", 6).reshape(2, 3)
        spacing = _numbers(name, get, "PixelSpacing", 2)[::-1]
        position = _numbers(name, get, "ImagePositionPatient", 3)
        if not (spacing > 0).all():
            raise InvalidInput(f"{name}: PixelSpacing must be > 0 mm, found {spacing[::-1].tolist()}")
        problem = ""
    except InvalidInput as error:
        position, axes, spacing, problem = nowhere, np.full((2, 3), np.nan), nowhere[:2], str(error)
    slope, intercept = (get(tag) for tag in ("RescaleSlope", "RescaleIntercept"))
    number = get("InStackPositionNumber") if groups else get("InstanceNumber")
    try:
        return Plane(
            name,
            file,
            frame,
            (int(header.Rows), int(header.Columns)),
            position,
            axes,
            spacing,
            int(number or 0) if not groups else frame,
            None if slope is None else float(slope),
            None if intercept is None else float(intercept),
            problem,
            _telling(get),
        )
    except DAMAGED as error:
        raise UnreadableFile(f"{name} holds a DICOM value that cannot be read: {reason(error)}") from error


def _telling(get: Any) -> dict[str, str]:
    """The values of TELLING as text; classic and multi-frame names of one thing count as one."""
    other = {
        "EffectiveEchoTime": ("EchoTime", "EchoNumbers"),
        "TemporalPosition": ("TemporalPositionIndex", "TemporalPositionIdentifier"),
        "ImageType": ("FrameType",),
        "AcquisitionNumber": ("FrameAcquisitionNumber",),
        "InversionTime": ("InversionTimes",),
    }
    found = {}
    for tag in TELLING:
        value = next((v for v in (get(t) for t in (*other.get(tag, ()), tag)) if v not in (None, "")), None)
        if value is not None:
            found[tag] = "\\".join(str(part) for part in _several(value))
    return found


def _several(value: Any) -> tuple[Any, ...]:
    return () if value is None else (value,) if isinstance(value, str | bytes | float | int) else tuple(value)


def _numbers(name: str, get: Any, tag: str, n: int) -> NDArray[np.float64]:
    """The `n` finite numbers of a geometry tag; a missing or malformed tag is refused by name."""
    found: Any = None
    try:
        found = get(tag)
        values = np.array([float(v) for v in _several(found)])
    except DAMAGED:
        values = np.empty(0)
    if values.shape != (n,) or not np.isfinite(values).all() or not (np.abs(values) < 1e6).all():
        raise InvalidInput(f"{name}: the tag {tag} must hold {n} numbers, found {str(found)[:80]}")
    return values
