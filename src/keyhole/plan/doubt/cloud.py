"""The walls of structures as points dense enough that a tube cannot pass between them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import LabelMap, Points
from keyhole.geometry._kernels import compiled

DENSE = 1.2
"""Points lie at most this far apart along each voxel axis, mm: a tube of 3 mm dips 0.06 mm between them."""

INNER = 3.0
"""Points inside a structure lie about this far apart, mm: no tube of 1.7 mm or more hides between them."""

Steps = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Cloud:
    """Points (n, 3) LPS mm on and in structures, those of `keys[g]` at `starts[g]:starts[g + 1]`."""

    keys: tuple[str, ...]
    points: Points
    starts: Steps

    def of(self, key: str) -> Points:
        """The points of structure `key`; none where it is not known."""
        if key not in self.keys:
            return np.empty((0, 3))
        g = self.keys.index(key)
        return self.points[self.starts[g] : self.starts[g + 1]]


@compiled()
def _corners(groups: NDArray[np.int16], inner: Steps, out: NDArray[np.int32], fill: bool) -> int:
    """Corners of cells on the surface of each group (and a coarse lattice inside): rows (group, i, j, k).

    `groups` has a rim of -1, which is no group, around all sides. A corner is on the surface of a group if some but not
    all of the eight cells around it belong to it. Returns how many there are; writes them where `fill`.
    """
    ni, nj, nk = groups.shape
    around = np.empty(8, dtype=np.int16)
    n = 0
    for i in range(ni - 1):
        for j in range(nj - 1):
            for k in range(nk - 1):
                first = groups[i, j, k]
                most, same = first, True
                for c in range(1, 8):
                    g = groups[i + (c & 1), j + ((c >> 1) & 1), k + (c >> 2)]
                    most = max(most, g)
                    same = same and g == first
                if most < 0 or (same and (i % inner[0] or j % inner[1] or k % inner[2])):
                    continue
                for c in range(8):
                    around[c] = groups[i + (c & 1), j + ((c >> 1) & 1), k + (c >> 2)]
                    seen = around[c] < 0
                    for d in range(c):
                        seen = seen or around[d] == around[c]
                    if seen:
                        continue
                    if fill:
                        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = around[c], i, j, k
                    n += 1
    return n


def cloud(labels: LabelMap, keys: Iterable[str]) -> Cloud:
    """The corners of the outermost voxels of the structures `keys`, and a coarser lattice inside them."""
    number = {key: n for n, key in labels.structures.items()}
    chosen = tuple(sorted(key for key in set(keys) if key in number))
    array = labels.array
    group = np.full(max(int(array.max(initial=0)), max(number.values(), default=0)) + 1, -1, dtype=np.int16)
    group[[number[key] for key in chosen]] = np.arange(len(chosen))
    groups = group[array]
    low, high = _held(groups >= 0)
    if not (high > low).all():
        return Cloud(chosen, np.empty((0, 3)), np.zeros(len(chosen) + 1, dtype=np.int64))
    groups = groups[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    spacing = labels.grid.spacing
    fine = np.ceil(spacing / DENSE - 1e-9).astype(np.int64)
    for axis in np.flatnonzero(fine > 1):
        groups = np.repeat(groups, fine[axis], axis=axis)
    groups = np.pad(groups, 1, constant_values=-1)
    inner = np.maximum(1, np.round(INNER * fine / spacing)).astype(np.int64)
    found = np.empty((_corners(groups, inner, np.empty((0, 4), dtype=np.int32), False), 4), dtype=np.int32)
    _corners(groups, inner, found, True)
    found = found[np.argsort(found[:, 0], kind="stable")]
    starts = np.searchsorted(found[:, 0], np.arange(len(chosen) + 1)).astype(np.int64)
    return Cloud(chosen, labels.grid.centres(found[:, 1:] / fine - 0.5 + low), starts)


def _held(mask: NDArray[np.bool_]) -> tuple[Steps, Steps]:
    """First and last index + 1 of what `mask` holds along each axis; equal where it holds nothing."""
    low, high = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for axis in range(3):
        seen = np.flatnonzero(mask.any(axis=tuple(a for a in range(3) if a != axis)))
        if len(seen):
            low[axis], high[axis] = seen[0], seen[-1] + 1
    return low, high


def away_from(found: Cloud, key: str, others: Points, reach: float) -> Cloud:
    """The same cloud without the points of `key` that lie within `reach` mm of any of `others` (n, 3)."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    if not (len(found.of(key)) and len(others)):
        return found
    g = found.keys.index(key)
    begin, end = int(found.starts[g]), int(found.starts[g + 1])
    near = np.isfinite(cKDTree(others).query(found.points[begin:end], distance_upper_bound=reach)[0])
    kept = np.concatenate([np.ones(begin, np.bool_), ~near, np.ones(len(found.points) - end, np.bool_)])
    starts = found.starts.copy()
    starts[g + 1 :] -= int(near.sum())
    return Cloud(found.keys, found.points[kept], starts)
