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
def _corners(
    labels: NDArray[np.uint16], group: NDArray[np.int32], fine: Steps, inner: Steps, out: NDArray[np.int32], fill: bool
) -> int:
    """Lattice points on the surface of each wanted label (and a coarse lattice inside): rows (group, i, j, k).

    The lattice has `fine` steps per voxel; a point is on a label's surface if some but not all of the voxels around
    it have that label. Returns how many there are; writes them where `fill`.
    """
    ni, nj, nk = labels.shape
    around = np.empty(8, dtype=np.uint16)
    n = 0
    for i in range(ni * fine[0] + 1):
        for j in range(nj * fine[1] + 1):
            for k in range(nk * fine[2] + 1):
                same = True
                for c in range(8):
                    x = (i - (c & 1) + fine[0]) // fine[0] - 1
                    y = (j - ((c >> 1) & 1) + fine[1]) // fine[1] - 1
                    z = (k - ((c >> 2) & 1) + fine[2]) // fine[2] - 1
                    inside = 0 <= x < ni and 0 <= y < nj and 0 <= z < nk
                    around[c] = labels[x, y, z] if inside else 0
                    same = same and around[c] == around[0]
                if same and (group[around[0]] < 0 or i % inner[0] or j % inner[1] or k % inner[2]):
                    continue
                for c in range(8):
                    g = group[around[c]]
                    seen = False
                    for d in range(c):
                        seen = seen or around[d] == around[c]
                    if g < 0 or seen:
                        continue
                    if fill:
                        out[n, 0], out[n, 1], out[n, 2], out[n, 3] = g, i, j, k
                    n += 1
    return n


def cloud(labels: LabelMap, keys: Iterable[str]) -> Cloud:
    """The corners of the outermost voxels of the structures `keys`, and a coarser lattice inside them."""
    number = {key: n for n, key in labels.structures.items()}
    chosen = tuple(sorted(key for key in set(keys) if key in number))
    array = np.ascontiguousarray(labels.array, dtype=np.uint16)
    group = np.full(max(int(array.max(initial=0)), max(number.values(), default=0)) + 1, -1, dtype=np.int32)
    group[[number[key] for key in chosen]] = np.arange(len(chosen))
    wanted = np.argwhere(group[array] >= 0)
    if not len(wanted):
        return Cloud(chosen, np.empty((0, 3)), np.zeros(len(chosen) + 1, dtype=np.int64))
    low, high = wanted.min(axis=0), wanted.max(axis=0) + 1
    part = np.ascontiguousarray(array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))])
    spacing = labels.grid.spacing
    fine = np.ceil(spacing / DENSE - 1e-9).astype(np.int64)
    inner = np.maximum(1, np.round(INNER * fine / spacing)).astype(np.int64)
    found = np.empty((_corners(part, group, fine, inner, np.empty((0, 4), dtype=np.int32), False), 4), dtype=np.int32)
    _corners(part, group, fine, inner, found, True)
    found = found[np.argsort(found[:, 0], kind="stable")]
    starts = np.searchsorted(found[:, 0], np.arange(len(chosen) + 1)).astype(np.int64)
    points = labels.grid.centres(found[:, 1:] / fine - 0.5 + low)
    return Cloud(chosen, points, starts)
