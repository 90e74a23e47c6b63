"""The lateral recess: between the back of the body and the articular processes, beside the top of the pedicle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.boxes import union_box
from keyhole.anatomy.model import Vertebra
from keyhole.assessment.canal.heights import BELOW_S1, Boxes
from keyhole.assessment.model import Measurement, Shape, unknown
from keyhole.geometry import Grid, LabelMap, Points

Side = Literal["left", "right"]

TOP, MIDDLE = 95.0, 50.0
"""Percentiles of the pedicle's heights that are its top and its middle [keyhole-choice]."""

S1_TOP = 3.0
"""Depth, mm, below S1's endplate that stands for the top of its pedicle, which is part of the ala [keyhole-choice]."""

NEAR = (2.0, 7.0)
"""Distance, mm, from the midline over which the body's back is taken to find the pedicle's wall [keyhole-choice]."""

FLOOR = (0.25, 0.8)
"""Share of the wall's distance from the midline over which the body's back is the floor [keyhole-choice]."""

WALL = (1.0, 6.0)
"""Distance, mm, behind the floor over which the pedicle's medial wall is taken [keyhole-choice]."""

BESIDE, ROOF = (0.5, 3.5), 6.0
"""Distance, mm, medial of the pedicle's wall over which the depth is the least, and the angle's [keyhole-choice]."""

DEEP = 12.0
"""mm: bone farther behind the floor is no roof; the recess counts as this deep there [keyhole-choice]."""

OPEN = 11.0
"""mm: a recess so deep that its depth may be `DEEP` itself is open; its depth is not known [keyhole-choice]."""

PIXEL = 0.25
"""mm between the samples of a column, and between the columns [keyhole-choice]."""

SLAB = (-1.0, -0.5, 0.0, 0.5, 1.0)
"""mm above the plane at which the columns are taken; their mean counts [keyhole-choice]."""

ROUNDING, PLACE_SD = 0.2, 0.35
"""Sd of the depth from rounding, voxels, and of where the columns stand, mm; from simulation [keyhole-choice]."""

TOP_ROUNDING = 0.5
"""Sd of the pedicle's top, voxels, besides the label's own [keyhole-choice]."""

WEDGE = 0.7
"""Share of what the height changes in a recess's mean depth that its angle shows: from phantoms as readers draw them,
benchmarks/accuracy.py [keyhole-choice]."""

MEAN = 0.8
"""What the mean over the recess feels of the error of one place in it; from phantoms as readers draw them
[keyhole-choice]."""

SPREAD = (-1.6, -0.8, 0.0, 0.8, 1.6)
"""Heights, sds of the pedicle's top, over which depth and angle are looked at: they may jump [keyhole-choice]."""

_BACK, _OUT = 55.0, 26.0  # mm behind the body's centre and aside of the midline that are looked at


@dataclass(frozen=True, slots=True, eq=False)
class Recess:
    """One recess in the frame (outward, back) of its plane, mm.

    `floor` is (height at the midline, slope) of the line along the body's back, `wall` the distance of the pedicle's
    medial wall from the midline, `roof` (n, 2) the front of the processes over `ROOF` mm medial of it.
    `origin`, `out` and `back` (3,) give the plane, LPS mm; `spread` are the sds of the least and of the mean gap, mm,
    that come from where the pedicle's top is.
    """

    floor: tuple[float, float]
    wall: float
    roof: Points
    origin: Points
    out: Points
    back: Points
    spread: tuple[float, float]

    def points(self, flat: Points) -> Points:
        """(n, 3) LPS mm of places (n, 2), (outward, back)."""
        return np.asarray(self.origin + flat[:, :1] * self.out + flat[:, 1:] * self.back)

    def below(self, x: Points) -> Points:
        """The floor at distance `x` from the midline, mm back."""
        return np.asarray(self.floor[0] + self.floor[1] * x)

    @property
    def gaps(self) -> Points:
        """(n,) distance of roof from floor, mm; `DEEP` where there is none nearer."""
        gaps = (self.roof[:, 1] - self.below(self.roof[:, 0])) / np.hypot(1.0, self.floor[1])
        return np.asarray(np.where(gaps <= DEEP, gaps, DEEP))


