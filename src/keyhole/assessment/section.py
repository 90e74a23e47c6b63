"""A cut through the canal at a disc, across the canal's line, finer than the voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.endplates import CORRELATION
from keyhole.anatomy.model import Vertebra
from keyhole.geometry import Box, LabelMap, Plane, Points, unit

CHORD = 10.0
"""Half length, mm, of the chord of the canal's line that gives the section's normal [keyhole]."""

PIXEL = 0.25
"""Side of a pixel of the section, mm [keyhole-choice]."""

STRIP, STRETCH = 3.0, 1.0
"""Half width and half length, mm, of the part of the rim to which a chord's ends are fitted [keyhole-choice]."""

_HALF = 20.0  # mm, half side of the section: the widest lumbar canal is 30 mm
_NEAR = 45.0  # mm from the disc's centre in which the line must pass
_STRAY = 6.0  # mm from the line to the nearest part of the canal


@dataclass(frozen=True, slots=True, eq=False)
class CanalPlane:
    """Where the canal is measured at a disc: `plane` with cranial normal, unit `left` and `back` in it.

    The plane's point lies in the midsagittal plane; `offset` is how far left of it the canal's line passes, mm.
    """

    plane: Plane
    left: Points
    back: Points
    offset: float


def canal_plane(line: Points, middle: Plane, pair: tuple[Vertebra, Vertebra]) -> CanalPlane | None:
    """The canal plane of a disc; None where the canal's line does not reach `CHORD` mm to both sides of it.

    Parameters
    ----------
    line : (n, 3) along the canal, cranial to caudal, LPS mm.
    middle : the disc's mid-plane.
    pair : upper and lower vertebra; the midsagittal plane is the mean of theirs.
    """
    if len(line) < 2:
        return None
    steps = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
    height = middle.height(line)
    near = np.linalg.norm(line - middle.point, axis=1) < _NEAR
    crossing = np.flatnonzero((height[:-1] >= 0) & (height[1:] < 0) & near[:-1])
    if len(crossing) == 0:
        return None
    n = int(crossing[0])
    at = steps[n] + (steps[n + 1] - steps[n]) * height[n] / (height[n] - height[n + 1])
    if not (at - CHORD >= 0 and at + CHORD <= steps[-1]):
        return None
    point, above, below = (np.array([np.interp(s, steps, line[:, a]) for a in range(3)]) for s in _around(at))
    normal = unit(above - below)
    sagittal = unit(pair[0].left + pair[1].left)
    back = unit(np.cross(normal, sagittal))
    left = np.cross(back, normal)
    offset = float((point - (pair[0].centre + pair[1].centre) / 2) @ sagittal / (left @ sagittal))
    return CanalPlane(Plane(point - offset * left, normal), left, back, offset)


def tilted(at: CanalPlane, degrees: float) -> CanalPlane:
    """`at` turned about its left axis through the canal's line: up leans back by `degrees`."""
    angle = np.radians(degrees)
    normal = np.cos(angle) * at.plane.normal + np.sin(angle) * at.back
    back = np.cos(angle) * at.back - np.sin(angle) * at.plane.normal
    return replace(at, plane=Plane(at.plane.point, normal), back=back)


def _around(at: float) -> tuple[float, float, float]:
    return at, at - CHORD, at + CHORD


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The share of a structure in every pixel, (left, back), of the part that holds the canal's line.

    `share` is 0 outside that part; `is_whole` is False where the part comes to the edge of the scan.
    """

    share: NDArray[np.float64]
    ticks: Points
    is_whole: bool

    @property
    def area(self) -> float:
        """mm²."""
        return float(self.share.sum()) * PIXEL**2

    @property
    def ends(self) -> Points:
        """(n, 3): left, foremost and hindmost of the longest unbroken run of each column within `STRIP`, mm."""
        strip = np.abs(self.ticks) <= STRIP
        found = [
            (left, _ends(column, self.ticks)) for left, column in zip(self.ticks[strip], self.share[strip], strict=True)
        ]
        return np.array([(left, *end) for left, end in found if end is not None])

    def area_sd(self, boundary_sd: float, voxel: float) -> float:
        """Sd of the area, mm², for a boundary error of `boundary_sd` mm that stays alike over `CORRELATION` mm.

        Rounding to voxels adds an error of `ROUNDING` voxels that stays alike over one voxel of the outline.
        """
        edge = _outline(self.share, self.ticks)
        perimeter = float(np.linalg.norm(edge - np.roll(edge, 1, axis=0), axis=1).sum())
        some = edge[:: max(1, len(edge) // 120)]
        squared = ((some[:, None] - some[None]) ** 2).sum(axis=-1)
        alike = float(np.exp(-squared / (2 * CORRELATION**2)).mean())
        rounding = (ROUNDING * voxel) ** 2 * voxel * perimeter
        return float(np.sqrt((boundary_sd * perimeter) ** 2 * alike + rounding))


ROUNDING = 0.28
"""Sd of a voxelised outline, voxels, over a patch of one voxel; from simulation [keyhole-choice]."""


def _ends(column: NDArray[np.float64], ticks: Points) -> tuple[float, float] | None:
    """Where the longest run of at least one half begins and ends, between the ticks; None without one."""
    inside = column >= 0.5
    runs, n = ndimage.label(inside)
    if n == 0:
        return None
    where = np.flatnonzero(runs == 1 + np.bincount(runs)[1:].argmax())
    first, last = int(where[0]), int(where[-1])
    return _half(column, ticks, first, first - 1), _half(column, ticks, last, last + 1)


def _half(column: NDArray[np.float64], ticks: Points, at: int, beyond: int) -> float:
    """Where the share falls to one half between two neighbouring ticks; the tick itself at the section's rim."""
    if not 0 <= beyond < len(column):
        return float(ticks[at])
    part = (column[at] - 0.5) / (column[at] - column[beyond])
    return float(ticks[at] + part * (ticks[beyond] - ticks[at]))


