"""Height, width and area of a foramen where it is narrowest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.endplates import CORRELATION
from keyhole.assessment.flank.foramen_section import AVERAGED, BROAD, PLANES, STEP, Foramen, Profile
from keyhole.assessment.flank.frame import Flank
from keyhole.assessment.model import Measurement, Shape, unknown
from keyhole.geometry import Points

ROUNDING = 0.28
"""Sd of a voxelised outline, voxels, over a patch of one voxel; from simulation [keyhole-choice]."""

PLACE_SD = 0.2
"""Sd of height and width, mm, for where the narrowest plane lies and how it leans [keyhole-choice]."""

AREA_PLACE = 0.022
"""The same for the area, as a share of it [keyhole-choice]."""

LEAST_OF = 1.35
"""How much more the least of several widths varies with the boundary than one width; from phantoms with restless
labels [keyhole-choice]."""

STEEPEST = 3.0
"""A notch that narrows to a slit makes its end no more uncertain than this times its walls [keyhole-choice]."""

_PLANES = AVERAGED / PLANES + 1  # independent planes in a mean

HIGHEST = 1.1
"""How much less sure the highest row of an outline is than any one: from phantoms as readers draw them,
benchmarks/accuracy.py [keyhole-choice]."""

WHERE = "in the narrowest of the sagittal planes that cut both pedicles"


def foramen_height(at: Flank, found: Foramen, sd: float) -> Measurement:
    """Height of the foramen from pedicle to pedicle, mm, where it is narrowest.

    Along up, between the highest and the lowest row that is `BROAD` mm wide. The sd takes the error of the four walls
    that meet at the two ends, larger where they meet at a small angle.

    Parameters
    ----------
    sd : of the labels' boundary, mm.
    """
    name = "foramen height"
    if any(p.ends is None for p in found.profiles):
        why = f"{at.level}: the {at.side} foramen is nowhere {BROAD:.0f} mm wide; its height is not measured"
        return unknown(name, at.level, "mm", why, at.side)
    where = _narrowest(found)
    ends = [p.ends or (0.0, 0.0) for p in found.profiles]
    value = found.mean([high - low for low, high in ends], where)
    p = found.nearest(where)
    wall = np.hypot(sd, ROUNDING * at.voxel / np.sqrt(_PLANES))
    error = HIGHEST * float(np.linalg.norm([wall * _lean(p, -1), wall * _lean(p, 1), PLACE_SD]))
    low, high = p.ends or (0.0, 0.0)
    y = float(np.interp((low + high) / 2, p.rows, (p.front + p.behind) / 2))
    line = Shape(at.points(np.array([[p.lateral, y, low], [p.lateral, y, high]])))
    method = f"from pedicle to pedicle along the disc's axis, {WHERE}, where it is {BROAD:.0f} mm wide or more"
    return Measurement(name, at.level, value, error, "mm", "keyhole", method, (), at.side, (line,))


def foramen_width(at: Flank, found: Foramen, sd: float) -> Measurement:
    """Width of the foramen from disc or body to the superior facet, mm.

    The least room along back in the upper half of the disc's height, averaged over 2 mm of height and of breadth,
    between the pedicles.

    Parameters
    ----------
    sd : of the labels' boundary, mm.
    """
    name = "foramen width"
    widths = [p.width for p in found.profiles]
    known = Foramen(tuple(p for p, width in zip(found.profiles, widths, strict=True) if width is not None))
    if not known.profiles:
        why = f"{at.level}: the disc does not lie between the {at.side} pedicles; not measured"
        return unknown(name, at.level, "mm", why, at.side)
    value, where = known.least([width[0] for width in widths if width is not None])
    error = float(np.sqrt(2 * (LEAST_OF * sd) ** 2 + 2 * (ROUNDING * at.voxel) ** 2 / _PLANES + PLACE_SD**2))
    p = known.nearest(where)
    row = p.width[1] if p.width is not None else 0
    line = np.array([[p.lateral, end, p.rows[row]] for end in (p.front[row], p.behind[row])])
    method = "least distance from disc or body back to the superior facet in the disc's upper half, between pedicles"
    shapes = (Shape(at.points(line)),)
    return Measurement(name, at.level, value, error, "mm", "keyhole", method, (), at.side, shapes)


def foramen_area(at: Flank, found: Foramen, sd: float) -> Measurement:
    """Area of the bony foramen, mm²: between pedicles, behind body and disc, before superior facet and pars.

    The least over all planes that cut both pedicles. Ligaments, vessels and root count as free. The shape is its bony
    outline. The sd takes a boundary error alike over `endplates.CORRELATION` mm of outline.

    Parameters
    ----------
    sd : of the labels' boundary, mm.
    """
    value, where = found.least([p.area for p in found.profiles])
    outline = found.nearest(where).outline
    error = float(np.hypot(_area_sd(outline[:, 1:], sd, at.voxel), AREA_PLACE * value))
    shapes = (Shape(at.points(outline), is_closed=True),) if len(outline) else ()
    method = f"between the pedicles, from body and disc back to facet and pars, {WHERE}; ligaments count as free"
    return Measurement("foramen area", at.level, value, error, "mm2", "keyhole", method, (), at.side, shapes)


def _narrowest(found: Foramen) -> float:
    """Where the foramen has its least area, mm lateral."""
    return found.least([p.area for p in found.profiles])[1]


def _area_sd(outline: Points, sd: float, voxel: float) -> float:
    """Sd of the area within `outline` (n, 2), mm²."""
    if len(outline) < 3:
        return float(sd * STEP)
    sides = np.linalg.norm(outline - np.roll(outline, 1, axis=0), axis=1)
    around = float(sides.sum())
    alike = _alike(outline, sides)
    rounding = (ROUNDING * voxel) ** 2 * voxel * around / max(1.0, AVERAGED / voxel)
    return float(np.sqrt((sd * around) ** 2 * alike + rounding))


def _alike(outline: Points, sides: Points) -> float:
    """Mean correlation of the boundary error between two places of the outline."""
    weight = sides / sides.sum()
    squared: NDArray[np.float64] = ((outline[:, None] - outline[None]) ** 2).sum(axis=-1)
    return float(weight @ np.exp(-squared / (2 * CORRELATION**2)) @ weight)


def _lean(found: Profile, way: int) -> float:
    """How far the upper (`way` +1) or lower end moves per mm that both walls there move."""
    gap, rows = found.gap[::-way], found.rows[::-way]
    levels = [float(rows[np.flatnonzero(gap >= broad)[0]]) for broad in (BROAD / 2, BROAD)]
    return float(np.clip(np.hypot(1.0, 2 * abs(levels[1] - levels[0]) / BROAD), 1.0, STEEPEST))
