"""The chance that the executed tube touches a structure: beside a flat wall, and against its real shape."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import erf, sqrt

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Tube
from keyhole.geometry._kernels import compiled
from keyhole.plan.doubt.error import ExecutionError

FAR = 3.1
"""A structure this many sd away or more counts with its flat wall (0.001 or less)."""

REST = 10.0
"""Errors less likely than the likeliest touching one by exp(-REST / 2) are left out."""

STEP, WIDE = 0.9, 3
"""Spacing in sd of the parallel lines that are integrated along, and how many lie to either side."""

REACH = 30.0
"""Walls farther from a tube than this, mm, are only known by their nearest point."""

BINS = 2400
"""Cells along a line."""

END = 6.0
"""Length of a line to either side, sd."""


def flat(gap: float, spread: float) -> float:
    """Chance that a shift with sd `spread` along the normal of a flat wall closes `gap`, both mm."""
    if not spread > 0:
        return 0.0 if gap > 0 else 1.0
    return 0.5 * (1.0 + erf(-gap / (spread * sqrt(2.0))))


def breach_probability(gap: float, normal: Points, error: ExecutionError, sd: float) -> float:
    """Chance that the executed tube touches a structure that the planned one clears by `gap` mm, its wall taken flat.

    P = Phi(-gap / s), where s² is the variance of the shift along the wall's unit `normal` plus that of the
    structure's own place, `sd`² mm². A convex structure is overstated (beside a nerve up to twice), one that lies on
    two sides of the tube understated; `breach` takes the real shape.
    """
    return flat(gap, sqrt(error.along(normal) + sd**2))


def total(probabilities: list[float]) -> float:
    """Upper bound of the chance of any breach: the sum, at most 1 (exact only if they exclude each other)."""
    return float(min(1.0, sum(probabilities)))


@dataclass(frozen=True, slots=True, eq=False)
class Contact:
    """Where an executed tube is likeliest to meet a structure.

    `point` of the structure (3,) LPS mm, its planned `gap` mm, the wall's `normal` (3,) from axis to point and the
    `spread` of the gap, mm.
    """

    point: Points
    gap: float
    normal: Points
    spread: float


@compiled()
def _walls(points: Points, start: Points, stop: Points, radius: float) -> tuple[Points, Points]:
    """Gap (n,) of each point from the capsule and unit normal (n, 3) from its axis to the point."""
    gaps, normals = np.empty(len(points)), np.zeros((len(points), 3))
    along = stop - start
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    for n in range(len(points)):
        x, y, z = points[n, 0] - start[0], points[n, 1] - start[1], points[n, 2] - start[2]
        share = min(max((x * along[0] + y * along[1] + z * along[2]) / square, 0.0), 1.0) if square > 0 else 0.0
        x, y, z = x - share * along[0], y - share * along[1], z - share * along[2]
        length = np.sqrt(x * x + y * y + z * z)
        gaps[n] = length - radius
        if length > 0:
            normals[n, 0], normals[n, 1], normals[n, 2] = x / length, y / length, z / length
    return gaps, normals


@compiled()
def _roots(a: float, b: float, c: float) -> tuple[float, float]:
    """Where a t² + 2 b t + c <= 0, or an empty interval."""
    if a <= 1e-18:
        return (-1e9, 1e9) if c <= 0 else (1.0, 0.0)
    square = b * b - a * c
    if square < 0:
        return 1.0, 0.0
    root = np.sqrt(square)
    return (-b - root) / a, (-b + root) / a


@compiled()
def _inside(p: Points, v: Points, length: float, radius: float) -> tuple[float, float]:
    """The interval of t in which p - t v lies in the capsule of `radius` around (0, 0, 0)-(0, 0, length)."""
    across = v[0] * v[0] + v[1] * v[1]
    turn = -(p[0] * v[0] + p[1] * v[1])
    off = p[0] * p[0] + p[1] * p[1] - radius * radius
    low, high = _roots(across, turn, off)
    if low > high:
        return low, high
    first, last = low, high
    if abs(v[2]) > 1e-9:
        one, two = p[2] / v[2], (p[2] - length) / v[2]
        first, last = max(low, min(one, two)), min(high, max(one, two))
    elif p[2] < 0 or p[2] > length:
        first, last = 1.0, 0.0
    if first > low or last < high or first > last:
        for end in (0.0, length):
            z = p[2] - end
            one, two = _roots(across + v[2] * v[2], turn - z * v[2], off + z * z)
            if one <= two:
                first, last = (one, two) if first > last else (min(first, one), max(last, two))
    return first, last


@compiled()
def _covered(points: Points, ways: Points, lines: Points, length: float, radius: float, mass: Points) -> Points:
    """Per line (n,): the normal mass of its part on which some point lies in the capsule.

    `points` (m, 3) in the tube's own frame, `ways` (m, 3, 6) how they move per unit of each error, `lines` (n, 5) the
    errors 1 to 5 of each line, along which error 0 runs; `mass` is the normal
    distribution at the cells' edges.
    """
    cells = len(mass) - 1
    found = np.zeros(len(lines))
    change = np.zeros(cells + 1, dtype=np.int32)
    p, v = np.empty(3), np.empty(3)
    for n in range(len(lines)):
        change[:] = 0
        for m in range(len(points)):
            for a in range(3):
                p[a] = points[m, a] - lines[n, 0] * ways[m, a, 1] - lines[n, 1] * ways[m, a, 2]
                p[a] -= lines[n, 2] * ways[m, a, 3] + lines[n, 3] * ways[m, a, 4] + lines[n, 4] * ways[m, a, 5]
                v[a] = ways[m, a, 0]
            low, high = _inside(p, v, length, radius)
            if low > high or low >= END or high <= -END:
                continue
            change[round((max(low, -END) + END) / (2 * END) * cells)] += 1
            change[round((min(high, END) + END) / (2 * END) * cells)] -= 1
        depth, began = 0, 0
        for c in range(cells + 1):
            if depth == 0 and change[c] > 0:
                began = c
            elif depth > 0 and depth + change[c] == 0:
                found[n] += mass[c] - mass[began]
            depth += change[c]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Wall:
    """The part of a structure's wall near a tube: points (n, 3) LPS mm, their gaps (n,) mm, unit normals (n, 3)."""

    points: Points
    gaps: Points
    normals: Points


