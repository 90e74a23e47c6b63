"""Heights, wedge and volume of a disc."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.endplates import CORRELATION
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.model import SUPINE, Measurement, Shape
from keyhole.geometry import Grid, LabelMap, Plane, Points, bounding_box, unit
from keyhole.terms import in_key

SWELLS = 0.7
"""Part of an outline's error, as an sd, that makes it larger or smaller; the rest moves it as a whole and leaves its
volume, from simulated readers [keyhole-choice]."""

_SURFACE = 600  # points of a disc's surface among which boundary errors are compared

CLOSED = 0.004
"""Share of a disc that the closing of the gaps between labels gives or takes; from phantoms [keyhole-choice]."""

APART = 1.1
"""How much less sure the mean of three heights over a depth is than its parts say: from phantoms as readers draw them,
benchmarks/accuracy.py [keyhole-choice]."""


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
    method = "distance between the facing endplate planes along the disc's axis at its centre, from the bodies' labels"
    at = mid_plane(upper, lower).point
    return _height("disc height", level, (upper, lower), at, method)


def anterior_disc_height(level: str, upper: Endplate, lower: Endplate, corner_sd: float) -> Measurement:
    """Distance between the facing endplate planes along the disc's axis, mm, midway between the anterior corners.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    corner_sd : sd of a corner along its endplate, mm.
    """
    method = "distance between the facing endplate planes along the disc's axis, midway between their anterior corners"
    at = (upper.anterior + lower.anterior) / 2
    return _height("anterior disc height", level, (upper, lower), at, method, corner_sd)


def posterior_disc_height(level: str, upper: Endplate, lower: Endplate, corner_sd: float) -> Measurement:
    """Distance between the facing endplate planes along the disc's axis, mm, midway between the posterior corners.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    corner_sd : sd of a corner along its endplate, mm.
    """
    method = "distance between the facing endplate planes along the disc's axis, midway between their posterior corners"
    at = (upper.posterior + lower.posterior) / 2
    return _height("posterior disc height", level, (upper, lower), at, method, corner_sd)


def disc_height_index(level: str, upper: Endplate, lower: Endplate, corner_sd: float) -> Measurement:
    """Mean of anterior, middle and posterior disc height / mean depth of the two facing endplates, 1.

    Keyhole's own definition: several are in use. Others divide by the heights of the bodies beside the disc
    [spinebase-dhi], which a fracture changes and S1 does not have, or by the depth of the upper vertebra.

    Parameters
    ----------
    upper : inferior endplate of the upper vertebra.
    lower : superior endplate of the lower vertebra.
    corner_sd : sd of a corner along its endplate, mm.
    """
    middle = mid_plane(upper, lower)
    places = np.stack([(upper.anterior + lower.anterior) / 2, middle.point, (upper.posterior + lower.posterior) / 2])
    ends = [_ends(upper, lower, at, middle.normal) for at in places]
    mean = float(np.mean([np.linalg.norm(a - b) for a, b in ends]))
    depth = (upper.depth + lower.depth) / 2
    index = mean / depth
    sd = APART * float(np.hypot(_height_sd(upper, lower, places.mean(axis=0)), index * corner_sd)) / depth
    method = (
        f"mean of anterior, middle and posterior disc height ({mean:.1f} mm) / mean depth of the two facing endplates "
        f"({depth:.1f} mm): Keyhole's definition; several others are in use"
    )
    shapes = tuple(Shape(np.stack(pair)) for pair in ends)
    return Measurement("disc height index", level, index, sd, "1", "keyhole", method, shapes=shapes)


def disc_wedge_angle(level: str, frame: Vertebra, upper: Endplate, lower: Endplate) -> Measurement:
    """Angle between the two endplates that face the disc, deg, in the upper vertebra's midsagittal plane.

    A disc that is higher in front, as in lordosis, is positive.

    Parameters
    ----------
    frame : the upper vertebra.
    upper : its inferior endplate.
    lower : superior endplate of the lower vertebra.
    """
    leans = [
        np.degrees(np.arctan2(p.plane.normal @ frame.posterior, p.plane.normal @ frame.up)) for p in (upper, lower)
    ]
    sd = float(np.hypot(upper.tilt_sd, lower.tilt_sd))
    method = (
        "angle between the facing endplate planes in the upper vertebra's midsagittal plane; wider in front is positive"
    )
    shapes = tuple(Shape(np.stack([plate.anterior, plate.posterior])) for plate in (upper, lower))
    value = float(leans[0] - leans[1])
    return Measurement("disc wedge angle", level, value, sd, "deg", "keyhole", method, (SUPINE,), shapes=shapes)


def disc_volume(level: str, labels: LabelMap, sd: float) -> Measurement | None:
    """Volume of the disc with all its parts, a herniation included, mL; None where it has no voxels.

    Voxels are counted. The sd is that of a surface that lies off by `sd` mm, alike over 10 mm: the shifts of all pairs
    of surface points are added up; and that of rounding to voxels.

    Parameters
    ----------
    sd : sd of the label's boundary, mm.
    """
    key = f"disc/{in_key(level)}"
    box = bounding_box(labels.mask(key), 2)
    if box is None:
        return None
    mask, grid = labels.mask(key, box=box), labels.grid.crop(box)
    volume = float(np.count_nonzero(mask)) * grid.voxel_volume
    spread = float(np.hypot(surface_sd(mask, grid, sd), CLOSED * volume))
    method = "voxels of the disc's label with all its parts, a herniation included"
    return Measurement("disc volume", level, volume / 1000, spread / 1000, "mL", "keyhole", method)


def surface_sd(mask: NDArray[np.bool_], grid: Grid, sd: float) -> float:
    """Sd of the volume of `mask`, mm³, for a surface that lies off by `sd` mm and alike over `CORRELATION` mm.

    Parameters
    ----------
    mask : with an empty voxel around it inside its `grid`.
    """
    rim = np.argwhere(mask & ~ndimage.binary_erosion(mask))
    if not len(rim):
        return 0.0
    area = _area(mask, grid)
    some = grid.centres(rim[:: max(1, len(rim) // _SURFACE)])
    squared = ((some[:, None] - some[None]) ** 2).sum(axis=-1)
    alike = float(np.exp(-squared / (2 * CORRELATION**2)).mean())
    voxel = grid.voxel_volume ** (1 / 3)
    rounding = float(np.sqrt(area) * voxel**2 / np.sqrt(12.0))
    return float(np.hypot(SWELLS * sd * area * np.sqrt(alike), rounding))


def _area(mask: NDArray[np.bool_], grid: Grid) -> float:
    """Area of the surface of `mask`, mm²: the integral of the gradient of the anti-aliased mask."""
    share = ndimage.gaussian_filter(np.pad(mask, 4).astype(np.float32), 1.0)
    slopes = np.stack(np.gradient(share))
    inverse = grid.patient_from_index.inverse.matrix[:3, :3]
    return float(np.linalg.norm(np.tensordot(inverse.T, slopes, axes=1), axis=0).sum() * grid.voxel_volume)


def _height(
    name: str, level: str, plates: tuple[Endplate, Endplate], at: Points, method: str, corner_sd: float = 0.0
) -> Measurement:
    """The height at the place `at` (3,), which is the mean of two corners of `corner_sd` mm along the endplates."""
    upper, lower = plates
    normal = mid_plane(upper, lower).normal
    ends = _ends(upper, lower, at, normal)
    height = float((ends[0] - ends[1]) @ normal)
    slope = float(np.linalg.norm(upper.plane.normal - lower.plane.normal))
    sd = float(np.hypot(_height_sd(upper, lower, at), slope * corner_sd / np.sqrt(2.0)))
    return Measurement(name, level, height, sd, "mm", "keyhole", method, shapes=(Shape(np.stack(ends)),))


def _height_sd(upper: Endplate, lower: Endplate, at: Points) -> float:
    """Sd of the distance between two planes at the place `at`, mm: their heights', and their tilts' over the lever."""
    variance = sum(plate.sd**2 + _lever(plate, at) ** 2 for plate in (upper, lower))
    return float(np.sqrt(variance))


def _ends(upper: Endplate, lower: Endplate, at: Points, normal: Points) -> tuple[Points, Points]:
    """Where the line through `at` along `normal` meets the upper and the lower plane."""
    first, second = (
        at + float((plate.plane.point - at) @ plate.plane.normal / (normal @ plate.plane.normal)) * normal
        for plate in (upper, lower)
    )
    return first, second


def _lever(plate: Endplate, centre: Points) -> float:
    """Sd of the plane's height at `centre` that its tilt brings, mm."""
    return float(np.linalg.norm(plate.plane.foot(centre) - plate.plane.point) * np.radians(plate.tilt_sd))
