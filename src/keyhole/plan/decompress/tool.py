"""The straight ways of a tool through a docked tube, or from behind in the open operation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Tube, unit
from keyhole.geometry._kernels import compiled
from keyhole.plan.approaches import Approach
from keyhole.plan.decompress.bites import BITE, Bites
from keyhole.plan.decompress.problem import Indices
from keyhole.plan.frame import LevelFrame
from keyhole.plan.site import EPIDURAL, Site, hard_keys
from keyhole.terms import belongs

SAMPLE = 0.5
"""Distance at which a way is looked at, mm [keyhole-choice]."""

AT_WALL = 0.75 * BITE
"""A bite may lie this far into what must not be touched: the tool stops at the wall and nibbles, mm."""

TOOL = 1.5
"""Half width of the way that a tool clears, mm: a burr of 3 mm [elhamdani2026] or a punch of that size."""

INSIDE = 0.981
"""The way is looked at a little inside its wall, so that rounding does not decide on voxels that only touch it."""

OPEN_LEAN = 30.0
"""How far tools lean in the open operation, degrees [keyhole-choice]."""

OPEN_APART = 5.0
"""Distance of the places that tools come from in the open operation, mm [keyhole-choice]."""

SIDEWAYS = 0.99
"""Cosine to lateral from which a tube counts as coming straight from the side."""

FAR, LEANS = -1, -2
"""Why a place cannot be reached, besides the structure that is in the way: too far; leans too much."""


@dataclass(frozen=True, slots=True, eq=False)
class Tool:
    """Where a tool can come from: `starts` (k, 3) LPS mm within the tube, behind its tip `dock`.

    It reaches `farthest` mm from the dock, within the cone that opens `slack` wide from there at the angle whose
    tangent is `lean`; `out` points outwards. `tube` is what the docked tube itself takes away; None in the open.
    """

    starts: Points
    dock: Points
    out: Points
    slack: float
    lean: float
    farthest: float
    tube: Tube | None


def through_tube(frame: LevelFrame, approach: Approach, dock: Points, out: Points, radius: float) -> Tool:
    """The tool through a tube of `radius` docked at `dock`: from the middle of its bore, half way out, and its rim."""
    slack = max(radius - approach.instrument_radius, 0.0)
    side, up = across(frame, out)
    places = [(0.0, 0.0)]
    places += [(slack / 2 * np.cos(a), slack / 2 * np.sin(a)) for a in np.arange(4) * np.pi / 2]
    places += [(slack * np.cos(a), slack * np.sin(a)) for a in np.arange(8) * np.pi / 4]
    starts = np.array([dock + radius * out + a * side + b * up for a, b in places])
    lean = float(np.tan(np.deg2rad(approach.angulation)))
    tube = Tube(dock + 60.0 * out, dock + radius * out, radius)
    return Tool(starts, dock, out, slack, lean, approach.reach[1], tube)


def across(frame: LevelFrame, out: Points) -> tuple[Points, Points]:
    """Two unit directions across the axis `out` (3,) of a tube, square to it and to each other, in LPS.

    From lateral and up; from up and posterior where the tube comes nearly straight from the side. So they turn and
    mirror with the patient.
    """
    first, second = (frame.lateral, frame.up) if abs(frame.lateral @ out) < SIDEWAYS else (frame.up, frame.posterior)
    side = unit(first - (first @ out) * out)
    other = second - (second @ out) * out
    return side, unit(other - (other @ side) * side)


def from_behind(site: Site, half_width: float, half_length: float) -> Tool:
    """The tools of the open operation: from everywhere behind the arch within the exposure."""
    frame = site.frame
    index = np.argwhere(site.mask("vertebra"))
    back = float(site.local(index)[:, 1].max()) + 2.0 if len(index) else frame.border + 60.0
    wide = np.arange(-half_width, half_width + 0.1, OPEN_APART)
    long = np.arange(-half_length, half_length + 0.1, OPEN_APART)
    local = np.array([(a, back, b) for a in wide for b in long])
    dock = frame.patient(np.array([0.0, back, 0.0]))
    return Tool(frame.patient(local), dock, frame.posterior, 1e3, float(np.tan(np.deg2rad(OPEN_LEAN))), 1e3, None)


def walls(site: Site, approach: Approach) -> NDArray[np.bool_]:
    """Which labels (by integer) a tool may not touch: what the approach may not cut; what nobody saw (0)."""
    keys = tuple(k for k in hard_keys(site, approach) if not belongs(k, EPIDURAL))
    table = np.zeros(int(max(site.labels.structures, default=0)) + 1, dtype=np.bool_)
    table[list(site.labels.labels_of(*keys))] = True
    table[0] = True
    return table


@compiled()
def _voxel(matrix: Points, point: Points, shape: tuple[int, int, int], found: Indices) -> bool:
    """Fill `found` with the voxel that holds `point`; False outside the array."""
    for a in range(3):
        found[a] = round(matrix[a, 0] * point[0] + matrix[a, 1] * point[1] + matrix[a, 2] * point[2] + matrix[a, 3])
        if found[a] < 0 or found[a] >= shape[a]:
            return False
    return True


@compiled()
def _stop(
    start: Points, stop: Points, matrix: Points, labels: NDArray[np.int32], hard: NDArray[np.bool_], v: Indices
) -> int:
    """The label that keeps the axis of a tool from getting from `start` to `stop`; -1: none does."""
    length = np.sqrt(((stop - start) ** 2).sum())
    steps, stopped = max(1, int(np.ceil(length / SAMPLE))), -1
    for s in range(steps + 1):
        if not _voxel(matrix, start + s / steps * (stop - start), labels.shape, v):
            if stopped >= 0:
                return stopped
            continue  # the tube lies beyond the part that is looked at
        label = int(labels[v[0], v[1], v[2]])
        if hard[label]:
            if (1 - s / steps) * length > AT_WALL:
                return label
            stopped = label
        elif stopped >= 0:
            return stopped
    return -1


@compiled()
def _around(axis: Points, up: Points, ring: Points) -> None:
    """Fill `ring` (n, 3) with the middle and six points `TOOL` mm from it, across `axis`."""
    one = np.cross(axis, up)
    one /= np.sqrt((one**2).sum())
    two = np.cross(axis, one)
    ring[0] = 0.0
    for k in range(len(ring) - 1):
        angle = 2 * np.pi * k / (len(ring) - 1)
        ring[k + 1] = INSIDE * TOOL * (np.cos(angle) * one + np.sin(angle) * two)


@compiled()
def _walk(
    start: Points, stop: Points, matrix: Points, at: NDArray[np.int32], cost: Points, own: int, mark: Indices,
    stamp: int, way: Indices, work: tuple[Points, Points, Indices],
) -> tuple[int, float]:  # fmt: skip
    """Fill `way` with the bites that a tool takes with it from `start` to `stop`; how many, and their volume."""
    ring, up, v = work
    length = np.sqrt(((stop - start) ** 2).sum())
    axis = (stop - start) / max(length, 1e-9)
    _around(axis, up, ring)
    steps = max(1, int(np.ceil(length / (2 * SAMPLE))))
    n, spent = 0, 0.0
    for s in range(steps + 1):
        middle = start + s / steps * (stop - start)
        for k in range(len(ring)):
            if not _voxel(matrix, middle + ring[k], at.shape, v):
                continue
            u = at[v[0], v[1], v[2]]
            if u >= 0 and mark[u] != stamp:
                mark[u] = stamp
                way[n] = u
                n += 1
                spent += cost[u]
    if own >= 0 and mark[own] != stamp:
        mark[own] = stamp
        way[n] = own
        n += 1
        spent += cost[own]
    return n, spent


@compiled()
def _ways(
    targets: Points, own: Indices, starts: Points, dock: Points, out: Points, limits: Points, matrix: Points,
    labels: NDArray[np.int32], hard: NDArray[np.bool_], at: NDArray[np.int32], cost: Points,
) -> tuple[Indices, Indices, Points, Indices]:  # fmt: skip
    """Of each target the cheapest way: row starts, bites, volume (inf: none) and why not; see `ways`."""
    m, stamp, up = len(targets), 0, limits[3:6]
    ring, v = np.zeros((7, 3)), np.zeros(3, dtype=np.int64)
    mark, way = np.full(len(cost) + 1, -1, dtype=np.int64), np.empty(len(cost) + 2, dtype=np.int64)
    row, spent, why = np.zeros(m + 1, dtype=np.int64), np.full(m, np.inf), np.zeros(m, dtype=np.int64)
    bites, filled = np.empty(16 * m + 64, dtype=np.int64), 0
    for n in range(m):
        from_dock = targets[n] - dock
        deep = -(from_dock * out).sum()
        whole = np.sqrt((from_dock**2).sum())
        aside = np.sqrt(max(whole**2 - deep**2, 0.0))
        chosen = -1
        if deep < -1e-3 or whole > limits[2] + 1e-3:
            why[n] = FAR
        elif aside > limits[0] + deep * limits[1] + 1e-3:
            why[n] = LEANS
        else:
            why[n] = LEANS
            for k in range(len(starts)):
                line = targets[n] - starts[k]
                down = -(line * out).sum()
                if np.sqrt(max((line**2).sum() - down**2, 0.0)) > down * limits[1] + 1e-3:
                    continue
                hit = _stop(starts[k], targets[n], matrix, labels, hard, v)
                if hit >= 0:
                    why[n] = hit if why[n] < 0 else why[n]
                    continue
                stamp += 1
                count, volume = _walk(starts[k], targets[n], matrix, at, cost, own[n], mark, stamp, way, (ring, up, v))
                if volume < spent[n] - 1e-6:
                    spent[n], chosen = volume, k
        if chosen >= 0:
            stamp += 1
            count, volume = _walk(starts[chosen], targets[n], matrix, at, cost, own[n], mark, stamp, way, (ring, up, v))
            if filled + count > len(bites):
                grown = np.empty(2 * len(bites) + count, dtype=np.int64)
                grown[:filled] = bites[:filled]
                bites = grown
            bites[filled : filled + count] = way[:count]
            filled += count
        row[n + 1] = filled
    return row, bites[:filled], spent, why


def ways(
    tool: Tool, site: Site, cut: Bites, hard: NDArray[np.bool_], cost: Points, targets: tuple[Points, Indices]
) -> tuple[Indices, Indices, Points, Indices]:
    """The cheapest straight way of the tool to each target.

    A way is free if its axis meets nothing that must not be touched, but at its end, where the tool may stop at a wall.
    What lies within `TOOL` mm of the axis is taken on the way.

    Parameters
    ----------
    hard : by label.
    cost : of each bite, mm³.
    targets : points (m, 3) LPS mm, and the bite that each is the middle of (-1: none).

    Returns
    -------
    Row starts (m + 1,) into the bites taken on the way; those bites; their volume (m,), inf where there is no way; and
    why there is none (m,): `FAR`, `LEANS`, or the label that is in the way.
    """
    limits = np.array([tool.slack, tool.lean, tool.farthest, *site.frame.up])
    matrix = site.labels.patient_from_index.inverse.matrix
    found: tuple[Indices, Indices, Points, Indices] = _ways(
        np.ascontiguousarray(targets[0]), targets[1], tool.starts, tool.dock, tool.out, limits, matrix,
        np.ascontiguousarray(site.labels.array).astype(np.int32), hard, cut.at, cost,
    )  # fmt: skip
    return found
