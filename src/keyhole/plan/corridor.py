"""Straight corridors against a distance field: is one clear, by how much, and the exhaustive sweep over them.

A distance field changes by at most 1 mm per mm, so from a point with value v nothing below m can lie nearer than
v - m: sphere tracing jumps by that slack. Yes/no questions leave at the first value below the margin, graded ones
below a floor. Outside the field the value is nan, and nan is never clear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Grid, Points, Volume
from keyhole.geometry._kernels import compiled, prange

FINE = 0.2
"""Smallest step of the tracing, mm: a dip between two samples is at most half of it deep."""

BLOCKED, UNSEEN, OUTSIDE = 1, 2, 3
"""Verdicts of a sweep beside 0, clear: touches something hard; leaves what was seen; its skin entry is not allowed."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@compiled()
def _value(field: Floats, x: float, y: float, z: float) -> float:
    """Trilinear value of `field` at an index; nan outside it."""
    ni, nj, nk = field.shape
    if not (-0.5 <= x <= ni - 0.5 and -0.5 <= y <= nj - 0.5 and -0.5 <= z <= nk - 0.5):
        return np.nan
    x, y, z = min(max(x, 0.0), ni - 1.0), min(max(y, 0.0), nj - 1.0), min(max(z, 0.0), nk - 1.0)
    i, j, k = min(int(x), max(ni - 2, 0)), min(int(y), max(nj - 2, 0)), min(int(z), max(nk - 2, 0))
    u, v, w = x - i, y - j, z - k
    a, b, c = min(i + 1, ni - 1), min(j + 1, nj - 1), min(k + 1, nk - 1)
    near = (field[i, j, k] * (1 - w) + field[i, j, c] * w) * (1 - v) + (
        field[i, b, k] * (1 - w) + field[i, b, c] * w
    ) * v
    far = (field[a, j, k] * (1 - w) + field[a, j, c] * w) * (1 - v) + (
        field[a, b, k] * (1 - w) + field[a, b, c] * w
    ) * v
    return float(near * (1 - u) + far * u)


@compiled()
def _least(field: Floats, start: Points, along: Points, length: float, floor: float, cap: float) -> tuple[float, float]:
    """Least value on the ray and where; leaves at the first value not >= `floor`. Values above `cap` stay coarse."""
    low, at, t = np.inf, 0.0, 0.0
    while True:
        value = _value(field, start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2])
        if not value >= floor:
            return value, t
        if value < low - 1e-4:  # of equal values the first, whatever rounding says
            low, at = value, t
        if t >= length:
            return low, at
        t = min(length, t + max(value - min(low, cap), FINE))


@compiled()
def _clear(field: Floats, start: Points, along: Points, length: float, need: float) -> bool:
    """Whether no value on the ray is below `need`; nan is below."""
    t = 0.0
    while True:
        value = _value(field, start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2])
        if not value >= need:
            return False
        if t >= length:
            return True
        t = min(length, t + max(value - need, FINE))


@compiled()
def _support(field: Floats, spacing: Points, x: float, y: float, z: float) -> float:
    """Half the voxel's extent along the field's gradient: how much nearer a wall lies than its voxels' centres."""
    total, weighted = 0.0, 0.0
    for axis in range(3):
        a, b, c = (1.0 if axis == 0 else 0.0), (1.0 if axis == 1 else 0.0), (1.0 if axis == 2 else 0.0)
        slope = _value(field, x + a, y + b, z + c) - _value(field, x - a, y - b, z - c)
        slope /= spacing[axis]
        if np.isfinite(slope):
            total += slope * slope
            weighted += abs(slope) * spacing[axis]
    if total > 0:
        return float(0.5 * weighted / np.sqrt(total))
    return float(0.5 * np.sqrt((spacing**2).sum()))


@compiled()
def _code(body: Bytes, start: Points, along: Points, t: float) -> int:
    """0 outside the body, 1 inside, 2 skin, 3 outside the scan, 4 beyond the searched part, `t` mm along the ray."""
    i, j, k = round(start[0] + t * along[0]), round(start[1] + t * along[1]), round(start[2] + t * along[2])
    if i < 0 or j < 0 or k < 0 or i >= body.shape[0] or j >= body.shape[1] or k >= body.shape[2]:
        return 3
    return int(body[i, j, k])


