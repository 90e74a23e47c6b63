"""Height of a disc."""

from __future__ import annotations

import numpy as np

from keyhole.anatomy.model import Endplate
from keyhole.assessment.model import Measurement
from keyhole.geometry import Plane, Points, unit


def mid_plane(upper: Endplate, lower: Endplate) -> Plane:
    """The disc's middle plane: through the mean of both endplates' centres, across the mean of both normals."""
    return Plane((upper.centre + lower.centre) / 2, unit(upper.plane.normal + lower.plane.normal))


def disc_height(level: str, upper: Endplate, lower: Endplate) -> Measurement:
    """Distance between the facing endplate planes along the disc's axis, mm, at the disc's centre.

    The sd takes the two planes' heights as independent, and their tilt over the distance from the plane's own
    middle to the disc's centre.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    """
    middle = mid_plane(upper, lower)
    height = _along(upper, middle) - _along(lower, middle)
    variance = sum(plate.sd**2 + _lever(plate, middle.point) ** 2 for plate in (upper, lower))
    method = "distance between the facing endplate planes along the disc's axis at its centre, from the bodies' labels"
    return Measurement("disc height", level, height, float(np.sqrt(variance)), "mm", "keyhole", method)


def _along(plate: Endplate, middle: Plane) -> float:
    """Where the disc's axis meets the plate's plane, mm above the disc's centre."""
    return float((plate.plane.point - middle.point) @ plate.plane.normal / (middle.normal @ plate.plane.normal))


def _lever(plate: Endplate, centre: Points) -> float:
    """Sd of the plane's height at `centre` that its tilt brings, mm."""
    return float(np.linalg.norm(plate.plane.foot(centre) - plate.plane.point) * np.radians(plate.tilt_sd))
