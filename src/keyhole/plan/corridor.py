"""Straight corridors against a distance field: is one clear, by how much, and the exhaustive sweep over them.

A distance field changes by at most 1 mm per mm, so from a point with value v nothing below m can lie nearer than
v - m: sphere tracing jumps by that slack. Yes/no questions leave at the first value below the margin, graded ones
below a floor. Outside the field the value is nan, and nan is never clear.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Points, Volume
from keyhole.geometry._kernels import compiled, prange

FINE = 0.2
"""What a step adds to the slack, mm: a dip below the bound between two samples is at most half of it deep."""

BLOCK = 1024
"""Corridors that one thread takes at a time."""

BLOCKED, UNSEEN, OUTSIDE = 1, 2, 3
"""Verdicts of a sweep beside 0, clear: touches something hard; leaves what was seen; its skin entry is not allowed."""

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]


@compiled()
def _trilinear(field: Floats, x: float, y: float, z: float) -> float:
    """Trilinear value of `field` at an index that is known to lie among its voxel centres."""
    i, j, k = int(x), int(y), int(z)
    u, v, w = x - i, y - j, z - k
    a, b = field[i, j, k], field[i, j, k + 1]
    c, d = field[i, j + 1, k], field[i, j + 1, k + 1]
    e, f = field[i + 1, j, k], field[i + 1, j, k + 1]
    g, h = field[i + 1, j + 1, k], field[i + 1, j + 1, k + 1]
    a, c, e, g = a + (b - a) * w, c + (d - c) * w, e + (f - e) * w, g + (h - g) * w
    a, e = a + (c - a) * v, e + (g - e) * v
    return float(a + (e - a) * u)


@compiled()
def _among(field: Floats, x: float, y: float, z: float) -> bool:
    """Whether an index lies among the voxel centres of `field`; nan does not."""
    ni, nj, nk = field.shape
    return bool(0.0 <= x < ni - 1 and 0.0 <= y < nj - 1 and 0.0 <= z < nk - 1)


@compiled()
def _all_among(field: Floats, start: Points, along: Points, length: float) -> bool:
    """Whether a whole ray lies among the voxel centres: both of its ends do."""
    x, y, z = start[0] + length * along[0], start[1] + length * along[1], start[2] + length * along[2]
    return _among(field, start[0], start[1], start[2]) and _among(field, x, y, z)


@compiled()
def _value(field: Floats, x: float, y: float, z: float) -> float:
    """Trilinear value of `field` at an index; nan outside it."""
    return _trilinear(field, x, y, z) if _among(field, x, y, z) else _edge_value(field, x, y, z)


@compiled()
def _edge_value(field: Floats, x: float, y: float, z: float) -> float:
    """As `_value`, within half a voxel of the field's edge: the value of the edge itself; nan beyond."""
    ni, nj, nk = field.shape
    if not (-0.5 <= x <= ni - 0.5 and -0.5 <= y <= nj - 0.5 and -0.5 <= z <= nk - 0.5):
        return np.nan
    x, y, z = min(max(x, 0.0), ni - 1.0), min(max(y, 0.0), nj - 1.0), min(max(z, 0.0), nk - 1.0)
    total = 0.0
    i, j, k = int(x), int(y), int(z)
    for a in range(2):
        for b in range(2):
            for c in range(2):
                weight = abs(1 - a - (x - i)) * abs(1 - b - (y - j)) * abs(1 - c - (z - k))
                if weight > 0:
                    total += weight * field[min(i + a, ni - 1), min(j + b, nj - 1), min(k + c, nk - 1)]
    return total


@compiled()
def _least(field: Floats, start: Points, along: Points, length: float, floor: float, cap: float) -> tuple[float, float]:
    """Least value on the ray and where; leaves at the first value not >= `floor`. Values above `cap` stay coarse."""
    low, at, t = np.inf, 0.0, 0.0
    deep = _all_among(field, start, along, length)
    while True:
        x, y, z = start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2]
        value = _trilinear(field, x, y, z) if deep else _value(field, x, y, z)
        if not value >= floor:
            return value, t
        if value < low - 1e-4:  # of equal values the first, whatever rounding says
            low, at = value, t
        if t >= length:
            return low, at
        t = min(length, t + value - min(low, cap) + FINE)


@compiled()
def _clear(field: Floats, start: Points, along: Points, length: float, need: float) -> bool:
    """Whether no value on the ray is below `need`; nan is below."""
    t = 0.0
    deep = _all_among(field, start, along, length)
    while True:
        x, y, z = start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2]
        value = _trilinear(field, x, y, z) if deep else _value(field, x, y, z)
        if not value >= need:
            return False
        if t >= length:
            return True
        t = min(length, t + value - need + FINE)


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
def _to_skin(body: Bytes, start: Points, along: Points, inside: float, outside: float) -> tuple[float, int]:
    """Length of the ray in the body, which it leaves between `inside` and `outside`, and the verdict there.

    The trap: a jump by slack overshoots the skin, and the edge of the scan too where that is near, so the way from the
    last point inside is walked again.
    """
    last = inside
    while last + 0.1 < outside and 1 <= _code(body, start, along, last + 0.1) <= 2:
        last += 0.1
    code = _code(body, start, along, min(last + 0.1, outside))
    if code != 0:
        return last, (UNSEEN if code == 3 else OUTSIDE)
    back = last
    while back > max(last - 4.0, 0.0):
        if _code(body, start, along, back) == 2:
            return last, 0
        back -= 0.5
    return last, UNSEEN


