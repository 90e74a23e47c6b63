"""Size of the canal at a disc."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.assessment.model import Grade, Measurement, probabilities
from keyhole.assessment.section import CanalPlane, midsagittal_chord, section, tilted
from keyhole.geometry import LabelMap

FREE = ("canal/dural_sac", "canal/epidural")
"""The free canal: not flavum, not herniation."""

SAC = ("canal/dural_sac",)

VERBIEST_LIMITS = (10.0, 12.0, 13.0)
"""mm, midsagittal diameter of the bony canal [verbiest1977]."""

VERBIEST = ("absolute stenosis", "relative stenosis", "unclassified (12 to 13 mm)", "normal")

NARROWED = (
    "Verbiest's limits are for the bony canal; the chord measured here is that of the free canal, which flavum and "
    "disc narrow further"
)

PLACE_SD = 0.5
"""Sd, mm, of where along the canal the plane lies, besides that of the endplates [keyhole-choice]."""


TILT_SD = 2.0
"""Sd, deg, of the plane's sagittal tilt: how far equally good middle lines of the canal differ [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """What makes a section uncertain: `boundary_sd` of its outline, `voxel` side, `place_sd` along the canal; mm."""

    boundary_sd: float
    voxel: float
    place_sd: float


def canal_area(level: str, labels: LabelMap, at: CanalPlane, doubt: Doubt) -> Measurement:
    """Area of the free canal on the canal plane, mm²."""
    method = "area on the plane across the canal's line at the disc's mid-plane"
    return _area("canal area", level, FREE, (labels, at, doubt), method)


def sac_area(level: str, labels: LabelMap, at: CanalPlane, doubt: Doubt) -> Measurement:
    """Area of the dural sac on the canal plane, mm²; only meaningful where the sac itself was labelled."""
    method = "area of the labelled dural sac on the plane across the canal's line at the disc's mid-plane"
    return _area("dural sac area", level, SAC, (labels, at, doubt), method)


def canal_ap(level: str, labels: LabelMap, at: CanalPlane, doubt: Doubt) -> Measurement:
    """Anteroposterior diameter of the free canal in the midsagittal plane, on the canal plane, mm."""
    name, method = "canal AP diameter", "midsagittal chord on the plane across the canal's line at the disc's mid-plane"
    found = midsagittal_chord(labels, at, FREE)
    if found is None or not found.is_whole or not found.length > 0:
        return _unknown(name, level, "mm", is_cut=found is not None and not found.is_whole, method=method)
    ends = 2 * (doubt.boundary_sd**2 + (CHORD_ROUNDING * doubt.voxel) ** 2)
    sd = float(np.sqrt(ends + (found.slope * doubt.place_sd) ** 2 + _tilt_effect(labels, at) ** 2))
    return Measurement(name, level, found.length, sd, "mm", "keyhole", method)


def _tilt_effect(labels: LabelMap, at: CanalPlane) -> float:
    """Sd of the chord that the plane's tilt brings, mm; 0 where unknown."""
    chords = [midsagittal_chord(labels, tilted(at, way * TILT_SD), FREE) for way in (1, -1)]
    known = [chord.length for chord in chords if chord is not None]
    return abs(known[0] - known[1]) / 2 if len(known) == 2 else 0.0


CHORD_ROUNDING = 0.15
"""Sd of each end of the midsagittal chord, voxels; from simulation [keyhole-choice]."""


def verbiest(found: Measurement, *, is_bony: bool) -> Grade | None:
    """Probability of each of Verbiest's classes of a midsagittal diameter of the bony canal.

    The source leaves 12 to 13 mm without a class; so does this.

    Parameters
    ----------
    is_bony : whether flavum and herniation are unknown, so that the free canal is the bony one.
    """
    if found.value is None or found.sd is None:
        return None
    chances = probabilities(found.value, found.sd, VERBIEST_LIMITS, VERBIEST)
    return Grade(chances, "verbiest1977", () if is_bony else (NARROWED,))


def _area(
    name: str, level: str, prefixes: tuple[str, ...], where: tuple[LabelMap, CanalPlane, Doubt], method: str
) -> Measurement:
    labels, at, doubt = where
    found = section(labels, at, prefixes, all_parts=True)
    if found is None or not found.is_whole:
        return _unknown(name, level, "mm2", is_cut=found is not None and not found.is_whole, method=method)
    outline = found.area_sd(doubt.boundary_sd, doubt.voxel)
    place, tilt = _change(labels, at, prefixes)
    sd = float(np.sqrt(outline**2 + (place * doubt.place_sd) ** 2 + tilt**2))
    return Measurement(name, level, found.area, sd, "mm2", "keyhole", method)


def _change(labels: LabelMap, at: CanalPlane, prefixes: tuple[str, ...]) -> tuple[float, float]:
    """Change of the area per mm along the canal (over 1 mm to both sides) and per `TILT_SD`; 0 where unknown."""
    along = [section(labels, at, prefixes, shift=shift, all_parts=True) for shift in (1.0, -1.0)]
    leant = [section(labels, tilted(at, way * TILT_SD), prefixes, all_parts=True) for way in (1, -1)]
    place, tilt = (
        0.0 if pair[0] is None or pair[1] is None else (pair[0].area - pair[1].area) / 2 for pair in (along, leant)
    )
    return place, tilt


def _unknown(name: str, level: str, unit: str, *, is_cut: bool, method: str) -> Measurement:
    why = "cut by the field of view" if is_cut else "no free canal was found at this level"
    return Measurement(name, level, None, None, unit, "keyhole", method, (f"{level}: {why}; not measured",))
