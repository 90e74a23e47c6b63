"""Kambin's triangle and the largest cannula that passes through it into the disc."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keyhole.assessment.flank.frame import Flank
from keyhole.assessment.flank.kambin_window import BEFORE, OBLIQUE, Triangle, Window, oblique
from keyhole.assessment.model import Measurement, Shape, unknown
from keyhole.geometry import Points

ROUNDING = 0.25
"""Sd of a voxelised edge, voxels; from phantoms [keyhole-choice]."""

TOUCHED = 0.9
"""Share of a boundary's error that a circle between several boundaries feels; from phantoms [keyhole-choice]."""

LINE_SD = 0.2
"""Sd, mm, of the straight line that stands for the root's curved edge [keyhole-choice]."""

ANGLE_SD = 4.4
"""How far the slope of a modelled root may be off, degrees: how much roots differ [root-disc-angle]."""

SLOPE_SD = 0.015
"""Sd of the slope of a perfectly labelled root's edge, mm per mm [keyhole-choice]."""

OUTERMOST = 1.5
"""How much more the outermost place of a structure varies than its boundary; from phantoms with restless labels
[keyhole-choice]."""

OPPOSED = 0.85
"""Errors of base and slope partly make up for each other in the hypotenuse; from phantoms [keyhole-choice]."""

MODELLED_SD = 3.0
"""What the modelled course of root and sac adds to the sd of a side, mm; from phantoms [keyhole-choice]."""

PLACE_SD = 0.2
"""Sd of a cannula's diameter, mm, for where the view and its limits lie [keyhole-choice]."""

STANDS = "no margin is kept: it touches what bounds it"


@dataclass(frozen=True, slots=True)
class Errors:
    """Sds, mm, of the boundaries of bone, root, dura and disc, and of the endplate's height.

    `is_modelled` says that nobody saw the root.
    """

    bone: float
    root: float
    dura: float
    plate: float
    disc: float
    is_modelled: bool


def kambin_base(at: Flank, found: Triangle, errors: Errors) -> Measurement:
    """Base of Kambin's triangle, mm: along the caudal endplate from dura and traversing root to the exiting root.

    Seen from behind. The root counts with its lower medial edge, a straight line fitted over 15 mm above the endplate.

    References
    ----------
    [root-disc-angle] for the same distance on coronal MR (its b).
    """
    sd = _base_sd(errors, at.voxel)
    method = "along the caudal endplate from the dura to the exiting root's medial edge, seen from behind"
    return _measured("Kambin base", at, found.base, sd, method, found.corners[:2])


def kambin_height(at: Flank, found: Triangle, errors: Errors) -> Measurement:
    """Height of Kambin's triangle, mm: along the dura's side from the caudal endplate to the exiting root's edge.

    References
    ----------
    [root-disc-angle] for the same distance on coronal MR (its a).
    """
    slope = 1 / -found.lean
    sd = float(
        np.linalg.norm([_base_sd(errors, at.voxel) * slope, found.base * _slope_sd(found, errors), errors.plate])
    )
    method = "along the dura from the caudal endplate to the exiting root's lower edge, seen from behind"
    return _measured("Kambin height", at, found.height, sd, method, found.corners[[0, 2]])


def kambin_hypotenuse(at: Flank, found: Triangle, errors: Errors) -> Measurement:
    """Hypotenuse of Kambin's triangle, mm: the exiting root's edge from dura to caudal endplate, from behind."""
    length = float(np.hypot(found.base, found.height))
    slope = 1 / -found.lean
    by_base = _base_sd(errors, at.voxel) * length / found.base
    by_slope = found.base * _slope_sd(found, errors) * slope / np.hypot(1.0, slope)
    sd = OPPOSED * float(np.linalg.norm([by_base, by_slope, errors.plate]))
    method = "the exiting root's lower medial edge from the dura to the caudal endplate, seen from behind"
    return _measured("Kambin hypotenuse", at, length, sd, method, found.corners[1:])


