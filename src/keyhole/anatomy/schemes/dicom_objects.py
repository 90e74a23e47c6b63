"""Structures in DICOM: segmentation objects (SEG) and contours (RTSTRUCT) of an image, named by words or codes."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.schemes.masks import MaskStack
from keyhole.anatomy.schemes.model import Layer
from keyhole.anatomy.schemes.naming import by_any_name, is_key
from keyhole.anatomy.schemes.tables import TOTALSEGMENTATOR, Row, plain, table
from keyhole.errors import InvalidInput, KeyholeError, UnknownScheme, UnreadableFile
from keyhole.geometry import Grid, affine
from keyhole.imaging import ScanImage
from keyhole.imaging.dicom_files import DAMAGED, reason

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

OFF_PLANE = 0.02
"""Largest distance, as a share of the slice step, of a frame from its place in an even stack."""

OFF_SLICE = 0.3
"""Largest distance of a contour from the image's slice, in slices."""

MOST = 600_000_000
"""Voxels of the largest stack that a SEG may span."""

_OUTLINES = ("body", "external", "skin", "patient", "couch")
_SIDES = {"7771000": "left", "24028007": "right"}


def dicom_layers(path: Path, scheme: str | None, images: Sequence[ScanImage]) -> list[Layer]:
    """The structures of the DICOM object at `path` as layers; overlaps come to lie in different ones.

    Parameters
    ----------
    scheme : whose names the object uses; None tries all, then SNOMED codes.
    images : what contours were drawn on; a SEG has voxels of its own.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what pydicom would mend is checked field by field
            return _layers(path, scheme, images)
    except KeyholeError:
        raise
    except (RuntimeError, MemoryError, *DAMAGED) as error:
        raise UnreadableFile(f"{path} is not a readable DICOM object: {reason(error)}") from error


def _layers(path: Path, scheme: str | None, images: Sequence[ScanImage]) -> list[Layer]:
    from pydicom import dcmread  # noqa: PLC0415  (heavy import)

    found = dcmread(path)
    kind = _text(found.get("Modality", ""))
    if kind == "SEG":
        return _segments(found, path, scheme)
    if kind == "RTSTRUCT":
        return _contours(found, path, scheme, images)
    raise UnknownScheme(f"{path} is DICOM of modality {kind or 'unknown'}; labels come as SEG or RTSTRUCT")


def _text(value: object) -> str:
    """`value` on one short line."""
    return " ".join(str(value or "").split())[:80]


# --- names


@cache
def _codes() -> dict[str, str]:
    text = files(__package__).joinpath("tables", "snomed.csv").read_text(encoding="utf-8")
    return {row["code"]: row["key"] for row in csv.DictReader(text.splitlines())}


def _row(words: Sequence[str], code: str, side: str, scheme: str | None) -> Row | None:
    """The row for one structure by any of its `words`, else by its SNOMED `code` and `side`."""
    for word in words:
        if scheme is not None and scheme != TOTALSEGMENTATOR:
            found = table(scheme).by_name.get(plain(word))
        else:
            found = Row(None, word, word, "") if is_key(word) else by_any_name(word)
        if found is not None:
            return found
        if plain(word) in _OUTLINES:
            return Row(None, word, "", "")
    key = _codes().get(code, "")
    if not key or ("{side}" in key and not side):
        return None
    return Row(None, words[0] if words else code, key.format(side=side), "")


def _check_known(path: Path, rows: dict[int, Row | None], words: dict[int, str]) -> None:
    strange = [words[n] for n, row in rows.items() if row is None]
    if strange:
        raise UnknownScheme(
            f"{path}: {len(strange)} of {len(rows)} structures have no name or code that Keyhole knows: "
            f"{', '.join(strange[:6])}{', ...' if len(strange) > 6 else ''}"
        )


# --- SEG


def _segments(found: Dataset, path: Path, scheme: str | None) -> list[Layer]:
    """The segments of a SEG, each a mask; binary above 0, fractional above half."""
    words, rows = {}, {}
    for item in found.SegmentSequence:
        number = int(item.SegmentNumber)
        kind = item.get("SegmentedPropertyTypeCodeSequence") or [None]
        side = _side(kind[0])
        told = [_text(item.get(name, "")) for name in ("SegmentLabel", "SegmentDescription")]
        words[number] = told[0] or str(number)
        code = str(kind[0].get("CodeValue", "")) if kind[0] is not None else ""
        rows[number] = _row([t for t in told if t], code, side, scheme)
    _check_known(path, rows, words)
    grid, place, segment = _frames(found, path)
    stack = MaskStack(path.name)
    if str(found.get("SegmentationType", "BINARY")) == "LABELMAP":
        whole = _volume(found, grid, place, np.arange(len(place)))
        for number, row in rows.items():
            _add(stack, row, whole == number, grid, path.name)
    else:
        least = 0
        if str(found.get("SegmentationType", "BINARY")) == "FRACTIONAL":
            least = int(found.get("MaximumFractionalValue", 255)) // 2
        for number, row in rows.items():
            own = np.flatnonzero(segment == number)
            if len(own):
                _add(stack, row, _volume(found, grid, place, own) > least, grid, path.name)
    return stack.layers(scheme or TOTALSEGMENTATOR, "names inside the DICOM object")


def _add(stack: MaskStack, row: Row | None, mask: NDArray[np.bool_], grid: Grid, name: str) -> None:
    if row is not None and row.key:
        stack.add(row, mask, grid, name)


def _side(kind: Dataset | None) -> str:
    if kind is None:
        return ""
    for name in ("SegmentedPropertyTypeModifierCodeSequence",):
        for item in kind.get(name) or []:
            side = _SIDES.get(str(item.get("CodeValue", "")))
            if side:
                return side
    return ""


def _frames(found: Dataset, path: Path) -> tuple[Grid, NDArray[np.int64], NDArray[np.int64]]:
    """The even stack of slices that the frames lie on, each frame's slice, and its segment."""
    shared = (found.get("SharedFunctionalGroupsSequence") or [None])[0]
    groups = list(found.PerFrameFunctionalGroupsSequence)
    planes = [_group(g, shared, "PlaneOrientationSequence") for g in groups]
    orientation = np.array([plane.ImageOrientationPatient for plane in planes], float)
    origin = np.array([_group(g, shared, "PlanePositionSequence").ImagePositionPatient for g in groups], float)
    measures = [_group(g, shared, "PixelMeasuresSequence") for g in groups]
    spacing = np.array([m.PixelSpacing for m in measures], float)
    if not (np.isfinite(orientation).all() and np.isfinite(origin).all() and (spacing > 0).all()):
        raise InvalidInput(f"{path}: the frames' places must be finite numbers")
    if np.ptp(orientation, axis=0).max() > 1e-4 or np.ptp(spacing, axis=0).max() > 1e-4:
        raise InvalidInput(f"{path}: its frames are turned or spaced differently; one even stack is needed")
    along, down = orientation[0, :3], orientation[0, 3:]
    normal = np.cross(along, down)
    if not abs(np.linalg.norm(normal) - 1) < 1e-3:
        raise InvalidInput(f"{path}: the frames' row and column directions are not perpendicular unit vectors")
    depth = origin @ normal
    step = _step(depth, measures[0], path)
    place = np.rint((depth - depth.min()) / step).astype(np.int64)
    off = np.abs((depth - depth.min()) / step - place).max()
    aside = origin - depth[:, None] * normal
    if not (off <= OFF_PLANE and np.abs(aside - aside[0]).max() <= 0.05 * spacing.min()):
        raise InvalidInput(f"{path}: its frames do not form one straight, even stack of slices")
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1], matrix[:3, 2] = along * spacing[0, 1], down * spacing[0, 0], normal * step
    matrix[:3, 3] = aside[0] + depth.min() * normal
    grid = Grid((int(found.Columns), int(found.Rows), int(place.max()) + 1), affine(matrix))
    if int(np.prod(grid.shape, dtype=np.int64)) > MOST or grid.shape[2] > 50 * len(groups):
        raise InvalidInput(f"{path}: its frames would span {grid.shape[2]} slices; one even stack is needed")
    is_map = str(found.get("SegmentationType", "BINARY")) == "LABELMAP"
    segment = [
        0 if is_map else int(_group(g, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber) for g in groups
    ]
    return grid, place, np.array(segment, dtype=np.int64)


def _group(own: Dataset, shared: Dataset | None, name: str) -> Any:
    found = own.get(name) or (shared.get(name) if shared is not None else None)
    if not found:
        raise KeyError(f"{name} is missing")
    return found[0]


def _step(depth: NDArray[np.float64], measures: Any, path: Path) -> float:
    """Distance of neighbouring slices, mm; empty slices are usually not stored."""
    apart = np.diff(np.unique(np.round(depth, 3)))
    stated = float(measures.get("SpacingBetweenSlices", 0) or 0)
    if not len(apart):
        step = stated or float(measures.get("SliceThickness", 0) or 0)
    else:
        least = float(apart[apart > 0.01].min())
        step = stated if stated > 0 and abs(least / stated - round(least / stated)) < 0.02 else least
    if not step > 0:
        raise InvalidInput(f"{path}: the distance of its slices is not stated")
    return step


def _volume(found: Dataset, grid: Grid, place: NDArray[np.int64], frames: NDArray[np.int64]) -> NDArray[Any]:
    """The voxels of the given frames, (column, row, slice), 0 elsewhere; read frame by frame."""
    from pydicom.pixels import iter_pixels  # noqa: PLC0415  (heavy import)

    deep = int(found.BitsAllocated) > 8
    whole = np.zeros(grid.shape, dtype=np.uint16 if deep else np.uint8)
    for n, frame in zip(frames, iter_pixels(found, indices=[int(n) for n in frames]), strict=True):
        view = whole[:, :, place[n]]
        np.maximum(view, frame.T, out=view)
    return whole


# --- RTSTRUCT


def _contours(found: Dataset, path: Path, scheme: str | None, images: Sequence[ScanImage]) -> list[Layer]:
    """The regions of an RTSTRUCT, filled on the slices of the image that they were drawn on."""
    if not images:
        raise InvalidInput(f"{path}: contours need the image that they were drawn on; import it together with them")
    rows, words = {}, {}
    for item in found.StructureSetROISequence:
        number, name = int(item.ROINumber), _text(item.get("ROIName", ""))
        words[number], rows[number] = name or str(number), _row([name], "", "", scheme)
    _check_known(path, rows, words)
    drawn = {int(item.ReferencedROINumber): item.get("ContourSequence") or [] for item in found.ROIContourSequence}
    points = {n: _polygons(items, path, words.get(n, str(n))) for n, items in drawn.items() if n in rows}
    image, axis = _drawn_on([p for one in points.values() for p in one], images, path)
    grid = image.volume.grid
    stack = MaskStack(path.name)
    for number, polygons in points.items():
        if polygons:
            _add(stack, rows[number], _filled(polygons, grid, axis, f"{path}: {words[number]}"), grid, path.name)
    return stack.layers(scheme or TOTALSEGMENTATOR, "names inside the DICOM object")


def _polygons(items: Sequence[Dataset], path: Path, name: str) -> list[NDArray[np.float64]]:
    """The closed contours of one region, (n, 3) LPS mm each; points and open lines are no volume."""
    found = []
    for item in items:
        if str(item.get("ContourGeometricType", "CLOSED_PLANAR")) not in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR"):
            continue
        data = np.array(item.ContourData, dtype=np.float64)
        if len(data) % 3 or not np.isfinite(data).all():
            raise InvalidInput(f"{path}: a contour of {name} is not a list of points")
        if len(data) >= 9:
            found.append(data.reshape(-1, 3))
    return found


def _drawn_on(
    polygons: Sequence[NDArray[np.float64]], images: Sequence[ScanImage], path: Path
) -> tuple[ScanImage, int]:
    """The image on whose slices all `polygons` lie, and the array axis across those slices."""
    if not polygons:
        raise InvalidInput(f"{path} holds no closed contour")
    for image in images:
        index = [image.volume.grid.index(p) for p in polygons]
        for axis in (2, 1, 0):
            at = [i[:, axis] for i in index]
            off = max(float(np.abs(a - np.rint(a.mean())).max()) for a in at)
            inside = all(-0.5 < a.mean() < image.volume.array.shape[axis] - 0.5 for a in at)
            if off <= OFF_SLICE and inside:
                return image, axis
    raise InvalidInput(
        f"{path}: its contours do not lie on the slices of {images[0].source_file}; they belong to another image"
    )


def _filled(polygons: Sequence[NDArray[np.float64]], grid: Grid, axis: int, what: str) -> NDArray[np.bool_]:
    """The voxels whose centres lie inside an odd number of `polygons` of their slice: holes stay holes."""
    from skimage.draw import polygon2mask  # noqa: PLC0415  (heavy import)

    mask = np.zeros(grid.shape, dtype=np.bool_)
    flat = [a for a in range(3) if a != axis]
    shape = tuple(grid.shape[a] for a in flat)
    used = set()
    for points in polygons:
        index = grid.index(points)
        at = int(np.rint(index[:, axis].mean()))
        used.add(at)
        box = tuple(slice(None) if a != axis else at for a in range(3))
        mask[box] ^= polygon2mask(shape, index[:, flat])
    apart = np.diff(sorted(used))
    if len(apart) and float(np.median(apart)) > 1:
        raise InvalidInput(f"{what} is drawn on every {np.median(apart):.0f}th slice only; give one on every slice")
    return mask
