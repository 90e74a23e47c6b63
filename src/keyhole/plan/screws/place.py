"""Where a screw fits best in one vertebra on one side, and how large it may be."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, Points
from keyhole.plan.screws import _axes, _long
from keyhole.plan.screws._long import LONGER
from keyhole.plan.screws.bone import BEHIND, Bone
from keyhole.plan.screws.model import Screw
from keyhole.plan.screws.sizes import System, Trajectory

MARGIN = 1.0
"""Gap to the wall that a size should keep, mm [keyhole-choice]: of plans that keep it on labels drawn at 3 mm, few
breach on fine ones (docs/screws.md)."""

ENTRY = 3.0
"""Voxels of the wall within radius + this of the entry belong to the entry, mm [keyhole-prototype]."""

SHALLOW = 12.0
"""The plane that axes through two bones are spread on lies this far below the surface that they enter, mm
[keyhole-choice]."""

INTO = 6.0
"""The narrow part of a pedicle ends this far before the body's posterior wall, mm [keyhole-choice]."""

TURN = 3.0
"""Between the axes of the first search, degrees."""

CELL = (3.0, 0.16)
"""Of the axes that share a cell of this size, mm on the plane and rad, the first search keeps the best."""

FINEST = 0.1
"""Refinement ends at steps of this, mm."""

NEAR = 6.0
"""Walls farther than this from a screw, or from the bone, are not looked at, mm: at its entry every screw is nearer."""

APART = (3.0, 0.14)
"""mm on the plane or rad."""

PIECE = 30.0
"""Walls are collected along pieces of an axis this long, mm: their boxes together are small."""


@dataclass(frozen=True, slots=True)
class Search:
    """How axes are sought [keyhole-choice]: `spread` mm apart, those of `cells` cells judged against the wall.

    `seeds` of them, each at least `APART` from the others, are refined, and the best `sized` get a size. Axes through
    two bones are also sought for what they leave free farther than `deep` mm from the entry (0: not), up to `wide` mm
    more than the thickest screw needs, since the entry would hide it; and where no size keeps the margin, more length
    may cost `given` mm of the gap.
    """

    spread: float
    cells: int
    seeds: int
    sized: int
    deep: float = 0.0
    wide: float = 0.0
    given: float = 0.0


SHORT, LONG = Search(1.5, 80, 6, 6), Search(3.0, 200, 12, 8, 20.0, 4.0, 0.2)
"""The searches in one vertebra, and through two bones."""


def _search(bone: Bone) -> Search:
    return SHORT if bone.door is None else LONG


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A screw with its least gap to the wall, mm; or none, with the widest gap that the smallest one found."""

    screw: Screw | None
    gap: float
    free: float  # mm, the free radius along the best axis


def place(bone: Bone, side: str, trajectory: Trajectory, system: System, margin: float = MARGIN) -> Placed:
    """The largest screw of `system` that keeps `margin` to the wall, else the smallest that does not touch it.

    Labels drawn on coarser voxels hold `Bone.coarse` too much bone: the margin is kept beyond it.

    Axes through a plane behind the body, every few mm and `TURN` degrees inside the trajectory's bounds, are
    judged on the bone's depth; the best few are refined against every voxel of the wall. What an axis is worth is its
    free radius, less what it takes of the facet joint above, of the neighbours' bone and of the wanted direction.
    """
    biggest, margin, how = system.diameters[-1] / 2, margin + bone.coarse, _search(bone)
    numbers = np.array(
        [
            bone.plane, biggest, trajectory.shortest, biggest + margin + 0.5, system.head_radius,
            np.deg2rad(trajectory.wanted_medial), np.deg2rad(trajectory.wanted_cranial),
            how.deep, biggest + margin + how.wide,
        ]
    )  # fmt: skip
    guesses, lengths = _seeds(bone, side, trajectory, system, numbers[3])
    scene, clouds = _scene(bone, side)
    rule = _rule(bone, trajectory, numbers)
    if bone.door is not None and len(guesses):
        guesses, lengths = _polished(bone, side, trajectory, guesses, rule)
    if not len(guesses):
        return Placed(None, -np.inf, 0.0)
    _, values = _axes.refine(guesses, _bounds(trajectory), scene, clouds, numbers, lengths, 1.0)
    if bone.door is not None:
        values += LONGER * lengths
    seeds = _apart(guesses, values, how.seeds)
    best, values = _axes.refine(
        guesses[seeds], _bounds(trajectory), scene, clouds, numbers, lengths[seeds], FINEST
    )  # fmt: skip
    tried: list[tuple[Placed, float]] = []
    for n in np.argsort(-np.round(values, 6), kind="stable"):
        axis = _axis(bone, side, best[n], numbers[0])
        if len(tried) < how.sized and _in_zone(bone, trajectory, bone.local(axis[0], side), 1.0):
            path = trajectory
            if bone.door is not None:
                least = _long.through(best[n], scene[:2], rule) + trajectory.beyond
                path = replace(trajectory, shortest=max(trajectory.shortest, least))
            tried.append((_sized(bone, side, axis, (path, system, margin)), float(values[n])))
    none = (Placed(None, -np.inf, 0.0), -np.inf)
    return max(tried, key=lambda one: _rank(bone, one[0], one[1], margin), default=none)[0]


def _rule(bone: Bone, trajectory: Trajectory, numbers: Points) -> Points:
    """What the loops over long axes need, from the trajectory and the `numbers` of the exact ones."""
    top = _top(bone)
    return np.array(
        [
            numbers[0], trajectory.shortest, trajectory.longest, trajectory.ahead, numbers[1] + ENTRY, numbers[7],
            numbers[3], numbers[8], *trajectory.beside, *(top - depth for depth in reversed(trajectory.below)),
            trajectory.beyond,
        ]
    )  # fmt: skip


def _polished(bone: Bone, side: str, trajectory: Trajectory, guesses: Points, rule: Points) -> tuple[Points, Points]:
    """Long axes moved to the best place near them by the bone's depth, and their lengths: those that differ."""
    (door, matrix, _), _ = _scene(bone, side)
    whole = (bone.depth, _index_from_local(bone, side, bone.guide))
    best, found = _long.polish(guesses, _bounds(trajectory), whole, (door, matrix), rule)
    kept = _apart(best, np.where(found[:, 1] > 0, found[:, 0], -np.inf), len(best), 0.3)
    kept = [n for n in kept if found[n, 1] > 0]
    return np.ascontiguousarray(best[kept]), np.ascontiguousarray(found[kept, 1])


