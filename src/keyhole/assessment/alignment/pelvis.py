"""The pelvis seen from the side: incidence, and the tilt and slope of a patient who lies down."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.model import Anatomy, Endplate
from keyhole.assessment.model import Measurement, Shape
from keyhole.assessment.norms.norms import ideal_by_class
from keyhole.errors import InvalidInput
from keyhole.geometry import Points, bounding_box, unit

JOINT = 8.0
"""Mm between the pelvis and the surface of a femoral head that lies in its socket: a first guess [keyhole-choice]."""

RADIUS = (17.0, 32.0)
"""Mm: no adult femoral head is smaller or larger [keyhole-choice]."""

OFF = 2.0
"""Mm off the sphere, or 0.7 of a voxel: surface further off belongs to the neck [keyhole-choice]."""

LEAST_SEEN = 0.35
"""Share of the sphere that must be head for its centre to count [keyhole-choice]."""

HEAD_VOXEL, HEAD_LABEL = 0.15, 0.6
"""Sd of a head's centre along one axis: of a voxel, and of the label's boundary sd [keyhole-choice]."""

HASEGAWA = (32.9, 0.60, -0.23)
"""Ideal lordosis = a + b x incidence + c x age, deg, n = 126 standing [hasegawa2016]."""

STANDING_DIFFERS = (
    "taken lying down against the table's long axis: slope and tilt of a standing patient differ; not to be compared "
    "with standing norms"
)
INCIDENCE_STAYS = "the incidence does not depend on the patient's position"


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A femoral head: centre (3,) LPS mm, radius mm, sd of its centre along one axis, mm."""

    centre: Points
    radius: float
    sd: float


def femoral_head(anatomy: Anatomy, side: str, boundary_sd: float) -> Head | str:
    """The sphere in the femoral head of `side`, or a sentence why there is none.

    First the femur's surface within `JOINT` mm of the pelvis, then all of its surface that fits the sphere and looks
    towards the pelvis, in turn until it stays: neck and trochanters do not fit. Least squares on voxel faces.
    """
    femur, pelvis = f"femur/{side}", f"pelvis/{side}"
    absent = [key for key in (femur, pelvis) if not anatomy.labels.labels_of(key)]
    if absent:
        return f"{' and '.join(absent)} not labelled; not measured"
    box = bounding_box(anatomy.labels.mask(femur), 4)
    if box is None:
        return f"{femur} not in view; not measured"
    grid = anatomy.labels.grid.crop(box)
    bone, socket = anatomy.labels.mask(femur, box=box), anatomy.labels.mask(pelvis, box=box)
    rim = bone & ndimage.binary_dilation(~bone) & _inner(bone.shape)
    if not socket.any():
        return f"{femur} does not reach {pelvis}; not measured"
    away = ndimage.distance_transform_edt(~socket, sampling=grid.spacing)
    surface = grid.centres(np.argwhere(rim))
    near = surface[away[rim] <= JOINT + grid.spacing.max()]
    fitted = _settled(near, surface, float(grid.spacing.max()))
    if fitted is None:
        return f"{femur}: no round head is seen beside {pelvis}; not measured"
    centre, radius, share = fitted
    if not (RADIUS[0] <= radius <= RADIUS[1] and share >= LEAST_SEEN):
        seen = f"a sphere of {radius:.0f} mm radius, {100 * share:.0f} % of it seen"
        return f"{femur}: what lies in the socket is not a whole femoral head ({seen}); not measured"
    sd = float(np.hypot(HEAD_VOXEL * grid.spacing.max(), HEAD_LABEL * boundary_sd))
    return Head(centre, radius, sd)