def wall(points: Points, tube: Tube) -> Wall:
    """Of `points` (n, 3) LPS mm those within `REACH` of `tube`, or the nearest alone where all are farther."""
    gaps, normals = _walls(np.ascontiguousarray(points), tube.start, tube.stop, tube.radius)
    kept = gaps <= max(REACH, float(gaps.min()) if gaps.size else REACH)
    return Wall(points[kept], gaps[kept], normals[kept])


@compiled()
def _spreads(points: Points, normals: Points, matrix: Points, centre: Points) -> Points:
    """Sd (n,) of the gap at each point under the error with covariance `matrix` (6, 6) about `centre`."""
    found = np.empty(len(points))
    way = np.empty(6)
    for n in range(len(points)):
        x, y, z = points[n, 0] - centre[0], points[n, 1] - centre[1], points[n, 2] - centre[2]
        way[:3] = normals[n]
        way[3], way[4] = y * way[2] - z * way[1], z * way[0] - x * way[2]
        way[5] = x * way[1] - y * way[0]
        total = 0.0
        for e in range(6):
            for f in range(6):
                total += way[e] * matrix[e, f] * way[f]
        found[n] = np.sqrt(max(total, 0.0))
    return found


def nearest_contact(near: Wall, error: ExecutionError, sd: float = 0.0) -> Contact:
    """The point that takes the smallest error, in its own sd, to be touched; the wall has points.

    The structure's own place is uncertain by `sd` mm per axis.
    """
    whole = error.and_shift(sd)
    spreads = _spreads(near.points, near.normals, whole.matrix, whole.centre)
    at = int(np.argmin(np.round(near.gaps / np.maximum(spreads, 1e-9), 9)))
    return Contact(near.points[at], float(near.gaps[at]), near.normals[at], float(spreads[at]))


