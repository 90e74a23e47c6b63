"""What an instrument through a docked tube can touch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.geometry._kernels import compiled, prange
from keyhole.plan.approaches import Approach

Indices = NDArray[np.int32]


@compiled()
def _within(
    dock: Points, out: Points, target: Points, slack: float, lean: float, nearest: float, farthest: float
) -> bool:
    """Whether `target` lies in the cone that opens from the tip, `slack` wide, at the leaning angle (tangent)."""
    x, y, z = target[0] - dock[0], target[1] - dock[1], target[2] - dock[2]
    deep = -(x * out[0] + y * out[1] + z * out[2])
    square = x * x + y * y + z * z
    tie = 1e-3  # docks and targets share a lattice, so lengths can equal a bound: rounding must not decide
    if deep < -tie or square < nearest * nearest - tie or square > farthest * farthest + tie:
        return False
    aside = np.sqrt(max(square - deep * deep, 0.0))
    return bool(aside <= slack + deep * lean + tie)


@compiled(parallel=True)
def _best(
    shafts: NDArray[np.int32],
    docks: Points,
    out: Points,
    slack: Points,
    targets: Points,
    gaps: NDArray[np.float32],
    sight: NDArray[np.bool_],
    limits: Points,
) -> tuple[NDArray[np.float32], Indices]:
    """Share of the targets in reach and in sight, and the one to aim at (-1: none), of each shaft."""
    share = np.zeros(len(shafts), dtype=np.float32)
    aim = np.full(len(shafts), -1, dtype=np.int32)
    for n in prange(len(shafts)):
        i, j, k = shafts[n]
        touched, best = 0, -np.inf
        for t in range(len(targets)):
            if not sight[i, t] or not _within(docks[i], out[j], targets[t], slack[k], limits[0], limits[1], limits[2]):
                continue
            touched += 1
            score = min(gaps[i, t], 2.0)
            if gaps[i, t] >= 0 and score > best + 1e-4:
                best, aim[n] = score, t
        share[n] = touched / max(len(targets), 1)
    return share, aim


def aim(
    approach: Approach,
    shafts: NDArray[np.int32],
    docks: Points,
    out: Points,
    targets: Points,
    seen: tuple[NDArray[np.float32], NDArray[np.bool_]],
) -> tuple[NDArray[np.float32], Indices]:
    """Reach of each shaft, as a share 0 to 1 of `targets`, and the index of the target it aims at.

    A target is touched if it lies within the approach's reach, inside the cone that opens from the tube's tip at the
    instrument's angulation, and in sight: the straight line from the dock to it meets nothing hard. Aimed at is the
    touched target with the widest gap around the instrument, 2 mm being wide enough; -1 where none can be touched
    without the instrument's wall meeting something hard.

    Parameters
    ----------
    shafts : (n, 3) indices of dock, direction, radius.
    docks, targets : points, LPS mm; `out` (m, 3) unit directions outwards, LPS.
    seen : instrument gap (dock, target) mm, and whether the line between them is free.
    """
    slack = np.maximum(np.array(approach.radii) - approach.instrument_radius, 0.0)
    limits = np.array([np.tan(np.deg2rad(approach.angulation)), *approach.reach])
    found: tuple[NDArray[np.float32], Indices] = _best(shafts, docks, out, slack, targets, *seen, limits)
    return found
