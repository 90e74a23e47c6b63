"""A corridor's decompression as a discrete problem: what may be bitten away, by which ways, and what that opens."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Points
from keyhole.plan.approaches import Approach
from keyhole.plan.decompress.bites import FILL, Bites, bites, cells, inward, nearness
from keyhole.plan.decompress.canal import Canal, Planes, fragment_mask, free_distance, planes
from keyhole.plan.decompress.goal import Goal
from keyhole.plan.decompress.problem import NONE, Indices, Problem
from keyhole.plan.decompress.tool import Tool, walls, ways
from keyhole.plan.site import Mask
from keyhole.terms import split

ADJACENT = 1.75
"""A bite lies on the canal if a voxel of it is this near to it, voxels: over faces, edges or corners."""

NOTHING = 1e-3
"""A bite that opens less than this, mm² or mm³, opens nothing: rounding must not decide which do."""

NOWHERE = np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """What is removed through one tube: the bites, what is left of each outside the tube, mm³, and what may not be cut.

    `in_tube` (v,) are the voxels of the bites that lie in the docked tube itself. `fragment` is the part of the
    herniated fragment that is drawn out, over the bites `forced`; `fragment_why` says by label or `FAR`, `LEANS` why
    parts of it stay, with their volume, mm³. `soft` are the bones that may be cut.
    """

    found: Canal
    cut: Bites
    cost: Points
    in_tube: NDArray[np.bool_]
    fragment: Mask
    forced: Indices
    fragment_why: dict[int, float]
    hard: NDArray[np.bool_]
    tool: Tool
    soft: tuple[str, ...]

    @property
    def voxel(self) -> float:
        """Volume of a voxel, mm³."""
        return self.found.site.labels.grid.voxel_volume


def scene(found: Canal, approach: Approach, tool: Tool) -> Scene:
    """What the tool of `approach` can remove at the level of `found`."""
    site = found.site
    soft = approach.soft_bone(site.frame.level, site.frame.side)
    cut = bites(found, soft)
    in_tube = np.zeros(len(cut.index), dtype=np.bool_)
    if tool.tube is not None and len(cut.index):
        in_tube = tool.tube.gap(site.labels.grid.centres(cut.index)) <= 0
    cost = cut.total(~in_tube * site.labels.grid.voxel_volume)
    key = ("walls", soft)
    if key not in found.made:
        found.made[key] = walls(site, approach)
    hard = found.made[key]
    fragment, forced, why = _drawn_out(found, cut, cost, hard, tool)
    return Scene(found, cut, cost, in_tube, fragment, forced, why, hard, tool, soft)


def _drawn_out(
    found: Canal, cut: Bites, cost: Points, hard: NDArray[np.bool_], tool: Tool
) -> tuple[Mask, Indices, dict[int, float]]:
    """The part of the fragment that is drawn out, the bites of the ways to it, and why the rest stays.

    A connected piece that the tool can touch is drawn out as far as the tool reaches; the cheapest way to it counts.
    """
    site, whole = found.site, fragment_mask(found)
    taken = np.zeros(whole.shape, dtype=np.bool_)
    if not whole.any():
        return taken, NOWHERE, {}
    pieces, n = ndimage.label(whole, structure=np.ones((3, 3, 3)))
    forced: list[Indices] = []
    why: dict[int, float] = {}
    voxel = site.labels.grid.voxel_volume
    for piece in range(1, n + 1):
        index = np.argwhere(pieces == piece)
        points = site.labels.grid.centres(index)
        row, held, spent, reasons = ways(tool, site, cut, hard, cost, _middles(found, index, points))
        within = _within(tool, points)
        best = int(spent.argmin())
        if not np.isfinite(spent[best]):
            reason = int(np.bincount(reasons - reasons.min()).argmax() + reasons.min())
            why[reason] = why.get(reason, 0.0) + len(index) * voxel
            continue
        forced.append(held[row[best] : row[best + 1]])
        taken[tuple(index[within == 0].T)] = True
        for reason in (-1, -2):
            if (within == reason).any():
                why[reason] = why.get(reason, 0.0) + float((within == reason).sum()) * voxel
    return taken, np.unique(np.concatenate(forced)) if forced else NOWHERE, why


def _middles(found: Canal, index: Indices, points: Points) -> tuple[Points, Indices]:
    """The middles of a piece's voxels in each cell of the lattice, as targets that are no bites."""
    _, of = np.unique(cells(found.site, index), axis=0, return_inverse=True)
    of = of.reshape(-1)
    count = np.bincount(of)
    middles = np.stack([np.bincount(of, points[:, a]) / count for a in range(3)], axis=1)
    return middles, np.full(len(middles), -1, dtype=np.int64)


def _within(tool: Tool, points: Points) -> NDArray[np.int64]:
    """0 where the tool's cone holds `points`; `FAR` or `LEANS` elsewhere."""
    way = points - tool.dock
    deep = -(way @ tool.out)
    whole = np.linalg.norm(way, axis=1)
    aside = np.sqrt(np.maximum(whole**2 - deep**2, 0.0))
    far = (deep < -1e-3) | (whole > tool.farthest + 1e-3)
    return np.where(far, -1, np.where(aside > tool.slack + deep * tool.lean + 1e-3, -2, 0))


