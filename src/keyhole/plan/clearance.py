"""Guaranteed gaps between a tube and structures, against whole voxels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, LabelMap, Points, Tube, bounding_box
from keyhole.geometry._kernels import compiled

NEAR = 30.0
"""Structures farther than this from a corridor are not listed, mm [keyhole-choice]."""


@compiled()
def _narrowest(points: Points, start: Points, along: Points, axes: Points) -> tuple[float, int]:
    """Least of distance to the axis minus the voxel's half extent along it, and the voxel."""
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    best, where = np.inf, -1
    for n in range(len(points)):
        x, y, z = points[n, 0] - start[0], points[n, 1] - start[1], points[n, 2] - start[2]
        share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
        x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
        distance = np.sqrt(x * x + y * y + z * z)
        support = 0.0
        if distance > 0:
            for a in range(3):
                support += abs(x * axes[0, a] + y * axes[1, a] + z * axes[2, a])
            support *= 0.5 / distance
        if distance - support < best:
            best, where = distance - support, n
    return best, where


def surfaces(labels: LabelMap, keys: Iterable[str]) -> dict[str, Points]:
    """Centres of the outermost voxels of each structure, (n, 3) LPS mm: those with a neighbour outside it."""
    found = {}
    for key in keys:
        box = bounding_box(labels.mask(key), 0)
        if box is None:
            continue
        mask = np.pad(labels.mask(key, box=box), 1)
        inner = mask.copy()
        for axis in range(3):
            inner &= np.roll(mask, 1, axis) & np.roll(mask, -1, axis)
        rim = (mask & ~inner)[1:-1, 1:-1, 1:-1]
        found[key] = labels.grid.crop(box).centres(np.argwhere(rim))
    return found


def gap(points: Points, grid: Grid, tube: Tube) -> tuple[float, Points]:
    """Lower bound of the gap between the wall of `tube` and the voxels centred at `points`, mm, and the wall's normal.

    For each voxel, the distance of its centre from the axis less its half extent along that direction. All of the
    voxel lies beyond the plane at that distance, and all of the axis on this side of it, so the bound never exceeds
    the true gap; it is at most half a voxel's diagonal short of the gap to centres.

    Returns
    -------
    gap : negative where the voxels reach into the tube. normal : unit vector from the axis to the nearest voxel.
    """
    axes = np.ascontiguousarray(grid.patient_from_index.matrix[:3, :3])
    best, where = _narrowest(points, tube.start, tube.stop - tube.start, axes)
    at = points[where]
    along = tube.stop - tube.start
    square = float(along @ along)
    foot = tube.start + (np.clip((at - tube.start) @ along / square, 0, 1) if square > 0 else 0.0) * along
    way = at - foot
    return best - tube.radius, way / max(float(np.linalg.norm(way)), 1e-9)


def clearances(
    points: Mapping[str, NDArray[np.float64]], grid: Grid, tube: Tube, within: float = NEAR
) -> dict[str, tuple[float, Points]]:
    """`gap` of `tube` to each structure of `points`, narrowest first; those beyond `within` mm are left out."""
    found = {key: gap(centres, grid, tube) for key, centres in points.items() if len(centres)}
    near = {key: value for key, value in found.items() if value[0] <= within}
    return dict(sorted(near.items(), key=lambda item: (round(item[1][0], 6), item[0])))
