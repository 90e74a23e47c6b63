"""The bony canal: polar rays from its middle line to bone or disc, with the gaps in the wall closed.

The wall has windows: the foramina at the sides and the gaps between the laminae behind. There a ray runs out of the
canal; its length is bounded by what the wall shows within a few centimetres above and below, and by a cap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy.spine import STATION, smooth_line
from keyhole.geometry import Box, Grid, Points, unit

CAP = 14.0
"""Largest radius of the canal, mm: a ray without bone within it has left through a window [keyhole-choice]."""

WINDOW = 16.0
"""Half length, mm, of the stretch of wall that bounds a ray in a window [keyhole-choice]."""

SHARE = 30.0
"""Percentile of the wall's distance over that stretch that counts as the wall [keyhole-choice]."""

SLACK = 1.0
"""How far, mm, a ray may pass the wall of its stretch [keyhole-choice]."""

ANGLES = 72
"""Rays per station; a multiple of four, so that left and right see the same angles."""

_RAY = 0.25  # mm between samples of a ray
_FIELDS = 2.0  # columns: sigma of the smoothing of closed windows


@dataclass(frozen=True, slots=True, eq=False)
class Canal:
    """The canal's line (n, 3), its axes there, and its radius (n, ANGLES), mm, by angle from left over posterior."""

    line: Points
    left: Points
    posterior: Points
    down: Points
    radius: NDArray[np.float64]

    @property
    def area(self) -> Points:
        """(n,) area of the section normal to the line, mm²."""
        turn = 2 * np.pi / ANGLES
        return np.asarray(0.5 * np.sin(turn) * (self.radius * np.roll(self.radius, -1, axis=1)).sum(axis=1))

    @property
    def middle(self) -> Points:
        """(n, 3) centroid of each section, LPS mm."""
        turn = np.arange(ANGLES) * 2 * np.pi / ANGLES
        weight = self.radius**2
        off = (self.radius**3)[..., None] * np.stack([np.cos(turn), np.sin(turn)], axis=-1) * 2 / 3
        flat = off.sum(axis=1) / weight.sum(axis=1)[:, None]
        return np.asarray(self.line + flat[:, :1] * self.left + flat[:, 1:] * self.posterior)


def bony_canal(wall: NDArray[np.bool_], grid: Grid, line: Points, posterior: Points) -> Canal:
    """The canal inside `wall` (bone and disc, a mask on `grid`) about `line`.

    The rays are cast twice: the second time from the middle of what the first pass found.

    Parameters
    ----------
    wall : (i, j, k), every voxel that bounds the canal.
    line : (n, 3) points inside the canal, cranial to caudal, `STATION` mm apart, LPS mm.
    posterior : (n, 3) roughly posterior at each of them.
    """
    found = _cast(wall, grid, line, posterior)
    centred = smooth_line(found.middle, np.arange(len(line), dtype=np.float64) * STATION)
    back = posterior[np.clip(np.round(np.linspace(0, len(line) - 1, len(centred))).astype(int), 0, len(line) - 1)]
    return _cast(wall, grid, centred, back)


def _cast(wall: NDArray[np.bool_], grid: Grid, line: Points, posterior: Points) -> Canal:
    down = unit(np.gradient(ndimage.gaussian_filter1d(line, 2.0, axis=0, mode="nearest"), axis=0))
    back = unit(posterior - (posterior * down).sum(axis=1, keepdims=True) * down)
    left = np.cross(back, -down)
    turn = np.arange(ANGLES) * 2 * np.pi / ANGLES
    rays = np.cos(turn)[None, :, None] * left[:, None] + np.sin(turn)[None, :, None] * back[:, None]
    steps = np.arange(1, int(CAP / _RAY) + 1) * _RAY
    samples = line[:, None, None] + steps[None, None, :, None] * rays[:, :, None]
    index = np.round(grid.index(samples)).astype(np.int64)
    inside = np.asarray(((index >= 0) & (index < np.array(grid.shape))).all(axis=-1))
    i, j, k = np.moveaxis(np.where(inside[..., None], index, 0), -1, 0)
    hit = wall[i, j, k] & inside
    is_wall = np.asarray(hit.any(axis=-1))
    reach = np.asarray(steps[np.where(is_wall, hit.argmax(axis=-1), len(steps) - 1)], dtype=np.float64)
    return Canal(line, left, back, down, _closed(reach, is_wall))


def _closed(reach: NDArray[np.float64], is_wall: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Ray lengths with the windows of the wall closed."""
    span = 2 * int(WINDOW / STATION) + 1
    bound = ndimage.percentile_filter(reach, SHARE, size=(span, 1), mode="nearest")
    bound = np.maximum(ndimage.gaussian_filter(bound, (4.0, 1.0), mode=("nearest", "wrap")), 1.0)
    window = ~is_wall | (reach > bound + SLACK)
    limited = np.minimum(reach, bound)
    weight = ndimage.gaussian_filter((~window).astype(np.float64), _FIELDS, mode=("nearest", "wrap"))
    blurred = ndimage.gaussian_filter(np.where(window, 0.0, reach), _FIELDS, mode=("nearest", "wrap"))
    near = np.where(weight > 0.05, blurred / np.maximum(weight, 1e-6), bound)
    return np.asarray(np.where(window, np.minimum(np.maximum(near, limited * 0.8), bound + SLACK), reach))


def within(canal: Canal, grid: Grid, share: float = 1.0) -> tuple[Box, NDArray[np.bool_]]:
    """Box in `grid` and mask of the voxels inside `share` of the canal's radius."""
    index = grid.index(canal.line)
    margin = np.ceil((CAP + 1) / grid.spacing)
    first = np.maximum(0, np.floor(index.min(axis=0) - margin)).astype(int)
    last = np.minimum(grid.shape, np.ceil(index.max(axis=0) + margin) + 1).astype(int)
    box: Box = (slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2]))
    where = np.stack(np.meshgrid(*(np.arange(a, b) for a, b in zip(first, last, strict=True)), indexing="ij"), axis=-1)
    points = grid.centres(where.reshape(-1, 3))
    apart, nearest = cKDTree(canal.line).query(points, distance_upper_bound=CAP + 1, workers=1)
    mask = np.zeros(len(points), dtype=np.bool_)
    near = np.flatnonzero(np.isfinite(apart))
    mask[near] = _inside(canal, points[near], nearest[near], share)
    return box, mask.reshape(where.shape[:3])


def _inside(canal: Canal, points: Points, nearest: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    away = points - canal.line[nearest]
    along = (away * canal.down[nearest]).sum(axis=1)
    x, y = (away * canal.left[nearest]).sum(axis=1), (away * canal.posterior[nearest]).sum(axis=1)
    angle = np.mod(np.arctan2(y, x), 2 * np.pi) / (2 * np.pi) * ANGLES
    wrapped = np.concatenate([canal.radius, canal.radius[:, :1]], axis=1)
    station = np.clip(nearest + along / STATION, 0, len(canal.line) - 1)
    radius = ndimage.map_coordinates(wrapped, np.stack([station, angle]), order=1, mode="nearest")
    ends = (nearest > 0) & (nearest < len(canal.line) - 1)
    return np.asarray((np.hypot(x, y) <= share * radius) & (ends | (np.abs(along) <= STATION / 2)))
