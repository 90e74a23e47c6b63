"""The arches: bone behind the bodies, given to the vertebra from which it is reached soonest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.geometry import Box, Grid, Points
from keyhole.segment.classical._kernels import grown
from keyhole.segment.classical.frame import Axis

REACH = 100.0
"""Distance from the canal's line, mm, up to which bone belongs to the spine, ribs included [keyhole-choice]."""

SLOW = 90
"""Price of a voxel of a joint's gap, against 2 of dense bone [keyhole-choice]."""

FAR = 255 * 17 * 40


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Bone voxels of a crop with their place along the spine: station, left and posterior, mm."""

    index: NDArray[np.int64]  # (n, 3) in the crop
    station: Points
    left: Points
    back: Points


def places(mask: NDArray[np.bool_], grid: Grid, axis: Axis) -> Places:
    """Where each voxel of `mask` lies along `axis`; voxels beyond `REACH` are left out."""
    index = np.argwhere(mask)
    points = grid.centres(index)
    apart, near = cKDTree(axis.line).query(points, distance_upper_bound=REACH, workers=1)
    held = np.isfinite(apart)
    index, points, near = index[held], points[held], near[held]
    away = points - axis.line[near]
    along = (away * axis.down[near]).sum(axis=1)
    left = (away * axis.left[near]).sum(axis=1)
    back = (away * axis.posterior[near]).sum(axis=1)
    return Places(index, near + along, left, back)


def price(hu: NDArray[np.int16], bone: NDArray[np.bool_], threshold: float) -> NDArray[np.uint8]:
    """Price of each voxel: 2 in dense bone, more towards the threshold, `SLOW` in narrow gaps, 0 elsewhere."""
    near = ndimage.binary_dilation(bone, ndimage.generate_binary_structure(3, 1))
    cost = np.clip(2.0 + (threshold + 260.0 - hu.astype(np.float32)) / 12.0, 2.0, 30.0)
    closed = ndimage.binary_erosion(near, ndimage.generate_binary_structure(3, 1), border_value=True)
    out = np.where(bone, cost, 0.0)
    out[closed & ~bone] = SLOW
    return out.astype(np.uint8)


def lamina_rows(found: Places, hu: NDArray[np.int16], discs: list[float], threshold: float, length: int) -> Points:
    """Stations that part the laminae of neighbouring vertebrae in the midline, one for each of `discs`.

    The gap with the least bone in the midline from 6 mm above to 14 mm below each disc.
    """
    middle = (np.abs(found.left) <= 7) & (found.back > 4) & (found.back < 30)
    at = np.clip(np.rint(found.station[middle]), 0, length - 1).astype(np.int64)
    value = np.clip(hu[tuple(found.index[middle].T)].astype(np.float64) - threshold + 60, 0, 400)
    mass = ndimage.gaussian_filter1d(np.bincount(at, value, length)[:length], 1.5, mode="nearest")
    cuts = []
    for disc in discs:
        window = np.arange(max(0, round(disc) - 6), min(length, round(disc) + 15))
        if not len(window):
            cuts.append(disc)
            continue
        bias = 0.01 * float(mass.max() + 1) * np.abs(window - disc - 4)
        cuts.append(float(window[(mass[window] + bias).argmin()]))
    return np.array(cuts)


def grow(label: NDArray[np.uint16], cost: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Grow `label` in place over `cost`; the price of every voxel."""
    distance = np.full(label.shape, np.iinfo(np.int32).max, dtype=np.int32)
    distance[label > 0] = 0
    return np.asarray(grown(label, cost, distance, FAR))


def box_of(grid: Grid, axis: Axis, lateral: float, front: float, back: float) -> Box:
    """The box of `grid` about the line, as wide as asked, mm."""
    corners = [axis.line + x * axis.left + y * axis.posterior for x in (-lateral, lateral) for y in (-front, back)]
    index = grid.index(np.concatenate(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, np.array(grid.shape) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low + 1, grid.shape).astype(int)
    low[2], high[2] = 0, grid.shape[2]
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))
