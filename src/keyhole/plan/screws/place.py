"""Where a screw fits best in one vertebra on one side, and how large it may be."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Points
from keyhole.plan.screws import _axes
from keyhole.plan.screws.bone import Bone
from keyhole.plan.screws.model import Screw
from keyhole.plan.screws.sizes import System, Trajectory

MARGIN = 1.0
"""Gap to the wall that a size should keep, mm [keyhole-choice]: of plans that keep it on labels drawn at 3 mm, few
breach on fine ones (docs/screws.md)."""

ENTRY = 3.0
"""Voxels of the wall within radius + this of the entry belong to the entry, mm [keyhole-prototype]."""

BEHIND = 3.0
"""The plane of pedicles that axes are spread on lies this far behind the body's posterior wall, mm [keyhole-choice]."""

INTO = 6.0
"""The narrow part ends this far before the body's posterior wall, mm [keyhole-choice]."""

SPREAD, TURN = 1.5, 3.0
"""Between the axes of the first search: mm and degrees."""

CELL = (3.0, 0.16)
"""Of the axes that share a cell of this size, mm on the plane and rad, the first search keeps the best."""

JUDGED_FIRST, SEEDS = 80, 6
"""Cells whose axes are judged against the wall, and axes that are refined, each at least `APART` from the others."""

FINEST = 0.1
"""Refinement ends at steps of this, mm."""

JUDGED = 45.0
"""An axis is judged at most this far, mm; a longer screw has to fit, but no axis is sought for it [keyhole-choice]."""

LONGER = 0.03
"""What a mm of length is worth, mm of gap [keyhole-choice]."""

NEAR = 6.0
"""Walls farther than this from a screw, or from the bone, are not looked at, mm: at its entry every screw is nearer."""

APART = (3.0, 0.14)
"""mm on the plane or rad."""

HEIGHT = (-18.0, 24.0)
"""Upward reach of the plane, mm from the body's middle [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A screw with its least gap to the wall, mm; or none, with the widest gap that the smallest one found."""

    screw: Screw | None
    gap: float
    free: float  # mm, the free radius along the best axis


def place(bone: Bone, side: str, trajectory: Trajectory, system: System, margin: float = MARGIN) -> Placed:
    """The largest screw of `system` that keeps `margin` to the wall, else the smallest that does not touch it.

    Labels drawn on coarser voxels hold `Bone.coarse` too much bone: the margin is kept beyond it.

    Axes through a plane behind the body, every `SPREAD` mm and `TURN` degrees inside the trajectory's bounds, are
    judged on the bone's depth; the best few are refined against every voxel of the wall. What an axis is worth is its
    free radius, less what it takes of the facet joint above, of the neighbours' bone and of the wanted direction.
    """
    biggest, margin = system.diameters[-1] / 2, margin + bone.coarse
    numbers = np.array(
        [
            bone.wall + BEHIND, biggest, trajectory.shortest, biggest + margin + 0.5, system.head_radius,
            np.deg2rad(trajectory.wanted_medial), np.deg2rad(trajectory.wanted_cranial),
        ]
    )  # fmt: skip
    guesses, lengths = _seeds(bone, side, trajectory, system, numbers[3])
    if not len(guesses):
        return Placed(None, -np.inf, 0.0)
    scene, clouds = _scene(bone, side)
    _, values = _axes.refine(guesses, _bounds(trajectory), scene, clouds, numbers, lengths, 1.0)
    seeds = _apart(guesses, values)
    best, values = _axes.refine(
        guesses[seeds], _bounds(trajectory), scene, clouds, numbers, lengths[seeds], FINEST
    )  # fmt: skip
    tried: list[tuple[Placed, float]] = []
    for n in np.argsort(-np.round(values, 6), kind="stable"):
        entry, way = _axis(bone, side, best[n], numbers[0])
        tried.append((_sized(bone, side, (entry, way), (trajectory, system, margin)), float(values[n])))
    return max(tried, key=lambda one: _rank(bone, one[0], one[1], margin))[0]


def _rank(bone: Bone, placed: Placed, value: float, margin: float) -> tuple[bool, bool, bool, float, float]:
    """What makes a screw better: it fits, keeps the margin, spares the joint above, is thicker, worth more, longer."""
    screw = placed.screw
    if screw is None:
        return False, False, False, 0.0, round(placed.gap, 6)
    spares = bool((screw.shaft.gap(bone.joints[screw.side]) > 0).all())
    return True, placed.gap >= margin, spares, screw.radius, round(value + LONGER * screw.length, 6)


def _bounds(trajectory: Trajectory) -> Points:
    """(4, 2) bounds of lateral, up, medial and cranial: mm and rad."""
    angles = np.deg2rad([trajectory.medial, trajectory.cranial])
    return np.array([trajectory.lateral, HEIGHT, *angles], dtype=np.float64)