def _top(bone: Bone) -> float:
    """Height of the superior endplate's middle above the body's, mm; nan where it was not seen."""
    plate = bone.vertebra.superior
    return float("nan") if plate is None else float((plate.centre - bone.vertebra.centre) @ bone.vertebra.up)


def _rank(bone: Bone, placed: Placed, value: float, margin: float) -> tuple[bool, bool, bool, float, float]:
    """What makes a screw better: it fits, keeps the margin, spares the joint above, is thicker, worth more, longer.

    Through two bones thickness (the gap, where it keeps no margin) and length count together, `LONGER` a mm of length,
    less what its head takes of bone and of the heads of others.
    """
    screw = placed.screw
    if screw is None:
        return False, False, False, 0.0, round(placed.gap, 6)
    spares = bool((screw.shaft.gap(bone.joints[screw.side]) > 0).all())
    if bone.door is not None:
        is_kept = placed.gap >= margin
        size = LONGER * screw.length + (screw.radius if is_kept else placed.gap)
        met = max(0.0, -float(screw.body.gap(bone.others).min(initial=np.inf)))
        return True, is_kept, spares, round(size - met, 6), round(value, 6)
    return True, placed.gap >= margin, spares, screw.radius, round(value + LONGER * screw.length, 6)


def _bounds(trajectory: Trajectory) -> Points:
    """(4, 2) bounds of lateral, up, medial and cranial: mm and rad."""
    angles = np.deg2rad([trajectory.medial, trajectory.cranial])
    return np.array([trajectory.lateral, trajectory.up, *angles], dtype=np.float64)


def _scene(bone: Bone, side: str) -> tuple[tuple[_axes.Field, Points, Points], tuple[Points, Points, Points]]:
    """What the compiled loops need: depth of what is entered, index from local, frame; and the clouds of points."""
    axes = bone.axes(side)
    depth, grid = bone.entered
    index = _index_from_local(bone, side, grid)
    frame = np.vstack([axes, bone.vertebra.centre, bone.grid.patient_from_index.matrix[:3, :3]])
    lateral = (bone.rim - bone.vertebra.centre) @ axes[0]
    rim = np.ascontiguousarray(bone.rim[lateral > -12.0])
    return (depth, index, np.ascontiguousarray(frame)), (rim, bone.joints[side], bone.others)


def _index_from_local(bone: Bone, side: str, grid: Grid) -> Points:
    """(3, 4) index of `grid` from (lateral, posterior, up)."""
    inverse = grid.patient_from_index.inverse.matrix
    index = np.empty((3, 4))
    index[:, :3] = inverse[:3, :3] @ bone.axes(side).T
    index[:, 3] = inverse[:3, :3] @ bone.vertebra.centre + inverse[:3, 3]
    return index


