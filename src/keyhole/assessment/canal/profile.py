"""The canal followed from the pedicles of one vertebra to those of the next: its narrowest section."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from keyhole.anatomy.model import Vertebra
from keyhole.assessment.canal.section import CanalPlane, Course, Lumen, Section, section
from keyhole.assessment.canal.size import END_ROUNDING, Doubt, Target
from keyhole.assessment.model import Measurement, Shape
from keyhole.geometry import Points

STEP = 1.0
"""Distance between sections, mm [keyhole-choice]."""

THICK = 1.5
"""Sd, mm, of the Gaussian over which sections are averaged along the canal: about a slice of 4 mm [keyhole-choice]."""

COARSE = 0.5
"""Side of a pixel of these sections, mm [keyhole-choice]."""

MIDDLE = 1.0
"""Half width, mm, of the strip about the midsagittal plane over which the diameter is averaged [keyhole-choice]."""

AVERAGED = 0.75
"""How the error of an outline comes through in the area of sections averaged along the canal: from phantoms as readers
draw them, benchmarks/accuracy.py [keyhole-choice]."""

TILT_SD, PLACE_SD = 2.0, 1.0
"""Sd, deg, of the planes' tilt and, mm, of where the pedicles lie along the canal [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Area (n,), mm², and midsagittal diameter (n,), mm, of every section from one pair of pedicles to the next.

    `where` (n,) is the arc length on the canal's line, `sections` and `planes` are what was cut; the values are
    averaged along the canal. The first and the last are at the pedicles.
    """

    where: Points
    planes: tuple[CanalPlane, ...]
    sections: tuple[Section, ...]
    area: Points
    diameter: Points


def profile(of: Lumen, way: Course, span: tuple[float, float], pair: tuple[Vertebra, Vertebra]) -> Profile | None:
    """The canal between two places of its line, every millimetre; None where it is not in view all the way.

    Parameters
    ----------
    span : arc length at the upper and at the lower pedicles.
    pair : the two vertebrae, whose mean midsagittal plane the diameter lies in.
    """
    n = max(2, round((span[1] - span[0]) / STEP) + 1)
    where = np.linspace(*span, n)
    if not (way.holds(span[0]) and way.holds(span[1]) and span[1] > span[0]):
        return None
    planes = tuple(way.plane(float(s), pair) for s in where)
    cuts = [section(of, at, pixel=COARSE) for at in planes]
    held = tuple(one for one in cuts if one is not None and one.is_whole)
    if len(held) < n:
        return None
    smooth = THICK / (where[1] - where[0])
    area, diameter = (
        ndimage.gaussian_filter1d(np.array(values), smooth, mode="nearest")
        for values in ([one.area for one in held], [_chord(one) for one in held])
    )
    return Profile(where, planes, held, area, diameter)


def _chord(cut: Section) -> float:
    """Midsagittal diameter of one section, mm, mean within `MIDDLE` mm of the midline; 0 where the midline is shut."""
    ends = cut.ends
    near = ends[np.abs(ends[:, 0]) <= MIDDLE + 1e-9] if len(ends) else ends
    return float((near[:, 2] - near[:, 1]).mean()) if len(near) else 0.0


def least_area(target: Target, found: Profile, doubt: Doubt, disc: float) -> Measurement:
    """The least area between the pedicles of two vertebrae, mm², over sections averaged along the canal.

    Parameters
    ----------
    disc : arc length where the canal's line meets the disc's mid-plane.
    """
    n = int(found.area.argmin())
    cut, at = found.sections[n], found.planes[n]
    sd = float(np.hypot(AVERAGED * cut.area_sd(doubt.boundary_sd, doubt.voxel), _shift(found, found.area, n)))
    shapes = (Shape(at.points(cut.outline), is_closed=True),)
    method = f"least area of {target.which} between the pedicles, across the canal's line; {_place(found, n, disc)}"
    return Measurement(
        f"least {target.structure} area",
        target.level,
        float(found.area[n]),
        sd,
        "mm2",
        "keyhole",
        method,
        shapes=shapes,
    )


def least_diameter(target: Target, found: Profile, doubt: Doubt, disc: float) -> Measurement:
    """The least midsagittal diameter between the pedicles, mm, over sections averaged along the canal."""
    n = int(found.diameter.argmin())
    cut, at = found.sections[n], found.planes[n]
    ends = 2 * (doubt.boundary_sd**2 + (END_ROUNDING * doubt.voxel) ** 2) + _shift(found, found.diameter, n) ** 2
    name, how = f"least {target.structure} AP diameter", f"least midsagittal chord of {target.which}"
    method = f"{how} between the pedicles, across the canal's line; {_place(found, n, disc)}"
    rim = cut.ends[np.abs(cut.ends[:, 0]) <= MIDDLE + 1e-9] if len(cut.ends) else np.zeros((1, 3))
    line = at.points(np.column_stack([np.zeros(2), rim[:, 1:].mean(axis=0)]))
    value, sd = float(found.diameter[n]), float(np.sqrt(ends))
    return Measurement(name, target.level, value, sd, "mm", "keyhole", method, shapes=(Shape(line),))


def compression_ratio(target: Target, found: Profile, least: Measurement, doubt: Doubt) -> Measurement:
    """Compression, %: 1 - m / ((a + b) / 2) of the least area m and the areas a, b at the pedicles above and below.

    The form is that of the spinal cord toolbox's compression ratio. 0 where nothing is narrower than the pedicles.

    References
    ----------
    [sct-compression] sct_compute_compression, normalisation by the levels above and below.
    """
    name = f"{target.structure} compression ratio"
    a, b = float(found.area[0]), float(found.area[-1])
    if least.value is None or least.sd is None or not a + b > 0:
        return target.missing("compression ratio", "%", least.caveats[0] if least.caveats else "no area")
    mean = (a + b) / 2
    ends = [
        np.hypot(AVERAGED * found.sections[n].area_sd(doubt.boundary_sd, doubt.voxel), _shift(found, found.area, n))
        for n in (0, len(found.sections) - 1)
    ]
    spread = np.hypot(least.sd, least.value / mean * np.hypot(ends[0], ends[1]) / 2) / mean
    method = f"1 - least area / mean area at the pedicles above and below, of {target.which}"
    value = 100 * (1 - least.value / mean)
    return Measurement(name, target.level, value, float(100 * spread), "%", "sct-compression", method)


def _shift(found: Profile, values: Points, n: int) -> float:
    """Sd of one of `values` that the place of its section brings: its change over `PLACE_SD` mm and under the tilt.

    A tilt of `TILT_SD` moves the section's front and back against each other by its depth times that angle.
    """
    step = float(found.where[1] - found.where[0])
    slope = float(np.gradient(values, step)[n]) if 0 < n < len(values) - 1 else _end_slope(values, step, n)
    lean = float(np.radians(TILT_SD)) * float(found.diameter[n]) / 2
    return abs(slope) * float(np.hypot(PLACE_SD, lean))


def _end_slope(values: Points, step: float, n: int) -> float:
    """Change per mm at the first or the last of `values`, over 3 mm."""
    m = min(len(values) - 1, max(1, round(3.0 / step)))
    return float(values[n] - values[m if n == 0 else n - m]) / (m * step)


def _place(found: Profile, n: int, disc: float) -> str:
    """Where the section lies along the canal."""
    off = disc - float(found.where[n])
    if abs(off) < STEP / 2:
        return "it lies at the disc's mid-plane"
    return f"it lies {abs(off):.0f} mm {'above' if off > 0 else 'below'} the disc's mid-plane"
