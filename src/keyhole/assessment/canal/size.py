"""Size of the canal and of the dural sac on planes across the canal's line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.assessment.canal.section import (
    BAND,
    PIXEL,
    STRETCH,
    CanalPlane,
    Lumen,
    Section,
    lumen,
    section,
    tilted,
)
from keyhole.assessment.model import Measurement, Shape, unknown
from keyhole.geometry import LabelMap, Points

FREE = ("canal/dural_sac", "canal/epidural")
"""The free canal: not flavum, not herniation."""

SAC = ("canal/dural_sac",)

PLACE_SD = 0.5
"""Sd, mm, of where along the canal the plane lies, besides that of the endplates [keyhole-choice]."""

TILT_SD = 2.0
"""Sd, deg, of the plane's sagittal tilt: how far equally good middle lines of the canal differ [keyhole-choice]."""

END_ROUNDING = 0.15
"""Sd of each end of a diameter, voxels; from simulation [keyhole-choice]."""


OUTLINE = 0.85
"""How the error of an outline comes through in an area: from phantoms as readers draw them, benchmarks/accuracy.py
[keyhole-choice]."""

WIDEST_ROUNDING = 0.22
"""Sd of each end of the greatest of many widths, voxels; from phantoms, benchmarks/accuracy.py [keyhole-choice]."""

WIDEST_BOUNDARY = 0.9
"""How the boundary's error comes through in the greatest width, mean over a band: as `OUTLINE` [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What makes a section uncertain: `boundary_sd` of its outline, `voxel` side, `place_sd` along the canal; mm."""

    boundary_sd: float
    voxel: float
    place_sd: float


@dataclass(frozen=True, slots=True)
class Target:
    """What is measured: `structure` "canal" or "dural sac" in the name, `which` in words, and `place` in both.

    `suffix` is what the measure's name ends with; `level` is "L4/L5", or "L4" at the pedicles.
    """

    structure: str
    level: str
    suffix: str
    which: str
    place: str

    def name(self, quantity: str) -> str:
        """The name of a measure of this target."""
        return f"{self.structure} {quantity}{self.suffix}"

    def method(self, how: str) -> str:
        """How it was measured, and on what."""
        return f"{how} of {self.which}, on the plane across the canal's line {self.place}"

    def missing(self, quantity: str, unit: str, why: str) -> Measurement:
        """The measure that could not be taken."""
        return unknown(self.name(quantity), self.level, unit, why)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The sections at one plane: `along` by mm cranially, `leant` forward and back by `TILT_SD`; None where empty."""

    at: CanalPlane
    along: tuple[tuple[float, Section], ...]
    leant: tuple[Section | None, Section | None]

    @property
    def cut(self) -> Section:
        """The section on the plane itself."""
        return next(one for shift, one in self.along if shift == 0.0)

    @property
    def is_whole(self) -> bool:
        """Whether no section comes to the edge of the scan."""
        return all(one.is_whole for _, one in self.along)


def look(of: Lumen, at: CanalPlane) -> Look | None:
    """The sections at the plane `at` and within `STRETCH` mm of it; None where the canal is not there."""
    shifts = (float(shift) for shift in np.arange(-STRETCH, STRETCH + 0.1, STRETCH / 2))
    found = tuple((shift, one) for shift in shifts if (one := section(of, at, shift)) is not None)
    if not any(shift == 0.0 for shift, _ in found):
        return None
    return Look(at, found, (section(of, tilted(at, TILT_SD)), section(of, tilted(at, -TILT_SD))))


def canal_area(level: str, labels: LabelMap, at: CanalPlane, doubt: Doubt) -> Measurement:
    """Area of the free canal on the canal plane at a disc, mm²."""
    target = Target("canal", level, "", "the free canal", "at the disc's mid-plane")
    of = lumen(labels, at.plane.point[None], FREE)
    return area(target, look(of, at) if of is not None else None, doubt)


def area(target: Target, seen: Look | None, doubt: Doubt) -> Measurement:
    """Area of all parts of the structure on the canal plane, mm².

    Shares of pixels are summed, so that voxels do not round it. The sd holds the outline's error, the place of the
    plane along the canal and its tilt.
    """
    if seen is None or not seen.is_whole:
        return target.missing("area", "mm2", _why(target, seen))
    along = {shift: one.area for shift, one in seen.along}
    slope = (along[STRETCH] - along[-STRETCH]) / (2 * STRETCH) if {STRETCH, -STRETCH} <= set(along) else 0.0
    leant = [one.area for one in seen.leant if one is not None]
    tilt = (leant[0] - leant[1]) / 2 if len(leant) == 2 else 0.0
    outline = OUTLINE * seen.cut.area_sd(doubt.boundary_sd, doubt.voxel)
    sd = float(np.sqrt(outline**2 + (slope * doubt.place_sd) ** 2 + tilt**2))
    shapes = (Shape(seen.at.points(seen.cut.outline), is_closed=True),)
    method = target.method("area")
    return Measurement(target.name("area"), target.level, along[0.0], sd, "mm2", "keyhole", method, shapes=shapes)


def ap_diameter(target: Target, seen: Look | None, doubt: Doubt) -> Measurement:
    """Anteroposterior diameter in the midsagittal plane, on the canal plane, mm.

    Both ends are the middle of a surface fitted to the rim, quadratic to the sides and linear along the canal, over
    3 and 1 mm to both sides: rounding to voxels averages out. A broken chord counts with its longest part.
    """
    rim = np.empty((0, 4))
    if seen is not None:
        rows = [np.insert(one.ends, 0, shift, axis=1) for shift, one in seen.along if len(one.ends)]
        rim = np.concatenate([rim, *rows])
    if seen is None or not seen.is_whole or len(rim) < 12 or not (np.abs(rim[:, 1]) <= PIXEL).any():
        return target.missing("AP diameter", "mm", _why(target, seen))
    design = np.stack([np.ones(len(rim)), rim[:, 0], rim[:, 1], rim[:, 1] ** 2], axis=1)
    front, back = np.linalg.lstsq(design, rim[:, 2:], rcond=None)[0].T
    length, slope = float(back[0] - front[0]), float(back[1] - front[1])
    if not length > 0:
        return target.missing("AP diameter", "mm", _why(target, seen))
    sd = float(np.sqrt(_ends(doubt) + (slope * doubt.place_sd) ** 2 + _tilt_effect(seen) ** 2))
    line = seen.at.points(np.array([[0.0, front[0]], [0.0, back[0]]]))
    method = target.method("midsagittal chord")
    return Measurement(
        target.name("AP diameter"), target.level, length, sd, "mm", "keyhole", method, shapes=(Shape(line),)
    )


def _ends(doubt: Doubt, rounding: float = END_ROUNDING, boundary: float = 1.0) -> float:
    """Variance of a diameter that the error of its two ends brings, mm²; `boundary` of the label's error counts."""
    return 2 * ((boundary * doubt.boundary_sd) ** 2 + (rounding * doubt.voxel) ** 2)


