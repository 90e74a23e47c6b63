"""The open operation on the same anatomy: a midline exposure, its burden and the bone it removes for the same goal."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from keyhole.geometry import Points
from keyhole.plan.approaches import Approach
from keyhole.plan.site import EPIDURAL, Mask, Site, facet_keys
from keyhole.plan.targets import FAR, behind, where
from keyhole.terms import SIDES, split

BASES = 8.0
"""Screws need the bases of the transverse processes bare: this far beyond the facets, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What is laid open in the level's frame: from `left` to `right` laterally, `half` mm up and down from the disc.

    Lateral runs toward the side that is operated on.
    """

    left: float
    right: float
    half: float

    def gap(self, local: Points) -> Points:
        """Distance of `local` points (n, 3) from what is laid open, seen from behind, mm, negative inside.

        Depth does not count: the exposure ends on bone, wherever that lies.
        """
        middle, reach = (self.left + self.right) / 2, (self.right - self.left) / 2
        over = np.stack([np.abs(local[:, 0] - middle) - reach, np.abs(local[:, 2]) - self.half], axis=1)
        outside = np.linalg.norm(np.maximum(over, 0.0), axis=1)
        return np.asarray(np.where(outside > 0, outside, over.max(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """Voxels between skin and arch that are opened, the incision's length and half the width, mm, and landmarks."""

    site: Site
    mask: Mask
    incision: float
    half_width: float
    entry: Points
    dock: Points
    caveats: tuple[str, ...]
    extent: Extent


def _span(site: Site, mask: Mask) -> tuple[Points, Points] | None:
    """Least and greatest (lateral, posterior, up) of `mask`, its outermost 1 % left out."""
    index = np.argwhere(mask)
    if not len(index):
        return None
    local = site.local(index)
    return np.percentile(local, 1, axis=0), np.percentile(local, 99, axis=0)


def _width(site: Site) -> tuple[float, float, tuple[str, ...]]:
    """Lateral borders (least, greatest) of the facets of the level, mm; 22 mm where they are not labelled."""
    keys = [key for side in SIDES for key in facet_keys(site, side)]
    span = _span(site, where(site, site.mask(*keys), (-40.0, -FAR, -FAR), (40.0, FAR, FAR)))
    if span is None:
        return -22.0, 22.0, ("no facets are labelled: the open exposure is taken 22 mm to each side",)
    return float(span[0][0]), float(span[1][0]), ()


def _floor(site: Site) -> float:
    """Back of the canal on the posterior axis, mm: the floor of the exposure."""
    canal = where(site, site.mask("canal"), (-FAR, -FAR, -15.0), (FAR, FAR, 15.0))
    span = _span(site, canal) if canal.any() else None
    return site.frame.border + 12.0 if span is None else float(span[1][1])


@dataclass(frozen=True, slots=True, eq=False)
class _Ground:
    """What every exposure of a site shares: the part behind the disc, borders, floor, spines, skin, and masks."""

    site: Site
    borders: tuple[float, float]
    floor: float
    tips: tuple[float, ...]
    skin: float
    soft: Mask
    arch: Mask
    caveats: tuple[str, ...]


@lru_cache(maxsize=2)
def _ground(site: Site) -> _Ground:
    """Kept for the last two sites, since every open comparator asks for it."""
    part = site.part((-60.0, -10.0, -60.0), (60.0, FAR, 60.0))
    upper, lower = split(part.frame.level)
    left, right, caveats = _width(part)
    floor = _floor(part)
    spines = [_span(part, part.mask(f"vertebra/{v}/spinous")) for v in (upper, lower)]
    tips = tuple(float(s[i][2]) for s, i in zip(spines, (1, 0), strict=True) if s is not None)
    middle = np.argwhere(where(part, part.labels.array > 0, (-3.0, floor, -3.0), (3.0, FAR, 3.0)))
    skin = float(part.local(middle)[:, 1].max()) if len(middle) else floor + 50.0
    bone = part.mask("vertebra", "sacrum", "tissue/bone", "pelvis", "rib")
    soft = (part.labels.array > 0) & ~bone & ~part.mask("canal", EPIDURAL, "root")
    arch = part.mask(f"vertebra/{upper}", f"vertebra/{lower}", "sacrum")
    return _Ground(part, (left, right), floor, tips, skin, soft, arch, caveats)


def exposure(site: Site, approach: Approach) -> Exposure:
    """The midline exposure of the level.

    Incision from spinous process to spinous process, where only one side is exposed over the exposed length; muscle
    stripped and retracted from the midline to the lateral border of the facets, over `approach.exposure` mm above and
    below the disc, from the skin down to the back of the arch. Everything between is opened, on both sides or on the
    operated one; bone in it is not counted here.
    """
    ground = _ground(site)
    part, caveats = ground.site, ground.caveats
    one_sided = approach.exposes == "one side"
    beyond = BASES if "screws" in approach.implants else 0.0
    left, right = (0.0 if one_sided else ground.borders[0] - beyond), ground.borders[1] + beyond
    extent = Extent(left, right, approach.exposure)
    low, high = (left, ground.floor, -extent.half), (right, FAR, extent.half)
    near = (left - 2.0, ground.floor, low[2] - 2.0), (right + 2.0, FAR, high[2] + 2.0)
    opened = behind(part, where(part, ground.soft, low, high), where(part, ground.arch, *near), 0.0)
    length = 2.0 * approach.exposure
    if not one_sided and len(ground.tips) == 2:
        length = max(length, abs(ground.tips[0] - ground.tips[1]))
    if not one_sided and len(ground.tips) < 2:
        caveats += ("spinous processes are not labelled apart: the incision is the exposed length",)
    entry, dock = site.frame.patient([0.0, ground.skin, 0.0]), site.frame.patient([0.0, ground.floor, 0.0])
    return Exposure(part, opened, length, (right - left) / 2, entry, dock, caveats, extent)
