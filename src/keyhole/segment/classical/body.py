"""A vertebral body between two endplates: its wall as a surface in cylinder coordinates that follow the endplates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Box, Grid, Points
from keyhole.segment.classical._kernels import sampled
from keyhole.segment.classical._solids import body_mask, disc_mask
from keyhole.segment.classical.endplates import DEEP, WIDE, Gap

ANGLES = 72
"""Directions about the body's axis; 0 is left, a quarter turn on is posterior."""

LEVELS = 21
"""Heights between the endplates."""

RADII = (9.0, 34.0)
"""Least and largest distance, mm, of the wall from the body's axis [keyhole-choice]."""

STEP = 0.5

MIDDLE = (float(WIDE), float(DEEP))
"""Row and column of an endplate's heights that lie on its centre."""

FAINT = 70.0
"""How far below the threshold, HU, the inside of a wall counts nothing [keyhole-choice]."""

SHARP = 0.6
"""Sd, mm, of the smoothing along a radius before its slope is taken [keyhole-choice]."""

WALL = 1.0
"""How far behind the canal's front wall the body may reach, mm [keyhole-choice]."""

ROUNDS = ((2.5, 2.0, 3.0), (1.5, 1.2, 2.0), (1.0, 0.8, 1.5))
"""Rounds of the search: smoothing over angles and heights, and half window of radii, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True)
class Look:
    """How an image shows bone: its threshold, HU, and how far outside the blurred edge of a thin shell lies, mm."""

    threshold: float
    shift: float


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """The space between two gaps and the radius (angle, height) of the wall in it, mm."""

    over: Gap
    under: Gap
    radius: NDArray[np.float64]
    edge: float  # mean fall of density across the wall, HU per mm


def body(
    hu: NDArray[np.int16], grid: Grid, gaps: tuple[Gap, Gap], back: Points, look: Look, widest: float = RADII[1]
) -> Body:
    """The body between two `gaps`, the one over it and the one under it.

    `back` is the place of the posterior wall, mm behind the body's axis, at the foot and at the top; `widest` the
    largest radius allowed, mm.
    """
    over, under = gaps
    radii = np.arange(RADII[0] - 3.0, RADII[1] + 3.0 + STEP / 2, STEP)
    values = _values(hu, grid, over, under, radii)
    smooth = ndimage.gaussian_filter1d(values, SHARP / STEP, axis=2, mode="nearest")
    fall = np.maximum(-np.gradient(smooth, STEP, axis=2), 0.0)
    inside = (radii >= RADII[0]) & (radii <= widest)
    fall[:, :, ~inside] = 0.0
    fall *= _bony(smooth, look.threshold)
    limit = _limit(back)
    fall[radii[None, None] > limit[..., None] + 1.0] = 0.0
    start = _ring(ndimage.gaussian_filter1d(fall[:, 4:-4].mean(axis=1), 1.0, axis=0, mode="wrap"), radii)
    surface = np.repeat(start[:, None], LEVELS, axis=1)
    strong = 0.0
    for across, along, window in ROUNDS:
        blurred = ndimage.gaussian_filter(fall, (across, along, 0.0), mode=("wrap", "nearest", "nearest"))
        away = radii[None, None] - surface[..., None]
        gain = np.where(np.abs(away) <= window, blurred * (1.0 - 0.35 * (away / window) ** 2), -1.0)
        best = gain.argmax(axis=2)
        weight = (np.maximum(np.take_along_axis(blurred, best[..., None], axis=2)[..., 0], 0.0) + 1.0) ** 2
        weight = np.minimum(weight, 4.0 * np.median(weight))
        soft = (across, along)
        total = ndimage.gaussian_filter(weight, soft, mode=("wrap", "nearest"))
        surface = ndimage.gaussian_filter(weight * radii[best], soft, mode=("wrap", "nearest")) / total
        strong = float(np.median(np.sqrt(weight)))
    return Body(over, under, np.minimum(surface - look.shift, limit), strong)


def _bony(values: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Weight of an edge by what lies just inside it: bone, and no vessel or ligament."""
    inside = np.full(values.shape, -1e3)
    for shift in (round(1.0 / STEP), round(2.0 / STEP), round(3.0 / STEP)):
        inside[:, :, shift:] = np.maximum(inside[:, :, shift:], values[:, :, :-shift])
    return np.clip((inside - threshold + FAINT) / FAINT, 0.1, 1.0)