def _tilt_effect(seen: Look) -> float:
    """Sd of the chord that the plane's tilt brings, mm; 0 where unknown."""
    chords = [
        float((one.ends[:, 2] - one.ends[:, 1]).mean()) for one in seen.leant if one is not None and len(one.ends)
    ]
    return abs(chords[0] - chords[1]) / 2 if len(chords) == 2 else 0.0


def transverse_diameter(target: Target, seen: Look | None, doubt: Doubt) -> Measurement:
    """Transverse diameter on the canal plane, mm: the greatest width, mean over a band of 2 mm front to back.

    The width of a row is that of its longest unbroken run, mean of the sections within 1 mm along the canal.
    """
    found = _widest(seen) if seen is not None and seen.is_whole else None
    if seen is None or found is None:
        return target.missing("transverse diameter", "mm", _why(target, seen))
    back, left, right, slope = found
    sd = float(np.sqrt(_ends(doubt, WIDEST_ROUNDING, WIDEST_BOUNDARY) + (slope * doubt.place_sd) ** 2))
    line = seen.at.points(np.array([[left, back], [right, back]]))
    method = target.method("greatest width")
    return Measurement(
        target.name("transverse diameter"), target.level, left - right, sd, "mm", "keyhole", method,
        shapes=(Shape(line),),
    )  # fmt: skip


def _widest(seen: Look) -> tuple[float, float, float, float] | None:
    """Where the greatest width lies, its left and right end, and its change along the canal, mm per mm."""
    every = np.stack([one.widths for _, one in seen.along])
    whole = np.asarray(np.isfinite(every).all(axis=2).all(axis=0))
    half = round(BAND / 2 / PIXEL)
    banded = _banded(np.where(whole[:, None], every.mean(axis=0), np.nan), half)
    width = banded[:, 0] - banded[:, 1]
    if not np.isfinite(width).any():
        return None
    best = int(np.nanargmax(width))
    rows = every[:, best - half : best + half + 1]
    widths = (rows[..., 0] - rows[..., 1]).mean(axis=1)
    shifts = np.array([shift for shift, _ in seen.along])
    slope = float(np.polyfit(shifts, widths, 1)[0]) if len(shifts) > 1 else 0.0
    return float(seen.cut.ticks[best]), float(banded[best, 0]), float(banded[best, 1]), slope


def _banded(values: Points, half: int) -> Points:
    """Running mean over 2 `half` + 1 rows; nan where a row of the band is."""
    padded = np.pad(values, ((half, half), (0, 0)), constant_values=np.nan)
    return np.asarray(np.mean([padded[n : n + len(values)] for n in range(2 * half + 1)], axis=0))


def _why(target: Target, seen: Look | None) -> str:
    if seen is not None and not seen.is_whole:
        return f"{target.level}: {target.which} is cut by the field of view {target.place}; not measured"
    return f"{target.level}: {target.which} was not found {target.place}; not measured"
