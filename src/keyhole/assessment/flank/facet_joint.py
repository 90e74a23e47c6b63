"""The gap of a facet joint: where the two arches face each other, found along the joint's own normal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.assessment.flank.frame import Flank
from keyhole.geometry import Box, Grid, Points, unit

GAP = 4.0
"""Bony surfaces face each other in the joint where they are nearer than this, mm: cartilage and fluid
[keyhole-choice]."""

COLUMN = 1.0
"""Distance of the columns that probe the joint, mm [keyhole-choice]."""

MIDLINE = 5.0
"""Bone within this distance of the midsagittal plane, mm, is no facet [keyhole-choice]."""

LEAST_AREA = 20.0
"""Less, mm², is no joint [keyhole-choice]."""

_STEP = 0.5  # mm between samples along a column
_REACH = 7.0  # mm along the normal, to both sides
_HALF = 13.0  # mm, half side of the field of columns
_TURNS = (2.0, 2.0, 2.0)  # mm between the columns of the turns before the last


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """One facet joint in a flank's axes: the middles (n, 3) of its gap, column by column of `COLUMN` mm, and its axes.

    `normal` runs from the superior process of the lower vertebra to the inferior process of the upper one; `along`
    lies in the disc's plane along the joint, `up` is orthogonal to both.
    """

    middles: Points
    normal: Points
    along: Points
    up: Points

    @property
    def angle(self) -> float:
        """Of the joint to the sagittal plane, in the disc's plane, degrees: 0 sagittal, 90 coronal."""
        return float(np.degrees(np.arctan2(self.normal[1], -self.normal[0])))

    @property
    def area(self) -> float:
        """Mm² of the joint's plane over which the surfaces face each other."""
        return len(self.middles) * COLUMN**2

    @property
    def line(self) -> Points:
        """(2, 3): the joint's line in the disc's plane, from end to end through its middle."""
        middle = self.middles.mean(axis=0)
        reach = (self.middles - middle) @ self.along
        return np.asarray([middle + end * self.along for end in np.percentile(reach, (2, 98))])


