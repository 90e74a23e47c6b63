"""The open operation on the same anatomy: a midline exposure, its burden and the bone it removes for the same goal."""

from __future__ import annotations

from dataclasses import dataclass

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


def exposure(site: Site, approach: Approach) -> Exposure:
    """The midline exposure of the level.

    Incision from spinous process to spinous process, where only one side is exposed over the exposed length; muscle
    stripped and retracted from the midline to the lateral border of the facets, over `approach.exposure` mm above and
    below the disc, from the skin down to the back of the arch. Everything between is opened, on both sides or on the
    operated one; bone in it is not counted here.
    """
    site = site.part((-60.0, -10.0, -60.0), (60.0, FAR, 60.0))
    upper, lower = split(site.frame.level)
    left, right, caveats = _width(site)
    beyond = BASES if "screws" in approach.implants else 0.0
    left, right = (0.0 if approach.exposes == "one side" else left - beyond), right + beyond
    floor = _floor(site)
    extent = Extent(left, right, approach.exposure)
    low, high = (left, floor, -extent.half), (right, FAR, extent.half)
    around = (left - 2.0, floor, low[2] - 2.0), (right + 2.0, FAR, high[2] + 2.0)
    bone = site.mask("vertebra", "sacrum", "tissue/bone", "pelvis", "rib")
    opened = where(site, (site.labels.array > 0) & ~bone & ~site.mask("canal", EPIDURAL, "root"), low, high)
    arch = where(site, site.mask(f"vertebra/{upper}", f"vertebra/{lower}", "sacrum"), *around)
    opened = behind(site, opened, arch, 0.0)
    spines = [_span(site, site.mask(f"vertebra/{v}/spinous")) for v in (upper, lower)]
    tips = [s[i][2] for s, i in zip(spines, (1, 0), strict=True) if s is not None]
    incision = float(abs(tips[0] - tips[1])) if len(tips) == 2 else 2.0 * approach.exposure
    if len(tips) < 2 and approach.exposes != "one side":
        caveats += ("spinous processes are not labelled apart: the incision is the exposed length",)
    one_sided = approach.exposes == "one side"
    incision = 2.0 * approach.exposure if one_sided else max(incision, 2.0 * approach.exposure)
    middle = np.argwhere(where(site, site.labels.array > 0, (-3.0, floor, -3.0), (3.0, FAR, 3.0)))
    skin = float(site.local(middle)[:, 1].max()) if len(middle) else floor + 50.0
    entry, dock = site.frame.patient([0.0, skin, 0.0]), site.frame.patient([0.0, floor, 0.0])
    return Exposure(site, opened, incision, (right - left) / 2, entry, dock, caveats, extent)