def _seeds(bone: Bone, side: str, trajectory: Trajectory, system: System, cap: float) -> tuple[Points, Points]:
    """The best axes of the first search, one of each cell: lateral, up, medial, cranial rad (n, 4); their lengths."""
    points, angles = _lattice(bone, side, trajectory), _angles(trajectory)
    cosine = np.cos(angles[:, 1])
    ways = np.stack([-np.sin(angles[:, 0]) * cosine, -np.cos(angles[:, 0]) * cosine, np.sin(angles[:, 1])], axis=1)
    if not len(points):
        return np.empty((0, 4)), np.empty(0)
    ends = (BEHIND + INTO) / np.maximum(-ways[:, 1], 0.2)
    inside = ends if bone.door is None else np.full(len(ways), trajectory.shortest - SHALLOW)
    (door, matrix, _), _ = _scene(bone, side)
    whole = (bone.depth, _index_from_local(bone, side, bone.guide))
    how = _search(bone)
    skip, cap = how.deep or system.diameters[0] / 2 + ENTRY, cap + how.wide
    found = _axes.scan(whole, (door, matrix), points, np.ascontiguousarray(ways), skip, inside)
    score = np.minimum(found[..., 0], cap) + 0.01 * np.minimum(found[..., 1], trajectory.longest)
    for wanted, is_ in ((trajectory.wanted_medial, angles[:, 0]), (trajectory.wanted_cranial, angles[:, 1])):
        if np.isfinite(wanted):
            score -= _axes.LEAN * np.abs(is_ - np.deg2rad(wanted))
    score[(found[..., 0] <= 0) | (found[..., 1] < trajectory.shortest)] = -np.inf
    score[~_in_zone(bone, trajectory, points[:, None] - found[..., 2:] * ways)] = -np.inf
    order = np.argsort(-np.round(score.ravel(), 6), kind="stable")
    order = order[np.isfinite(score.ravel()[order])]
    p, a = np.divmod(order, len(angles))
    guesses = np.column_stack([points[p, 0], points[p, 2], angles[a]])
    cells = np.floor(guesses / [CELL[0], CELL[0], CELL[1], CELL[1]] + 1e-6)
    chosen = np.sort(np.unique(cells, axis=0, return_index=True)[1])[: how.cells]
    run = found[..., 1].ravel()[order[chosen]] - trajectory.ahead - 2.0
    return guesses[chosen], np.minimum(np.clip(run, trajectory.shortest, trajectory.longest), trajectory.judged)


def _apart(guesses: Points, values: Points, most: int, share: float = 1.0) -> list[int]:
    """The best of `guesses` (n, 4) that differ by `share` of `APART`, `most` of them."""
    chosen: list[int] = []
    for n in np.argsort(-np.round(values, 6), kind="stable"):
        off = np.abs(guesses[chosen] - guesses[n])
        if ((off[:, :2].max(axis=1) >= share * APART[0]) | (off[:, 2:].max(axis=1) >= share * APART[1])).all():
            chosen.append(int(n))
        if len(chosen) == most:
            break
    return chosen


def _lattice(bone: Bone, side: str, trajectory: Trajectory) -> Points:
    """Points (n, 3) of the plane behind the body that lie in bone, in the local frame."""
    step = _search(bone).spread
    lateral, up = np.arange(*trajectory.lateral, step), np.arange(*trajectory.up, step)
    points = np.array([[x, bone.plane, z] for x, z in itertools.product(lateral, up)])
    depth, grid = bone.entered
    index = np.rint(grid.index(bone.vertebra.centre + points @ bone.axes(side))).astype(int)
    inside = ((index >= 0) & (index < np.array(grid.shape))).all(axis=1)
    points, index = points[inside], index[inside]
    return np.ascontiguousarray(points[depth[tuple(index.T)] >= 1.0])


def _in_zone(bone: Bone, trajectory: Trajectory, entries: Points, room: float = 0.0) -> NDArray[np.bool_]:
    """Whether local `entries` (..., 3) lie where the trajectory wants them, or within `room` mm of it."""
    if not trajectory.beside:
        return np.ones(entries.shape[:-1], dtype=np.bool_)
    below = _top(bone) - entries[..., 2]
    found = np.ones(entries.shape[:-1], dtype=np.bool_)
    for value, (low, high) in ((entries[..., 0], trajectory.beside), (below, trajectory.below)):
        found &= (value >= low - room) & (value <= high + room)
    return found


def _angles(trajectory: Trajectory) -> Points:
    """(n, 2) medial and cranial angles, rad."""
    medial, cranial = (
        np.linspace(low, high, max(2, round((high - low) / TURN) + 1))
        for low, high in (trajectory.medial, trajectory.cranial)
    )
    return np.asarray(np.deg2rad(np.array(list(itertools.product(medial, cranial)))))


