"""Cross-section and volume of the muscles beside the spine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.boxes import union_box
from keyhole.anatomy.endplates import CORRELATION
from keyhole.anatomy.model import Vertebra
from keyhole.assessment.disc.heights import mid_plane
from keyhole.assessment.outline import ROUNDING, area_sd
from keyhole.geometry import Box, Grid, LabelMap, Plane, Points, unit

KEYS = {
    "psoas": "muscle/psoas/{side}",
    "paraspinal": "muscle/paraspinal/{side}",
    "multifidus": "muscle/paraspinal/{side}/multifidus",
}
"""Muscle -> key; the paraspinal muscles are erector spinae, multifidus and what a tool calls autochthonous."""

PIXEL = 0.5
"""Side of a pixel of a section, mm [keyhole-choice]."""

OUTLINE, SURFACE = 0.65, 0.75
"""How the error of an outline comes through in an area, and that of a surface in a volume: from phantoms as readers
draw them, benchmarks/accuracy.py [keyhole-choice]."""

PLACE_SD = 0.25
"""Sd of where a plane lies along the muscle, mm, besides what the endplates say that it is laid by [keyhole-choice]."""

_EDGE = 1.5  # voxels from the scan's edge in which a muscle counts as cut


@dataclass(frozen=True, eq=False)
class Muscle:
    """One labelled muscle: `mask` on its crop `grid`, where it touches the scan's edge, its boundary's sd, mm."""

    mask: NDArray[np.bool_]
    grid: Grid
    scan: Grid
    voxel: float
    boundary_sd: float

    @cached_property
    def index(self) -> NDArray[np.int64]:
        """Its voxels (n, 3) in the crop."""
        return np.argwhere(self.mask)

    @cached_property
    def points(self) -> Points:
        """Their centres (n, 3), LPS mm."""
        return self.grid.centres(self.index)

    def height(self, plane: Plane) -> NDArray[np.float64]:
        """Signed distance of its voxels from `plane`, mm."""
        return np.asarray(self.points @ plane.normal - plane.point @ plane.normal)

    @cached_property
    def is_edge(self) -> NDArray[np.bool_]:
        """Whether each of them lies at the edge of the scan."""
        first = np.rint(self.scan.index(self.grid.centres(np.zeros(3)))).astype(np.int64)
        last = np.array(self.scan.shape) - 1 - first
        return np.asarray(((self.index < _EDGE - first) | (self.index > last - _EDGE)).any(axis=1))


def muscle(labels: LabelMap, boxes: Mapping[str, Box], key: str, boundary_sd: float) -> Muscle | None:
    """The muscle `key` with everything below it; None where nothing is labelled."""
    box = union_box(boxes, key)
    if box is None:
        return None
    crop = labels.crop(box)
    found = Muscle(crop.mask(key), crop.grid, labels.grid, float(labels.drawn_grid.spacing.max()), boundary_sd)
    return found if len(found.index) else None


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """A plane across the spine, its normal cranial; sd of its height at its middle, mm, and of its tilt, deg."""

    plane: Plane
    sd: float = 0.0
    tilt_sd: float = 0.0

    def place_sd(self, at: Points) -> float:
        """Sd of the plane's height, mm, at the place `at` (3,): the tilt has a long lever there."""
        away = at - self.plane.point
        lever = float(np.linalg.norm(away - (away @ self.plane.normal) * self.plane.normal))
        return float(np.sqrt(PLACE_SD**2 + self.sd**2 + (lever * np.radians(self.tilt_sd)) ** 2))


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A section of a muscle: area, mm², its sd, and its outline (n, 3), LPS mm."""

    area: float
    sd: float
    outline: Points


def section(found: Muscle, level: End, left: Points) -> Cut | str:
    """The section of a muscle by the plane of `level`, or why there is none.

    The label's indicator is interpolated between voxel centres and the shares of all pixels are summed. The sd joins
    the boundary's error, alike over 10 mm of the outline, rounding to voxels, and where the plane lies.

    Parameters
    ----------
    left : roughly the patient's left, (3,).
    """
    plane = level.plane
    near = np.abs(found.height(plane)) <= 1.5 * float(found.grid.spacing.max())
    if not near.any():
        return "it does not reach this level"
    if found.is_edge[near].any():
        return "it is cut by the field of view at this level"
    across = unit(left - (left @ plane.normal) * plane.normal)
    back = np.cross(plane.normal, across)
    flat = (found.points[near] - plane.point) @ np.stack([across, back], axis=1)
    low = flat.min(axis=0) - 3.0
    ticks = [np.arange(low[a], flat[:, a].max() + 3.0, PIXEL) for a in range(2)]
    grid = plane.point + ticks[0][:, None, None] * across + ticks[1][None, :, None] * back
    index = found.grid.index(grid)
    step = found.grid.index(plane.point + plane.normal) - found.grid.index(plane.point)
    shares = [_share(found, index + shift * step) for shift in (0.0, 1.0, -1.0)]
    areas = [float(share.sum()) * PIXEL**2 for share in shares]
    if not areas[0] > 0:
        return "it does not reach this level"
    edge = _outline(shares[0])
    if edge is None:
        return "it does not reach this level"
    ring = low + edge * PIXEL
    place = (areas[1] - areas[2]) / 2 * level.place_sd(found.points[near].mean(axis=0))
    sd = float(np.hypot(area_sd(ring, OUTLINE * found.boundary_sd, found.voxel), place))
    return Cut(areas[0], sd, plane.point + ring[:, :1] * across + ring[:, 1:] * back)


def _share(found: Muscle, index: Points) -> NDArray[np.float64]:
    """Share of the muscle at voxel indices (n, m, 3)."""
    low = np.maximum(np.floor(index.min(axis=(0, 1))).astype(int) - 1, 0)
    high = np.minimum(np.ceil(index.max(axis=(0, 1))).astype(int) + 2, found.mask.shape)
    if not (high > low).all():
        return np.zeros(index.shape[:2])
    part = found.mask[tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))].astype(np.float32)
    share = ndimage.map_coordinates(part, np.moveaxis(index - low, -1, 0), order=1, mode="constant", cval=0.0)
    return np.asarray(share, dtype=np.float64)


def _outline(share: NDArray[np.float64]) -> Points | None:
    """The longest line at one half of `share`, in pixels; None without one."""
    from skimage.measure import find_contours  # noqa: PLC0415  (heavy import)

    lines = find_contours(np.pad(share, 1), 0.5)
    return np.asarray(max(lines, key=len) - 1.0) if lines else None


@dataclass(frozen=True, slots=True, eq=False)
class Slab:
    """What belongs to a level: everything below `upper` and above `lower`."""

    upper: End
    lower: End


def middle_of(vertebra: Vertebra) -> End | None:
    """The plane through the middle of the body, or the superior endplate of S1; None where it is cut."""
    top, bottom = vertebra.superior, vertebra.inferior
    if top is None:
        return None
    if vertebra.name == "S1":
        return End(top.plane, top.sd, top.tilt_sd)
    if bottom is None:
        return None
    sd, tilt_sd = np.hypot([top.sd, top.tilt_sd], [bottom.sd, bottom.tilt_sd]) / 2
    return End(Plane((top.centre + bottom.centre) / 2, vertebra.up), float(sd), float(tilt_sd))


def disc_plane(upper: Vertebra, lower: Vertebra) -> End | None:
    """The middle plane of the disc between two vertebrae; None where an endplate is cut."""
    top, bottom = upper.inferior, lower.superior
    if top is None or bottom is None:
        return None
    sd, tilt_sd = np.hypot([top.sd, top.tilt_sd], [bottom.sd, bottom.tilt_sd]) / 2
    return End(mid_plane(top, bottom), float(sd), float(tilt_sd))


def volume(found: Muscle, slab: Slab) -> tuple[float, float] | str:
    """Volume of a muscle in `slab`, mL, and its sd; or why there is none.

    Voxels that a plane crosses count with their share. The sd joins the boundary's error over the muscle's surface,
    alike over 10 mm, and where both planes lie: the muscle is far behind the bodies that say so.
    """
    step = float(np.cbrt(found.grid.voxel_volume))
    above = np.clip(0.5 - found.height(slab.upper.plane) / step, 0.0, 1.0)
    below = np.clip(0.5 + found.height(slab.lower.plane) / step, 0.0, 1.0)
    share = np.minimum(above, below)
    held = share > 0
    if not held.any():
        return "it does not reach this level"
    if found.is_edge[held].any():
        return "it is cut by the field of view at this level"
    total = float(share.sum()) * found.grid.voxel_volume
    if not total > 50.0:
        return "it does not reach this level"
    middle = found.points[held].mean(axis=0)
    length = max(float(slab.lower.plane.height(middle) - slab.upper.plane.height(middle)), 5.0)
    area = total / length
    around = 1.25 * 2 * np.sqrt(np.pi * area)  # a muscle's outline is longer than a circle's
    alike = min(1.0, np.sqrt(2 * np.pi) * CORRELATION / around) * min(1.0, np.sqrt(2 * np.pi) * CORRELATION / length)
    surface = SURFACE * found.boundary_sd * around * length * np.sqrt(alike)
    above_sd, below_sd = (end.place_sd(middle) for end in (slab.upper, slab.lower))
    ends = area * np.hypot(above_sd, below_sd)
    rounding = ROUNDING * found.voxel * np.sqrt(around * length) * found.voxel
    return total / 1000.0, float(np.sqrt(surface**2 + ends**2 + rounding**2)) / 1000.0
