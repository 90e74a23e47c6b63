"""The pedicles of one vertebra: width, height and axis at the isthmus."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.endplates import CORRELATION
from keyhole.assessment.model import Measurement, Shape, unknown
from keyhole.assessment.vertebra.heights import Bone
from keyhole.geometry import Points

BAND = 2.0
"""Half thickness, mm, of the slice in which the isthmus is looked for [keyhole]."""

SOFT = 1.0
"""mm; chords longer than the shortest by this count by 1/e in the mean direction [keyhole-choice]."""

REACH = 4.0
"""Half length, mm, along the axis in which the isthmus is looked for [keyhole-choice]."""

TRANSVERSE = (-8.0, 48.0)
"""Directions of the axis that are tried, deg from straight back, lateral positive [keyhole-choice]."""

SAGITTAL = (-32.0, 32.0)
"""The same in the upright plane through the axis, cranial positive [keyhole-choice]."""

MEDIAL, LATERAL = 8.0, 6.0
"""How far behind the body's posterior wall a chord's ends may lie, mm: farther back are lamina and transverse process
[keyhole-choice]."""

BEHIND = 2.0
"""Where the search begins: the coronal section this far behind the body's posterior wall, mm [keyhole-choice]."""

AXIS = (-25.0, 15.0)
"""Ends of the drawn axis, mm from the isthmus: in the body and at the entry [keyhole-choice]."""

_ANGLE = 4.0  # deg between directions tried
_STEP = 0.5  # mm along and between chords
_HALF = 22.0  # mm, longest half chord
_SIDE = (5.0, 32.0)  # mm from the midline in which the first section lies
_LEAST = 25.0  # mm², least first section


@dataclass(frozen=True, slots=True, eq=False)
class Neck:
    """The shortest way across a pedicle in one plane: direction of the axis there (deg), chord (2, 3) and length."""

    angle: float
    middle: Points
    chord: Points
    length: float


@dataclass(frozen=True, slots=True, eq=False)
class Pedicle:
    """The isthmus of one pedicle: in the transverse plane, in the upright plane through the axis, and the axis (3,)."""

    transverse: Neck
    sagittal: Neck
    axis: Points


def pedicle(bone: Bone, side: Literal["left", "right"]) -> Pedicle | None:
    """The isthmus of the pedicle on `side`; None where the arch does not show one.

    In the transverse plane of the vertebra at the pedicle's middle, the shortest chord across the neck (mean of the
    nearly shortest, weighted by exp(-excess / `SOFT`)) is the isthmus and its perpendicular the axis; the same in the
    upright plane along the axis. Found twice: the second time about the first one's middle and tilt.
    """
    frame = bone.vertebra
    lateral = frame.toward(side)
    start = _start(bone, side)
    if start is None:
        return None
    wall = _wall(bone)
    found: Pedicle | None = None
    middle, lean = start, 0.0
    for _ in range(2):
        turn = np.radians(lean)
        back = np.cos(turn) * frame.posterior + np.sin(turn) * frame.up
        up = np.cos(turn) * frame.up - np.sin(turn) * frame.posterior
        flat = _neck(bone, (middle, back, lateral, up), TRANSVERSE, wall)
        if flat is None:
            return None
        angle = np.radians(flat.angle)
        along = np.cos(angle) * frame.posterior + np.sin(angle) * lateral
        across = np.cos(angle) * lateral - np.sin(angle) * frame.posterior
        tall = _neck(bone, (flat.middle, along, frame.up, across), SAGITTAL, None)
        if tall is None:
            return None
        lean, middle = tall.angle, tall.middle
        tilt = np.radians(lean)
        found = Pedicle(flat, tall, np.cos(tilt) * along + np.sin(tilt) * frame.up)
    return found


def _wall(bone: Bone) -> float:
    """Posterior coordinate of the body's posterior wall, mm: the mean of both posterior corners'."""
    frame = bone.vertebra
    corners = [plate.posterior for plate in (frame.superior, frame.inferior) if plate is not None]
    return float(np.mean([bone.local(corner)[1] for corner in corners]))


