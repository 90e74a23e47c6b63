"""The exact size of a phantom's canal on a plane across its line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Plane, Points

PIXEL = 0.2  # mm, of the cut through the canal
CHORD = 10.0  # mm, half length of the chord that gives the canal plane's normal

FREE = ("canal/dural_sac", "canal/epidural")


def canal_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Area and diameter of the free canal, and the sac's area, at every level."""
    for level in plates.levels:
        roof, floor = plates.facing(level)
        middle = Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)
        cut = canal(body, middle)
        yield true("canal area", level, cut.area, "mm2")
        yield true("canal AP diameter", level, cut.diameter, "mm")
        yield true("dural sac area", level, cut.sac, "mm2")


@dataclass(frozen=True, slots=True)
class TrueCanal:
    """Areas, mm², and midsagittal diameter, mm, of the free canal on one canal plane."""

    area: float
    diameter: float
    sac: float


def canal(body: Phantom, middle: Plane) -> TrueCanal:
    """The cut through the canal across its line, where the line meets the disc's `middle` plane."""
    spine = body.spine
    line = np.column_stack([np.zeros(len(spine.line)), spine.line])
    near = np.linalg.norm(line - middle.point, axis=1) < 45.0
    s = float(np.interp(0.0, -middle.height(line[near]), spine.arc[near]))
    normal = spine.point(s - CHORD) - spine.point(s + CHORD)
    normal /= np.linalg.norm(normal)
    left = np.array([1.0, 0.0, 0.0])
    back = np.cross(normal, left)
    ticks, deep = np.arange(-18.0, 18.0 + PIXEL / 2, PIXEL), np.arange(-14.0, 14.0 + PIXEL / 2, PIXEL)
    points = spine.point(s) + ticks[:, None, None] * left + deep[None, :, None] * back
    labels = body.labels_at(points.reshape(-1, 3)).reshape(len(ticks), len(deep))
    free = np.isin(labels, [n for n, key in body.structures.items() if key in FREE])
    sac = labels == next(n for n, key in body.structures.items() if key == "canal/dural_sac")
    areas = [float(_part(mask).sum()) * PIXEL**2 for mask in (free, sac)]
    return TrueCanal(areas[0], _chord(free, ticks), areas[1])


def _part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected part nearest to the middle of the cut."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    parts, n = parts_of(mask)
    if n == 0:
        return mask
    where = np.argwhere(mask)
    nearest = where[np.linalg.norm(where - np.array(mask.shape) / 2, axis=1).argmin()]
    return np.asarray(parts == parts[tuple(nearest)])


def _chord(free: NDArray[np.bool_], ticks: Points) -> float:
    """Longest run in the midsagittal plane, mean over 1 mm to both sides, mm."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    runs = []
    for column in _part(free)[np.abs(ticks) <= 1.0]:
        parts, n = parts_of(column)
        runs.append(np.bincount(parts)[1:].max() if n else 0)
    return float(np.mean(runs) * PIXEL)