def facet_joint(at: Flank) -> Joint | None:
    """The facet joint on the flank's side; None where the two arches face each other nowhere.

    Begun where both arches are near, along the way from one to the other. Then columns along the joint's normal are
    probed for lower bone, gap and upper bone, a plane is fitted to the middles of the gap, and its normal is taken for
    the next turn.
    """
    begun = _begun(at)
    if begun is None:
        return None
    centre, normal = begun
    middles = np.zeros((0, 3))
    for column in (*_TURNS, COLUMN):
        along, up = _axes(normal)
        middles = _middles(at, centre, (normal, along, up), column)
        if len(middles) * column**2 < LEAST_AREA:
            return None
        centre = middles.mean(axis=0)
        fitted = np.linalg.svd(middles - centre, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
    along, up = _axes(normal)
    return Joint(middles, normal, along, up)


def _axes(normal: Points) -> tuple[Points, Points]:
    """Unit vectors along the joint in the disc's plane, and up along it."""
    along = unit(np.cross(np.array([0.0, 0.0, 1.0]), normal))
    return along, np.cross(normal, along)


def _begun(at: Flank) -> tuple[Points, Points] | None:
    """A point between the arches, and the way from the lower to the upper one there, in the flank's axes."""
    import edt  # noqa: PLC0415  (heavy import)

    box = _box(at)
    grid = at.crop.grid.crop(box)
    masks = [np.ascontiguousarray(at.mask(at.keys[name])[box]) for name in ("lower", "upper")]
    if not all(mask.any() for mask in masks):
        return None
    steps = tuple(float(s) for s in grid.spacing)
    far = [edt.edt(~mask, anisotropy=steps, parallel=1) for mask in masks]
    reach = max(GAP, 1.5 * at.voxel)
    index = np.argwhere((far[0] + far[1] <= reach + at.voxel) & (far[0] <= reach) & (far[1] <= reach))
    local = at.local(grid.centres(index))
    held = (local[:, 0] > MIDLINE) & (local[:, 1] > at.wall)
    if not held.any():
        return None
    part = _largest(index[held])
    slope = _slope(far[0] - far[1], grid, index[held][part])
    return local[held][part].mean(axis=0), unit(at.axes @ slope)


def _box(at: Flank) -> Box:
    """The part of the flank's crop in which its facets lie."""
    spans = ((MIDLINE, 38.0), (at.wall, at.wall + 35.0), (-22.0, 22.0))
    corners = np.array([[a, b, c] for a in spans[0] for b in spans[1] for c in spans[2]])
    index = at.crop.grid.index(at.points(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, at.crop.array.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low, at.crop.array.shape).astype(int)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return i, j, k


def _largest(index: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the voxels `index` are in the largest connected part."""
    low = index.min(axis=0)
    box = np.zeros(index.max(axis=0) - low + 1, dtype=np.bool_)
    box[tuple((index - low).T)] = True
    parts, _ = ndimage.label(box, np.ones((3, 3, 3)))
    own = parts[tuple((index - low).T)]
    return np.asarray(own == np.bincount(own).argmax())


def _slope(field: NDArray[np.float32], grid: Grid, index: NDArray[np.int64]) -> Points:
    """Mean gradient (3,) of `field` over the voxels `index`, LPS."""
    last = np.array(field.shape) - 1
    ways = np.eye(3, dtype=np.int64)
    ahead = [field[tuple(np.minimum(index + way, last).T)] for way in ways]
    before = [field[tuple(np.maximum(index - way, 0).T)] for way in ways]
    per_index = (np.mean(ahead, axis=1) - np.mean(before, axis=1)) / 2
    return np.asarray(np.linalg.solve(grid.patient_from_index.matrix[:3, :3].T, per_index))


def _middles(at: Flank, centre: Points, axes: tuple[Points, Points, Points], column: float) -> Points:
    """Middles (n, 3) of the gap in the columns about `centre` that belong to the joint, in the flank's axes."""
    normal, along, up = axes
    ticks = np.arange(-_HALF, _HALF + column / 2, column)
    deep = np.arange(-_REACH, _REACH + _STEP / 2, _STEP)
    flat = centre + ticks[:, None, None] * along + ticks[None, :, None] * up
    local = flat[:, :, None] + deep[:, None] * normal
    lower, upper = (at.share(local, at.keys[name]) for name in ("lower", "upper"))
    middle = _gap(lower.reshape(-1, len(deep)), upper.reshape(-1, len(deep)), deep).reshape(flat.shape[:2])
    is_joint = np.isfinite(middle) & (flat[..., 0] > MIDLINE)
    parts, n = ndimage.label(is_joint)
    if n == 0:
        return np.zeros((0, 3))
    main = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    return np.asarray(flat[main] + middle[main][:, None] * normal)


def _gap(lower: NDArray[np.float64], upper: NDArray[np.float64], deep: Points) -> Points:
    """Middle of the gap of each column nearest to its middle, where upper bone follows lower bone; else nan."""
    is_lower, is_upper = lower >= 0.5, upper >= 0.5
    places = np.arange(len(deep))
    last = np.maximum.accumulate(np.where(is_lower, places, -1), axis=1)
    before = np.concatenate([np.full((len(last), 1), -1), last[:, :-1]], axis=1)
    enters = is_upper & ~np.concatenate([np.ones((len(last), 1), dtype=np.bool_), is_upper[:, :-1]], axis=1)
    start = np.where(before >= 0, _ends(lower, deep, before, 1), np.nan)
    stop = _ends(upper, deep, np.broadcast_to(places, upper.shape), -1)
    middle = np.where(enters & (before >= 0) & (stop - start <= GAP), (start + stop) / 2, np.nan)
    away = np.where(np.isfinite(middle), np.abs(middle), np.inf)
    best = away.argmin(axis=1)
    return np.asarray(middle[np.arange(len(middle)), best])


def _ends(share: NDArray[np.float64], deep: Points, at: NDArray[np.int64], way: int) -> Points:
    """Where the share falls to one half beyond the sample `at`, towards `way`, mm."""
    n = np.arange(len(share))[:, None]
    here = share[n, np.maximum(at, 0)]
    there = share[n, np.clip(at + way, 0, len(deep) - 1)]
    part = np.where((here >= 0.5) & (there < 0.5), (here - 0.5) / np.maximum(here - there, 1e-9), 0.0)
    return np.asarray(deep[np.maximum(at, 0)] + way * part * _STEP)