def breach(near: Wall, tube: Tube, error: ExecutionError, sd: float = 0.0) -> float:
    """Chance that the executed `tube` touches the structure whose wall near it is `near`.

    The structure's own place is uncertain by `sd` mm per axis. In the six independent errors of tube and structure,
    the tube is shifted along the direction that first closes the gap, on parallel lines; on each line, every point's
    stay inside the tube is an interval known in closed form, and the normal mass of their union is summed. So tube,
    rounded tip and structure keep their shapes and the rotation's growth along the shaft is in it. A structure
    beyond `FAR` sd counts with its flat wall.
    """
    if not len(near.points):
        return 0.0
    whole = error.and_shift(sd)
    spreads = _spreads(near.points, near.normals, whole.matrix, whole.centre)
    off = near.gaps / np.maximum(spreads, 1e-9)
    at = int(np.argmin(np.round(off, 9)))
    if not spreads[at] > 1e-6 or off[at] > FAR:
        return flat(float(near.gaps[at]), float(spreads[at]) if spreads[at] > 1e-6 else 0.0)
    kept = off <= np.sqrt(max(0.0, off[at].item()) ** 2 + REST)
    ways = whole.ways(near.points[kept])
    axes = _axes(tube)
    basis = _basis(ways, near.normals[kept], off[kept])
    lines, weights = _lines()
    moved = np.ascontiguousarray(axes @ (ways @ basis))
    found = _covered((near.points[kept] - tube.start) @ axes.T, moved, lines, tube.length, tube.radius, _mass())
    return min(1.0, float(weights @ found))


def _basis(ways: Points, normals: Points, off: Points) -> Points:
    """(6, 6) orthonormal errors as columns: the one that closes the likeliest gap, then the others by what they matter.

    Of errors that leave that gap alone, those matter most that change the gaps of other points near in sd (`off`):
    turns where a wall runs along the tube, slides where it is curved. They hang on tube and wall alone, so they move
    with the patient.
    """
    at = int(np.argmin(np.round(off, 9)))
    changes = np.einsum("na,nae->ne", normals, ways)
    first = changes[at] / np.linalg.norm(changes[at])
    others = changes - np.outer(changes @ first, first)
    weights = np.exp(-0.5 * (off**2 - off[at] ** 2))
    told = (others.T * weights) @ others
    scale = float(np.trace(told)) + float(changes[at] @ changes[at])
    return np.asarray(np.linalg.eigh(told + 1e3 * scale * np.outer(first, first))[1][:, ::-1])


def _axes(tube: Tube) -> Points:
    """Rows: two directions across the tube and its axis."""
    if not tube.length > 0:
        return np.eye(3)
    along = (tube.stop - tube.start) / tube.length
    across = np.linalg.svd(along[None])[2][1:]
    return np.stack([*across, along])


@cache
def _lines() -> tuple[Points, Points]:
    """Errors 1 to 5 of each line (n, 5) and weights (n,): a square lattice of the two that matter most.

    Three pairs of sqrt 3 sd stand for the three other errors, one pair at each place of the lattice. Which one it has
    does not change where an error is reversed, so a mirrored patient has the same.
    """
    count = np.arange(-WIDE, WIDE + 1)
    one, two = (grid.ravel() for grid in np.meshgrid(count, count, indexing="ij"))
    kept = np.hypot(one, two) <= WIDE + 0.5
    one, two = one[kept], two[kept]
    weights = np.exp(-0.5 * STEP**2 * (one**2 + two**2))
    rest = np.sqrt(3.0) * np.eye(3)[(np.abs(one) + 2 * np.abs(two)) % 3]
    square = STEP * np.stack([one, two], axis=1)
    lines = np.concatenate([np.hstack([square, rest]), np.hstack([square, -rest])])
    return lines, np.tile(weights, 2) / (2 * weights.sum())


@cache
def _mass() -> NDArray[np.float64]:
    from scipy.special import ndtr  # noqa: PLC0415  (heavy import)

    return np.asarray(ndtr(np.linspace(-END, END, BINS + 1)))
