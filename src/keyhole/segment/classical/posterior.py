"""The arches: bone behind the bodies, given to the vertebra from which it is reached soonest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Box, Grid, Points
from keyhole.segment.classical._kernels import grown, nearest
from keyhole.segment.classical.frame import Axis
from keyhole.segment.classical.spine import BLUR, Spine
from keyhole.segment.classical.stack import Stack

REACH = 100.0
"""Distance from the canal's line, mm, up to which bone belongs to the spine, ribs included [keyhole-choice]."""

EASY, RIDGE, CLEFT, SLOW = 3.0, 100.0, 150.0, 150.0
"""Prices of a voxel: of marrow; added in the densest cortex; added in a dark cleft; of a joint's gap. Two bones that
touch are parted by their cortices and by the cleft between them, while marrow runs on through one bone
[keyhole-choice]."""

BLURRED = (1.5, 2.5)
"""Voxel side, mm, up to which marrow and cortex are told apart, and from which all bone costs alike
[keyhole-choice]."""

FAINT = 20.0
"""How far below the threshold, HU, a voxel next to bone still counts as bone of an arch [keyhole-choice]."""

SHARE, MOST = (0.56, 0.38), 1000
"""Share of the densest voxel within 2 mm, capped at so many HU, from which a voxel is bone: on voxels of 1 mm and of
3 mm, whose labels are wider. The edge of a thin shell lies above its half height, as blur widens it [keyhole-choice].
"""

WIDENED = 0.25
"""What is added to that share per mm of smoothing beyond the least, which widens thin shells [keyhole-choice]."""

BELOW = (-6, 22, 9)
"""mm below the plane of a disc, drawn out backwards, in which the gap of the laminae is looked for, and where it lies
as a rule: -2 to 17 on eight scans, 21 once [keyhole-choice]."""

PIVOT, SLOPES = 10.0, (-0.4, -0.2, 0.0, 0.2, 0.4, 0.6, 0.8)
"""mm behind the canal's middle where the lines between laminae are placed; mm that they run down per mm backwards
..."""

BIAS, STEEP = 0.005, 8.0
"""... and the price, as a share of the densest row, of a mm beside the usual place, and of a slope in such mm
[keyhole-choice]."""

FAR = 255 * 17 * 40

