"""One ordinary CT or MR series as a volume in LPS mm."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray

from keyhole.errors import InvalidInput, KeyholeError, UnreadableFile
from keyhole.geometry import Volume, affine, unit
from keyhole.imaging.dicom_series import DAMAGED, Series, SliceFile, chosen, patient_of, reason, series_in
from keyhole.imaging.model import ScanImage

TILT = 0.1
"""Largest angle, degrees, between the stack's direction and the slices' normal that counts as upright."""

UNEVEN = 0.02
"""Largest departure of a slice from even spacing, as a share of the spacing."""

POSITION_ROUNDING = 0.02
"""Scanners write positions to this many mm; smaller departures mean nothing."""

KEPT_TAGS = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "FrameOfReferenceUID",
    "Modality",
    "SeriesNumber",
    "Manufacturer",
    "ManufacturerModelName",
    "MagneticFieldStrength",
    "KVP",
    "ConvolutionKernel",
    "SliceThickness",
    "SpacingBetweenSlices",
    "RepetitionTime",
    "EchoTime",
    "InversionTime",
    "FlipAngle",
    "ScanningSequence",
    "PatientPosition",
    "BodyPartExamined",
)
"""UIDs and technical tags that go into the case; names, dates, numbers of the patient and free text do not."""


def read_dicom(path: Path, series: str | None = None) -> ScanImage:
    """The CT or MR series below the folder, or inside the zip, at `path`; `series` chooses one of several.

    Slices are sorted by position along their normal and rescaled; array axes are column, row, slice. CT pixels
    marked as padding (outside the reconstruction) become nan. Tilted, uneven, gappy, doubled or incomplete series
    are refused with one sentence that holds the number.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is checked value by value
            return _read(path, series)
    except KeyholeError:
        raise
    except DAMAGED as error:  # pydicom converts a value when it is first asked for
        raise UnreadableFile(f"{path} holds a DICOM value that cannot be read: {reason(error)}") from error


def _read(path: Path, series: str | None) -> ScanImage:
    one = chosen(series_in(path), series, path)
    where = f"{path}, series {one.number if one.number is not None else one.uid or 'without a UID'}"
    slices, matrix = _stack(one, where)
    array, caveats, digest = _pixels(slices, where, one.modality)
    head = slices[0].header
    if not one.uid:
        caveats = ("the files state no series; slices of one frame of reference and size were taken as one", *caveats)
    thickness, step = head.get("SliceThickness"), float(np.linalg.norm(matrix[:3, 2]))
    if thickness and step > 1.05 * float(thickness):
        caveats = (*caveats, f"slices of {float(thickness):g} mm lie {step:g} mm apart; what lies between is not seen")
    return ScanImage(
        Volume(array, affine(matrix)),
        one.modality,
        one.modality.lower(),
        path.name,
        _identifiers(head),
        caveats,
        patient_of(head),
        digest,
    )


def _identifiers(head: Any) -> dict[str, str]:
    return {tag: str(head.get(tag)) for tag in KEPT_TAGS if str(head.get(tag) or "")}


def _numbers(one: SliceFile, tag: str, n: int) -> NDArray[np.float64]:
    """The `n` finite numbers of a geometry tag; a missing or malformed tag is refused by name."""
    try:
        values = np.array([float(v) for v in np.atleast_1d(np.array(one.header.get(tag), dtype=object))])
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape != (n,) or not np.isfinite(values).all():
        raise InvalidInput(f"{one.name}: the tag {tag} must hold {n} numbers, found {one.header.get(tag)!r}")
    return values