def recess_depth(level: str, side: Side, found: Recess, doubt: tuple[float, float]) -> Measurement:
    """Depth of the lateral recess, mm: least distance from the articular process to the line along the body's back.

    Over 0.5 to 3.5 mm medial of the pedicle's medial wall, at the height of the pedicle's top, where the traversing
    root runs; nearer the wall floor and roof meet. The roof is the superior process, or where it does not reach so
    far medially the inferior one of the vertebra above. Bone alone counts: flavum, capsule and disc narrow it more.

    Parameters
    ----------
    doubt : boundary sd of the bone and side of a voxel, mm.

    References
    ----------
    [steurer2011] figure 7: shortest distance from the front of the superior process to the back of the body.
    """
    aside = found.wall - found.roof[:, 0]
    near = (aside >= BESIDE[0]) & (aside <= BESIDE[1])
    gaps = np.where(near, found.gaps, np.inf)
    n = int(gaps.argmin())
    depth, steep = float(gaps[n]), float(np.ptp(gaps[near])) / (BESIDE[1] - BESIDE[0])
    if not depth < OPEN:
        why = (
            f"{level}: no articular process lies within {OPEN:.0f} mm behind the body on the {side}: the recess is open"
        )
        return unknown("lateral recess depth", level, "mm", f"{why}; its depth is not measured", side)
    sd = float(np.hypot(_gap_sd(doubt, steep), found.spread[0]))
    x = found.roof[n, 0]
    normal = np.array([-found.floor[1], 1.0]) / np.hypot(1.0, found.floor[1])
    top = np.array([x, found.floor[0] + found.floor[1] * x + depth * np.hypot(1.0, found.floor[1])])
    line = found.points(np.stack([top - depth * normal, top]))
    method = "bone alone: from the line along the body's back to the articular process, beside the top of the pedicle"
    return Measurement(
        "lateral recess depth", level, depth, sd, "mm", "steurer2011", method, side=side, shapes=(Shape(line),)
    )


def recess_angle(level: str, side: Side, found: Recess, doubt: tuple[float, float]) -> Measurement:
    """Angle of the lateral recess, degrees: of the wedge between floor and roof.

    The wedge has its edge where the pedicle's medial wall meets the floor, and the recess's area over the 6 mm medial
    of it: in a recess shaped like a wedge this is the angle between floor and roof. Lines fitted to floor and roof
    themselves are some 5 mm long, and their angle changes by 5 degrees from one grid to the next.

    References
    ----------
    [steurer2011] figure 7: angle between the lines parallel to floor and roof.
    """
    gaps = found.gaps
    mean = float(gaps.mean())
    slope = 2 * mean / ROOF
    spread = float(np.hypot(_gap_sd(doubt, float(np.ptp(gaps)) / ROOF), found.spread[1]))
    sd = MEAN * float(np.degrees(2 * spread / ROOF / (1 + slope**2)))
    corner = np.array([found.wall, float(found.below(np.array([found.wall]))[0])])
    lean = float(np.arctan(found.floor[1]))
    ends = [corner + ROOF * np.array([-np.cos(turn), np.sin(turn)]) for turn in (-lean, np.arctan(slope) - lean)]
    method = (
        "bone alone: of the wedge beside the top of the pedicle, between body and articular process, with the recess's "
        "own area over 6 mm"
    )
    shapes = (Shape(found.points(np.stack([ends[0], corner, ends[1]]))),)
    value = float(np.degrees(np.arctan(slope)))
    return Measurement("lateral recess angle", level, value, sd, "deg", "steurer2011", method, side=side, shapes=shapes)


def _gap_sd(doubt: tuple[float, float], steep: float) -> float:
    """Sd of a distance from floor to roof, mm, for its change `steep` per mm of where it is taken."""
    boundary, voxel = doubt
    return float(np.sqrt(2 * boundary**2 + (ROUNDING * voxel) ** 2 + (steep * PLACE_SD) ** 2))


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """The indicators of the lower vertebra alone and of both vertebrae of a level, on one grid."""

    grid: Grid
    lower: NDArray[np.float32]
    both: NDArray[np.float32]


