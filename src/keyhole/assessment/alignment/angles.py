"""Angles between endplates, seen from the side and from the front."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.alignment.slip import coronal_sd
from keyhole.assessment.model import SUPINE, Grade, Measurement, Shape, probabilities
from keyhole.geometry import Points, unit

CHANCE = {2: 1.0, 3: 1.40, 4: 1.65, 5: 1.83, 6: 1.97}
"""Root mean square, in sd of one difference, of the largest of all differences among that many straight vertebrae.

From 20 000 simulated rows of independent tilts [keyhole]."""

TURN_SD = 1.0
"""Sd, deg, of the row's own left about its axis [keyhole-choice]."""

SCOLIOSIS = 10.0
"""Deg: a larger Cobb angle on a standing radiograph is called scoliosis [scoliosis-ten-degrees]."""


def lordosis(name: str, level: str, upper: Vertebra, plates: tuple[Endplate, Endplate]) -> Measurement:
    """Angle between two superior endplates, deg, in the midsagittal plane of `upper`; lordosis is positive.

    Parameters
    ----------
    name : "segmental lordosis" or "lumbar lordosis".
    plates : superior endplate of the upper and of the lower vertebra.
    """
    high, low = (_lean(plate, upper) for plate in plates)
    sd = float(np.hypot(plates[0].tilt_sd, plates[1].tilt_sd))
    method = (
        "angle between the superior endplate planes in the upper vertebra's midsagittal plane; lordosis is positive"
    )
    shapes = tuple(Shape(np.stack([plate.posterior, plate.anterior])) for plate in plates)
    return Measurement(name, level, high - low, sd, "deg", "keyhole", method, (SUPINE,), shapes=shapes)


def _lean(plate: Endplate, frame: Vertebra) -> float:
    """How far the endplate's normal leans back in the frame's midsagittal plane, deg."""
    normal = plate.plane.normal
    return float(np.degrees(np.arctan2(normal @ frame.posterior, normal @ frame.up)))


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """A vertebra with both endplates."""

    vertebra: Vertebra
    superior: Endplate
    inferior: Endplate


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """The coronal plane of several vertebrae: unit vectors to the left and up (3,), LPS."""

    left: Points
    up: Points

    def lift(self, plate: Endplate) -> float:
        """How much higher the plate's left end is than its right one, seen from the front, deg."""
        normal = plate.plane.normal
        return float(np.degrees(np.arctan2(-(normal @ self.left), normal @ self.up)))

    def lean(self, plate: Endplate) -> float:
        """How far the plate's normal leans out of the coronal plane, deg."""
        forward = np.cross(self.left, self.up)
        return float(np.degrees(np.arcsin(np.clip(plate.plane.normal @ forward, -1, 1))))


def front(vertebrae: Sequence[Vertebra]) -> Front:
    """The coronal plane spanned by the mean left and the mean up of `vertebrae`."""
    left = unit(np.sum([one.left for one in vertebrae], axis=0))
    up = np.sum([one.up for one in vertebrae], axis=0)
    return Front(left, unit(up - (up @ left) * left))


def coronal_wedge(level: str, upper: Endplate, lower: Endplate, plane: Front) -> Measurement:
    """Angle between the facing endplates of a disc, deg, in the coronal plane of its vertebrae; left higher: > 0.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    plane : `front` of both vertebrae.
    """
    value = plane.lift(upper) - plane.lift(lower)
    method = "angle between the facing endplates in the coronal plane of both vertebrae; higher on the left is positive"
    shapes = tuple(Shape(np.stack([plate.left, plate.right])) for plate in (upper, lower))
    sd = _sd(upper, lower, plane)
    return Measurement("coronal disc wedge", level, value, sd, "deg", "keyhole", method, (SUPINE,), shapes=shapes)


def _sd(upper: Endplate, lower: Endplate, plane: Front) -> float:
    """Sd of the difference of two lifts, deg: both tilts, and the coronal plane's turn times how the leans differ."""
    turn = TURN_SD * (np.sin(np.radians(plane.lean(upper))) - np.sin(np.radians(plane.lean(lower))))
    return float(np.sqrt(coronal_sd(upper) ** 2 + coronal_sd(lower) ** 2 + turn**2))


def cobb(level: str, row: Sequence[Whole]) -> Measurement:
    """The largest coronal angle between the superior endplate of one vertebra and the inferior one of another, deg.

    Of all pairs in the row; `method` names the end vertebrae and the convex side. The largest of many differences is
    too large by chance even in a straight spine: what chance gives is taken off in quadrature (`CHANCE`).

    Parameters
    ----------
    level : the span that was searched, "L1/L5".
    row : two to six whole vertebrae without a gap, cranial to caudal.
    """
    plane = front([one.vertebra for one in row])
    upper, lower = max(
        itertools.combinations(row, 2),
        key=lambda pair: abs(plane.lift(pair[0].superior) - plane.lift(pair[1].inferior)),
    )
    best = plane.lift(upper.superior) - plane.lift(lower.inferior)
    sd = _sd(upper.superior, lower.inferior, plane)
    value = float(np.sqrt(max(0.0, best**2 - (CHANCE[len(row)] * sd) ** 2)))
    method = (
        f"superior endplate of {upper.vertebra.name} to inferior endplate of {lower.vertebra.name}, the largest of "
        f"{level}, in the coronal plane of these vertebrae; convex to the {'left' if best > 0 else 'right'}; "
        f"{abs(best):.1f} deg before what chance gives is taken off"
    )
    shapes = tuple(Shape(np.stack([plate.left, plate.right])) for plate in (upper.superior, lower.inferior))
    return Measurement("coronal Cobb angle", level, value, sd, "deg", "keyhole", method, (SUPINE,), shapes=shapes)


def scoliosis(found: Measurement) -> Grade | None:
    """Probability that a Cobb angle is that of a scoliosis."""
    if found.value is None or found.sd is None:
        return None
    note = (
        "scoliosis is defined on standing radiographs; Cobb angles are 7 to 10 deg smaller lying down "
        "[supine-cobb]: a curve just below the limit may be one"
    )
    chances = probabilities(found.value, found.sd, (SCOLIOSIS,), ("none", "scoliosis"))
    return Grade(chances, "scoliosis-ten-degrees", (note,))