def _stack(series: Series, where: str) -> tuple[list[SliceFile], NDArray[np.float64]]:
    """The slices along their normal and the map from (column, row, slice) to LPS mm."""
    if len(series.slices) < 2:
        raise InvalidInput(f"{where}: a volume needs two slices or more, found {len(series.slices)}")
    first = series.slices[0]
    orientation, spacing = _numbers(first, "ImageOrientationPatient", 6), _numbers(first, "PixelSpacing", 2)
    if not (spacing > 0).all():
        raise InvalidInput(f"{first.name}: PixelSpacing must be > 0 mm, found {spacing.tolist()}")
    for other in series.slices[1:]:
        _same(first, other, orientation, spacing)
    across, down = unit(orientation[:3]), unit(orientation[3:])
    if not abs(float(across @ down)) < 1e-3:
        raise InvalidInput(f"{first.name}: rows and columns must be perpendicular, found {orientation.tolist()}")
    normal = unit(np.cross(across, down))
    corners = np.array([_numbers(s, "ImagePositionPatient", 3) for s in series.slices])
    order = np.argsort(corners @ normal, kind="stable")
    slices = [series.slices[n] for n in order]
    step = _step(slices, corners[order], normal, where)
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = across * spacing[1], down * spacing[0], step
    matrix[:3, 3] = corners[order[0]]
    return slices, matrix


def _same(first: SliceFile, other: SliceFile, orientation: NDArray[np.float64], spacing: NDArray[np.float64]) -> None:
    """Refuse a slice of another orientation, spacing or size than the first."""
    turned = np.abs(_numbers(other, "ImageOrientationPatient", 6) - orientation).max()
    if not turned < 1e-3:
        raise InvalidInput(f"{first.name} and {other.name} are slices of different orientation in one series")
    scaled = np.abs(_numbers(other, "PixelSpacing", 2) / spacing - 1).max()
    sizes = [(int(s.header.Columns), int(s.header.Rows)) for s in (first, other)]
    if not scaled < 1e-3 or sizes[0] != sizes[1]:
        raise InvalidInput(
            f"{first.name} and {other.name} are slices of different size in one series: {sizes[0]} and {sizes[1]} "
            f"voxels, {spacing.tolist()} and {_numbers(other, 'PixelSpacing', 2).tolist()} mm"
        )


def _step(
    slices: Sequence[SliceFile], corners: NDArray[np.float64], normal: NDArray[np.float64], where: str
) -> NDArray[np.float64]:
    """Vector from one slice to the next, (3,) mm; doubled, gappy, uneven and tilted stacks are refused."""
    heights = corners @ normal
    steps = np.diff(heights)
    double = np.flatnonzero(steps < 1e-3)
    if double.size:
        a, b = slices[double[0]].name, slices[double[0] + 1].name
        raise InvalidInput(
            f"{where}: {double.size + 1} of {len(slices)} slices share a position, for one {a} and {b} at "
            f"{heights[double[0]]:.2f} mm; the series holds several images of one place (echoes, phases or copies)"
        )
    usual = float(np.median(steps))
    wide = np.flatnonzero(steps > 1.5 * usual)
    if wide.size:
        missing = int(np.rint(steps[wide] / usual - 1).sum())
        raise InvalidInput(
            f"{where}: about {missing} slices are missing, the first after {slices[wide[0]].name}: a step of "
            f"{steps[wide[0]]:.2f} mm among steps of {usual:.2f} mm"
        )
    even = heights[0] + np.arange(len(heights)) * (heights[-1] - heights[0]) / (len(heights) - 1)
    off = float(np.abs(heights - even).max())
    if off > max(UNEVEN * usual, POSITION_ROUNDING):
        raise InvalidInput(
            f"{where}: slices must be evenly spaced, found steps from {steps.min():.3f} to {steps.max():.3f} mm"
        )
    along = (corners[-1] - corners[0]) / (len(corners) - 1)
    drift = float(np.linalg.norm(np.cross(along, normal)))
    tilt = float(np.degrees(np.arctan2(drift, abs(along @ normal))))
    if tilt > TILT and drift * (len(corners) - 1) > POSITION_ROUNDING:
        raise InvalidInput(
            f"{where}: the stack leans {tilt:.1f} degrees against its slices (gantry tilt), which is not read yet; "
            "export a series without tilt"
        )
    return np.asarray(along, dtype=np.float64)