@compiled()
def _shaft(
    field: Floats, body: Bytes, start: Points, along: Points, radius: float, floor: float, longest: float
) -> tuple[float, int]:
    """Length of the ray from the tip to the skin, and the verdict of a tube of `radius` around it."""
    t, inside, low, cap = radius, 0.0, np.inf, radius + 6.0
    while True:
        code = _code(body, start, along, t)
        if code == 0 or code >= 3:
            return _to_skin(body, start, along, inside, t)
        value = _value(field, start[0] + t * along[0], start[1] + t * along[1], start[2] + t * along[2])
        if not value >= floor:
            return t, (BLOCKED if value < floor else UNSEEN)
        if t > longest:
            return t, OUTSIDE
        low, inside = min(low, value), t
        t += min(value - min(low, cap) + FINE, 8.0)


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


@compiled()
def _ray(matrix: Points, start: Points, stop: Points, begin: Points, along: Points) -> float:
    """Fill `begin` (index) and `along` (index per mm) of the segment from `start` to `stop`, mm; its length, mm."""
    length = np.sqrt((stop[0] - start[0]) ** 2 + (stop[1] - start[1]) ** 2 + (stop[2] - start[2]) ** 2)
    scale = 1.0 / max(length, 1e-12)
    for a in range(3):
        begin[a] = matrix[a, 0] * start[0] + matrix[a, 1] * start[1] + matrix[a, 2] * start[2] + matrix[a, 3]
        along[a] = scale * (
            matrix[a, 0] * (stop[0] - start[0])
            + matrix[a, 1] * (stop[1] - start[1])
            + matrix[a, 2] * (stop[2] - start[2])
        )
    return float(length)


@compiled()
def _rays(matrix: Points, start: Points, stop: Points, begin: Points, along: Points, length: Points) -> None:
    """Fill what `_ray` says of each segment."""
    for n in range(len(start)):
        length[n] = _ray(matrix, start[n], stop[n], begin[n], along[n])


@compiled(parallel=True)
def _segments(
    field: Floats, spacing: Points, matrix: Points, start: Points, stop: Points, radius: float, floor: float
) -> Points:
    """Graded gap of each capsule, lowered by the voxel's support at its narrowest point."""
    gaps = np.empty(len(start))
    for block in prange((len(start) + BLOCK - 1) // BLOCK):
        begin, along = np.empty(3), np.empty(3)
        for n in range(block * BLOCK, min((block + 1) * BLOCK, len(start))):
            length = _ray(matrix, start[n], stop[n], begin, along)
            low, at = _least(field, begin, along, length, radius + floor, radius + 6.0)
            gaps[n] = low - radius
            if spacing[0] > 0 and low >= radius + floor:
                begin += at * along
                gaps[n] -= _support(field, spacing, begin[0], begin[1], begin[2])
    return gaps


@compiled(parallel=True)
def _all_clear(field: Floats, matrix: Points, start: Points, stop: Points, need: float) -> NDArray[np.bool_]:
    clear = np.zeros(len(start), dtype=np.bool_)
    for block in prange((len(start) + BLOCK - 1) // BLOCK):
        begin, along = np.empty(3), np.empty(3)
        for n in range(block * BLOCK, min((block + 1) * BLOCK, len(start))):
            length = _ray(matrix, start[n], stop[n], begin, along)
            clear[n] = _clear(field, begin, along, length, need)
    return clear


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
    (n,) gap in mm where it is above `floor`: at most `FINE` / 2 too large on a field that changes by 1 mm per mm
    (0.2 measured, since interpolation can be steeper); nan where the axis leaves the field.
    """
    ends = checked(start, stop, radius)
    spacing = distance.grid.spacing if boxes else np.zeros(3)
    matrix = distance.patient_from_index.inverse.matrix
    return np.asarray(_segments(distance.array, spacing, matrix, *ends, float(radius), float(floor)))


def is_clear(distance: Volume, start: Points, stop: Points, radius: float, margin: float) -> NDArray[np.bool_]:
    """Whether each capsule keeps `margin` mm to the structure of the field; never true outside the field or at nan.

    Parameters are those of `gaps`; the answer can be wrong by at most `FINE` / 2 mm of the field.
    """
    ends = checked(start, stop, radius)
    matrix = distance.patient_from_index.inverse.matrix
    return np.asarray(_all_clear(distance.array, matrix, *ends, float(radius + margin)))


def checked(start: Points, stop: Points, radius: float) -> tuple[Points, Points]:
    """Both ends as contiguous arrays; nan and inf are refused, since nothing is known of such a corridor."""
    ends = np.ascontiguousarray(start, dtype=np.float64), np.ascontiguousarray(stop, dtype=np.float64)
    if not (all(np.isfinite(e.sum()) for e in ends) and radius > 0):
        raise InvalidInput(f"corridors need finite ends in LPS mm and a radius > 0 mm, got radius {radius}")
    return ends


def rays(distance: Volume, start: Points, stop: Points) -> tuple[Points, Points, Points]:
    """Index of the start, index per mm along, and length mm of each segment: what the kernels make of its ends."""
    matrix = distance.patient_from_index.inverse.matrix
    begin, along, length = np.empty((len(start), 3)), np.empty((len(start), 3)), np.empty(len(start))
    _rays(matrix, start, stop, begin, along, length)
    return begin, along, length


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
