"""Intervertebral discs as the gap between neighbouring bodies."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.spine import Bone
from keyhole.geometry import Box, Grid, Points, unit

STEP = 1.0
"""Spacing, mm, of the columns in which the gap is measured [keyhole-choice]."""

RIM = 4.0
"""Depth, mm, by which an endplate may lie behind its plane: deeper columns meet the wall [keyhole-choice]."""

_HALF = 36.0  # mm, half side of the square of columns
_SOFT = 1.0  # mm, sigma of the endplate's smoothing


@dataclass(frozen=True, slots=True, eq=False)
class Facing:
    """One endplate seen along the disc's axis: height per column, mm, and signed distance from the footprint, mm."""

    height: NDArray[np.float64]
    outside: NDArray[np.float64]  # negative inside the footprint


def disc_between(upper: Bone, lower: Bone, grid: Grid) -> tuple[Box, NDArray[np.bool_]] | None:
    """Box in `grid` and mask of the gap between two neighbouring bodies.

    In columns along the disc's axis the gap runs from one facing endplate to the other; its outline passes from
    the upper footprint to the lower one in proportion to height, so that a slip gives a sheared disc. None where
    the bodies do not face each other.
    """
    axis = unit(upper.up + lower.up)
    back = unit(upper.posterior + lower.posterior)
    back = unit(back - (back @ axis) * axis)
    origin = (upper.centre + lower.centre) / 2
    axes = np.stack([np.cross(back, axis), back, axis])
    over = _facing(_local(upper, origin, axes), -1)
    under = _facing(_local(lower, origin, axes), +1)
    if over is None or under is None:
        return None
    return _fill(over, under, grid, origin, axes)


def _local(bone: Bone, origin: Points, axes: Points) -> Points:
    return np.asarray((bone.grid.centres(np.argwhere(bone.body)) - origin) @ axes.T)


def _facing(points: Points, sense: int) -> Facing | None:
    """The endplate of body `points` on the side `sense` of the disc's axis: -1 its lower one, +1 its upper one."""
    n = int(2 * _HALF / STEP) + 1
    cell = np.round((points[:, :2] + _HALF) / STEP).astype(np.int64)
    held = ((cell >= 0) & (cell < n)).all(axis=1)
    flat = cell[held] @ np.array([n, 1])
    top = np.full(n * n, -np.inf)
    np.maximum.at(top, flat, sense * points[held, 2])
    height = top.reshape(n, n)
    seen = np.isfinite(height)
    if seen.sum() < 100:
        return None
    plate = seen & (height - _plane(height, seen) > -RIM)
    foot = ndimage.binary_fill_holes(_largest(ndimage.binary_opening(ndimage.binary_closing(plate))))
    near = ndimage.distance_transform_edt(~(plate & foot), return_distances=False, return_indices=True)
    filled = height[tuple(near)]
    weight = ndimage.gaussian_filter(foot.astype(np.float64), _SOFT / STEP)
    smooth = ndimage.gaussian_filter(np.where(foot, filled, 0.0), _SOFT / STEP) / np.maximum(weight, 1e-3)
    filled = np.where(foot, smooth, filled)
    filled = filled[tuple(ndimage.distance_transform_edt(~foot, return_distances=False, return_indices=True))]
    outside = ndimage.distance_transform_edt(~foot) - ndimage.distance_transform_edt(foot)
    return Facing(sense * filled, outside * STEP)


def _plane(height: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Height of the endplate's plane in every column: fitted to its inner columns, those far below left out."""
    inner = ndimage.binary_erosion(seen, iterations=5)
    kept = np.argwhere(inner if inner.sum() > 50 else seen)
    values = height[tuple(kept.T)]
    use = values > np.median(values) - 2 * RIM
    design = np.column_stack([kept, np.ones(len(kept))])
    coefficients = np.zeros(3)
    for _ in range(5):
        coefficients = np.asarray(np.linalg.lstsq(design[use], values[use], rcond=None)[0], dtype=np.float64)
        off = values - design @ coefficients
        use = np.abs(off) < max(1.5, 2.5 * float(np.median(np.abs(off[use]))))
    i, j = np.indices(height.shape)
    return np.asarray(coefficients[0] * i + coefficients[1] * j + coefficients[2])


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, n = ndimage.label(mask)
    return mask if n <= 1 else np.asarray(labels == 1 + np.bincount(labels.ravel())[1:].argmax())


def _fill(
    over: Facing, under: Facing, grid: Grid, origin: Points, axes: Points
) -> tuple[Box, NDArray[np.bool_]] | None:
    """Voxels of `grid` between the two endplates and inside the outline."""
    both = (over.outside < 0) & (under.outside < 0)
    if both.sum() < 100:
        return None
    low, high = float(under.height[both].min()) - RIM, float(over.height[both].max()) + RIM
    corners = np.array([[a, b, c] for a in (-_HALF, _HALF) for b in (-_HALF, _HALF) for c in (low, high)])
    index = grid.index(origin + corners @ axes)
    first = np.maximum(0, np.floor(index.min(axis=0))).astype(int)
    last = np.minimum(grid.shape, np.ceil(index.max(axis=0)) + 1).astype(int)
    box: Box = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
    where = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"), axis=-1)
    local = (grid.centres(where) - origin) @ axes.T
    return box, _inside(local, over, under)


def _inside(local: Points, over: Facing, under: Facing) -> NDArray[np.bool_]:
    """Whether points (..., 3) in disc coordinates lie in the gap."""
    column = np.moveaxis((local[..., :2] + _HALF) / STEP, -1, 0)

    def at(field: NDArray[np.float64], outer: float) -> NDArray[np.float64]:
        return np.asarray(ndimage.map_coordinates(field, column, order=1, cval=outer))

    top, bottom = at(over.height, -1e3), at(under.height, 1e3)
    gap = top - bottom
    found = (local[..., 2] < top) & (local[..., 2] > bottom) & (gap > 0)
    column = column[:, found]  # the outline is asked of what lies between the endplates alone
    share = np.clip((local[found][:, 2] - bottom[found]) / np.maximum(gap[found], 1e-3), 0, 1)
    outside = share * at(over.outside, 1e3) + (1 - share) * at(under.outside, 1e3)
    half = STEP / 2  # the outermost voxel centres lie half a voxel inside the bone's surface
    found[found] = outside < half
    return np.asarray(found)