@compiled()
def _to_skin(body: Bytes, start: Points, along: Points, inside: float, outside: float) -> tuple[float, bool]:
    """Length of the ray in the body, known to leave it between `inside` and `outside`, and whether skin is there.

    The trap: a jump by slack overshoots the skin, so the way from the last point inside is walked again.
    """
    last = inside
    while last + 0.1 < outside and _code(body, start, along, last + 0.1) != 0:
        last += 0.1
    back = last
    while back > max(last - 4.0, 0.0):
        if _code(body, start, along, back) == 2:
            return last, True
        back -= 0.5
    return last, False


@compiled()
def _shaft(
    field: Floats, body: Bytes, start: Points, along: Points, radius: float, floor: float, longest: float
) -> tuple[float, int]:
    """Length of the ray from the tip to the skin, and the verdict of a tube of `radius` around it."""
    t, inside, low, cap = radius, 0.0, np.inf, radius + 6.0
    while True:
        code = _code(body, start, along, t)
        if code >= 3:
            return t, (UNSEEN if code == 3 else OUTSIDE)
        if code == 0:
            length, skin = _to_skin(body, start, along, inside, t)
            return length, (0 if skin else UNSEEN)
        value = _value(field, start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2])
        if not value >= floor:
            return t, (BLOCKED if value < floor else UNSEEN)
        if t > longest:
            return t, OUTSIDE
        low, inside = min(low, value), t
        t += min(max(value - min(low, cap), FINE), 8.0)


@compiled(parallel=True)
def _sweep(
    field: Floats,
    body: Bytes,
    spacing: Points,
    docks: Points,
    along: Points,
    sideways: Points,
    slope: Points,
    radii: Points,
    bounds: Points,
    floor: float,
) -> tuple[Floats, Floats, Bytes]:
    """Gap (dock, direction, radius), length and verdict (dock, direction) of every shaft; see `sweep`."""
    n, m, r = len(docks), len(along), len(radii)
    gaps = np.full((n, m, r), -np.inf, dtype=np.float32)
    lengths = np.zeros((n, m), dtype=np.float32)
    verdicts = np.zeros((n, m), dtype=np.uint8)
    for i in prange(n):
        for j in range(m):
            start, ray = docks[i], along[j]
            length, verdict = _shaft(field, body, start, ray, radii[0], radii[0] + floor, bounds[2])
            lateral = sideways[i] + length * slope[j]
            if verdict == 0 and not bounds[0] <= lateral <= bounds[1]:
                verdict = OUTSIDE
            lengths[i, j], verdicts[i, j] = length, verdict
            if verdict != 0:
                continue
            for k in range(r):
                radius = radii[k]
                tip = start + radius * ray
                low, at = _least(field, tip, ray, length - radius, radius + floor, radius + 6.0)
                if not low >= radius + floor:
                    break
                x = tip + at * ray
                gaps[i, j, k] = low - _support(field, spacing, x[0], x[1], x[2]) - radius
    return gaps, lengths, verdicts


@compiled(parallel=True)
def _segments(
    field: Floats, spacing: Points, start: Points, along: Points, length: Points, radius: float, floor: float
) -> Points:
    """Graded gap of each capsule, lowered by the voxel's support at its narrowest point."""
    gaps = np.empty(len(start))
    for n in prange(len(start)):
        low, at = _least(field, start[n], along[n], length[n], radius + floor, radius + 6.0)
        x = start[n] + at * along[n]
        gaps[n] = low - radius - (_support(field, spacing, x[0], x[1], x[2]) if spacing[0] > 0 else 0.0)
    return gaps


@compiled(parallel=True)
def _all_clear(field: Floats, start: Points, along: Points, length: Points, need: float) -> NDArray[np.bool_]:
    clear = np.zeros(len(start), dtype=np.bool_)
    for n in prange(len(start)):
        clear[n] = _clear(field, start[n], along[n], length[n], need)
    return clear


