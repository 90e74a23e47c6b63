"""Kernels: signed distance of composed solids at points, and painting of solids into voxels.

A solid is a run of rows, each one primitive with an operation; `solids.py` writes them and names the columns.
Distances are first-order (value over gradient), exact enough within a few mm of a surface.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry._kernels import compiled, prange

Rows = Any
"""(n, 40) rows of `solids.py`; numba knows the type, mypy need not."""

FAR = 1e3
REACH = 12.0  # mm beyond which a primitive is not evaluated
BLOCK = 4  # most voxels along each side of a block
BACK = 84.0  # mm aside of the midline up to which the back has no abdominal wall


@compiled()
def _ellipsoid(x: float, y: float, z: float, a: float, b: float, c: float, power: float) -> Any:
    """First-order distance from a superellipsoid of half axes a, b, c; `power` is 2 or 4."""
    x, y, z = abs(x), abs(y), abs(z)
    u, v, w = x / a, y / b, z / c
    if power < 3:
        rho = np.sqrt(u * u + v * v + w * w)
        slope = np.sqrt((u / a) ** 2 + (v / b) ** 2 + (w / c) ** 2)
        if slope < 1e-9:
            return -min(a, b, c)
        return rho * (rho - 1) / slope
    fourth = u**4 + v**4 + w**4
    rho = fourth**0.25
    if rho < 1e-6:
        return -min(a, b, c)
    slope = np.sqrt((u**3 / a) ** 2 + (v**3 / b) ** 2 + (w**3 / c) ** 2) / rho**3
    return (rho - 1) / slope


@compiled()
def _taper(x: float, y: float, z: float, q: Rows, n: int) -> Any:
    """A capsule along z with an elliptical section (columns in `solids.taper`)."""
    t = min(max(z / q[n, 21], 0.0), 1.0)
    a, b = q[n, 22] + t * (q[n, 25] - q[n, 22]), q[n, 23] + t * (q[n, 26] - q[n, 23])
    c = q[n, 24] + t * (q[n, 27] - q[n, 24])
    return max(_ellipsoid(x, y, z - t * q[n, 21], a, b, c, q[n, 28]), -min(a, b))


@compiled()
def _body(x: float, y: float, z: float, q: Rows, n: int) -> Any:
    """A vertebral body or disc: rounded outline, waist, tilted and dished end plates (columns in `solids.body`)."""
    y = y - q[n, 34] * z
    half, slope_top, slope_low = q[n, 25], q[n, 26], q[n, 27]
    top, low = half + y * slope_top, -half + y * slope_low
    t = min(max((z - low) / (top - low), 0.0), 1.0)
    waist = 1 - q[n, 30] * 4 * t * (1 - t)
    a = (q[n, 23] + t * (q[n, 21] - q[n, 23])) * waist
    b = (q[n, 24] + t * (q[n, 22] - q[n, 24])) * (1 - (1 - waist) * (0.6 if y > 0 else 1.0))
    u = x / (0.55 * a)
    back = y + q[n, 31] * (1 - u * u) if (y > 0 and abs(u) < 1) else y
    fx, fy = abs(x) / a, abs(back) / b
    rho = (fx * fx * np.sqrt(fx) + fy * fy * np.sqrt(fy)) ** 0.4
    side = (rho - 1) * np.sqrt(x * x + y * y) / max(rho, 1e-6)
    if rho < 1e-6:
        side = -min(a, b)
    inner = rho / q[n, 32]
    dish = max(0.0, 1 - inner * inner)
    upper = (z - top + q[n, 28] * dish) / np.sqrt(1 + slope_top * slope_top)
    lower = (low + q[n, 29] * dish - z) / np.sqrt(1 + slope_low * slope_low)
    return _smax(max(upper, lower), side, q[n, 33])


@compiled()
def _smin(a: float, b: float, k: float) -> Any:
    if k <= 0:
        return min(a, b)
    h = max(k - abs(a - b), 0.0)
    return min(a, b) - h * h / (4 * k)


@compiled()
def _smax(a: float, b: float, k: float) -> Any:
    return -_smin(-a, -b, k)


@compiled()
def _trapezoid(u: float, v: float, front: float, back: float, wide: float, narrow: float, rounding: float) -> Any:
    """A rounded trapezoid: `wide` half width at v = front, `narrow` at v = back > front."""
    half = (back - front) / 2 - rounding
    x, y = abs(u), v - (front + back) / 2
    r1, r2 = wide - rounding, narrow - rounding
    kx, ky = r2 - r1, 2 * half
    ax = x - min(x, r1 if y < 0 else r2)
    ay = abs(y) - half
    share = ((r2 - x) * kx + (half - y) * ky) / (kx * kx + ky * ky)
    share = min(max(share, 0.0), 1.0)
    bx, by = x - r2 + kx * share, y - half + ky * share
    sign = -1.0 if (bx < 0 and ay < 0) else 1.0
    return sign * np.sqrt(min(ax * ax + ay * ay, bx * bx + by * by)) - rounding


@compiled()
def along(y: float, z: float, curve: Rows, origin: Rows) -> Any:
    """(v, s) of a point of the sagittal plane: offset behind the canal's line and arc length along it."""
    i, j = (y - origin[0]) / origin[2], (z - origin[1]) / origin[2]
    i, j = min(max(i, 0.0), curve.shape[0] - 1.001), min(max(j, 0.0), curve.shape[1] - 1.001)
    a, b = int(i), int(j)
    f, g = i - a, j - b
    v = (1 - f) * ((1 - g) * curve[a, b, 0] + g * curve[a, b + 1, 0]) + f * (
        (1 - g) * curve[a + 1, b, 0] + g * curve[a + 1, b + 1, 0]
    )
    s = (1 - f) * ((1 - g) * curve[a, b, 1] + g * curve[a, b + 1, 1]) + f * (
        (1 - g) * curve[a + 1, b, 1] + g * curve[a + 1, b + 1, 1]
    )
    return v, s


