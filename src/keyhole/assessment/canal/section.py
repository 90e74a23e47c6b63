"""A cut through the canal across its line, finer than the voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.model import Vertebra
from keyhole.assessment.outline import area_sd
from keyhole.geometry import Box, Grid, LabelMap, Plane, Points, unit

CHORD = 10.0
"""Half length, mm, of the chord of the canal's line that gives the section's normal [keyhole]."""

PIXEL = 0.25
"""Side of a pixel of the section, mm [keyhole-choice]."""

STRIP, STRETCH = 3.0, 1.0
"""Half width and half length, mm, of the part of the rim to which a chord's ends are fitted [keyhole-choice]."""

BAND = 2.0
"""Width, mm, of the band over which the transverse diameter is averaged [keyhole-choice]."""

_HALF = 20.0  # mm, half side of the section: the widest lumbar canal is 30 mm
_NEAR = 45.0  # mm from the disc's centre in which the line must pass
_STRAY = 6.0  # mm from the line to the nearest part of the canal


@dataclass(frozen=True, slots=True, eq=False)
class CanalPlane:
    """Where the canal is measured: `plane` with cranial normal, unit `left` and `back` in it.

    The plane's point lies in the midsagittal plane; `offset` is how far left of it the canal's line passes, mm.
    """

    plane: Plane
    left: Points
    back: Points
    offset: float

    def points(self, flat: Points) -> Points:
        """(n, 3) LPS mm of places (n, 2), (left, back), on the plane."""
        return np.asarray(self.plane.point + flat[:, :1] * self.left + flat[:, 1:] * self.back)


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """The canal's line (n, 3), cranial to caudal, with its arc length (n,), mm."""

    line: Points
    arc: Points

    def at(self, where: float) -> Points:
        """The point (3,) at arc length `where`."""
        return np.array([np.interp(where, self.arc, self.line[:, a]) for a in range(3)])

    def holds(self, where: float) -> bool:
        """Whether the line goes on `CHORD` mm to both sides of `where`."""
        return bool(len(self.arc) > 1 and where - CHORD >= 0 and where + CHORD <= self.arc[-1])

    def crossing(self, across: Plane) -> float | None:
        """Arc length where the line goes down through the plane, near its point; None where it does not."""
        if len(self.line) < 2:
            return None
        height = across.height(self.line)
        near = np.linalg.norm(self.line - across.point, axis=1) < _NEAR
        found = np.flatnonzero((height[:-1] >= 0) & (height[1:] < 0) & near[:-1])
        if len(found) == 0:
            return None
        n = int(found[0])
        return float(self.arc[n] + (self.arc[n + 1] - self.arc[n]) * height[n] / (height[n] - height[n + 1]))

    def plane(self, where: float, pair: tuple[Vertebra, Vertebra]) -> CanalPlane:
        """The plane across the line at `where`; its midsagittal plane is the mean of those of `pair`."""
        point, above, below = (self.at(s) for s in (where, where - CHORD, where + CHORD))
        normal = unit(above - below)
        sagittal = unit(pair[0].left + pair[1].left)
        back = unit(np.cross(normal, sagittal))
        left = np.cross(back, normal)
        offset = float((point - (pair[0].centre + pair[1].centre) / 2) @ sagittal / (left @ sagittal))
        return CanalPlane(Plane(point - offset * left, normal), left, back, offset)


def course(line: Points) -> Course:
    """`line` (n, 3) with its arc length."""
    steps = np.linalg.norm(np.diff(line, axis=0), axis=1) if len(line) else np.empty(0)
    return Course(line, np.concatenate([[0.0], np.cumsum(steps)]))


def canal_plane(line: Points, middle: Plane, pair: tuple[Vertebra, Vertebra]) -> CanalPlane | None:
    """The plane across the canal where its line goes through `middle`; None unless it goes on `CHORD` mm beyond.

    Parameters
    ----------
    line : (n, 3) along the canal, cranial to caudal, LPS mm.
    middle : the disc's mid-plane, or another plane across the spine.
    pair : upper and lower vertebra; the midsagittal plane is the mean of theirs.
    """
    way = course(line)
    where = way.crossing(middle)
    return way.plane(where, pair) if where is not None and way.holds(where) else None


def tilted(at: CanalPlane, degrees: float) -> CanalPlane:
    """`at` turned about its left axis through the canal's line: up leans back by `degrees`."""
    angle = np.radians(degrees)
    normal = np.cos(angle) * at.plane.normal + np.sin(angle) * at.back
    back = np.cos(angle) * at.back - np.sin(angle) * at.plane.normal
    return replace(at, plane=Plane(at.plane.point, normal), back=back)


