"""Compiled loops that fill bodies and discs, voxel by voxel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry._kernels import compiled, prange

Array = NDArray[np.float64]


@compiled()
def _at(surface: Array, u: float, v: float) -> float:
    """Bilinear value of `surface` at a fractional row and column, the edge repeated outside."""
    u, v = min(max(u, 0.0), surface.shape[0] - 1.0), min(max(v, 0.0), surface.shape[1] - 1.0)
    a, b = min(int(u), max(surface.shape[0] - 2, 0)), min(int(v), max(surface.shape[1] - 2, 0))
    c, d = min(a + 1, surface.shape[0] - 1), min(b + 1, surface.shape[1] - 1)
    u -= a
    v -= b
    upper = (1 - v) * surface[a, b] + v * surface[a, d]
    lower = (1 - v) * surface[c, b] + v * surface[c, d]
    return float((1 - u) * upper + u * lower)


@compiled()
def _angle(left: float, back: float, n: int) -> float:
    """Direction as a fractional row of `n`, 0 to n."""
    turn = np.arctan2(back, left) / (2 * np.pi)
    return float((turn - np.floor(turn)) * n)


@compiled(parallel=True)
def body_mask(
    out: NDArray[np.bool_],
    at: Array,
    foot: tuple[Array, Array, Array],
    top: tuple[Array, Array, Array],
    middle: tuple[float, float],
    radius: Array,
) -> None:
    """Fill `out` with the voxels between two endplates and inside the wall.

    Parameters
    ----------
    at : (4, 4) patient from the index of `out`.
    foot, top : centre, axes (rows) and heights over the columns of the lower and of the upper endplate.
    middle : row and column of the heights that lie on the centre.
    radius : (angles + 1, heights) of the wall; the last row repeats the first.
    """
    n, m = radius.shape[0] - 1, radius.shape[1] - 1
    for i in prange(out.shape[0]):
        p, low, high = np.empty(3), np.empty(3), np.empty(3)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = False
                for a in range(3):
                    p[a] = at[a, 0] * i + at[a, 1] * j + at[a, 2] * k + at[a, 3]
                for a in range(3):
                    low[a], high[a] = 0.0, 0.0
                    for b in range(3):
                        low[a] += foot[1][a, b] * (p[b] - foot[0][b])
                        high[a] += top[1][a, b] * (p[b] - top[0][b])
                above = low[2] - _at(foot[2], low[0] + middle[0], low[1] + middle[1])
                below = _at(top[2], high[0] + middle[0], high[1] + middle[1]) - high[2]
                if above < 0 or below < 0 or above + below < 1e-6:
                    continue
                share = above / (above + below)
                left, back = 0.0, 0.0
                for b in range(3):
                    start = foot[0][b] + (low[2] - above) * foot[1][2, b]
                    stop = top[0][b] + (high[2] + below) * top[1][2, b]
                    away = p[b] - (1 - share) * start - share * stop
                    left += away * ((1 - share) * foot[1][0, b] + share * top[1][0, b])
                    back += away * ((1 - share) * foot[1][1, b] + share * top[1][1, b])
                out[i, j, k] = np.hypot(left, back) <= _at(radius, _angle(left, back, n), share * m)


@compiled(parallel=True)
def disc_mask(
    out: NDArray[np.bool_],
    at: Array,
    frame: tuple[Array, Array],
    plates: tuple[Array, Array],
    middle: tuple[float, float],
    rims: Array,
) -> None:
    """Fill `out` with the voxels between two facing endplates and inside an outline that passes between two rims.

    Parameters
    ----------
    frame : centre and axes (rows) of the disc.
    plates : heights over the columns of the upper and of the lower endplate.
    rims : (angles + 1, 2) radius at the lower and at the upper endplate; the last row repeats the first.
    """
    n = rims.shape[0] - 1
    for i in prange(out.shape[0]):
        p, own = np.empty(3), np.empty(3)
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                out[i, j, k] = False
                for a in range(3):
                    p[a] = at[a, 0] * i + at[a, 1] * j + at[a, 2] * k + at[a, 3]
                for a in range(3):
                    own[a] = 0.0
                    for b in range(3):
                        own[a] += frame[1][a, b] * (p[b] - frame[0][b])
                over = own[2] - _at(plates[0], own[0] + middle[0], own[1] + middle[1])
                under = own[2] - _at(plates[1], own[0] + middle[0], own[1] + middle[1])
                if over >= 0 or under <= 0:
                    continue
                wall = _at(rims, _angle(own[0], own[1], n), under / (under - over))
                out[i, j, k] = np.hypot(own[0], own[1]) <= wall