def _start(bone: Bone, side: str) -> Points | None:
    """The middle of the largest part of the coronal section just behind the body, (3,) LPS mm."""
    sign = 1.0 if side == "left" else -1.0
    x = sign * np.arange(_SIDE[0], _SIDE[1], _STEP)
    superior, inferior = bone.vertebra.superior, bone.vertebra.inferior
    if superior is None or inferior is None:
        return None
    z = np.arange(float(bone.local(inferior.posterior)[2]), float(bone.local(superior.posterior)[2]) + 2.0, _STEP)
    plane = np.zeros((len(x), len(z), 3))
    plane[..., 0], plane[..., 1], plane[..., 2] = x[:, None], _wall(bone) + BEHIND, z[None]
    inside = bone.solid.at(bone.points(plane)) >= 0.5
    parts, n = ndimage.label(inside)
    if n == 0:
        return None
    largest = parts == 1 + np.bincount(parts.ravel())[1:].argmax()
    if not largest.sum() * _STEP**2 >= _LEAST:
        return None
    return bone.points(plane[largest].mean(axis=0))


def _neck(
    bone: Bone, at: tuple[Points, Points, Points, Points], tried: tuple[float, float], wall: float | None
) -> Neck | None:
    """The shortest way across the bone about a point, in the plane of `back` and `across`; None without one.

    Parameters
    ----------
    at : the point, the direction of angle 0, the direction of angle 90, and the plane's normal.
    wall : where given, the chord's ends must lie less than `MEDIAL` and `LATERAL` behind this posterior coordinate.
    """
    angles = np.arange(tried[0], tried[1] + 0.1, _ANGLE)
    shifts = np.arange(-REACH, REACH + 0.1, _STEP)
    inner, outer = _ends(bone, at, angles, shifts)
    length = (inner + outer).mean(axis=2)
    if wall is not None:
        length = np.where(_is_before(bone, at[0], (angles, shifts), (inner, outer), wall), length, np.inf)
    if not np.isfinite(length).any():
        return None
    weight = np.exp(-(length - length.min()) / SOFT)
    weight /= weight.sum()
    place = float(weight.sum(axis=1) @ angles), float(weight.sum(axis=0) @ shifts)
    best = np.unravel_index(length.argmin(), length.shape)
    for angle, shift in (place, (float(angles[best[0]]), float(shifts[best[1]]))):
        inner, outer = (ends[0, 0] for ends in _ends(bone, at, np.array([angle]), np.array([shift])))
        if np.isfinite(inner + outer).all():
            break
    middle, across = _turned(at, angle, shift)
    low, high = float(inner.mean()), float(outer.mean())
    chord = np.array([middle - low * across, middle + high * across])
    return Neck(angle, chord.mean(axis=0), chord, low + high)


def _is_before(
    bone: Bone,
    point: Points,
    tried: tuple[Points, Points],
    ends: tuple[NDArray[np.float64], NDArray[np.float64]],
    wall: float,
) -> NDArray[np.bool_]:
    """Which chords of `tried` angles and shifts end before the limits behind the `wall`."""
    turn = np.radians(tried[0])[:, None]
    start = float(bone.local(point)[1]) + np.cos(turn) * tried[1]
    inward, outward = (np.minimum(end.mean(axis=2), _HALF) for end in ends)
    medial, lateral = start + np.sin(turn) * inward, start - np.sin(turn) * outward
    return np.asarray((medial <= wall + MEDIAL) & (lateral <= wall + LATERAL))


def _turned(at: tuple[Points, Points, Points, Points], angle: float, shift: float) -> tuple[Points, Points]:
    """Point of the axis and direction of the chord at `angle` deg and `shift` mm along the axis."""
    point, back, side, _ = at
    turn = np.radians(angle)
    along = np.cos(turn) * back + np.sin(turn) * side
    return point + shift * along, np.cos(turn) * side - np.sin(turn) * back