def _inner(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Voxels that are not on the edge of the crop: a cut is no surface."""
    inner = np.zeros(shape, dtype=np.bool_)
    inner[1:-1, 1:-1, 1:-1] = True
    return inner


def _settled(start: Points, surface: Points, voxel: float) -> tuple[Points, float, float] | None:
    """Centre, radius and share of the sphere that is surface, after the fit has come to rest."""
    if len(start) < 20:
        return None
    centre, radius = _sphere(start)
    limit = max(OFF, 0.7 * voxel)
    for _ in range(12):
        off = np.linalg.norm(surface - centre, axis=1)
        kept = surface[np.abs(off - radius) <= limit]
        if len(kept) < 20:
            return None
        centre, radius = _sphere(kept)
        radius = float(np.clip(radius, *RADIUS))
    return centre, radius, _share(kept - centre, 1.2 * voxel)


def _sphere(points: Points) -> tuple[Points, float]:
    """Least-squares sphere through `points` (n, 3): centre and radius."""
    middle = points.mean(axis=0)
    away = points - middle
    design = np.column_stack([2 * away, np.ones(len(away))])
    found = np.linalg.lstsq(design, (away**2).sum(axis=1), rcond=None)[0]
    return middle + found[:3], float(np.sqrt(max(found[3] + found[:3] @ found[:3], 0.0)))


def _share(away: Points, reach: float) -> float:
    """Share of a sphere's area that has one of the points `away` (n, 3) from its centre within `reach` mm or 6 deg."""
    ticks = np.arange(400) + 0.5
    polar, turn = np.arccos(1 - 2 * ticks / 400), np.pi * (1 + 5**0.5) * ticks
    ways = np.stack([np.cos(turn) * np.sin(polar), np.sin(turn) * np.sin(polar), np.cos(polar)], axis=1)
    closest = (ways @ unit(away).T).max(axis=1)
    limit = max(np.radians(6.0), reach / float(np.linalg.norm(away, axis=1).mean()))
    return float(np.mean(closest >= np.cos(limit)))


def pelvic_incidence(sacral: Endplate, heads: tuple[Head, Head], corner_sd: float) -> Measurement:
    """Angle between S1's endplate normal and the line from its middle to the middle of the hips' axis, deg.

    In the plane across the line through both femoral heads (`heads`: left, right), as on a true lateral radiograph.
    The sd is first order: the endplate's tilt, its middle, and the heads.

    References
    ----------
    [pelvic-norms] for the definition's landmarks.
    """
    left, right = heads
    across = unit(left.centre - right.centre)
    middle, hips = (sacral.anterior + sacral.posterior) / 2, (left.centre + right.centre) / 2
    normal = _within(sacral.plane.normal, across)
    line = hips - middle
    value = float(np.degrees(np.arctan2(line @ np.cross(across, normal), -(line @ normal))))
    length = float(np.linalg.norm(line - (line @ across) * across))
    place = np.sqrt(corner_sd**2 / 2 + sacral.sd**2 + (left.sd**2 + right.sd**2) / 4)
    sd = float(np.hypot(sacral.tilt_sd, np.degrees(place / length)))
    method = (
        "normal of S1's superior endplate against the line from its middle to the middle between both femoral heads "
        f"(spheres of {left.radius:.1f} and {right.radius:.1f} mm radius), across the line through the heads; "
        f"{INCIDENCE_STAYS}"
    )
    return Measurement(
        "pelvic incidence", "S1", value, sd, "deg", "pelvic-norms", method, shapes=_shapes(sacral, heads)
    )


def sacral_slope(sacral: Endplate, across: Points, up: Points) -> Measurement:
    """Angle between S1's endplate and the plane across the table's long axis, deg, seen from the side.

    Parameters
    ----------
    across : (3,) unit vector to the patient's left, LPS.
    up : (3,) direction of the table's long axis towards the patient's head, LPS.
    """
    table, normal = _within(up, across), _within(sacral.plane.normal, across)
    value = float(np.degrees(np.arctan2(normal @ np.cross(across, table), normal @ table)))
    method = "S1's superior endplate against the plane across the table's long axis, seen from the side"
    shapes = (Shape(np.stack([sacral.posterior, sacral.anterior])),)
    return Measurement(
        "sacral slope, supine",
        "S1",
        value,
        sacral.tilt_sd,
        "deg",
        "keyhole",
        method,
        (STANDING_DIFFERS,),
        shapes=shapes,
    )


def pelvic_tilt(sacral: Endplate, heads: tuple[Head, Head], up: Points, corner_sd: float) -> Measurement:
    """Angle between the table's long axis and the line from the hips' axis to the middle of S1's endplate, deg.

    Positive where the endplate lies behind the hips; incidence = slope + tilt.
    """
    left, right = heads
    across = unit(left.centre - right.centre)
    table = _within(up, across)
    line = (left.centre + right.centre) / 2 - (sacral.anterior + sacral.posterior) / 2
    value = float(np.degrees(np.arctan2(line @ np.cross(across, table), -(line @ table))))
    place = np.sqrt(corner_sd**2 / 2 + sacral.sd**2 + (left.sd**2 + right.sd**2) / 4)
    sd = float(np.degrees(place / np.linalg.norm(line - (line @ across) * across)))
    method = "table's long axis against the line from the middle between both femoral heads to S1's endplate middle"
    return Measurement(
        "pelvic tilt, supine",
        "S1",
        value,
        sd,
        "deg",
        "keyhole",
        method,
        (STANDING_DIFFERS,),
        shapes=_shapes(sacral, heads),
    )


def ideal_lordosis(incidence: Measurement, age: float) -> Measurement:
    """The lumbar lordosis that healthy people of this pelvic incidence and `age` (years) have standing, deg.

    Linear in both [hasegawa2016]; the class table [pi-classes] is given in words. The sd is that of the incidence
    alone: how far healthy people scatter about the formula was not read.
    """
    if incidence.value is None or incidence.sd is None:
        raise InvalidInput("an ideal lordosis needs a pelvic incidence")
    start, slope, ageing = HASEGAWA
    value = start + slope * incidence.value + ageing * age
    table = ideal_by_class(incidence.value)
    method = f"{start} + {slope} x incidence - {-ageing} x age, incidence {incidence.value:.1f} deg, age {age:.0f}" + (
        f"; the table of incidence classes gives {table:.0f} deg [pi-classes]" if table is not None else ""
    )
    notes = (
        "of standing people: lying down the lordosis is smaller (36.8, not 49.8 deg in one series [supine-lordosis])",
        "the sd is that of the incidence alone, not the spread of healthy people about the formula",
    )
    sd = slope * incidence.sd
    return Measurement("ideal lumbar lordosis", "L1/S1", value, sd, "deg", "hasegawa2016", method, notes)


def _within(vector: Points, across: Points) -> Points:
    """`vector` (3,) in the plane across `across`, unit."""
    return unit(vector - (vector @ across) * across)


def _shapes(sacral: Endplate, heads: tuple[Head, Head]) -> tuple[Shape, ...]:
    """The endplate, the line to the hips' axis, and both heads as circles seen from the side."""
    left, right = heads
    across = unit(left.centre - right.centre)
    first = _within(sacral.plane.normal, across)
    second = np.cross(across, first)
    turn = np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]
    circles = [one.centre + one.radius * (np.cos(turn) * first + np.sin(turn) * second) for one in heads]
    middle = (sacral.anterior + sacral.posterior) / 2
    return (
        Shape(np.stack([sacral.posterior, sacral.anterior])),
        Shape(np.stack([middle, (left.centre + right.centre) / 2])),
        *(Shape(circle, is_closed=True) for circle in circles),
    )