def moved(at: CanalPlane, shift: float) -> CanalPlane:
    """`at` moved by `shift` mm cranially along its normal."""
    return replace(at, plane=Plane(at.plane.point + shift * at.plane.normal, at.plane.normal))


@dataclass(frozen=True, slots=True, eq=False)
class Lumen:
    """A structure of the canal ready to be cut: its indicator, and that of the nerve roots, on `grid`.

    `scan` is the grid of the whole label map. A root that lies within the outline of the structure is its content.
    """

    grid: Grid
    scan: Grid
    share: NDArray[np.float32]
    roots: NDArray[np.float32] | None


def lumen(labels: LabelMap, near: Points, prefixes: tuple[str, ...]) -> Lumen | None:
    """`prefixes` around the points `near` (n, 3), LPS mm; None where these lie outside the scan."""
    box = _box(labels, near)
    if box is None:
        return None
    crop = labels.crop(box)
    roots = crop.mask("root")
    share = crop.mask(*prefixes).astype(np.float32)
    return Lumen(crop.grid, labels.grid, share, roots.astype(np.float32) if roots.any() else None)


def _box(labels: LabelMap, near: Points) -> Box | None:
    """The part of the array within the reach of a section around any of `near`; None outside the scan."""
    index = labels.grid.index(near.reshape(-1, 3))
    margin = np.ceil(np.sqrt(2.0) * _HALF / labels.grid.spacing) + 2
    low = np.maximum(np.floor(index.min(axis=0) - margin).astype(int), 0)
    high = np.minimum(np.ceil(index.max(axis=0) + margin).astype(int) + 1, labels.array.shape)
    if not (high > low).all():
        return None
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


@dataclass(frozen=True, slots=True, eq=False)
class Section:
    """The share of a structure in every pixel, (left, back): `share` of all its parts, `main` of the canal's own part.

    `main` is the part that holds the canal's line, without what a fragment or thick flavum has cut off from it.
    Both are 0 elsewhere. `is_whole` is False where the structure comes to the edge of the scan.
    """

    share: NDArray[np.float64]
    main: NDArray[np.float64]
    ticks: Points
    is_whole: bool

    @property
    def pixel(self) -> float:
        """Side of a pixel, mm."""
        return float(self.ticks[1] - self.ticks[0])

    @property
    def area(self) -> float:
        """mm², of all parts."""
        return float(self.share.sum()) * self.pixel**2

    @property
    def ends(self) -> Points:
        """(n, 3): left, foremost and hindmost, mm, of one run of each column within `STRIP`.

        In the midline it is the longest unbroken run; beside it the run that goes on from there.
        """
        strip = np.flatnonzero(np.abs(self.ticks) <= STRIP)
        middle = len(self.ticks) // 2
        first = _longest(self.main[middle] >= 0.5)
        if first is None:
            return np.empty((0, 3))
        found = {middle: first}
        for step in (1, -1):
            run: slice | None = first
            for n in range(middle + step, strip[0 if step < 0 else -1] + step, step):
                run = _beside(self.main[n] >= 0.5, run)
                if run is None:
                    break
                found[n] = run
        return np.array([(self.ticks[n], *_between(self.main[n], self.ticks, found[n])) for n in sorted(found)])

    @property
    def widths(self) -> Points:
        """(n, 2): left and right end, mm, of the longest unbroken run of each row; nan where a row is empty."""
        ends = np.full((len(self.ticks), 2), np.nan)
        for n in np.flatnonzero((self.main >= 0.5).any(axis=0)):
            row = self.main[:, n]
            run = _longest(row >= 0.5)
            if run is not None:
                ends[n] = _between(row, self.ticks, run)[::-1]
        return ends

    @property
    def outline(self) -> Points:
        """Points (n, 2), (left, back) mm, along the longest line at one half of the share."""
        from skimage.measure import find_contours  # noqa: PLC0415  (heavy import)

        lines = find_contours(np.pad(self.share, 1), 0.5)
        longest = max(lines, key=len)
        return np.asarray(self.ticks[0] + (longest - 1) * self.pixel)

    def area_sd(self, boundary_sd: float, voxel: float) -> float:
        """Sd of the area, mm², for a boundary error of `boundary_sd` mm on voxels of `voxel` mm."""
        return area_sd(self.outline, boundary_sd, voxel)