NOBODY = 9999


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Bone voxels of a crop with their place along the spine: station, left and posterior, mm.

    The stations follow the planes of the discs: in a lordosis these fan out as the arches behind them do.
    """

    index: NDArray[np.int64]  # (n, 3) in the crop
    station: Points
    left: Points
    back: Points
    depth: Points  # below the upper endplate of S1


def places(mask: NDArray[np.bool_], grid: Grid, axis: Axis, stack: Stack) -> Places:
    """Where each voxel of `mask` lies along `axis`; voxels beyond `REACH` are left out."""
    index = np.argwhere(mask)
    points = grid.centres(index)
    near = nearest(points, axis.line)
    held = ((points - axis.line[near]) ** 2).sum(axis=1) <= REACH**2
    index, points, near = index[held], points[held], near[held]
    away = points - axis.line[near]
    left = (away * axis.left[near]).sum(axis=1)
    back = (away * axis.posterior[near]).sum(axis=1)
    depth = -stack.gaps[-1].heights(stack.gaps[-1].local(points))[1]
    return Places(index, stations(points, stack), left, back, depth)


def stations(points: Points, stack: Stack) -> Points:
    """Station of each of `points` (n, 3) LPS mm: even between the planes of two discs, in mm beyond the outer ones."""
    at = stack.stations
    under = [(one.centre - points) @ one.axes[2] for one in stack.gaps]
    out = np.where(under[0] < 0, at[0] + under[0], at[-1] + under[-1])
    open_ = under[0] >= 0
    for n in range(len(at) - 1):
        between = open_ & (under[n + 1] < 0)
        part = under[n][between].clip(0) / (under[n][between].clip(0) - under[n + 1][between])
        out[between] = at[n] + part * (at[n + 1] - at[n])
        open_ &= ~between
    return np.asarray(out)


def price(hu: NDArray[np.int16], solid: NDArray[np.bool_], side: float) -> NDArray[np.uint8]:
    """Price of each voxel: least in marrow, more in cortex, most in clefts and narrow gaps, 0 elsewhere.

    `side` is that of the scan's own voxels, mm: on coarse ones cortex and marrow cannot be told apart.
    """
    cross = ndimage.generate_binary_structure(3, 1)
    clear = float(np.interp(side, BLURRED, (1.0, 0.0)))
    capped = np.minimum(hu, MOST)
    cleft = (ndimage.grey_closing(capped, 3) - capped).astype(np.float32)
    most = np.maximum(ndimage.maximum_filter(capped, 9), 150).astype(np.float32)
    dense = np.clip((capped / most - 0.4) / 0.6, 0.0, 1.0)
    cost = EASY + clear * (RIDGE * dense + CLEFT * np.clip(cleft / most - 0.05, 0.0, 1.0))
    closed = ndimage.binary_erosion(ndimage.binary_dilation(solid, cross), cross, border_value=True)
    out = np.where(solid, np.minimum(cost, 250.0), 0.0)
    out[closed & ~solid] = SLOW
    return out.astype(np.uint8)


def lamina_rows(found: Places, hu: NDArray[np.int16], discs: list[float], threshold: float, length: int) -> Points:
    """(n, 2) station and slope of the lines that part the laminae of neighbouring vertebrae, one for each of `discs`.

    In the midline section each line runs where least bone is, near the plane of the disc, see `BELOW`; spinous
    processes that reach down behind the next lamina tilt it. Stations hold `PIVOT` mm behind the canal's middle.
    """
    middle = (np.abs(found.left) <= 7) & (found.back > 4) & (found.back < 30)
    at = np.clip(np.rint(found.station[middle]), 0, length - 1)
    back = np.rint(found.back[middle]) - PIVOT
    value = np.clip(hu[tuple(found.index[middle].T)].astype(np.float64) - threshold + 60, 0, 400)
    mass = []
    for slope in SLOPES:
        row = np.clip(np.rint(at - slope * back), 0, length - 1).astype(np.int64)
        mass.append(ndimage.gaussian_filter1d(np.bincount(row, value, length)[:length], 1.5, mode="nearest"))
    total = np.array(mass)
    cuts = []
    for disc in discs:
        window = np.arange(max(0, round(disc) + BELOW[0]), min(length, round(disc) + BELOW[1] + 1))
        if not len(window):
            cuts.append((disc, 0.0))
            continue
        bias = np.abs(window - disc - BELOW[2]) + STEEP * np.abs(np.array(SLOPES))[:, None]
        n, at_row = divmod(int((total[:, window] + BIAS * (total.max() + 1) * bias).argmin()), len(window))
        cuts.append((float(window[at_row]), SLOPES[n]))
    return np.array(cuts)


def arches(
    spine: Spine, stack: Stack, box: Box, seeds: NDArray[np.uint16], discs: NDArray[np.bool_]
) -> tuple[NDArray[np.uint16], Places]:
    """Owner of every voxel of bone about the spine: n + 1 for the vertebra above disc n, and so on; 0 nobody.

    The one after the last disc's lower vertebra is the pelvis.

    Seeds are the bodies (`seeds`), the laminae in the midline between the gaps that part them, the sacrum below the
    last disc, and what lies far beside it.
    """
    grid = spine.grid.crop(box)
    hu = spine.hu[box]
    is_body = seeds > 0
    local = ndimage.maximum_filter(np.minimum(hu, MOST), 5)
    side = float(np.cbrt(np.prod(spine.spacing)))
    share = float(np.interp(side, (1.0, 3.0), SHARE)) + WIDENED * (spine.sigma - BLUR[0][1])
    solid = (sharpened(hu, spine.bone[box], local, spine.threshold, share) | is_body) & ~discs
    cost = price(hu, solid, side)
    cost[discs] = 0
    where = places(solid & ~is_body, grid, spine.axis, stack)
    number = _markers(where, spine, stack, hu)
    label = seeds.copy()
    label[tuple(where.index.T)] = np.where(number == NOBODY, 0, number)
    cost[tuple(where.index[number == NOBODY].T)] = 0
    distance = np.full(label.shape, np.iinfo(np.int32).max, dtype=np.int32)
    distance[label > 0] = 0
    grown(label, cost, distance, FAR)
    return np.asarray(label[tuple(where.index.T)]), where


def sharpened(
    hu: NDArray[np.int16], bone: NDArray[np.bool_], local: NDArray[np.int16], threshold: float, share: float
) -> NDArray[np.bool_]:
    """Bone whose edge lies at `share` of the densest voxel nearby, marrow inside included, faint thin processes too."""
    near = ndimage.binary_dilation(bone, ndimage.generate_binary_structure(3, 2))
    weak = bone | (near & (hu > threshold - FAINT))
    dense = weak & (hu > share * local)
    rim = ndimage.binary_dilation(~weak, ndimage.generate_binary_structure(3, 1), iterations=2, mask=~dense)
    return np.asarray(weak & ~rim)


def _markers(where: Places, spine: Spine, stack: Stack, hu: NDArray[np.int16]) -> NDArray[np.uint16]:
    """The number of whom each voxel surely belongs to; 0 where it is open, NOBODY where nothing may grow."""
    number = np.zeros(len(where.index), dtype=np.uint16)
    sacrum, pelvis = len(stack.gaps) + 1, len(stack.gaps) + 2
    side = np.abs(where.left)
    number[(side > 62) & (where.station > stack.stations[-1] - 45)] = pelvis
    number[(side > 45) & (where.back < -16) & (where.station <= stack.stations[-1] - 45)] = NOBODY
    number[(where.depth > 4) & (side < 30) & (where.back < 2)] = sacrum
    in_front = (where.back < -14) & (side < 45) & (where.depth < 0)
    number[in_front] = NOBODY
    cuts = lamina_rows(where, hu, list(stack.stations), spine.threshold, len(spine.axis.line))
    past = where.station[:, None] - cuts[:, 0] - cuts[:, 1] * (np.clip(where.back, 4, 30) - PIVOT)[:, None]
    place = (past > 0).sum(axis=1)
    clear = np.abs(past).min(axis=1)
    middle = (side <= 7) & (where.back > 4) & (where.back < 28) & (clear > 4)
    number[middle] = place[middle] + 1
    after = np.array([-np.inf, *stack.stations])[np.minimum(place, len(stack.stations))]
    before = np.array([*stack.stations, np.inf])[np.minimum(place, len(stack.stations))]
    flank = (side <= 11) & (where.back > 2) & (where.back < 24)
    flank &= (where.station > after + 14) & (where.station < before - 3)
    flank |= (side <= 12) & (where.back > 8) & (where.back < 24) & (where.station > after + 14) & (clear > 3)
    number[flank & (number == 0)] = place[flank & (number == 0)] + 1  # lamina and, behind the joint, lower process
    behind = np.array([-np.inf, *stack.stations])[np.searchsorted(np.array(stack.stations), where.station)]
    stem = (side >= 9) & (side <= 24) & (where.back > -9) & (where.back < 4) & (number == 0)
    stem &= (where.station > behind + 2) & (where.station < behind + 15)
    number[stem] = np.searchsorted(np.array(stack.stations), where.station[stem]) + 1
    return number


def box_of(grid: Grid, axis: Axis, lateral: float, front: float, back: float) -> Box:
    """The box of `grid` about the line, as wide as asked, mm."""
    corners = [axis.line + x * axis.left + y * axis.posterior for x in (-lateral, lateral) for y in (-front, back)]
    index = grid.index(np.concatenate(corners))
    low = np.clip(np.floor(index.min(axis=0)), 0, np.array(grid.shape) - 1).astype(int)
    high = np.clip(np.ceil(index.max(axis=0)) + 1, low + 1, grid.shape).astype(int)
    low[2], high[2] = 0, grid.shape[2]
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))
