"""A look at an image without reading all of it: small blocks spread evenly, coarse grids, faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Volume

PLACES = 44
"""Blocks along each axis at most [keyhole-choice]."""

BLOCK = 4.0
"""Side of a block, mm, as far as two to four voxels allow [keyhole-choice]."""

COARSE = 4.0
"""Voxel side of the coarse grid, mm [keyhole-choice]."""

PADDING = -1500
"""HU at or below which a voxel was not measured: scanners pad outside their round field of view [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Mean and unbiased variance of small blocks spread over an image, `count` voxels each.

    Blocks with voxels of no value, and those of one value throughout, as padding is, are left out.
    """

    mean: Points
    variance: Points
    count: int


def blocks_of(volume: Volume) -> Blocks:
    """Blocks of about `BLOCK` mm at up to `PLACES` places along each axis."""
    array = volume.array
    wanted = [int(np.clip(round(BLOCK / s), 2, 4)) for s in volume.grid.spacing]
    sides = [min(side, n) for side, n in zip(wanted, array.shape, strict=True)]
    index = []
    for side, n in zip(sides, array.shape, strict=True):
        starts = np.unique(np.linspace(0, n - side, min(PLACES, max(1, n // side))).astype(np.int64))
        index.append((starts[:, None] + np.arange(side)).ravel())
    picked = _picked(array, index).astype(np.float32)
    shape = [m for axis, side in enumerate(sides) for m in (len(index[axis]) // side, side)]
    held = picked.reshape(shape)
    mean = held.mean(axis=(1, 3, 5), dtype=np.float64)
    count = int(np.prod(sides))
    off = held - mean[:, None, :, None, :, None].astype(np.float32)
    variance = (off**2).sum(axis=(1, 3, 5), dtype=np.float64) / max(count - 1, 1)
    good = np.isfinite(mean) & np.isfinite(variance) & (variance > 0)
    return Blocks(mean[good], variance[good], count)


def _picked(array: NDArray[Any], index: list[NDArray[np.int64]]) -> NDArray[Any]:
    """`array` at the outer product of `index`; slab by slab, so that whole pages are read in order."""
    return np.stack([array[i][np.ix_(index[1], index[2])] for i in index[0]])


def steps_of(volume: Volume, size: float = COARSE) -> tuple[int, int, int]:
    """Stride along each axis that comes closest to `size` mm."""
    i, j, k = (max(1, round(size / float(s))) for s in volume.grid.spacing)
    return i, j, k


def thinned(volume: Volume, size: float = COARSE) -> NDArray[Any]:
    """Every voxel on a grid of about `size` mm, a view."""
    i, j, k = steps_of(volume, size)
    return volume.array[::i, ::j, ::k]


def long_axis(volume: Volume) -> int:
    """The array's axis that runs closest to head-foot."""
    columns = volume.patient_from_index.matrix[:3, :3] / volume.grid.spacing
    return int(np.argmax(np.abs(columns[2])))


def side_of(volume: Volume, axis: int, end: int) -> str:
    """Where the array's face at `end` (0 or -1) of `axis` looks to in the patient."""
    column = volume.patient_from_index.matrix[:3, axis] * (1 if end else -1)
    most = int(np.argmax(np.abs(column)))
    names = (("right", "left"), ("front", "back"), ("feet", "head"))
    return names[most][int(column[most] > 0)]