def _limit(back: Points) -> NDArray[np.float64]:
    """Largest radius (angle, height) before the posterior wall."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    rearward = np.maximum(np.sin(angle), 1e-3)[:, None]
    wall = np.linspace(back[0], back[1], LEVELS)[None]
    return np.where(rearward > 0.15, (wall + WALL) / rearward, 60.0)


def _values(hu: NDArray[np.int16], grid: Grid, over: Gap, under: Gap, radii: Points) -> NDArray[np.float64]:
    """Density (angle, height, radius) between the endplates."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    x, y = np.cos(angle)[:, None] * radii, np.sin(angle)[:, None] * radii
    flat = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    ends = []
    for one, sense in ((under, 0), (over, 1)):
        level = flat.copy()
        level[:, 2] = -one.heights(flat)[sense]
        ends.append(one.centre + level @ one.axes)
    share = (np.arange(LEVELS) / (LEVELS - 1))[:, None, None]
    points = (1 - share) * ends[0] + share * ends[1]
    values = sampled(hu, grid.index(points.reshape(-1, 3)), 0.0).reshape(LEVELS, ANGLES, len(radii))
    return np.clip(values.transpose(1, 0, 2).astype(np.float64), 20.0, 600.0)


def _ring(gain: NDArray[np.float64], radii: Points) -> Points:
    """The closed curve of radii, one per angle, with the largest gain; neighbours differ by at most 1.5 mm."""
    n = len(gain)
    twice = np.concatenate([gain, gain, gain])
    reach = round(1.5 / STEP)
    total = twice[0].copy()
    came = np.zeros(twice.shape, dtype=np.int64)
    for row in range(1, len(twice)):
        best = np.full(total.shape, -np.inf)
        for shift in range(-reach, reach + 1):
            moved = np.full(total.shape, -np.inf)
            if shift >= 0:
                moved[shift:] = total[: len(total) - shift]
            else:
                moved[:shift] = total[-shift:]
            moved = moved - 0.15 * shift * shift
            better = moved > best
            best = np.where(better, moved, best)
            came[row] = np.where(better, shift, came[row])
        total = best + twice[row]
    at = int(total.argmax())
    path = np.empty(len(twice), dtype=np.int64)
    for row in range(len(twice) - 1, -1, -1):
        path[row] = at
        at -= int(came[row, at])
    return np.asarray(radii[path[n : 2 * n]])


def box_about(grid: Grid, points: Points, margin: float) -> Box:
    """The box of `grid` around `points` (n, 3) LPS mm, wider by `margin` mm."""
    index = grid.index(points)
    low = np.maximum(0, np.floor(index.min(axis=0) - margin / grid.spacing)).astype(int)
    high = np.minimum(grid.shape, np.ceil(index.max(axis=0) + margin / grid.spacing) + 1).astype(int)
    high = np.maximum(high, low + 1)
    low = np.minimum(low, np.array(grid.shape) - 1)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def fill(found: Body, grid: Grid) -> tuple[Box, NDArray[np.bool_]]:
    """Box in `grid` and mask of the body."""
    box = box_about(grid, _rim(found.over, found.under), 4)
    out = np.zeros([s.stop - s.start for s in box], dtype=np.bool_)
    foot = found.under.centre, np.ascontiguousarray(found.under.axes), found.under.above
    top = found.over.centre, np.ascontiguousarray(found.over.axes), found.over.below
    radius = np.concatenate([found.radius, found.radius[:1]])
    body_mask(out, grid.crop(box).patient_from_index.matrix, foot, top, MIDDLE, radius)
    return box, out


def fill_gap(one: Gap, upper: Body | None, lower: Body | None, grid: Grid) -> tuple[Box, NDArray[np.bool_]]:
    """Box in `grid` and mask of the disc in the gap: between the endplates, its outline passing between the rims."""
    box = box_about(grid, _rim(one), 4)
    out = np.zeros([s.stop - s.start for s in box], dtype=np.bool_)
    rims = [None if at is None else at.radius[:, level] for at, level in ((lower, LEVELS - 1), (upper, 0))]
    known = [rim for rim in rims if rim is not None]
    if known:
        both = np.stack([known[0] if rim is None else rim for rim in rims], axis=1)
        frame = one.centre, np.ascontiguousarray(one.axes)
        matrix = grid.crop(box).patient_from_index.matrix
        disc_mask(out, matrix, frame, (one.above, one.below), MIDDLE, np.concatenate([both, both[:1]]))
    return box, out


def _rim(*gaps: Gap) -> Points:
    """Corners about the bodies' rims at `gaps`."""
    reach = np.array([[x * 34.0, y * 26.0, z * 7.0] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    return np.concatenate([one.centre + reach @ one.axes for one in gaps])
