"""Guaranteed gaps between a tube and structures, against whole voxels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, LabelMap, Points, Tube
from keyhole.geometry._kernels import compiled

BLOCK = 8
"""Surface voxels are kept together in cubes of so many voxels."""

NEAR = 30.0
"""Structures farther than this from a corridor are not listed, mm [keyhole-choice]."""


@compiled()
def _off_axis(p: Points, start: Points, along: Points, square: float) -> tuple[float, float, float]:
    """The way from the nearest point of the axis to `p`."""
    x, y, z = p[0] - start[0], p[1] - start[1], p[2] - start[2]
    share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
    return x - share * along[0], y - share * along[1], z - share * along[2]


@compiled()
def _narrowest(
    points: Points,
    blocks: NDArray[np.int64],
    balls: Points,
    firsts: NDArray[np.int64],
    start: Points,
    along: Points,
    axes: Points,
    within: float,
) -> tuple[Points, NDArray[np.int64]]:
    """Per group of points, the least of distance to the axis minus the voxel's half extent along it, and the voxel.

    Groups with none below `within` keep it, and voxel -1; blocks whose ball lies farther than the least are passed by.
    """
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    best = np.full(len(firsts) - 1, within)
    where = np.full(len(firsts) - 1, -1, dtype=np.int64)
    most = 0.5 * np.sqrt((axes**2).sum(axis=0)).sum()  # no voxel extends farther from its centre
    for g in range(len(firsts) - 1):
        for b in range(firsts[g], firsts[g + 1]):
            x, y, z = _off_axis(balls[b], start, along, square)
            if np.sqrt(x * x + y * y + z * z) - balls[b, 3] >= best[g] + most:
                continue
            for n in range(blocks[b], blocks[b + 1]):
                x, y, z = _off_axis(points[n], start, along, square)
                distance = np.sqrt(x * x + y * y + z * z)
                if distance - most >= best[g]:
                    continue
                support = 0.0
                if distance > 0:
                    for a in range(3):
                        support += abs(x * axes[0, a] + y * axes[1, a] + z * axes[2, a])
                    support *= 0.5 / distance
                if distance - support < best[g]:
                    best[g], where[g] = distance - support, n
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
    """Centres (n, 3) LPS mm of the outermost voxels of structures, those of `keys[g]` at `starts[g]:starts[g + 1]`.

    The voxels lie together in blocks: the `b`-th at `blocks[b]:blocks[b + 1]` inside the ball `balls[b]` (centre,
    radius), those of `keys[g]` at `firsts[g]:firsts[g + 1]`.
    """

    keys: tuple[str, ...]
    points: Points
    starts: NDArray[np.int64]
    grid: Grid
    blocks: NDArray[np.int64]
    balls: Points
    firsts: NDArray[np.int64]

    def only(self, keys: Iterable[str]) -> Surfaces:
        """The surfaces of `keys` alone; those not known are left out."""
        wanted = set(keys)
        chosen = [g for g, key in enumerate(self.keys) if key in wanted]
        size, count = np.diff(self.starts)[chosen], np.diff(self.firsts)[chosen]
        starts, firsts = (np.concatenate([[0], np.cumsum(n)]).astype(np.int64) for n in (size, count))
        points = [self.points[self.starts[g] : self.starts[g + 1]] for g in chosen]
        balls = [self.balls[self.firsts[g] : self.firsts[g + 1]] for g in chosen]
        blocks = [
            self.blocks[self.firsts[g] : self.firsts[g + 1]] - self.starts[g] + at
            for g, at in zip(chosen, starts[:-1], strict=True)
        ]
        return Surfaces(
            tuple(self.keys[g] for g in chosen),
            np.concatenate([np.empty((0, 3)), *points]),
            starts,
            self.grid,
            np.concatenate([*blocks, starts[-1:]]).astype(np.int64),
            np.concatenate([np.empty((0, 4)), *balls]),
            firsts,
        )


def surfaces(labels: LabelMap, keys: Iterable[str]) -> Surfaces:
    """The surfaces of the structures called `keys`, each one label of `labels`."""
    number = {key: n for n, key in labels.structures.items()}
    chosen = sorted(key for key in set(keys) if key in number)
    array = np.ascontiguousarray(labels.array, dtype=np.uint16)
    wanted = np.zeros(int(array.max(initial=0)) + 1, dtype=np.bool_)
    wanted[[number[key] for key in chosen if number[key] < len(wanted)]] = True
    index = np.argwhere(_rim(array, wanted))
    group = np.zeros(max([len(wanted) - 1, *(number[key] for key in chosen)]) + 1, dtype=np.int64)
    group[[number[key] for key in chosen]] = np.arange(len(chosen))
    own = group[array[tuple(index.T)]]
    cube = np.column_stack([own, index // BLOCK])
    order = np.lexsort(cube.T[::-1])
    points, cube, own = labels.grid.centres(index[order]), cube[order], own[order]
    changes = np.flatnonzero((np.diff(cube, axis=0) != 0).any(axis=1)) + 1
    blocks = np.unique(np.concatenate([[0], changes, [len(points)]])).astype(np.int64)
    starts = np.searchsorted(own, np.arange(len(chosen) + 1)).astype(np.int64)
    firsts = np.searchsorted(blocks[:-1], starts).astype(np.int64)
    return Surfaces(tuple(chosen), points, starts, labels.grid, blocks, _balls(points, blocks), firsts)


def _balls(points: Points, blocks: NDArray[np.int64]) -> Points:
    """Centre and radius (n, 4) of a ball that holds the points of each block."""
    if len(blocks) < 2:
        return np.empty((0, 4))
    at = blocks[:-1]
    low, high = np.minimum.reduceat(points, at), np.maximum.reduceat(points, at)
    middle = (low + high) / 2
    return np.column_stack([middle, np.linalg.norm(high - low, axis=1) / 2 + 1e-6])


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
    best, where = _narrowest(found.points, found.blocks, found.balls, found.firsts, tube.start, along, axes, limit)
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