@compiled()
def _loft(kind: int, u: float, v: float, s: float, tables: Rows, m: int) -> Any:
    """A section that changes along s: trapezoid (kind 4) or turned ellipse; a table begins with start, step, count."""
    n = int(tables[m, 0, 2])
    t = (s - tables[m, 0, 0]) / tables[m, 0, 1]
    beyond = max(-t, t - (n - 1)) * tables[m, 0, 1]
    t = min(max(t, 0.0), n - 1.001)
    i = int(t)
    f = t - i
    p0 = tables[m, 1 + i, 0] + f * (tables[m, 2 + i, 0] - tables[m, 1 + i, 0])
    p1 = tables[m, 1 + i, 1] + f * (tables[m, 2 + i, 1] - tables[m, 1 + i, 1])
    p2 = tables[m, 1 + i, 2] + f * (tables[m, 2 + i, 2] - tables[m, 1 + i, 2])
    p3 = tables[m, 1 + i, 3] + f * (tables[m, 2 + i, 3] - tables[m, 1 + i, 3])
    p4 = tables[m, 1 + i, 4] + f * (tables[m, 2 + i, 4] - tables[m, 1 + i, 4])
    p5 = tables[m, 1 + i, 5] + f * (tables[m, 2 + i, 5] - tables[m, 1 + i, 5])
    if kind == 4:
        d = _trapezoid(u, v, p0, p1, p2, p3, p4)
    else:
        x, y = u - p0, v - p1
        c, sn = np.cos(p4), np.sin(p4)
        x, y = c * x + sn * y, -sn * x + c * y
        d = _ellipsoid(x, y, 0.0, p2, p3, 1.0, 4.0 if p5 > 3.5 else 2.0)
        if 2.5 < p5 < 3.5:
            d = (d + _ellipsoid(x, y, 0.0, p2, p3, 1.0, 4.0)) / 2
        d = max(d, -min(p2, p3))
    return max(d, beyond)