@dataclass(frozen=True, slots=True, eq=False)
class Posed:
    """A problem, the bites that it is about (m,) as numbers of `Bites`, what each bite opens, and where the tool fails.

    `near` (n,) is each bite's distance from the free canal, `why` (n,) why it cannot be reached (0: it can).
    """

    problem: Problem
    known: Indices
    near: Points
    wanted: NDArray[np.bool_]
    why: Indices


def posed(at: Scene, goal: Goal, aim: float | None, more: Points | None = None) -> Posed:
    """The problem of reaching `goal`; `aim` is the area wanted, mm², `more` what the planes lack besides, mm²."""
    distance = free_distance(at.found, without_fragment=bool(at.fragment.any()))
    near = np.round(nearness(at.cut, distance), 3)  # so that rounding does not decide which of two alike is nearer
    if goal.kind == "root":
        gain, rooted = _touching(at, goal), np.ones(len(at.cut), dtype=np.bool_)
        deficit = np.zeros(1)
    else:
        on = planes(at.found, goal.length)
        gain = np.round(_opens(at, on, distance.array), 5)
        rooted = near <= ADJACENT * float(at.found.site.labels.grid.spacing.max())
        deficit = (aim or 0.0) - on.areas - _by_fragment(at, on)
        deficit = deficit if more is None else deficit + more
    wanted = gain.sum(axis=1) > NOTHING
    which = np.flatnonzero(wanted)
    row, held, _, reasons = ways(at.tool, at.found.site, at.cut, at.hard, at.cost, (at.cut.centres[which], which))
    why = np.zeros(len(at.cut), dtype=np.int64)
    why[which] = np.where(np.diff(row) > 0, 0, reasons)
    problem, known = _compact(at, gain, (rooted, near), deficit, (which, row, held))
    if goal.kind == "root":
        problem = replace(problem, deficit=problem.attainable)
    return Posed(problem, known, near, wanted, why)


def _opens(at: Scene, on: Planes, distance: NDArray[np.float32]) -> Points:
    """(n, s) area that each bite adds to each plane once it is canal, mm²."""
    rows = np.ravel_multi_index(tuple(at.cut.index.T), at.found.site.labels.array.shape)
    counts = (distance.ravel()[rows] <= FILL) & ~at.in_tube
    return np.stack([at.cut.total(weight[rows] * counts) for weight in on.weight], axis=1)


def _by_fragment(at: Scene, on: Planes) -> Points:
    """(s,) area that the fragment gives up on each plane, mm²."""
    return np.array([float(weight[at.fragment.ravel()].sum()) for weight in on.weight])


def root_key(at: Scene, goal: Goal) -> str:
    """The root that the goal is about."""
    frame = at.found.site.frame
    upper, lower = split(frame.level)
    return f"root/{lower if goal.root == 'traversing' else upper}/{frame.side}"


def _touching(at: Scene, goal: Goal) -> Points:
    """(n, 1) volume of each bite that lies within the goal's room of the root, mm³."""
    site = at.found.site
    root = site.mask(root_key(at, goal))
    if not root.any() or not len(at.cut):
        return np.zeros((len(at.cut), 1))
    distance = site.field(root).array[tuple(at.cut.index.T)]
    surface = float(site.labels.grid.spacing.max()) / 2
    height = np.abs(at.found.at.plane.height(site.labels.grid.centres(at.cut.index)))
    near = (distance <= goal.amount + surface) & (height <= goal.length) & ~at.in_tube
    return at.cut.total(near * at.voxel)[:, None]


def _compact(
    at: Scene, gain: Points, place: tuple[NDArray[np.bool_], Points], deficit: Points,
    found: tuple[Indices, Indices, Indices],
) -> tuple[Problem, Indices]:  # fmt: skip
    """The problem over the bites that matter alone, from the canal outwards, and which they are."""
    (rooted, near), (which, row, held) = place, found
    known = np.unique(np.concatenate([held, at.forced]))
    known = known[np.argsort(near[known], kind="stable")]
    number = np.full(len(at.cut) + 1, NONE, dtype=np.int64)
    number[known] = np.arange(len(known))
    size = np.zeros(len(at.cut), dtype=np.int64)
    size[which] = np.diff(row)
    first = np.zeros(len(at.cut), dtype=np.int64)
    first[which] = row[:-1]
    start = np.concatenate([[0], np.cumsum(size[known])])
    rows = [held[first[n] : first[n] + size[n]] for n in known]
    bites_of = number[np.concatenate([*rows, NOWHERE])]
    inner = number[inward(at.cut, near)[known]]
    return Problem(at.cost[known], gain[known], rooted[known], _packed(inner), start, bites_of, deficit,
                   number[at.forced]), known  # fmt: skip


def _packed(inner: Indices) -> Indices:
    """`inner` with `NONE` behind everything else in each row."""
    turn = np.argsort(inner == NONE, axis=1, kind="stable")
    return np.ascontiguousarray(np.take_along_axis(inner, turn, axis=1))
