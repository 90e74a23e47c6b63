"""The exact facet joints of a phantom."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.flank import LOWER, UPPER, Flank, Probe, bisected
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Points, unit

GAP = 4.0  # mm between facing surfaces
MIDLINE = 5.0  # mm: nearer to the midline is no facet
HALF = 12.0  # mm, half side of the field of columns
COLUMNS = (2.0, 1.0)  # mm between columns, while the normal is looked for and at the end
DEEP = 2.0  # mm between the first samples along a column


def facet_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Angle and area of every facet joint, and the tropism of every level."""
    for level in plates.levels:
        probe = Probe(body, level)
        angles = []
        for side in ("left", "right"):
            at = Flank(plates, level, "left" if side == "left" else "right", probe)
            angle, area = joint(at, body)
            angles.append(angle)
            yield true("facet angle", level, angle, "deg", at.side)
            yield true("facet joint area", level, area, "mm2", at.side)
        yield true("facet tropism", level, abs(angles[0] - angles[1]), "deg")


def joint(at: Flank, body: Phantom) -> tuple[float, float]:
    """Angle to the sagittal plane in the disc's plane, degrees, and area, mm², of the joint on the flank's side."""
    size, level = body.size.levels[at.level], at.level
    drawn = np.radians(size.facet_angles[0 if at.side == "left" else 1])
    normal = np.array([-np.cos(drawn), np.sin(drawn), 0.0])
    lower = body.size.vertebrae[level.split("/")[1]]
    place = body.spine.discs[level]
    centre = at.local(place.at(at.sign * size.facet_spread, lower.depth / 2 + 11.0, -2.0))
    for column in (COLUMNS[0], COLUMNS[0], COLUMNS[1]):
        middles = _middles(at, centre, normal, column)
        centre = middles.mean(axis=0)
        fitted = np.linalg.svd(middles - centre, full_matrices=False)[2][2]
        normal = fitted if fitted @ normal > 0 else -fitted
    return float(np.degrees(np.arctan2(normal[1], -normal[0]))), len(middles) * COLUMNS[1] ** 2


def _middles(at: Flank, centre: Points, normal: Points, column: float) -> Points:
    """Middles (n, 3) of the gap in every column along `normal` that belongs to the joint."""
    along = unit(np.cross(np.array([0.0, 0.0, 1.0]), normal))
    up = np.cross(normal, along)
    ticks = np.arange(-HALF, HALF + column / 2, column)
    flat = centre + ticks[:, None, None] * along + ticks[None, :, None] * up
    deep = np.arange(-6.0, 6.0 + DEEP / 2, DEEP)
    kind = at.kind(flat[:, :, None] + deep[:, None] * normal)
    start, stop = _nearest(kind, deep)
    held = np.argwhere(np.isfinite(start) & (flat[..., 0] > MIDLINE))
    base = flat[held[:, 0], held[:, 1]]
    below, above = start[tuple(held.T)], stop[tuple(held.T)]
    low = bisected(below, below + DEEP, lambda t: at.kind(base + t[:, None] * normal) == LOWER)
    high = bisected(above, above - DEEP, lambda t: at.kind(base + t[:, None] * normal) == UPPER)
    is_joint = np.zeros(start.shape, dtype=np.bool_)
    is_joint[tuple(held[high - low <= GAP].T)] = True
    main = _largest(is_joint)[tuple(held.T)]
    return np.asarray(base[main] + ((low + high) / 2)[main, None] * normal)


def _nearest(kind: NDArray[np.int64], deep: Points) -> tuple[Points, Points]:
    """Last sample of lower bone and first of upper bone of the gap nearest to each column's middle; nan without one."""
    start, stop = np.full(kind.shape[:2], np.nan), np.full(kind.shape[:2], np.nan)
    best = np.full(kind.shape[:2], np.inf)
    last = np.full(kind.shape[:2], np.nan)
    for n, t in enumerate(deep):
        enters = (kind[..., n] == UPPER) & (kind[..., max(n - 1, 0)] != UPPER)
        near = enters & (t - last <= GAP + 2 * DEEP) & (np.abs(t + last) / 2 < best)
        start, stop = np.where(near, last, start), np.where(near, t, stop)
        best = np.where(near, np.abs(t + last) / 2, best)
        last = np.where(kind[..., n] == LOWER, t, last)
    return start, stop


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    parts, n = parts_of(mask)
    return mask if n <= 1 else np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax())
