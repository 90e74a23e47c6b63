"""The least removal inside the reach that widens the canal to the goal, on the canal plane of docs/measures.md."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.canal.section import canal_plane
from keyhole.assessment.canal.size import FREE, PLACE_SD, Doubt, canal_area
from keyhole.assessment.disc.heights import mid_plane
from keyhole.casefile import Decompression, Quantity
from keyhole.geometry import Plane, Points, Volume
from keyhole.plan.approaches import Approach
from keyhole.plan.corridor import gaps
from keyhole.plan.site import Mask, Site, facet_shares
from keyhole.terms import belongs, in_key, tissue

GAIN = 0.5
"""A decompression is substantial if the area grows by half or more [nordsten-area, measured there on the dural sac]."""

SLAB = 10.0
"""The canal is widened over this length to either side of the disc-level plane, mm [keyhole-choice]."""

STEP = 0.5
"""Sampling of the plane, mm."""


@dataclass(frozen=True, slots=True, eq=False)
class Widening:
    """The plane's area before and after, mm², what is taken away (`mask`; mL by kind) and % of each facet."""

    before: float
    after: float
    goal: float
    removed: dict[str, float]
    facet: dict[str, float]
    mask: Mask


@dataclass(frozen=True, slots=True, eq=False)
class Canal:
    """The free canal near a level: its voxels, and the voxels (n, 3) of the samples on the disc-level canal plane.

    `area` and its `sd`, mm², are those that `assess` reports.
    """

    site: Site
    plane: Plane
    free: Mask
    samples: NDArray[np.int64]
    distance: Volume
    area: float
    sd: float


def canal(anatomy: Anatomy, site: Site) -> Canal | None:
    """The free canal at the level of `site`; None where its line, the endplates or its label do not reach it."""
    upper, lower = anatomy.pair(site.frame.level)
    if upper.inferior is None or lower.superior is None:
        return None
    at = canal_plane(anatomy.canal_line, mid_plane(upper.inferior, lower.superior), (upper, lower))
    if at is None:
        return None
    sd = max((s.sd for key, s in site.structures.items() if belongs(key, *FREE)), default=1.0)
    place = float(np.sqrt(PLACE_SD**2 + (upper.inferior.sd**2 + lower.superior.sd**2) / 4))
    doubt = Doubt(sd, float(site.labels.grid.spacing.max()), place)
    area = canal_area(site.frame.level, anatomy.labels, at, doubt)
    if area.value is None or area.sd is None:
        return None
    site = site.core
    steps = np.arange(-25.0, 25.0 + STEP / 2, STEP)
    points = at.plane.point + steps[:, None, None] * at.left + steps[None, :, None] * at.back
    index = np.rint(site.labels.grid.index(points.reshape(-1, 3))).astype(np.int64)
    inside = ((index >= 0) & (index < site.labels.array.shape)).all(axis=1)
    free = site.mask(*FREE)
    return Canal(site, at.plane, free, index[inside], site.field(free), area.value, area.sd)


def removable(found: Canal, soft: tuple[str, ...]) -> Mask:
    """Fragment, flavum and bone that may be cut, within `SLAB` mm of the plane."""
    site = found.site
    key = in_key(site.frame.level)
    mask = site.mask(f"disc/{key}/herniation", f"canal/flavum/{key}", *(s for s in soft if s != "tissue/bone"))
    index = np.argwhere(mask)
    height = np.abs(found.plane.height(site.labels.grid.centres(index)))
    kept = index[height <= SLAB]
    result = np.zeros(mask.shape, dtype=np.bool_)
    result[tuple(kept.T)] = True
    return result


def within_reach(
    site: Site, approach: Approach, mask: Mask, instrument: Volume, dock: Points, out: Points, radius: float
) -> Mask:
    """The part of `mask` that the instrument through the docked tube reaches in a straight, free line."""
    index = np.argwhere(mask)
    points = site.labels.grid.centres(index)
    way = points - dock
    deep = -(way @ out)
    aside = np.linalg.norm(way + deep[:, None] * out, axis=1)
    slack = max(radius - approach.instrument_radius, 0.0)
    ok = (deep >= -radius) & (np.linalg.norm(way, axis=1) <= approach.reach[1])
    ok &= aside <= slack + np.maximum(deep, 0.0) * np.tan(np.deg2rad(approach.angulation))
    index, points = index[ok], points[ok]
    result = np.zeros(mask.shape, dtype=np.bool_)
    if len(points):
        free = gaps(instrument, np.repeat(dock[None], len(points), axis=0), points, 0.01, floor=0.0, boxes=False) > 0.0
        result[tuple(index[free].T)] = True
    return result


def widen(found: Canal, take: Mask) -> Widening:
    """Grow the free canal into `take` by the least distance that reaches the goal; the fragment goes in any case."""
    site, rows = found.site, tuple(found.samples.T)
    cell = STEP**2
    before = found.area
    goal = before * (1 + GAIN)
    fragment = take & site.mask(f"disc/{in_key(site.frame.level)}/herniation")
    gained = float(fragment[rows].sum() * cell)
    rest = take & ~fragment
    near = np.sort(found.distance.array[rows][rest[rows]])
    wanted = int(np.ceil(max(goal - before - gained, 0.0) / cell - 1e-9))
    limit = 0.0 if not len(near) or wanted == 0 else float(near[min(wanted, len(near)) - 1])
    removed = fragment | (rest & (found.distance.array <= limit))
    after = before + float(removed[rows].sum() * cell)
    scale = site.labels.grid.voxel_volume / 1000
    labels, counts = np.unique(site.labels.array[removed], return_counts=True)
    volumes = {site.labels.structures[int(n)]: float(c) * scale for n, c in zip(labels, counts, strict=True)}
    by_kind: dict[str, float] = {}
    for key, volume in volumes.items():
        by_kind[tissue(key).value] = by_kind.get(tissue(key).value, 0.0) + volume
    return Widening(before, after, goal, by_kind, facet_shares(site, volumes), removed)


def decompression(found: Widening | None, sd: float, level: str) -> Decompression:
    """The record of a widening; values None with a caveat where the canal was not seen."""
    if found is None:
        why = (f"the canal is not labelled at {level}: its area is not known",)
        empty = Quantity(value=None, unit="mm2", source="keyhole-plan", caveats=why)
        return Decompression(canal_area_before=empty, canal_area_after=empty)
    taken = ", ".join(f"{k} {v:.2f} mL" for k, v in sorted(found.removed.items()) if v >= 0.005) or "nothing"
    share = ", ".join(f"{k} {v:.0f} %" for k, v in found.facet.items() if v >= 0.5) or "none of the facets"
    said = [f"simulated removal within the reach and {SLAB:.0f} mm of the plane: {taken}; facet: {share}"]
    if found.after < found.goal - 1e-6:
        said.append(f"short of the goal, {100 * GAIN:.0f} % more area: {found.goal:.0f} mm2")
    before = Quantity(value=round(found.before, 2), sd=round(sd, 2), unit="mm2", source="keyhole-plan")
    after = Quantity(
        value=round(found.after, 2), sd=round(sd, 2), unit="mm2", source="keyhole-plan", caveats=tuple(said)
    )
    return Decompression(canal_area_before=before, canal_area_after=after)