def _rays(grid: Grid, start: Points, stop: Points) -> tuple[Points, Points, Points]:
    """Starts in index, directions in index per mm, lengths in mm."""
    way = np.asarray(stop, dtype=np.float64) - start
    length = np.linalg.norm(way, axis=1)
    along = grid.patient_from_index.inverse.turn(way / np.maximum(length, 1e-12)[:, None])
    return np.ascontiguousarray(grid.index(start)), np.ascontiguousarray(along), length


def gaps(
    distance: Volume, start: Points, stop: Points, radius: float, *, floor: float = -3.0, boxes: bool = True
) -> Points:
    """Gap between the wall of each capsule and a structure, mm, by sphere tracing its distance field.

    Parameters
    ----------
    distance : distance to the structure's voxel centres, mm; a field of `geometry.distance_field`.
    start, stop : (n, 3) axis ends, LPS mm.
    radius : of the capsules, mm.
    floor : tracing leaves at the first gap below it; such a gap is only known to be at most what is returned.
    boxes : lower the gap by the voxel's extent along the wall's normal, so that it holds for whole voxels.

    Returns
    -------
    (n,) gap in mm, within `FINE` / 2 where it is above `floor`; nan where the axis leaves the field.
    """
    _check(start, stop, radius)
    grid = distance.grid
    spacing = grid.spacing if boxes else np.zeros(3)
    return np.asarray(_segments(distance.array, spacing, *_rays(grid, start, stop), float(radius), float(floor)))


def is_clear(distance: Volume, start: Points, stop: Points, radius: float, margin: float) -> NDArray[np.bool_]:
    """Whether each capsule keeps `margin` mm to the structure of the field; never true outside the field or at nan.

    Parameters are those of `gaps`; the answer can be wrong by at most `FINE` / 2 mm of the field.
    """
    _check(start, stop, radius)
    return np.asarray(_all_clear(distance.array, *_rays(distance.grid, start, stop), float(radius + margin)))


def _check(start: Points, stop: Points, radius: float) -> None:
    if not (np.isfinite(start).all() and np.isfinite(stop).all() and radius > 0):
        raise InvalidInput(f"corridors need finite ends in LPS mm and a radius > 0 mm, got radius {radius}")


def sweep(
    distance: Volume,
    body: Bytes,
    docks: Points,
    directions: Points,
    radii: tuple[float, ...],
    *,
    lateral: tuple[Points, Points],
    entry: tuple[float, float],
    longest: float,
    floor: float | None = None,
) -> tuple[Floats, Floats, Bytes]:
    """Every tube from every dock in every direction: gap, length to the skin, verdict.

    Parameters
    ----------
    distance : field of what the tube must not touch.
    body : 0 outside the body, 1 inside, 2 skin, 4 beyond the searched part, on the grid of `distance`.
    docks, directions : (n, 3) tips, LPS mm; (m, 3) unit vectors from the tip outwards.
    radii : ascending; a larger tube with the same tip holds every smaller one.
    lateral : distance of each dock from the midline (n,), and what each direction adds to it per mm (m,).
    entry : smallest and largest distance of the skin entry from the midline, mm.
    longest : no tube is longer, mm.
    floor : a tube with a smaller gap to the voxels' centres counts as blocked, mm; by default half a voxel.

    Returns
    -------
    gaps (n, m, radius) in mm, -inf where not clear; lengths (n, m) from dock to skin, mm; verdicts (n, m).
    """
    grid = distance.grid
    least = 0.5 * float(grid.spacing.min()) if floor is None else floor
    along = np.ascontiguousarray(grid.patient_from_index.inverse.turn(directions))
    return tuple(  # type: ignore[return-value]
        _sweep(
            distance.array,
            body,
            grid.spacing,
            np.ascontiguousarray(grid.index(docks)),
            along,
            np.ascontiguousarray(lateral[0]),
            np.ascontiguousarray(lateral[1]),
            np.array(radii, dtype=np.float64),
            np.array([*entry, longest], dtype=np.float64),
            least,
        )
    )
