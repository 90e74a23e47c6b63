"""Intervertebral foramina: the space between two pedicles, behind body and disc, before the superior facet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.arches import Pedicle
from keyhole.anatomy.spine import Bone
from keyhole.geometry import Box, Grid, Points
from keyhole.terms import SIDES

BEHIND = 4.0
"""How far behind the pedicles' back border, mm, a foramen may reach where no facet closes it [keyhole-choice]."""

_STEP = 1.0  # mm between samples on the way forward to the wall


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """One pedicle in patient space: enough to say whether a point is above, below, behind or lateral of it."""

    bone: Bone
    pedicle: Pedicle
    midline: float

    def local(self, points: Points, side: str) -> Points:
        """`points` (n, 3) LPS mm as lateral, posterior, up, mm."""
        local = self.bone.local(points)
        local[:, 0] = (local[:, 0] - self.midline) * (1.0 if side == "left" else -1.0)
        return local


def window(bone: Bone, pedicle: Pedicle) -> Window:
    """The `pedicle` of `bone` with the bone's midline through its foramen."""
    middle = bone.foramen if bone.foramen is not None else bone.centre
    return Window(bone, pedicle, float(bone.local(middle[None])[0, 0]))


def foramen(
    upper: Window, lower: Window, side: str, grid: Grid, bone: NDArray[np.bool_], free: NDArray[np.bool_]
) -> tuple[Box, NDArray[np.bool_]]:
    """Box in `grid` and mask of one foramen.

    Parameters
    ----------
    bone : mask on `grid` of everything bony.
    free : mask on `grid` of what may become foramen: neither bone, disc, canal nor anything else with a name.
    """
    side = SIDES[SIDES.index(side)]
    box = _box(upper, lower, side, grid)
    index = np.argwhere(free[box]) + [s.start for s in box]
    points = grid.centres(index)
    over, under = upper.local(points, side), lower.local(points, side)
    drop, rise = upper.pedicle.lower - over[:, 2], under[:, 2] - lower.pedicle.upper
    share = np.clip(drop / np.maximum(drop + rise, 1e-3), 0, 1)  # 0 at the upper pedicle, 1 at the lower one

    def between(a: Points, b: Points) -> Points:
        return np.asarray((1 - share) * a + share * b)

    lateral = between(over[:, 0] - upper.pedicle.outer, under[:, 0] - lower.pedicle.outer)
    front = between(over[:, 1] - upper.pedicle.front, under[:, 1] - lower.pedicle.front)
    back = between(over[:, 1] - upper.pedicle.back, under[:, 1] - lower.pedicle.back)
    inside = (drop > 0) & (rise > 0) & (lateral <= 0) & (front >= -1) & (back <= BEHIND) & (over[:, 0] > 3)
    kept = np.flatnonzero(inside)
    forward = -(upper.bone.posterior + lower.bone.posterior) / 2
    kept = kept[~_behind_bone(points[kept], forward, front[kept], grid, bone)]
    out = np.zeros([s.stop - s.start for s in box], dtype=np.bool_)
    out[tuple((index[kept] - [s.start for s in box]).T)] = True
    return box, out


def _box(upper: Window, lower: Window, side: str, grid: Grid) -> Box:
    """A box that holds both pedicles on `side` and what lies between them."""
    sign = 1.0 if side == "left" else -1.0
    corners = []
    for at in (upper, lower):
        p = at.pedicle
        local = np.array(
            [
                [at.midline + sign * a, b, c]
                for a in (0.0, p.outer + 3)
                for b in (p.front - 3, p.back + 6)
                for c in (p.lower, p.upper)
            ]
        )
        corners.append(at.bone.centre + local @ at.bone.axes)
    index = grid.index(np.concatenate(corners))
    first = np.clip(np.floor(index.min(axis=0)), 0, grid.shape).astype(int)
    last = np.clip(np.ceil(index.max(axis=0)) + 1, 0, grid.shape).astype(int)
    return slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])


def _behind_bone(
    points: Points, forward: Points, depth: Points, grid: Grid, bone: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which of `points` have bone between them and the wall `depth` mm in front of them."""
    blocked = np.zeros(len(points), dtype=np.bool_)
    limit = np.array(grid.shape) - 1
    for step in np.arange(_STEP, max(float(depth.max(initial=0.0)) - 1.0, _STEP), _STEP):
        index = np.clip(np.round(grid.index(points + step * forward)), 0, limit).astype(np.int64)
        blocked |= bone[tuple(index.T)] & (step < depth - 1.0)
    return blocked
