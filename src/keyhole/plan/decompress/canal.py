"""The canal at a level before the operation: its planes, its measures, and room for what is worked out once."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.canal.section import CanalPlane, canal_plane, lumen, section
from keyhole.assessment.canal.size import FREE, PLACE_SD, Doubt, canal_area
from keyhole.assessment.disc.heights import mid_plane
from keyhole.assessment.model import Measurement
from keyhole.geometry import Grid, LabelMap, Points, Volume
from keyhole.plan.decompress.measured import Measures, again, measures, reaches
from keyhole.plan.site import Mask, Site
from keyhole.terms import belongs, in_key

PIXEL = 0.5
"""Sampling of the planes, mm [keyhole-choice]."""

HALF = 20.0
"""Half side of a plane, mm: as `assess` has it."""

APART = 2.0
"""Largest distance of the planes on which the goal is to be reached, mm; twice the voxel's side where that is less, so
that every voxel bears on one [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Canal:
    """The free canal at a level before anything is removed.

    `anatomy` holds the labels around the level alone, `whole` is the grid of all of them. `area` and its `sd`, mm²,
    are those that `assess` reports; `made` keeps what several corridors share.
    """

    site: Site
    anatomy: Anatomy
    at: CanalPlane
    doubt: Doubt
    area: float
    sd: float
    before: Measures
    whole: Grid
    made: dict[Any, Any] = field(default_factory=dict)


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
    core = site.core
    near = replace(anatomy, labels=core.labels)
    area = canal_area(site.frame.level, core.labels, at, doubt)
    if area.value is None or area.sd is None:
        return None
    before = measures(near, site.frame.level, area)
    return Canal(core, near, at, doubt, area.value, area.sd, before, anatomy.labels.grid)


def apart(found: Canal) -> float:
    """Distance of the planes on which a goal is to be reached, mm."""
    return min(APART, 2 * float(found.site.labels.grid.spacing.min()))


@dataclass(frozen=True, slots=True, eq=False)
class Planes:
    """The planes on which a goal is to be reached: how far along the canal, mm, and the area on each, mm².

    `weight` (s, voxels of the part) is how much a voxel adds to each plane's area if it becomes canal, mm²: areas are
    sums of trilinear shares, so they are linear in the voxels.
    """

    shifts: Points
    areas: Points
    weight: NDArray[np.float32]


def planes(found: Canal, length: float) -> Planes:
    """The planes within `length` mm of the disc-level one; kept in `found.made`."""
    key = ("planes", length)
    if key not in found.made:
        step = apart(found)
        n = int(length / step + 1e-9)
        shifts: Points = step * np.arange(-n, n + 1, dtype=np.float64)
        bare = Planes(shifts, np.zeros(len(shifts)), np.zeros((0, 0), dtype=np.float32))
        weight = np.stack([_weights(found, float(s)) for s in shifts])
        found.made[key] = Planes(shifts, plane_areas(found, found.site.labels, bare), weight)
    made: Planes = found.made[key]
    return made


def plane_areas(found: Canal, labels: LabelMap, on: Planes) -> Points:
    """The area on each plane, mm², if the labels were `labels`."""
    of = lumen(labels, found.at.plane.point[None], FREE)
    cuts = [section(of, found.at, float(shift), PIXEL) if of is not None else None for shift in on.shifts]
    return np.array([0.0 if one is None else one.area for one in cuts])


def _weights(found: Canal, shift: float) -> NDArray[np.float32]:
    """Area that each voxel adds to the plane moved by `shift` mm, flattened, mm²."""
    ticks = np.arange(-HALF, HALF + PIXEL / 2, PIXEL)
    start = found.at.plane.point + shift * found.at.plane.normal
    flat = start + ticks[:, None, None] * found.at.left + ticks[None, :, None] * found.at.back
    shape = np.array(found.site.labels.array.shape)
    index = found.site.labels.grid.index(flat.reshape(-1, 3))
    low = np.floor(index).astype(np.int64)
    part = index - low
    total = np.zeros(int(shape.prod()))
    for corner in np.ndindex(2, 2, 2):
        at = low + corner
        share = np.prod(np.where(corner, part, 1 - part), axis=1)
        inside = ((at >= 0) & (at < shape)).all(axis=1)
        rows = np.ravel_multi_index(tuple(at[inside].T), tuple(shape))
        total += np.bincount(rows, share[inside], minlength=len(total))
    return np.round(total * PIXEL**2, 6).astype(np.float32)


def mask_of(found: Canal, *prefixes: str) -> Mask:
    """Voxels at or below any of `prefixes`; kept in `found.made`."""
    key = ("mask", prefixes)
    if key not in found.made:
        found.made[key] = found.site.mask(*prefixes)
    made: Mask = found.made[key]
    return made


def fragment_mask(found: Canal) -> Mask:
    """The herniated fragment of the level."""
    return mask_of(found, f"disc/{in_key(found.site.frame.level)}/herniation")


def free_distance(found: Canal, *, without_fragment: bool) -> Volume:
    """Distance of every voxel from the free canal, mm; the fragment counts as gone where `without_fragment`."""
    key = ("distance", without_fragment)
    if key not in found.made:
        free = mask_of(found, *FREE)
        found.made[key] = found.site.field(free | fragment_mask(found) if without_fragment else free)
    made: Volume = found.made[key]
    return made


def connected(mask: Mask, seed: Mask) -> Mask:
    """The part of `mask` that hangs together with `seed` over faces, edges or corners."""
    parts, n = ndimage.label(mask | seed, structure=np.ones((3, 3, 3)))
    kept = np.zeros(n + 1, dtype=np.bool_)
    kept[np.unique(parts[seed])] = True
    kept[0] = False
    return np.asarray(kept[parts] & mask)


def after_removal(found: Canal, labels: LabelMap, mask: Mask, *, with_bone: bool = True) -> Measures:
    """The measures on `labels`, after `mask` was taken; without those of bone where they are not asked for."""
    level = found.site.frame.level
    area = _area_after(found, labels)
    if not with_bone:
        return Measures(area, {}, {}, {})
    near = replace(found.anatomy, labels=labels)
    if "reaches" not in found.made:
        found.made["reaches"] = reaches(found.anatomy, level)
    index = np.argwhere(mask)
    firm = mask_of(found, "vertebra", "sacrum", "disc")[tuple(index.T)]
    return again(near, level, (area, found.before, found.made["reaches"]), labels.grid.centres(index[firm]))


def _area_after(found: Canal, labels: LabelMap) -> Measurement:
    """The area on the disc-level plane of `labels`; its sd grows with the outline, as the root of the area does."""
    of = lumen(labels, found.at.plane.point[None], FREE)
    cut = None if of is None else section(of, found.at)
    value = 0.0 if cut is None else cut.area
    grown = float(np.sqrt(max(value / found.area, 1.0)))
    return replace(found.before.area, value=value, sd=found.sd * grown, shapes=())