@compiled()
def _placed(rows: Rows, n: int, kind: int, x: float, y: float, z: float) -> Any:
    """Distance from a primitive with a frame of its own."""
    lx = rows[n, 9] * x + rows[n, 10] * y + rows[n, 11] * z + rows[n, 12]
    ly = rows[n, 13] * x + rows[n, 14] * y + rows[n, 15] * z + rows[n, 16]
    lz = rows[n, 17] * x + rows[n, 18] * y + rows[n, 19] * z + rows[n, 20]
    if kind == 1:
        return _taper(lx, ly, lz, rows, n)
    if kind == 2:
        return _body(lx, ly, lz, rows, n)
    if kind == 3:
        return lz
    return np.sqrt(lx * lx + ly * ly) - rows[n, 21]  # 9: a cylinder along z


@compiled()
def _has_no_say(op: int, near: float, k: float, part: float, whole: float) -> Any:
    """Whether a primitive at least `near` mm away cannot change the distance found so far."""
    if op == 0:
        return near > REACH or near > part + k
    if op == 1:
        return part >= FAR or near > k - part
    if op == 2:
        return part >= FAR
    return whole >= FAR or near > k - whole


@compiled()
def _primitive(
    rows: Rows,
    n: int,
    x: float,
    y: float,
    z: float,
    v: float,
    s: float,
    tables: Rows,
) -> Any:
    kind = int(rows[n, 0])
    if kind in (4, 5):
        d = _loft(kind, x, v, s, tables, int(rows[n, 21]))
    elif kind == 6:
        d = _loft(kind, x, y, z, tables, int(rows[n, 21]))
    elif kind == 7:
        d = max(rows[n, 21] - s, s - rows[n, 22])
    elif kind == 8:
        d = rows[n, 21] - v - rows[n, 22] * abs(x)
    else:
        d = _placed(rows, n, kind, x, y, z)
    return d - rows[n, 4]


@compiled()
def _distance(
    rows: Rows,
    start: int,
    stop: int,
    point: tuple[float, float, float],
    curve: Rows,
    origin: Rows,
    tables: Rows,
) -> Any:
    """Signed distance of the solid in rows[start:stop] at `point`, and the number of its nearest part."""
    x, y, z = point
    whole, best, winner = FAR, FAR, int(rows[start, 3])
    part, blend, bias, current = FAR, 0.0, 0.0, -1
    v, s, known = 0.0, 0.0, False
    for n in range(start, stop):
        op, number, k = int(rows[n, 1]), int(rows[n, 3]), rows[n, 2]
        if number != current:
            if current >= 0 and part < FAR:
                whole = _smin(whole, part, blend)
                if part - bias < best:
                    best, winner = part - bias, current
            current, part, blend, bias = number, FAR, rows[n, 37], rows[n, 38]
        near = max(abs(x - rows[n, 5]) - rows[n, 8], abs(y - rows[n, 6]) - rows[n, 36])
        near = max(near, abs(z - rows[n, 7]) - rows[n, 39])
        if _has_no_say(op, near, k, part, whole):
            continue
        if not known and int(rows[n, 0]) in (4, 5, 7, 8):
            v, s = along(y, z, curve, origin)
            known = True
        d = _primitive(rows, n, x, y, z, v, s, tables)
        if op == 3:
            whole = _smax(whole, -d, k)
        else:
            part = _smin(part, d, k) if op == 0 else _smax(part, d if op == 2 else -d, k)
    if current >= 0 and part < FAR:
        whole = _smin(whole, part, blend)
        if part - bias < best:
            winner = current
    return whole, winner


