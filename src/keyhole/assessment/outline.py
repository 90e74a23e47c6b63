"""What an error of the drawn outline does to the area within it."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.endplates import CORRELATION
from keyhole.geometry import Points

ROUNDING = 0.28
"""Sd of a voxelised outline, voxels, over a patch of one voxel; from simulation [keyhole-choice]."""

_PLACES = 120  # of the outline that are compared with each other


def area_sd(outline: Points, boundary_sd: float, voxel: float) -> float:
    """Sd of the area within `outline` (n, 2), mm², for a boundary error that stays alike over `CORRELATION` mm.

    Half of its variance moves the outline as a whole, half makes it wider or narrower, so that the errors of two
    walls that face each other are not related. Rounding to voxels adds an error of `ROUNDING` voxels that stays
    alike over one voxel of the outline.

    Parameters
    ----------
    boundary_sd : sd of the boundary, mm.
    voxel : side of a voxel on which it was drawn, mm.
    """
    steps = np.roll(outline, -1, axis=0) - np.roll(outline, 1, axis=0)
    perimeter = float(np.linalg.norm(outline - np.roll(outline, 1, axis=0), axis=1).sum())
    every = slice(None, None, max(1, len(outline) // _PLACES))
    some, along = outline[every], steps[every] / np.maximum(np.linalg.norm(steps[every], axis=1, keepdims=True), 1e-9)
    squared = ((some[:, None] - some[None]) ** 2).sum(axis=-1)
    facing = (1 + along @ along.T) / 2
    alike = float((facing * np.exp(-squared / (2 * CORRELATION**2))).mean())
    rounding = (ROUNDING * voxel) ** 2 * voxel * perimeter
    return float(np.sqrt((boundary_sd * perimeter) ** 2 * alike + rounding))