def kambin_cannula(at: Flank, found: Window, names: tuple[str, ...], errors: Errors) -> Measurement:
    """Outer diameter, mm, of the largest cannula that passes to the disc along the transforaminal direction.

    `OBLIQUE` degrees to the sagittal plane, in the disc's plane. It touches, over `BEFORE` mm outside the disc, neither
    bone nor, where `names` holds "root", the roots and the sac; it does not reach below the caudal endplate; its axis
    meets the disc between the endplates, at or medial to the middle of the pedicles. The sd moves each boundary by its
    own.

    Parameters
    ----------
    names : ("bone", "root") or ("bone",).

    References
    ----------
    [pairaiturkar] for the circle in the triangle that the facet still bounds (its bony one, with the root).
    """
    name = "Kambin cannula with root" if "root" in names else "Kambin cannula with bone"
    value, centre = found.widest(names)
    circle = _circle(found, centre, value / 2)
    if not at.sees(_way(found, centre, value / 2)):
        why = f"{at.level}: the way to the disc on the {at.side} leaves the scan; not measured"
        return unknown(name, at.level, "mm", why, at.side)
    wall = TOUCHED * float(np.hypot(errors.bone, ROUNDING * at.voxel))
    moves = {"bone": wall, "floor": errors.plate, "limit": TOUCHED * float(np.hypot(errors.disc, ROUNDING * at.voxel))}
    moves |= {"root": float(np.hypot(errors.root, ROUNDING * at.voxel))} if "root" in names else {}
    sd = float(np.linalg.norm([PLACE_SD, *(_effect(found, names, {key: sd}) for key, sd in moves.items())]))
    around = "bone, roots and sac" if "root" in names else "bone alone"
    method = f"largest circle clear of {around}, seen along the way to the disc {OBLIQUE:.0f} deg to the sagittal plane"
    notes = (STANDS,) if value > 0 else (f"{around} leave no way straight to the disc at the middle of the pedicles",)
    shapes = (Shape(at.points(circle), is_closed=True),) if value > 0 else ()
    return Measurement(name, at.level, value, sd, "mm", "pairaiturkar", method, notes, at.side, shapes)


def _effect(found: Window, names: tuple[str, ...], shift: Mapping[str, float]) -> float:
    """Half the change of the diameter, mm, between `shift` away and towards the cannula."""
    nearer = {key: -value for key, value in shift.items()}
    return abs(found.widest(names, shift)[0] - found.widest(names, nearer)[0]) / 2


def _circle(found: Window, centre: Points, radius: float) -> Points:
    """Points (n, 3) of the cannula's rim where it meets the disc, in the flank's axes."""
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    return oblique(centre[0] + radius * np.cos(turn), np.array(found.depth), centre[1] + radius * np.sin(turn))


def _way(found: Window, centre: Points, radius: float) -> Points:
    """Points (n, 3) of the cannula's wall, in the flank's axes."""
    turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    deep = found.depth + np.array([0.0, BEFORE])[:, None]
    return oblique(centre[0] + radius * np.cos(turn), deep, centre[1] + radius * np.sin(turn)).reshape(-1, 3)


def _base_sd(errors: Errors, voxel: float) -> float:
    modelled = MODELLED_SD if errors.is_modelled else 0.0
    edges = OUTERMOST * np.array([errors.root, errors.dura])
    return float(np.linalg.norm([*edges, ROUNDING * voxel, LINE_SD, modelled]))


def _slope_sd(found: Triangle, errors: Errors) -> float:
    """Sd of the line's rise per mm outward."""
    angle = np.radians(ANGLE_SD) if errors.is_modelled else 0.0
    lean = np.hypot(angle * (1 + found.lean**2), SLOPE_SD + 0.1 * errors.root * (not errors.is_modelled))
    return float(lean / found.lean**2)


def _measured(name: str, at: Flank, value: float, sd: float, method: str, ends: Points) -> Measurement:
    """A side of the triangle between `ends` (2, 2), lateral and up, drawn at the depth of the bodies' wall."""
    line = np.column_stack([ends[:, 0], np.full(2, at.wall), ends[:, 1]])
    shapes = (Shape(at.points(line)),)
    return Measurement(name, at.level, value, sd, "mm", "root-disc-angle", method, (), at.side, shapes)