@compiled(parallel=True)
def labels_at(
    points: Rows,
    rows: Rows,
    solids: NDArray[np.int64],
    boxes: Rows,
    part_labels: NDArray[np.int64],
    field: tuple[Any, Any, Any],
) -> NDArray[np.int64]:
    """The label at each of `points` (n, 3), phantom frame: of the last solid in painting order that holds it."""
    curve, origin, tables = field
    found = np.zeros(len(points), dtype=np.int64)
    for n in prange(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        for m in range(len(solids) - 1, -1, -1):
            if x < boxes[m, 0] or x > boxes[m, 1] or y < boxes[m, 2] or y > boxes[m, 3]:
                continue
            if z < boxes[m, 4] or z > boxes[m, 5]:
                continue
            d, part = _distance(rows, solids[m, 0], solids[m, 1], (x, y, z), curve, origin, tables)
            if d <= 0:
                found[n] = part_labels[part]
                break
    return found


@compiled()
def _voxel(m: Rows, i: float, j: float, k: float) -> Any:
    """Phantom coordinates of a (fractional) voxel index."""
    return (
        m[0, 0] * i + m[0, 1] * j + m[0, 2] * k + m[0, 3],
        m[1, 0] * i + m[1, 1] * j + m[1, 2] * k + m[1, 3],
        m[2, 0] * i + m[2, 1] * j + m[2, 2] * k + m[2, 3],
    )


@compiled()
def _put(
    labels: NDArray[Any],
    images: tuple[Any, Any],
    at: tuple[int, int, int],
    found: tuple[float, int, float],
    materials: Rows,
) -> None:
    """Paint one voxel: `found` is the signed distance, the nearest part, and the share of the voxel inside."""
    ct, t2 = images
    d, part, share = found
    if labels.size > 0 and d <= 0 and materials[part, 0] > 0:
        labels[at] = np.uint8(materials[part, 0])
    shell = min(max((materials[part, 5] + d) / 0.8 + 0.5, 0.0), 1.0)
    if ct.size > 0:
        inside, hull = materials[part, 1], materials[part, 2]
        ct[at] += share * (inside + shell * (hull - inside) - ct[at])
    if t2.size > 0:
        inside, hull = materials[part, 3], materials[part, 4]
        t2[at] += share * (inside + shell * (hull - inside) - t2[at])


@compiled(parallel=True)
def paint(
    labels: NDArray[Any],
    images: tuple[Any, Any],
    box: NDArray[np.int64],
    base_from_index: Rows,
    rows: Rows,
    materials: Rows,
    field: tuple[Any, Any, Any],
    width: float,
) -> None:
    """Paint one solid over what is already in `labels` and the two images (empty arrays are left out).

    A voxel takes the label of the nearest part if its centre is inside; an image value is mixed in by the share of
    the voxel that the solid covers, from the distance of the surface in units of `width`, the voxel's size. Blocks
    of voxels that lie far outside are left out after one look at their middle: there the first-order distance is at
    most the true one but for the bodies' sides and bent sections, which a factor of 1.5 covers.
    """
    m = base_from_index
    block = _block(m)
    away = 1.5 * block * _half_diagonal(m) + 1.0
    for bi in prange((box[1] - box[0] + block - 1) // block):
        i0 = box[0] + bi * block
        for j0 in range(box[2], box[3], block):
            for k0 in range(box[4], box[5], block):
                _paint_block(labels, images, (i0, j0, k0, block), box, m, rows, materials, field, (width, away))


@compiled()
def _paint_block(
    labels: NDArray[Any],
    images: tuple[Any, Any],
    at: tuple[int, int, int, int],
    box: Rows,
    m: Rows,
    rows: Rows,
    materials: Rows,
    field: tuple[Any, Any, Any],
    widths: tuple[float, float],
) -> None:
    """Paint the voxels of one block, `at` its first corner and side, after a first look (n = -1) at its middle."""
    curve, origin, tables = field
    width, away = widths
    block = at[3]
    h = (block - 1) / 2
    d, part, is_full = 0.0, 0, False
    for n in range(-1, block**3):
        i, j, k = at[0] + n // block**2, at[1] + n // block % block, at[2] + n % block
        if n >= 0 and not (i < box[1] and j < box[3] and k < box[5]):
            continue
        if not is_full:
            where = _voxel(m, i, j, k) if n >= 0 else _voxel(m, at[0] + h, at[1] + h, at[2] + h)
            d, part = _distance(rows, 0, len(rows), where, curve, origin, tables)
        if n < 0:
            if d > away:
                return
            is_full = d < -2.0 * away and len(materials) == 1
            continue
        share = min(max(0.5 - d / width, 0.0), 1.0)
        if share > 0:
            _put(labels, images, (i, j, k), (d, part, share), materials)


@compiled()
def _half_diagonal(m: Rows) -> Any:
    """Half the longest diagonal of a voxel, mm."""
    longest = 0.0
    for a in (-1.0, 1.0):
        for b in (-1.0, 1.0):
            x, y, z = m[:, 0] + a * m[:, 1] + b * m[:, 2]
            longest = max(longest, np.sqrt(x * x + y * y + z * z))
    return longest / 2


@compiled()
def _block(m: Rows) -> Any:
    """Side of a block in voxels: a block must lie within `REACH` of its middle, or what is near would be missed."""
    return min(BLOCK, max(1, int(0.5 * REACH / _half_diagonal(m))))


@compiled(parallel=True)
def paint_trunk(
    labels: NDArray[Any],
    images: tuple[Any, Any],
    base_from_index: Rows,
    sections: Rows,
    layers: Rows,
    width: float,
) -> None:
    """Fill with skin, fat under it, the muscular wall and the fat inside it; air stays as it was.

    `sections` are two lofts along z: the skin's surface and the wall's outer face. `layers` has one row each for skin,
    fat, wall on the left, wall on the right and inner fat: label, CT, T2, thickness (skin and wall).
    """
    m = base_from_index
    shape = labels.shape if labels.size > 0 else (images[0].shape if images[0].size > 0 else images[1].shape)
    block = _block(m)
    away = 1.5 * block * _half_diagonal(m) + width
    for bi in prange((shape[0] + block - 1) // block):
        i0 = bi * block
        for j0 in range(0, shape[1], block):
            for k0 in range(0, shape[2], block):
                h = (block - 1) / 2
                x, y, z = _voxel(m, i0 + h, j0 + h, k0 + h)
                outer, inner = _loft(6, x, y, z, sections, 0), _loft(6, x, y, z, sections, 1)
                if outer > away:
                    continue
                back = _middle(z, sections, 1)
                is_even = inner < -layers[2, 3] - away
                for i in range(i0, min(i0 + block, shape[0])):
                    for j in range(j0, min(j0 + block, shape[1])):
                        for k in range(k0, min(k0 + block, shape[2])):
                            if not is_even:
                                x, y, z = _voxel(m, i, j, k)
                                outer, inner = _loft(6, x, y, z, sections, 0), _loft(6, x, y, z, sections, 1)
                            if outer < width:
                                is_back = y > back and abs(x) < BACK
                                _layer(labels, images, (i, j, k), (outer, inner, x), layers, width, is_back)


@compiled()
def _middle(z: float, sections: Rows, m: int) -> Any:
    """How far back the middle of a loft's section lies at height z."""
    n = int(sections[m, 0, 2])
    t = min(max((z - sections[m, 0, 0]) / sections[m, 0, 1], 0.0), n - 1.001)
    i = int(t)
    return sections[m, 1 + i, 1] + (t - i) * (sections[m, 2 + i, 1] - sections[m, 1 + i, 1])


@compiled()
def _layer(
    labels: NDArray[Any],
    images: tuple[Any, Any],
    at: tuple[int, int, int],
    where: tuple[float, float, float],
    layers: Rows,
    width: float,
    is_back: bool,
) -> None:
    """Paint one voxel of the trunk: `where` holds the distances from skin and wall, and x; the back has no wall."""
    ct, t2 = images
    outer, inner, x = where
    share = min(max(0.5 - outer / width, 0.0), 1.0)
    deep = min(max(0.5 - (outer + layers[0, 3]) / width, 0.0), 1.0)
    wall = min(max(0.5 - inner / width, 0.0), deep)
    cavity = min(max(0.5 - (inner + layers[2, 3]) / width, 0.0), deep)
    side = 4 if is_back else (2 if x > 0 else 3)
    if labels.size > 0 and outer <= 0:
        layer = 0 if outer > -layers[0, 3] else (1 if inner > 0 else (side if inner > -layers[2, 3] else 4))
        labels[at] = np.uint8(layers[layer, 0])
    for channel in (1, 2):
        value = layers[0, channel]
        value += deep * (layers[1, channel] - value)
        value += wall * (layers[side, channel] - value)
        value += cavity * (layers[4, channel] - value)
        if channel == 1 and ct.size > 0:
            ct[at] += share * (value - ct[at])
        if channel == 2 and t2.size > 0:
            t2[at] += share * (value - t2[at])