def bone_of(labels: LabelMap, boxes: Boxes, pair: tuple[Vertebra, Vertebra]) -> Bone | None:
    """The bone of a level, cropped to the lower vertebra; None where that has no voxel."""
    keys = [f"vertebra/{pair[1].name}", *(["sacrum"] if pair[1].name == "S1" else [])]
    box = union_box(boxes, *keys)
    if box is None:
        return None
    crop = labels.crop(box)
    lower = crop.mask(*keys)
    both = lower | crop.mask(f"vertebra/{pair[0].name}")
    return Bone(crop.grid, lower.astype(np.float32), both.astype(np.float32))


def recess(
    bone: Bone, vertebra: Vertebra, side: Side, heights: tuple[float, float], doubt: tuple[float, float]
) -> Recess | str:
    """The recess beside the pedicle of `vertebra`, the lower one of a level, or why there is none to measure.

    Parameters
    ----------
    heights : of the pedicle's top and of its middle above the vertebra's centre, mm.
    doubt : boundary sd of the bone and side of a voxel on which it was drawn, mm.
    """
    wide = np.arange(0.0, _OUT, PIXEL)
    out = vertebra.toward(side)
    wall = _wall(bone, vertebra, out, heights[1])
    if wall is None:
        return f"the medial wall of the {side} pedicle of {vertebra.name} was not found"
    fronts, roofs = zip(*(_planes(bone, vertebra, out, heights[0] + shift) for shift in SLAB), strict=True)
    floor = _line(wide, np.stack(fronts), (FLOOR[0] * wall, FLOOR[1] * wall))
    if floor is None:
        return f"the back of the body of {vertebra.name} was not found at the top of its {side} pedicle"
    columns = np.arange(wall - ROOF, wall + 1e-9, PIXEL)
    below = floor[0] + floor[1] * columns
    roof = np.mean([np.minimum(_between(wide, one, columns), below + DEEP + PIXEL) for one in roofs], axis=0)
    top_sd = float(np.sqrt(PLACE_SD**2 + doubt[0] ** 2 + (TOP_ROUNDING * doubt[1]) ** 2))
    shifted = [_planes(bone, vertebra, out, heights[0] + at * top_sd)[1] for at in SPREAD]
    gaps = np.stack([np.minimum(_between(wide, one, columns) - below, DEEP) for one in shifted])
    near = (columns >= wall - BESIDE[1]) & (columns <= wall - BESIDE[0])
    spread = float(gaps[:, near].min(axis=1).std()), WEDGE * float(gaps.mean(axis=1).std())
    origin = vertebra.centre + heights[0] * vertebra.up
    return Recess(floor, wall, np.column_stack([columns, roof]), origin, out, vertebra.posterior, spread)


def _planes(bone: Bone, vertebra: Vertebra, out: Points, height: float) -> tuple[Points, Points]:
    """Back of the body and front of what lies behind it, mm, at every place to the side, in one plane."""
    wide = np.arange(0.0, _OUT, PIXEL)
    origin, ways = vertebra.centre + height * vertebra.up, (out, vertebra.posterior)
    front = _first_end(_cut(bone.grid, bone.lower, origin, ways, wide))
    return front, _next_start(_cut(bone.grid, bone.both, origin, ways, wide), front)


def pedicle_heights(labels: LabelMap, boxes: Boxes, vertebra: Vertebra, side: Side) -> tuple[float, float] | None:
    """Heights of the pedicle's top and middle above the vertebra's centre, mm; None where it is not labelled."""
    if vertebra.name == "S1":
        if vertebra.superior is None:
            return None
        top = float((vertebra.superior.centre - vertebra.centre) @ vertebra.up)
        return top - S1_TOP, top - BELOW_S1
    key = f"vertebra/{vertebra.name}/pedicle/{side}"
    box = union_box(boxes, key)
    if box is None:
        return None
    crop = labels.crop(box)
    index = np.argwhere(crop.mask(key))
    if len(index) == 0:
        return None
    found = np.percentile((crop.grid.centres(index) - vertebra.centre) @ vertebra.up, (TOP, MIDDLE))
    return float(found[0]), float(found[1])


