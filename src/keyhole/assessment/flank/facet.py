"""Angle and area of the facet joints, and how far both sides differ."""

from __future__ import annotations

from math import erf, sqrt

import numpy as np

from keyhole.anatomy.endplates import CORRELATION
from keyhole.assessment.flank.facet_joint import COLUMN, GAP, Joint
from keyhole.assessment.flank.frame import Flank
from keyhole.assessment.model import Measurement, Shape
from keyhole.geometry import Points

ROUNDING = 0.28
"""Sd of a voxelised surface, voxels, over a patch of one voxel; from simulation [keyhole-choice]."""

LEAST_ANGLE = 0.4
"""Sd of a joint's angle, degrees, for a perfect label on 1 mm voxels: where the joint ends [keyhole-choice]."""

LEAST_AREA = 0.025
"""The same for the area, as a share of it [keyhole-choice]."""

BOTH_EDGES = 1.2
"""How much more the outline of where two surfaces face each other varies than that of one; from phantoms with restless
labels [keyhole-choice]."""

ALIKE = 0.85
"""Both sides of one vertebra err partly alike, which a difference does not feel; from phantoms [keyhole-choice]."""

TROPISM = ((6.0, "tropism-six"), (7.0, "tropism-seven"), (8.0, "rai2019"), (10.0, "tropism-ten"))
"""Limits, degrees, above which tropism is called so, with the source of each: all are in use."""


def facet_angle(at: Flank, found: Joint, sd: float) -> Measurement:
    """Angle of the facet joint to the sagittal plane, in the disc's plane, degrees: 0 sagittal, 90 coronal.

    Of the plane fitted to the middle of the joint's gap. The sd takes the boundary errors of both facets, alike over
    `endplates.CORRELATION` mm, and rounding to voxels, over the joint's own length.

    Parameters
    ----------
    sd : of the labels' boundary, mm.

    References
    ----------
    [britspine2010] for the angle's sense and its usual size.
    """
    method = "plane through the middle of the joint's gap, against the sagittal plane, in the disc's plane"
    shapes = (Shape(at.points(found.line)),)
    error = _angle_sd(at, found, sd)
    return Measurement("facet angle", at.level, found.angle, error, "deg", "britspine2010", method, (), at.side, shapes)


def facet_area(at: Flank, found: Joint, sd: float) -> Measurement:
    """Area over which the two facets face each other nearer than `GAP` mm, mm², in the joint's plane.

    The sd takes the boundary error along the joint's outline.

    Parameters
    ----------
    sd : of the labels' boundary, mm.
    """
    radius = sqrt(found.area / np.pi)
    around = 2 * np.pi * radius
    turn = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    alike = float(np.exp(-2 * (radius * np.sin(turn / 2)) ** 2 / CORRELATION**2).mean())
    rounding = (ROUNDING * at.voxel) ** 2 * max(at.voxel, COLUMN) * around
    error = sqrt((BOTH_EDGES * sd * around) ** 2 * alike + rounding + (LEAST_AREA * found.area) ** 2)
    method = f"of the joint's plane where the bony surfaces are less than {GAP:.0f} mm apart along its normal"
    shapes = (Shape(at.points(_outline(found)), is_closed=True),)
    return Measurement("facet joint area", at.level, found.area, error, "mm2", "keyhole", method, (), at.side, shapes)


def facet_tropism(left: Measurement, right: Measurement) -> Measurement:
    """Difference of the facet angles of both sides, degrees, without sign.

    There is no agreed limit: the chance that the true difference exceeds each of those in use is a caveat.
    """
    name, method = "facet tropism", "difference of the facet angles of both sides"
    if left.value is None or right.value is None or left.sd is None or right.sd is None:
        notes = (*left.caveats, *right.caveats)
        return Measurement(name, left.level, None, None, "deg", "keyhole", method, notes)
    value, error = left.value - right.value, ALIKE * float(np.hypot(left.sd, right.sd))
    shapes = (*left.shapes, *right.shapes)
    return Measurement(
        name, left.level, abs(value), error, "deg", "keyhole", method, (_chances(value, error),), None, shapes
    )


def _chances(value: float, error: float) -> str:
    """What is called tropism by each of the limits in use, and how likely this is beyond it."""
    parts = [f"{limit:.0f} deg {exceeded(value, error, limit):.0%} [{source}]" for limit, source in TROPISM]
    return f"limits of 6, 7, 8 and 10 deg are all in use, so no verdict is given; chance to exceed {', '.join(parts)}"


def exceeded(value: float, error: float, limit: float) -> float:
    """Chance that a difference of `value`, with a normal error of sd `error`, is larger than `limit` to either side."""
    if not error > 0:
        return float(abs(value) > limit)

    def below(x: float) -> float:
        return 0.5 * (1 + erf((x - value) / (error * sqrt(2))))

    return 1 - below(limit) + below(-limit)


def _angle_sd(at: Flank, found: Joint, sd: float) -> float:
    """Degrees."""
    lever = (found.middles - found.middles.mean(axis=0)) @ found.along
    some = slice(None, None, max(1, len(lever) // 150))
    thin, few = found.middles[some], lever[some] - lever[some].mean()
    squared = ((thin[:, None] - thin[None]) ** 2).sum(axis=-1)
    weight = few / (few @ few)
    label = (BOTH_EDGES * sd) ** 2 / 2 * float(weight @ np.exp(-squared / (2 * CORRELATION**2)) @ weight)
    rounding = (ROUNDING * at.voxel) ** 2 / 2 * max(1.0, at.voxel / COLUMN) / float(lever @ lever)
    return float(np.hypot(np.degrees(np.sqrt(label + rounding)), LEAST_ANGLE * at.voxel))


def _outline(found: Joint) -> Points:
    """Corners (n, 3) around the joint's middles: the farthest in each of 36 directions."""
    middle = found.middles.mean(axis=0)
    flat = (found.middles - middle) @ np.stack([found.along, found.up], axis=1)
    sector = np.floor(np.degrees(np.arctan2(flat[:, 1], flat[:, 0])) / 10.0).astype(np.int64)
    far = [np.flatnonzero(sector == n) for n in range(-18, 18)]
    kept = [held[np.linalg.norm(flat[held], axis=1).argmax()] for held in far if len(held)]
    return np.asarray(found.middles[kept])