def _axis(bone: Bone, side: str, guess: Points, plane: float) -> tuple[Points, Points]:
    """Entry and unit direction, LPS, of the axis `guess`."""
    p = np.array([guess[0], plane, guess[1]])
    cosine = np.cos(guess[3])
    way = np.array([-np.sin(guess[2]) * cosine, -np.cos(guess[2]) * cosine, np.sin(guess[3])])
    (depth, matrix, _), _ = _scene(bone, side)
    back = _axes.leaves(depth, p, -way, matrix, _axes.STEP)
    axes = bone.axes(side)
    return np.asarray(bone.vertebra.centre + (p - back * way) @ axes), np.asarray(way @ axes)


def _sized(bone: Bone, side: str, axis: tuple[Points, Points], wanted: tuple[Trajectory, System, float]) -> Placed:
    """The largest and then longest screw on `axis` that keeps the margin, else the smallest that touches nothing.

    Through two bones it is the one that is best by thickness and length together, as `_rank` weighs them.
    """
    entry, way = axis
    trajectory, system, margin = wanted
    lengths = [n for n in reversed(system.lengths) if trajectory.shortest <= n <= trajectory.longest]
    radii = [d / 2 for d in reversed(system.diameters)]
    grid = bone.grid
    found = _axes.sizes(
        beside(bone, entry, entry + lengths[0] * way, radii[0]), entry, way, np.array(radii), np.array(lengths),
        np.ascontiguousarray(grid.patient_from_index.matrix[:3, :3]),
    )  # fmt: skip
    given = _search(bone).given
    kept = max(0.0, float(found[-1, :, 0].max()) - given) if given else 0.0
    for least, chosen in ((margin, range(len(radii))), (kept, range(len(radii) - 1, len(radii)))):
        both = itertools.product(chosen, range(len(lengths)))
        for r, m in both if bone.door is None else sorted(both, key=lambda n: -radii[n[0]] - LONGER * lengths[n[1]]):
            if found[r, m, 0] >= least and found[r, m, 1] >= trajectory.ahead:
                tip = entry + lengths[m] * way
                screw = Screw(bone.name, side, trajectory.name, entry, tip, radii[r], system)
                return Placed(screw, float(found[r, m, 0]), float(found[r, m, 0]) + radii[r])
    widest = float(found[-1, :, 0].max())
    return Placed(None, widest, widest + radii[-1])


def clearance(bone: Bone, screw: Screw) -> tuple[float, float]:
    """Least gap to the wall, mm, a lower bound, and to the wall ahead of the tip, mm.

    The wall is every voxel outside the bone farther than the radius and `ENTRY` from the entry: the screw enters
    through the wall, and what is beside its entry would otherwise be all that is ever found [keyhole-prototype].
    """
    near, gaps = against(bone, screw)
    offset = near - screw.entry
    past = offset @ screw.way
    ahead = (past > screw.length - screw.radius) & ((offset**2).sum(axis=1) - past**2 <= screw.radius**2)
    return float(gaps.min(initial=99.0)), float(gaps[ahead].min(initial=99.0))


def against(bone: Bone, screw: Screw) -> tuple[Points, Points]:
    """The voxels of the wall near `screw` (n, 3) LPS mm and the gap to each (n,) mm, a lower bound."""
    points = beside(bone, screw.entry, screw.tip, screw.radius)
    points = points[((points - screw.entry) ** 2).sum(axis=1) > (screw.radius + ENTRY) ** 2]
    shaft = screw.shaft
    axes = np.ascontiguousarray(bone.grid.patient_from_index.matrix[:3, :3])
    return points, np.asarray(_axes.gaps(points, shaft.start, shaft.stop, axes) - screw.radius)


def beside(bone: Bone, entry: Points, tip: Points, radius: float) -> Points:
    """Every voxel outside the bone within `NEAR` of the wall of a screw, (n, 3) LPS mm."""
    length = float(np.linalg.norm(tip - entry))
    ends, way = np.linspace(0.0, length, max(2, int(np.ceil(length / PIECE)) + 1)), (tip - entry) / length
    found = []
    for n, (first, last) in enumerate(itertools.pairwise(ends)):
        points = _around(bone, entry + np.outer((first, last), way), radius + NEAR)
        offset = points - entry
        past = offset @ way
        inside = ((past >= first) | (n == 0)) & ((past < last) | (n == len(ends) - 2))
        found.append(points[inside & ((offset**2).sum(axis=1) - past**2 <= (radius + NEAR) ** 2)])
    return np.ascontiguousarray(np.concatenate(found))


def _around(bone: Bone, ends: Points, room: float) -> Points:
    """The voxels outside the bone in the box of voxels within `room` mm of `ends` (2, 3)."""
    index, room_of = bone.grid.index(ends), room / bone.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room_of), 0, bone.grid.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room_of) + 1, low, bone.grid.shape).astype(int)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    outside = ~bone.mask[box]
    if bone.half is None:
        outside &= bone.depth[box] > -NEAR - 2.0
    return bone.grid.centres(np.argwhere(outside) + low)