def _wall(bone: Bone, vertebra: Vertebra, out: Points, height: float) -> float | None:
    """Distance of the pedicle's medial wall from the midline at its middle, mm; None where it is not seen."""
    wide = np.arange(0.0, _OUT, PIXEL)
    rows = np.arange(*WALL, PIXEL)
    found = []
    for shift in SLAB:
        origin = vertebra.centre + (height + shift) * vertebra.up
        front = _first_end(_cut(bone.grid, bone.lower, origin, (out, vertebra.posterior), wide))
        floor = _line(wide, front[None], NEAR)
        if floor is None:
            continue
        start = origin + floor[0] * vertebra.posterior
        aside = _cut(bone.grid, bone.lower, start, (vertebra.posterior, out), rows)
        found.append(_next_start(aside, np.zeros(len(rows))))
    walls = np.concatenate(found) if found else np.empty(0)
    known = walls[np.isfinite(walls)]
    return float(known.mean()) if len(known) >= 0.8 * len(walls) > 0 else None


def _cut(
    grid: Grid, mask: NDArray[np.float32], origin: Points, ways: tuple[Points, Points], across: Points
) -> NDArray[np.float64]:
    """The share of `mask` along the second of `ways`, from 0 to `_BACK` mm, at each place `across` along the first."""
    ticks = np.arange(0.0, _BACK, PIXEL)
    flat = origin + across[:, None, None] * ways[0] + ticks[None, :, None] * ways[1]
    index = np.moveaxis(grid.index(flat), -1, 0)
    return np.asarray(ndimage.map_coordinates(mask, index, order=1, mode="constant", cval=0.0), dtype=np.float64)


def _first_end(share: NDArray[np.float64]) -> Points:
    """(n,) where the first bone of each line ends, mm; nan where there is none."""
    return _first(share, np.zeros(len(share)), falling=True)


def _next_start(share: NDArray[np.float64], after: Points) -> Points:
    """(n,) where bone begins behind `after` (n,), mm; inf where it does not, nan where `after` is."""
    found = _first(share, after, falling=False)
    return np.where(np.isfinite(after), np.where(np.isnan(found), np.inf, found), np.nan)


def _first(share: NDArray[np.float64], after: Points, *, falling: bool) -> Points:
    """Where each line first passes one half beyond `after`, between its samples; nan where it does not."""
    inside = share >= 0.5
    change = inside[:, :-1] & ~inside[:, 1:] if falling else ~inside[:, :-1] & inside[:, 1:]
    ticks = np.arange(share.shape[1] - 1) * PIXEL
    change &= ticks[None] >= np.where(np.isfinite(after), after - PIXEL / 2, np.inf)[:, None]
    n = change.argmax(axis=1)
    rows = np.arange(len(share))
    a, b = share[rows, n], share[rows, n + 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        place = (n + (a - 0.5) / (a - b)) * PIXEL
    return np.asarray(np.where(change.any(axis=1), place, np.nan))


def _line(wide: Points, fronts: Points, span: tuple[float, float]) -> tuple[float, float] | None:
    """Height at the midline and slope of the line through `fronts` (planes, n) over `span`; None where unseen."""
    inner = (wide >= span[0]) & (wide <= span[1])
    held = np.isfinite(fronts[:, inner])
    if held.sum() < 0.6 * held.size:
        return None
    x = np.broadcast_to(wide[inner], held.shape)[held]
    slope, height = np.polyfit(x, fronts[:, inner][held], 1)
    return float(height), float(slope)


def _between(wide: Points, values: Points, columns: Points) -> Points:
    """`values` at `columns` between the places `wide`; inf beside one that is not finite."""
    known = np.isfinite(values)
    near = np.interp(columns, wide, (~known).astype(np.float64)) > 0
    return np.where(near, np.inf, np.interp(columns, wide, np.where(known, values, 0.0)))
