"""Guaranteed gaps between a tube and structures, against whole voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, LabelMap, Points, Tube
from keyhole.geometry._kernels import compiled

NEAR = 30.0
"""Structures farther than this from a corridor are not listed, mm [keyhole-choice]."""


@compiled()
def _narrowest(
    points: Points, starts: NDArray[np.int64], start: Points, along: Points, axes: Points, within: float
) -> tuple[Points, NDArray[np.int64]]:
    """Per group of points, the least of distance to the axis minus the voxel's half extent along it, and the voxel.

    Groups with none below `within` keep it, and voxel -1.
    """
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    best = np.full(len(starts) - 1, within)
    where = np.full(len(starts) - 1, -1, dtype=np.int64)
    most = 0.5 * np.sqrt((axes**2).sum(axis=0)).sum()  # no voxel extends farther from its centre
    for g in range(len(starts) - 1):
        far = (best[g] + most) ** 2
        for n in range(starts[g], starts[g + 1]):
            x, y, z = points[n, 0] - start[0], points[n, 1] - start[1], points[n, 2] - start[2]
            share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
            x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
            distance = x * x + y * y + z * z
            if distance >= far:
                continue
            distance = np.sqrt(distance)
            support = 0.0
            if distance > 0:
                for a in range(3):
                    support += abs(x * axes[0, a] + y * axes[1, a] + z * axes[2, a])
                support *= 0.5 / distance
            if distance - support < best[g]:
                best[g], where[g] = distance - support, n
                far = max(best[g] + most, 0.0) ** 2
    return best, where


@compiled()
def _rim(labels: NDArray[np.uint16], wanted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of wanted labels with a neighbour of another label, or at the edge of the array."""
    ni, nj, nk = labels.shape
    rim = np.zeros(labels.shape, dtype=np.bool_)
    for i in range(ni):
        for j in range(nj):
            for k in range(nk):
                n = labels[i, j, k]
                if not wanted[n]:
                    continue
                edge = i == 0 or j == 0 or k == 0 or i == ni - 1 or j == nj - 1 or k == nk - 1
                rim[i, j, k] = edge or not (
                    labels[i - 1, j, k] == n
                    and labels[i + 1, j, k] == n
                    and labels[i, j - 1, k] == n
                    and labels[i, j + 1, k] == n
                    and labels[i, j, k - 1] == n
                    and labels[i, j, k + 1] == n
                )
    return rim


@dataclass(frozen=True, slots=True, eq=False)
class Surfaces:
    """Centres (n, 3) LPS mm of the outermost voxels of structures, those of `keys[g]` at `starts[g]:starts[g + 1]`."""

    keys: tuple[str, ...]
    points: Points
    starts: NDArray[np.int64]
    grid: Grid

    def only(self, keys: Iterable[str]) -> Surfaces:
        """The surfaces of `keys` alone; those not known are left out."""
        wanted = set(keys)
        chosen = [g for g, key in enumerate(self.keys) if key in wanted]
        parts = [self.points[self.starts[g] : self.starts[g + 1]] for g in chosen]
        starts = np.cumsum([0, *(len(p) for p in parts)]).astype(np.int64)
        points = np.concatenate(parts) if parts else np.empty((0, 3))
        return Surfaces(tuple(self.keys[g] for g in chosen), points, starts, self.grid)


def surfaces(labels: LabelMap, keys: Iterable[str]) -> Surfaces:
    """The surfaces of the structures called `keys`, each one label of `labels`."""
    number = {key: n for n, key in labels.structures.items()}
    chosen = sorted(key for key in set(keys) if key in number)
    array = np.ascontiguousarray(labels.array, dtype=np.uint16)
    wanted = np.zeros(int(array.max(initial=0)) + 1, dtype=np.bool_)
    wanted[[number[key] for key in chosen if number[key] < len(wanted)]] = True
    index = np.argwhere(_rim(array, wanted))
    found = array[tuple(index.T)]
    order = np.concatenate([np.flatnonzero(found == number[key]) for key in chosen]) if chosen else np.empty(0, int)
    starts = np.cumsum([0, *(int((found == number[key]).sum()) for key in chosen)]).astype(np.int64)
    return Surfaces(tuple(chosen), labels.grid.centres(index[order]), starts, labels.grid)


def clearances(found: Surfaces, tube: Tube, within: float = NEAR) -> dict[str, tuple[float, Points]]:
    """Lower bound of the gap between the wall of `tube` and each structure, mm, and the wall's normal; narrowest first.

    For each voxel, the distance of its centre from the axis less its half extent along that direction. All of the
    voxel lies beyond the plane at that distance, and all of the axis on this side of it, so the bound never exceeds
    the true gap; it is at most half a voxel's diagonal short of the gap to centres. Negative where voxels reach into
    the tube; structures beyond `within` mm are left out. The normal (3,) points from the axis to the nearest voxel.
    """
    along = tube.stop - tube.start
    axes = np.ascontiguousarray(found.grid.patient_from_index.matrix[:3, :3])
    limit = within + tube.radius
    best, where = _narrowest(found.points, found.starts, tube.start, along, axes, limit)
    near = {}
    for key, value, at in zip(found.keys, best - tube.radius, where, strict=True):
        if at >= 0:
            near[key] = (float(value), _normal(found.points[at], tube))
    return dict(sorted(near.items(), key=lambda item: (round(item[1][0], 6), item[0])))


def _normal(at: Points, tube: Tube) -> Points:
    along = tube.stop - tube.start
    square = float(along @ along)
    share = float(np.clip((at - tube.start) @ along / square, 0, 1)) if square > 0 else 0.0
    way = at - tube.start - share * along
    return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9))