def _scene(bone: Bone, side: str) -> tuple[tuple[_axes.Field, Points, Points], tuple[Points, Points, Points]]:
    """What the compiled loops need of the bone: depth, index from local, frame; and the clouds of points."""
    axes = bone.axes(side)
    inverse = bone.grid.patient_from_index.inverse.matrix
    index = np.empty((3, 4))
    index[:, :3] = inverse[:3, :3] @ axes.T
    index[:, 3] = inverse[:3, :3] @ bone.vertebra.centre + inverse[:3, 3]
    frame = np.vstack([axes, bone.vertebra.centre, bone.grid.patient_from_index.matrix[:3, :3]])
    lateral = (bone.rim - bone.vertebra.centre) @ axes[0]
    rim = np.ascontiguousarray(bone.rim[lateral > -12.0])
    return (bone.depth, index, np.ascontiguousarray(frame)), (rim, bone.joints[side], bone.others)


def _seeds(bone: Bone, side: str, trajectory: Trajectory, system: System, cap: float) -> tuple[Points, Points]:
    """The best axes of the first search, one of each cell: lateral, up, medial, cranial rad (n, 4); their lengths."""
    points, angles = _lattice(bone, side, trajectory), _angles(trajectory)
    cosine = np.cos(angles[:, 1])
    ways = np.stack([-np.sin(angles[:, 0]) * cosine, -np.cos(angles[:, 0]) * cosine, np.sin(angles[:, 1])], axis=1)
    if not len(points):
        return np.empty((0, 4)), np.empty(0)
    inside = (BEHIND + INTO) / np.maximum(-ways[:, 1], 0.2)
    (depth, matrix, _), _ = _scene(bone, side)
    found = _axes.scan(depth, points, np.ascontiguousarray(ways), matrix, system.diameters[0] / 2 + ENTRY, inside)
    score = np.minimum(found[..., 0], cap) + 0.01 * np.minimum(found[..., 1], trajectory.longest)
    for wanted, is_ in ((trajectory.wanted_medial, angles[:, 0]), (trajectory.wanted_cranial, angles[:, 1])):
        if np.isfinite(wanted):
            score -= _axes.LEAN * np.abs(is_ - np.deg2rad(wanted))
    score[(found[..., 0] <= 0) | (found[..., 1] < trajectory.shortest)] = -np.inf
    order = np.argsort(-np.round(score.ravel(), 6), kind="stable")
    order = order[np.isfinite(score.ravel()[order])]
    p, a = np.divmod(order, len(angles))
    guesses = np.column_stack([points[p, 0], points[p, 2], angles[a]])
    cells = np.floor(guesses / [CELL[0], CELL[0], CELL[1], CELL[1]] + 1e-6)
    chosen = np.sort(np.unique(cells, axis=0, return_index=True)[1])[:JUDGED_FIRST]
    run = found[..., 1].ravel()[order[chosen]] - trajectory.ahead - 2.0
    return guesses[chosen], np.minimum(np.clip(run, trajectory.shortest, trajectory.longest), JUDGED)


def _apart(guesses: Points, values: Points) -> list[int]:
    """The best `SEEDS` of `guesses` (n, 4) that differ."""
    chosen: list[int] = []
    for n in np.argsort(-np.round(values, 6), kind="stable"):
        off = np.abs(guesses[chosen] - guesses[n])
        if ((off[:, :2].max(axis=1) >= APART[0]) | (off[:, 2:].max(axis=1) >= APART[1])).all():
            chosen.append(int(n))
        if len(chosen) == SEEDS:
            break
    return chosen


def _lattice(bone: Bone, side: str, trajectory: Trajectory) -> Points:
    """Points (n, 3) of the plane behind the body that lie in bone, in the local frame."""
    lateral = np.arange(*trajectory.lateral, SPREAD)
    up = np.arange(HEIGHT[0], HEIGHT[1], SPREAD)
    points = np.array([[x, bone.wall + BEHIND, z] for x, z in itertools.product(lateral, up)])
    index = np.rint(bone.grid.index(bone.vertebra.centre + points @ bone.axes(side))).astype(int)
    inside = ((index >= 0) & (index < np.array(bone.grid.shape))).all(axis=1)
    points, index = points[inside], index[inside]
    return np.ascontiguousarray(points[bone.depth[tuple(index.T)] >= 1.0])


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
    """The largest and then longest screw on `axis` that keeps the margin, else the smallest that touches nothing."""
    entry, way = axis
    trajectory, system, margin = wanted
    lengths = [n for n in reversed(system.lengths) if trajectory.shortest <= n <= trajectory.longest]
    radii = [d / 2 for d in reversed(system.diameters)]
    grid = bone.grid
    found = _axes.sizes(
        beside(bone, entry, entry + lengths[0] * way, radii[0]), entry, way, np.array(radii), np.array(lengths),
        np.ascontiguousarray(grid.patient_from_index.matrix[:3, :3]),
    )  # fmt: skip
    for least, chosen in ((margin, range(len(radii))), (0.0, range(len(radii) - 1, len(radii)))):
        for r, m in itertools.product(chosen, range(len(lengths))):
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
    index = bone.grid.index(np.stack([entry, tip]))
    room = (radius + NEAR) / bone.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room), 0, bone.grid.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room) + 1, low, bone.grid.shape).astype(int)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    points = bone.grid.centres(np.argwhere(~bone.mask[box] & (bone.depth[box] > -NEAR - 2.0)) + low)
    offset, way = points - entry, (tip - entry) / np.linalg.norm(tip - entry)
    aside = (offset**2).sum(axis=1) - (offset @ way) ** 2
    return np.ascontiguousarray(points[aside <= (radius + NEAR) ** 2])
