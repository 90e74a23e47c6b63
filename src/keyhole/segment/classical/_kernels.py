"""Compiled loops of the method: sampling, the canal's score and path, and shortest ways through bone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry._kernels import compiled, prange
from keyhole.imaging.sampling import PADDING
from keyhole.segment.classical.scene import UNSEEN


@compiled(parallel=True)
def resampled(array: NDArray[np.int16], to_index: NDArray[np.float64], out: NDArray[np.int16], part: int) -> None:
    """Fill `out` with the mean of `part`**3 trilinear samples in each voxel; UNSEEN where less than half is seen."""
    ni, nj, nk = array.shape
    for i in prange(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                total, n = 0.0, 0
                for p in range(part * part * part):
                    u = i + ((p // (part * part)) + 0.5) / part - 0.5
                    v = j + ((p // part) % part + 0.5) / part - 0.5
                    w = k + (p % part + 0.5) / part - 0.5
                    x = to_index[0, 0] * u + to_index[0, 1] * v + to_index[0, 2] * w + to_index[0, 3]
                    y = to_index[1, 0] * u + to_index[1, 1] * v + to_index[1, 2] * w + to_index[1, 3]
                    z = to_index[2, 0] * u + to_index[2, 1] * v + to_index[2, 2] * w + to_index[2, 3]
                    if not (-0.5 <= x <= ni - 0.5 and -0.5 <= y <= nj - 0.5 and -0.5 <= z <= nk - 0.5):
                        continue
                    x, y, z = min(max(x, 0.0), ni - 1.0), min(max(y, 0.0), nj - 1.0), min(max(z, 0.0), nk - 1.0)
                    a, b, c = min(int(x), max(ni - 2, 0)), min(int(y), max(nj - 2, 0)), min(int(z), max(nk - 2, 0))
                    fx, fy, fz = x - a, y - b, z - c
                    value, seen = 0.0, True
                    for q in range(8):
                        da, db, dc = q >> 2, (q >> 1) & 1, q & 1
                        weight = (fx if da else 1 - fx) * (fy if db else 1 - fy) * (fz if dc else 1 - fz)
                        if weight > 0:
                            h = array[a + da, b + db, c + dc]
                            if h <= PADDING:
                                seen = False
                            value += weight * h
                    if seen:
                        total += value
                        n += 1
                if 2 * n >= part * part * part:
                    out[i, j, k] = np.int16(np.rint(total / n))
                else:
                    out[i, j, k] = UNSEEN


@compiled(parallel=True)
def sampled(array: NDArray[Any], points: NDArray[np.float64], fill: float) -> NDArray[np.float32]:
    """Trilinear values of `array` at voxel indices `points` (n, 3); `fill` outside and where UNSEEN takes part."""
    ni, nj, nk = array.shape
    out = np.empty(len(points), dtype=np.float32)
    for n in prange(len(points)):
        x, y, z = points[n, 0], points[n, 1], points[n, 2]
        out[n] = fill
        if not (0 <= x <= ni - 1 and 0 <= y <= nj - 1 and 0 <= z <= nk - 1):
            continue
        a, b, c = min(int(x), max(ni - 2, 0)), min(int(y), max(nj - 2, 0)), min(int(z), max(nk - 2, 0))
        fx, fy, fz = x - a, y - b, z - c
        value, seen = 0.0, True
        for q in range(8):
            da, db, dc = q >> 2, (q >> 1) & 1, q & 1
            weight = (fx if da else 1 - fx) * (fy if db else 1 - fy) * (fz if dc else 1 - fz)
            if weight > 0:
                h = array[a + da, b + db, c + dc]
                if h == UNSEEN:
                    seen = False
                value += weight * h
        if seen:
            out[n] = value
    return out


@compiled(parallel=True)
def canal_score(  # noqa: C901  (compiled)
    hu: NDArray[np.int16],
    bone: NDArray[np.bool_],
    front: NDArray[np.float32],
    step: float,
    rays: NDArray[np.float64],
    mirror: NDArray[np.int64],
    reach: float,
) -> NDArray[np.float32]:
    """How much each voxel of a coarse grid looks like the canal, 0 to 1, from rays in its own axial section.

    `rays` (n, 2) are unit vectors in the section, `mirror` the number of each one's twin on the other side,
    `front` how sure a vertebral body lies in front, 0 to 1. Hits within `reach` mm all around, short rays, alike left
    and right, soft tissue at the voxel.
    """
    ni, nj, nk = hu.shape
    far = int(reach / step)
    score = np.zeros(hu.shape, dtype=np.float32)
    for i in prange(ni):
        for j in range(nj):
            for k in range(nk):
                if bone[i, j, k] or not (-120 < hu[i, j, k] < 160 and front[i, j, k] > 0.05):
                    continue
                hits, length = 0, 0.0
                sides = np.full(len(rays), reach)
                for r in range(len(rays)):
                    found = False
                    for t in range(1, far + 1):
                        a, b = int(np.rint(i + rays[r, 0] * t)), int(np.rint(j + rays[r, 1] * t))
                        if not (0 <= a < ni and 0 <= b < nj):
                            break
                        if bone[a, b, k]:
                            hits += 1
                            length += t * step
                            sides[r] = t * step
                            found = True
                            break
                    if not found:
                        length += reach
                    if r == 5 and hits < 2:  # the first six look to all sides
                        break
                if hits * 10 < len(rays) * 4:
                    continue
                odd = 0.0
                for r in range(len(rays)):
                    odd += abs(sides[r] - sides[mirror[r]])
                mean = length / len(rays)
                even = np.exp(-0.5 * (odd / len(rays) / 4.0) ** 2)
                size = np.exp(-0.5 * ((mean - 10.5) / 4.0) ** 2)
                score[i, j, k] = hits / len(rays) * size * front[i, j, k] * (0.4 + 0.6 * even)
    return score


@compiled()
def best_path(score: NDArray[np.float32], least: float, bend: float, lean: float) -> NDArray[np.int64]:
    """(n, 3) voxels of the path along the last axis with the largest sum of score - `least`, free at both ends.

    What falls short of `least` counts four times: a path does not cross from one bone's marrow to another's.

    Between sections it may move by up to two voxels each way, at the price per squared voxel of `lean`
    along the first axis and `bend` along the second.
    """
    ni, nj, nk = score.shape
    total = np.zeros((ni, nj), dtype=np.float32)
    came = np.full(score.shape, -1, dtype=np.int8)
    best, end = 0.0, (-1, -1, -1)
    for k in range(nk):
        now = np.zeros((ni, nj), dtype=np.float32)
        for i in range(ni):
            for j in range(nj):
                gain, way = 0.0, -1
                for p in range(25):
                    di, dj = p // 5 - 2, p % 5 - 2
                    a, b = i + di, j + dj
                    if k > 0 and 0 <= a < ni and 0 <= b < nj and total[a, b] > 0:
                        value = total[a, b] - lean * di * di - bend * dj * dj
                        if value > gain:
                            gain, way = value, p
                value = gain + score[i, j, k] - least
                if score[i, j, k] < least:
                    value += 3.0 * (score[i, j, k] - least)
                if value > 0:
                    now[i, j] = value
                    came[i, j, k] = way
                    if value > best:
                        best, end = value, (i, j, k)
        total = now
    path = np.empty((nk, 3), dtype=np.int64)
    n = 0
    i, j, k = end
    while k >= 0:
        path[n, 0], path[n, 1], path[n, 2] = i, j, k
        n += 1
        way = came[i, j, k]
        if way < 0:
            break
        i, j, k = i + way // 5 - 2, j + way % 5 - 2, k - 1
    return path[:n]


@compiled()
def _longer(array: NDArray[np.int64]) -> NDArray[np.int64]:
    """`array` with twice the room."""
    out = np.empty(2 * len(array), dtype=np.int64)
    out[: len(array)] = array
    return out


@compiled()
def _seeded(
    flat: NDArray[np.uint16], price: NDArray[np.uint8], gone: NDArray[np.int32], head: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """The queue of the seeds: next entry and voxel of each entry, and how many there are; `head` gets the firsts."""
    size, used = 1 << 16, 0
    following, where = np.empty(size, dtype=np.int64), np.empty(size, dtype=np.int64)
    for p in range(flat.size):
        if flat[p] > 0 and price[p] > 0 and gone[p] < len(head):
            if used == size:
                following, where, size = _longer(following), _longer(where), 2 * size
            where[used], following[used] = p, head[gone[p]]
            head[gone[p]] = used
            used += 1
    return following, where, used


@compiled()
def grown(
    label: NDArray[np.uint16], cost: NDArray[np.uint8], distance: NDArray[np.int32], most: int
) -> NDArray[np.int32]:
    """Grow the labelled voxels of `label` (in place) over voxels of positive `cost` by the cheapest way.

    A step costs the mean of both voxels' `cost` times its length (10, 14 or 17). `distance` holds each seed's start
    and receives every reached voxel's price; nothing is reached beyond `most`. Ties go to the smaller label.
    """
    ni, nj, nk = label.shape
    plane = nj * nk
    flat, price, gone = label.ravel(), cost.ravel(), distance.ravel()
    n_buckets = 17 * 256 + 2
    head = np.full(n_buckets, -1, dtype=np.int64)
    following, where, used = _seeded(flat, price, gone, head)
    size, waiting = len(where), used
    now = 0
    while waiting > 0 and now <= most:
        slot = now % n_buckets
        entry = head[slot]
        if entry < 0:
            now += 1
            continue
        head[slot] = following[entry]
        waiting -= 1
        p = where[entry]
        if gone[p] != now:
            continue
        i, j, k = p // plane, (p // nk) % nj, p % nk
        for q in range(27):
            di, dj, dk = q // 9 - 1, (q // 3) % 3 - 1, q % 3 - 1
            far = abs(di) + abs(dj) + abs(dk)
            a, b, c = i + di, j + dj, k + dk
            if far == 0 or not (0 <= a < ni and 0 <= b < nj and 0 <= c < nk):
                continue
            t = a * plane + b * nk + c
            if price[t] == 0:
                continue
            step = 10 if far == 1 else (14 if far == 2 else 17)
            reach = now + (step * (int(price[p]) + int(price[t]))) // 2
            if reach < gone[t] or (reach == gone[t] and flat[p] < flat[t]):
                if reach > most:
                    continue
                gone[t], flat[t] = reach, flat[p]
                if used == size:
                    following, where, size = _longer(following), _longer(where), 2 * size
                where[used], following[used] = t, head[reach % n_buckets]
                head[reach % n_buckets] = used
                used += 1
                waiting += 1
    return distance


@compiled(parallel=True)
def bilinear(surface: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values of `surface` at fractional rows `x` and columns `y`, the edge repeated outside."""
    ni, nj = surface.shape
    out = np.empty(len(x))
    for n in prange(len(x)):
        u, v = min(max(x[n], 0.0), ni - 1.0), min(max(y[n], 0.0), nj - 1.0)
        a, b = min(int(u), max(ni - 2, 0)), min(int(v), max(nj - 2, 0))
        c, d = min(a + 1, ni - 1), min(b + 1, nj - 1)
        u -= a
        v -= b
        upper = (1 - v) * surface[a, b] + v * surface[a, d]
        lower = (1 - v) * surface[c, b] + v * surface[c, d]
        out[n] = (1 - u) * upper + u * lower
    return out


@compiled(parallel=True)
def nearest(points: NDArray[np.float64], line: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which point of `line` (m, 3) is nearest to each of `points` (n, 3)."""
    out = np.empty(len(points), dtype=np.int64)
    for n in prange(len(points)):
        best, at = np.inf, 0
        for m in range(len(line)):
            x, y, z = points[n, 0] - line[m, 0], points[n, 1] - line[m, 1], points[n, 2] - line[m, 2]
            apart = x * x + y * y + z * z
            if apart < best:
                best, at = apart, m
        out[n] = at
    return out