@dataclass(frozen=True, slots=True)
class Chord:
    """The midsagittal chord: `length` mm, its change per mm along the canal, and whether the scan holds it whole."""

    length: float
    slope: float
    is_whole: bool


def midsagittal_chord(labels: LabelMap, at: CanalPlane, prefixes: tuple[str, ...]) -> Chord | None:
    """The chord of `prefixes` on the canal plane in the midsagittal plane; None where nothing is there.

    Both ends are the middle of a surface fitted to the cut's rim, quadratic to the sides and linear along the
    canal, over `STRIP` and `STRETCH` mm to both sides: rounding to voxels averages out. A broken chord counts with
    its longest part.
    """
    rows: list[Points] = []
    is_whole = True
    for shift in np.arange(-STRETCH, STRETCH + 0.1, STRETCH / 2):
        cut = section(labels, at, prefixes, shift=float(shift))
        if cut is None:
            continue
        ends = cut.ends
        if len(ends):
            rows.append(np.concatenate([np.full((len(ends), 1), shift), ends], axis=1))
        is_whole &= cut.is_whole
    rim = np.concatenate(rows) if rows else np.empty((0, 4))
    if len(rim) < 12 or not (np.abs(rim[:, 1]) <= PIXEL).any():
        return None
    design = np.stack([np.ones(len(rim)), rim[:, 0], rim[:, 1], rim[:, 1] ** 2], axis=1)
    front, back = np.linalg.lstsq(design, rim[:, 2:], rcond=None)[0].T
    return Chord(float(back[0] - front[0]), float(back[1] - front[1]), is_whole)


def section(
    labels: LabelMap, at: CanalPlane, prefixes: tuple[str, ...], *, shift: float = 0.0, all_parts: bool = False
) -> Section | None:
    """The cut of `prefixes` by the canal plane, moved by `shift` mm along its normal; None where nothing is there.

    With `all_parts`, what a fragment or thick flavum has cut off from the part at the canal's line counts too.
    A structure's indicator is interpolated between voxel centres, so that pixels at its border hold a share; the
    sum of shares is the area without the rounding to voxels.
    """
    ticks = np.arange(-_HALF, _HALF + PIXEL / 2, PIXEL)
    point = at.plane.point + shift * at.plane.normal
    flat = ticks[:, None, None] * at.left + ticks[None, :, None] * at.back + point
    box = _box(labels, flat)
    if box is None:
        return None
    crop = labels.crop(box)
    mask = crop.mask(*prefixes).astype(np.float32)
    index = np.moveaxis(crop.grid.index(flat), -1, 0)
    share = ndimage.map_coordinates(mask, index, order=1, mode="constant", cval=0.0).astype(np.float64)
    part = _part(share >= 0.5, at.offset)
    if part is None:
        return None
    if all_parts:
        part = share >= 0.5
    others = (share >= 0.5) & ~part
    reach = ndimage.binary_dilation(part, iterations=round(1.0 / PIXEL)) & ~others
    seen = labels.grid.contains(flat[reach])
    return Section(np.where(reach, share, 0.0), ticks, bool(seen.all()))


def _box(labels: LabelMap, flat: Points) -> Box | None:
    """The part of the array that holds the section and a voxel around it; None outside the scan."""
    index = labels.grid.index(flat.reshape(-1, 3))
    low = np.maximum(np.floor(index.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(index.max(axis=0)).astype(int) + 3, labels.array.shape)
    if not (high > low).all():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def _part(inside: NDArray[np.bool_], offset: float) -> NDArray[np.bool_] | None:
    """The connected part that holds the canal's line, or the nearest one; None where all is farther than `_STRAY`."""
    parts, n = ndimage.label(inside)
    if n == 0:
        return None
    where = np.argwhere(parts)
    middle = np.array([(_HALF + offset) / PIXEL, _HALF / PIXEL])
    distance = np.linalg.norm(where - middle, axis=1)
    nearest = int(distance.argmin())
    if not distance[nearest] * PIXEL <= _STRAY:
        return None
    return np.asarray(parts == parts[tuple(where[nearest])])


def _outline(share: NDArray[np.float64], ticks: Points) -> Points:
    """Points (n, 2), mm, along the longest line at one half of `share`."""
    from skimage.measure import find_contours  # noqa: PLC0415  (heavy import)

    lines = find_contours(np.pad(share, 1), 0.5)
    longest = max(lines, key=len)
    return np.asarray(ticks[0] + (longest - 1) * PIXEL)