def section(of: Lumen, at: CanalPlane, shift: float = 0.0, pixel: float = PIXEL) -> Section | None:
    """The cut by the canal plane, moved by `shift` mm along its normal; None where nothing lies near the line.

    A structure's indicator is interpolated between voxel centres, so that pixels at its border hold a share; the
    sum of shares is the area without the rounding to voxels.
    """
    ticks = np.arange(-_HALF, _HALF + pixel / 2, pixel)
    point = at.plane.point + shift * at.plane.normal
    index = _plane_index(of.grid, point, (at.left, at.back), ticks)
    share = ndimage.map_coordinates(of.share, index, order=1, mode="constant", cval=0.0).astype(np.float64)
    if of.roots is not None:
        roots = ndimage.map_coordinates(of.roots, index, order=1, mode="constant", cval=0.0)
        share = _with_roots(share, roots)
    inside = share >= 0.5
    part = _part(inside, at.offset, pixel)
    if part is None:
        return None
    near = round(1.0 / pixel)
    reach = ndimage.binary_dilation(inside, iterations=near)
    seen = of.scan.contains(point + ticks[:, None, None] * at.left + ticks[None, :, None] * at.back)
    beside = ndimage.binary_dilation(part, iterations=near) & ~(inside & ~part)
    return Section(
        np.where(reach, share, 0.0), np.where(beside, share, 0.0), ticks, bool(seen[reach].all() and reach.any())
    )


def _plane_index(grid: Grid, point: Points, ways: tuple[Points, Points], ticks: Points) -> Points:
    """(3, n, n) fractional indices of the pixels of a plane."""
    turn = grid.patient_from_index.inverse
    start = turn.apply(point)
    first, second = (turn.apply(point + way) - start for way in ways)
    return np.asarray(
        start[:, None, None] + first[:, None, None] * ticks[:, None] + second[:, None, None] * ticks[None, :]
    )


def _with_roots(share: NDArray[np.float64], roots: NDArray[np.float32]) -> NDArray[np.float64]:
    """`share` with that of the roots that lie within its convex outline."""
    from scipy.spatial import ConvexHull  # noqa: PLC0415  (heavy import)

    inside = share >= 0.5
    corners = np.argwhere(inside & ~ndimage.binary_erosion(inside))
    if len(corners) < 3 or not (np.ptp(corners, axis=0) > 0).all():
        return share
    low, high = corners.min(axis=0), corners.max(axis=0) + 1
    candidates = low + np.argwhere(roots[low[0] : high[0], low[1] : high[1]] > 0)
    if len(candidates) == 0:
        return share
    sides = ConvexHull(corners).equations
    kept = candidates[(candidates @ sides[:, :2].T + sides[:, 2] <= 1e-9).all(axis=1)]
    filled = share.copy()
    filled[tuple(kept.T)] += roots[tuple(kept.T)]
    return np.minimum(filled, 1.0)


def _part(inside: NDArray[np.bool_], offset: float, pixel: float) -> NDArray[np.bool_] | None:
    """The connected part that holds the canal's line, or the nearest one; None where all is farther than `_STRAY`."""
    parts, n = ndimage.label(inside)
    if n == 0:
        return None
    where = np.argwhere(parts)
    middle = np.array([(_HALF + offset) / pixel, _HALF / pixel])
    distance = np.linalg.norm(where - middle, axis=1)
    nearest = int(distance.argmin())
    if not distance[nearest] * pixel <= _STRAY:
        return None
    return np.asarray(parts == parts[tuple(where[nearest])])


def _runs(inside: NDArray[np.bool_]) -> list[slice]:
    """The unbroken runs of a line of pixels."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _longest(inside: NDArray[np.bool_]) -> slice | None:
    """The longest run, the first of two alike; None without one."""
    return max(_runs(inside), key=lambda run: run.stop - run.start, default=None)


def _beside(inside: NDArray[np.bool_], run: slice | None) -> slice | None:
    """The run that shares most with `run` of the neighbouring line; None where none does."""
    if run is None:
        return None
    held = [(min(one.stop, run.stop) - max(one.start, run.start), one) for one in _runs(inside)]
    most, found = max(held, key=lambda pair: pair[0], default=(0, slice(0, 0)))
    return found if most > 0 else None


def _between(line: NDArray[np.float64], ticks: Points, run: slice) -> tuple[float, float]:
    """Where a run of at least one half begins and ends, between the ticks."""
    return _half(line, ticks, run.start, run.start - 1), _half(line, ticks, run.stop - 1, run.stop)


def _half(column: NDArray[np.float64], ticks: Points, at: int, beyond: int) -> float:
    """Where the share falls to one half between two neighbouring ticks; the tick itself at the section's rim."""
    if not 0 <= beyond < len(column):
        return float(ticks[at])
    part = (column[at] - 0.5) / (column[at] - column[beyond])
    return float(ticks[at] + part * (ticks[beyond] - ticks[at]))