def _pixels(slices: Sequence[SliceFile], where: str, modality: str) -> tuple[NDArray[Any], tuple[str, ...], str]:
    """Rescaled values (column, row, slice), int16 where they fit and float32 otherwise, caveats, and the SHA-256."""
    head = slices[0].header
    array = np.empty((int(head.Columns), int(head.Rows), len(slices)), dtype=np.int16)
    padded, digest = 0, hashlib.sha256()
    for k, one in enumerate(slices):
        content = one.read()
        digest.update(content)
        raw, data = _decoded(one, content, where)
        values, unknown = _rescaled(raw, data, one, modality)
        padded += int(unknown.sum())
        if array.dtype == np.int16 and not _fits(values):
            array = array.astype(np.float32)
        array[:, :, k] = values.T
    if not padded:
        return array, (), digest.hexdigest()
    share = 100 * padded / array.size
    caveat = f"{share:.2g} % of the image lies outside the scanner's reconstruction and counts as unseen"
    return array, (caveat,), digest.hexdigest()


def _fits(values: NDArray[Any]) -> bool:
    """Whether `values` are whole numbers that int16 can hold."""
    whole = np.issubdtype(values.dtype, np.integer)
    return bool(whole and values.min() >= np.iinfo(np.int16).min and values.max() <= np.iinfo(np.int16).max)


def _decoded(one: SliceFile, content: bytes, where: str) -> tuple[NDArray[Any], Any]:
    try:
        data = pydicom.dcmread(io.BytesIO(content))
        if "PixelData" not in data:
            raise UnreadableFile(f"{where}: {one.name} is truncated or damaged: it has no pixels")
        raw: NDArray[Any] = data.pixel_array
    except (UnreadableFile, MemoryError):
        raise
    except Exception as error:  # codecs raise what they like
        if _is_packed(one):
            name = one.header.file_meta.TransferSyntaxUID.name
            raise UnreadableFile(
                f"{where}: {one.name} cannot be decoded ({name}): {reason(error)}; decompress the series first"
            ) from error
        raise UnreadableFile(f"{where}: {one.name} is truncated or damaged: {reason(error)}") from error
    if raw.shape != (int(one.header.Rows), int(one.header.Columns)):
        raise UnreadableFile(f"{where}: {one.name} must hold one grey image, found shape {raw.shape}")
    return raw, data


def _is_packed(one: SliceFile) -> bool:
    """Whether a slice's pixels are compressed."""
    return bool(one.header.file_meta.TransferSyntaxUID.is_compressed)


def _rescaled(raw: NDArray[Any], data: Any, one: SliceFile, modality: str) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values after slope and intercept, nan in padding, and where padding is."""
    if str(data.get("PhotometricInterpretation")) != "MONOCHROME2":
        raise InvalidInput(
            f"{one.name}: a CT or MR image is MONOCHROME2, found {data.get('PhotometricInterpretation')}"
        )
    slope, intercept = data.get("RescaleSlope"), data.get("RescaleIntercept")
    if modality == "CT" and (slope is None or intercept is None):
        raise InvalidInput(f"{one.name}: a CT slice needs RescaleSlope and RescaleIntercept to give Hounsfield units")
    a, b = float(1 if slope is None else slope), float(0 if intercept is None else intercept)
    if not (np.isfinite(a) and np.isfinite(b) and a != 0):
        raise InvalidInput(f"{one.name}: slope must be finite and not 0 and intercept finite, found {a} and {b}")
    padding = data.get("PixelPaddingValue")
    unknown = raw == padding if padding is not None and modality == "CT" else np.zeros(raw.shape, dtype=np.bool_)
    if a == 1 and b == int(b) and not unknown.any():
        return raw.astype(np.int32) + int(b), unknown
    values = (raw.astype(np.float64) * a + b).astype(np.float32)
    values[unknown] = np.nan
    return values, unknown
