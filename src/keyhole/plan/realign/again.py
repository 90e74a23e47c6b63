"""The facing endplates of a moved level measured again on the moved label map, over the columns they had before.

A rigid bone keeps its footprint. Found anew, the footprint of an uneven endplate may settle elsewhere (on a raised rim,
say), and the plane then differs by up to 0.6 deg although no surface has moved.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.geometry import Plane, Points, unit
from keyhole.plan.realign.motion import Realigned, facing, plate_axes
from keyhole.plan.realign.seat import Beds
from keyhole.plan.realign.surface import HALF, STEP, Surface, surface

EDGE = 3.0
"""Columns nearer than this to the edge of the endplate's bone have no say in its plane, mm [keyhole-choice]."""

FEWEST = 30
"""Columns that a plane needs, as assessment asks [keyhole-choice]."""


def measured_again(bed: Beds, result: Realigned, relabelled: Anatomy, level: str) -> tuple[Vertebra, Vertebra]:
    """Upper and lower vertebra of `level` on the moved label map, the planes of their facing endplates corrected.

    Each plane is the one that was carried along, moved as the bony surface under the same columns has moved between
    both label maps (least squares). Frames and corners are those found anew, the corners brought onto that plane.

    Parameters
    ----------
    bed : the surfaces of `level` before the motion.
    relabelled : the anatomy found anew on the moved label map.
    """
    upper, lower = relabelled.pair(level)
    if upper.inferior is None or lower.superior is None:
        return upper, lower
    over, under = facing(*result.pair(level))
    ceiling, floor = _plane(bed.upper, relabelled, upper, over, -1), _plane(bed.lower, relabelled, lower, under, 1)
    return (
        upper if ceiling is None else replace(upper, inferior=_onto(upper.inferior, ceiling)),
        lower if floor is None else replace(lower, superior=_onto(lower.superior, floor)),
    )


def _plane(before: Surface, anatomy: Anatomy, vertebra: Vertebra, carried: Endplate, sense: int) -> Plane | None:
    """The plane of `carried` moved as the surface over it has; None where too few columns hold bone in both."""
    now = surface(anatomy, vertebra, carried, sense)
    off = sense * (now.heights - before.heights)
    held = np.isfinite(off) & (before.inside >= EDGE)
    if held.sum() < FEWEST:
        return None
    flat = np.argwhere(held) * STEP - HALF
    level, left, back = np.linalg.lstsq(np.column_stack([np.ones(len(flat)), flat]), off[held], rcond=None)[0]
    axes = plate_axes(carried)
    return Plane(carried.plane.foot(carried.centre) + level * axes[2], unit(axes[2] - left * axes[0] - back * axes[1]))


def _onto(plate: Endplate, plane: Plane) -> Endplate:
    """`plate` with this `plane`, its corners brought onto it."""
    places: list[Points] = [plane.foot(p) for p in (plate.anterior, plate.posterior, plate.left, plate.right)]
    anterior, posterior, left, right = places
    return replace(plate, plane=plane, anterior=anterior, posterior=posterior, left=left, right=right)
