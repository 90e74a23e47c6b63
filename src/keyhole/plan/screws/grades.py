"""Which Gertzbein-Robbins grade a planned screw may be expected to get once it is executed."""

from __future__ import annotations

import numpy as np

from keyhole.geometry import Points
from keyhole.plan.doubt import Budget, ExecutionError, execution_error
from keyhole.plan.screws import _axes
from keyhole.plan.screws.bone import Bone
from keyhole.plan.screws.model import GRADES, Screw

LIMITS = (0.0, 2.0, 4.0, 6.0)
"""Breach in mm at which the next grade begins [gertzbein-robbins]."""

NEAR = 9.0
"""Walls farther than this from the planned screw are not looked at, mm."""

DRAWS = 1024
"""Displacements: a share of 5 % is known to 0.3 %."""


def draws(n: int = DRAWS) -> Points:
    """(n, 7) standard normal numbers that fill space evenly, the same every time.

    A sequence of multiples of the powers of the generalised golden ratio: far less noise than random numbers.
    """
    from scipy.special import ndtri  # noqa: PLC0415  (heavy import)

    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / 8.0)
    steps = ratio ** -np.arange(1.0, 8.0)
    return np.asarray(ndtri(np.mod(0.5 + np.arange(1, n + 1)[:, None] * steps, 1.0)))


def grades(bone: Bone, screw: Screw, error: ExecutionError | Budget) -> dict[str, float]:
    """Expected share of each grade of `screw`, 0 to 1: its breach through the wall over `DRAWS` displacements.

    Each moves the screw as a rigid body, as `error` says (a budget is taken about the screw's middle), and the bone's
    boundary by the labels' sd. The voxels near the moved entry are the entry's, as in the plan. A breach in any
    direction counts, the tip's too; the published grades look at the pedicle.
    """
    breach = -displaced(bone, screw, error)
    place = np.searchsorted(np.array(LIMITS[1:]), breach, side="right") + 1
    place[breach <= 0] = 0
    counts = np.bincount(place, minlength=len(GRADES))
    return {grade: float(counts[n]) / len(breach) for n, grade in enumerate(GRADES)}


def displaced(bone: Bone, screw: Screw, error: ExecutionError | Budget, n: int = DRAWS) -> Points:
    """Least gap to the wall after each of `n` displacements (n,), mm, negative where the screw breaches."""
    frame, number, middle = bone.axes(screw.side), draws(n), (screw.entry + screw.tip) / 2
    sd = bone.sd
    if isinstance(error, Budget):
        sd = error.own(bone.sd, float(bone.grid.voxel_volume ** (1 / 3)))
        error = execution_error(error, middle, axes=frame)
    sense = 1.0 if np.linalg.det(frame) > 0 else -1.0  # rotations of a mirrored patient turn the other way
    moved = np.hstack([number[:, :3] @ frame, sense * number[:, 3:6] @ frame]) @ _root(error.moved(middle).matrix)
    arm = screw.length / 2 * screw.way
    start = screw.entry + moved[:, :3] - np.cross(moved[:, 3:], arm)
    ways = screw.way + np.cross(moved[:, 3:], screw.way)
    ways /= np.linalg.norm(ways, axis=1)[:, None]
    past = (bone.local(screw.entry, screw.side)[1] - bone.plane) / max(-float(screw.way @ frame[1]), 0.2)
    neck = screw.entry + float(np.clip(past, 2.0, screw.length - screw.radius)) * screw.way
    grid, (door, door_grid) = bone.grid.patient_from_index, bone.entered
    gaps = _axes.shifted(
        door, np.ascontiguousarray(door_grid.patient_from_index.inverse.matrix[:3]),
        np.ascontiguousarray(bone.rim[screw.shaft.gap(bone.rim) < NEAR]), (screw.entry, screw.tip, neck),
        (np.ascontiguousarray(start - screw.entry), np.ascontiguousarray(ways)), screw.radius,
        np.ascontiguousarray(grid.matrix[:3, :3]),
    )  # fmt: skip
    return np.asarray(gaps + sd * number[:, 6])


def _root(covariance: Points) -> Points:
    """The symmetric square root of a covariance, which turns with it."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    return np.asarray((vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T)