def _ends(
    bone: Bone, at: tuple[Points, Points, Points, Points], angles: Points, shifts: Points
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How far the bone goes inwards and outwards from the axis: (angles, shifts, band) mm; inf where it does not end.

    A point of the axis outside the bone has no chord: inf.
    """
    point, back, side, normal = at
    turn = np.radians(angles)[:, None]
    along = np.cos(turn) * back + np.sin(turn) * side
    across = np.cos(turn) * side - np.sin(turn) * back
    run = np.arange(-_HALF, _HALF + 0.1, _STEP)
    band = np.arange(-BAND, BAND + 0.1)
    start = point + shifts[:, None] * along[:, None]
    rays = start[:, :, None, None] + band[:, None, None] * normal + run[:, None] * across[:, None, None, None]
    share = bone.solid.at(rays)
    half = len(run) // 2
    return _length(share[..., half::-1]), _length(share[..., half:])


def _length(share: NDArray[np.float32]) -> NDArray[np.float64]:
    """Length of the unbroken run from the start of each ray, mm, by half-level crossing; inf where it has no end."""
    inside = share >= 0.5
    n = np.cumprod(inside, axis=-1).sum(axis=-1)
    after = np.clip(n, 1, share.shape[-1] - 1)[..., None]
    here = np.take_along_axis(share, after - 1, -1)[..., 0].astype(np.float64)
    beyond = np.take_along_axis(share, after, -1)[..., 0].astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip((here - 0.5) / (here - beyond), 0.0, 1.0)
    return np.where((n == 0) | (n == share.shape[-1]), np.inf, (n - 1 + part) * _STEP)


WIDTH_ROUNDING = 0.2
"""Sd of a chord across a pedicle, voxels, on voxelised bones; from simulation [keyhole-choice]."""

ANGLE_ROUNDING = (0.7, 0.45)
"""Sd of a pedicle's transverse and sagittal angle, deg per mm of voxel; from simulation [keyhole-choice]."""

ANGLE_LABEL = (4.6, 4.4)
"""The same, deg per mm of the boundary's sd; from phantoms as readers draw them [keyhole-choice]."""


def pedicle_measures(bone: Bone, side: Literal["left", "right"]) -> tuple[Measurement, ...]:
    """Width and height of the pedicle on `side`, mm, transverse and sagittal angle of its axis, deg.

    Width: the shortest chord across the neck in the transverse plane, and the transverse angle that of its
    perpendicular with the sagittal plane, lateral positive (back from the body) [pedicle-isthmus]. Height and
    sagittal angle likewise in the upright plane along the axis; an axis that rises backwards is positive.
    The sd joins both walls' label errors, alike over 10 mm, with rounding to voxels [keyhole].
    """
    found = pedicle(bone, side)
    if found is None:
        why = f"the {side} pedicle of {bone.name} was not found: its arch is not labelled or is cut; not measured"
        return tuple(unknown(name, bone.name, unit, why, side) for name, unit in NAMES)
    flat, tall = found.transverse, found.sagittal
    middle = tall.middle
    axis = Shape(middle + np.array([[AXIS[0]], [AXIS[1]]]) * found.axis)
    lengths = [_length_sd(bone, neck.length) for neck in (flat, tall)]
    turns = [
        float(np.hypot(a * bone.voxel, b * bone.boundary_sd)) for a, b in zip(ANGLE_ROUNDING, ANGLE_LABEL, strict=True)
    ]
    rows = (
        (flat.length, lengths[0], Shape(flat.chord)),
        (tall.length, lengths[1], Shape(tall.chord)),
        (flat.angle, turns[0], axis),
        (tall.angle, turns[1], axis),
    )
    return tuple(
        Measurement(name, bone.name, value, sd, unit, "pedicle-isthmus", METHODS[name], (), side, (shape,))
        for (name, unit), (value, sd, shape) in zip(NAMES, rows, strict=True)
    )


NAMES = (
    ("pedicle width", "mm"),
    ("pedicle height", "mm"),
    ("pedicle transverse angle", "deg"),
    ("pedicle sagittal angle", "deg"),
)

METHODS = {
    "pedicle width": "shortest chord across the pedicle's neck in the transverse plane of the vertebra",
    "pedicle height": "shortest chord across the pedicle's neck in the upright plane along its axis",
    "pedicle transverse angle": "angle of the perpendicular of the shortest transverse chord with the sagittal plane",
    "pedicle sagittal angle": "angle of the perpendicular of the shortest upright chord with the transverse plane",
}


def _length_sd(bone: Bone, length: float) -> float:
    """Sd of a chord of `length` between two walls, mm."""
    alike = float(np.exp(-(length**2) / (2 * CORRELATION**2)))
    return float(np.hypot(bone.boundary_sd * np.sqrt(2 + 2 * alike), WIDTH_ROUNDING * bone.voxel))
