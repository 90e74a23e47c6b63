"""The frame along the spine: a smooth line in the canal, the patient's left and back along it, and a straight copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.canal import Canal, bony_canal
from keyhole.geometry import Grid, Points, unit
from keyhole.segment.classical._kernels import sampled

SMOOTH = 8.0
"""Sd, mm, of the gaussian along the canal's line [keyhole-choice]."""

RING = (6.0, 46.0)
"""Distances, mm, from the canal in which bone must be alike on both sides [keyhole-choice]."""

TURNS = 50.0
"""Largest turn, degrees, of the patient about the long axis against the scan's own axes [keyhole-choice]."""

WALL = (3, 16, 7)
"""Least and most mm from the canal's middle to its front wall, and half width over which the wall is averaged: noise
and a thin shell hide it from a threshold, not from the mean over its width [keyhole-choice]."""

BEND = 0.22
"""Price of a mm that the front wall moves from one mm to the next, against 1 of a usual rise [keyhole-choice]."""

HALF = 60
"""Half width, mm, of the straight copy ..."""

FRONT, BACK = 70, 50
"""... and how far it reaches before and behind the canal, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Axis:
    """A smooth line (n, 3), cranial to caudal, 1 mm apart, LPS mm, with unit vectors at each point."""

    line: Points
    left: Points
    posterior: Points
    down: Points

    def at(self, station: float) -> tuple[Points, Points, Points, Points]:
        """Point, left, posterior and up at a fractional station."""
        n = np.clip(station, 0, len(self.line) - 1)
        a = int(min(np.floor(n), len(self.line) - 2))
        share = n - a

        def between(field: Points) -> Points:
            return np.asarray(field[a] * (1 - share) + field[a + 1] * share)

        return between(self.line), unit(between(self.left)), unit(between(self.posterior)), unit(-between(self.down))


def even(points: Points) -> Points:
    """`points` of a polyline, smoothed by a gaussian of `SMOOTH` mm, 1 mm apart."""
    for sigma in (0.0, SMOOTH):
        length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        at = np.arange(0.0, length[-1] + 1e-9, 1.0)
        points = np.stack([np.interp(at, length, points[:, a]) for a in range(3)], axis=1)
        if sigma:
            points = _blurred(points, sigma)
    return points


def _blurred(points: Points, sigma: float) -> Points:
    """A gaussian along the line, the line continued straight beyond its ends."""
    width = min(len(points) - 1, int(3 * sigma))
    before = 2 * points[0] - points[1 : width + 1][::-1]
    after = 2 * points[-1] - points[-width - 1 : -1][::-1]
    longer = np.concatenate([before, points, after])
    return np.asarray(ndimage.gaussian_filter1d(longer, sigma, axis=0)[width : width + len(points)])


def axis_of(points: Points, hu: NDArray[np.int16], grid: Grid) -> Axis:
    """The axis along `points` (n, 3) LPS mm, cranial to caudal; the back by the mirror symmetry of the sections."""
    line = even(points)
    down = unit(np.gradient(ndimage.gaussian_filter1d(line, 4.0, axis=0, mode="nearest"), axis=0))
    back = grid.patient_from_index.matrix[:3, 1] / grid.spacing[1]
    back = unit(back[None] - (down @ back)[:, None] * down)
    left = np.cross(back, -down)
    turn = _turns(line, left, back, hu, grid)[:, None]
    posterior = np.cos(turn) * back + np.sin(turn) * left
    return Axis(line, np.cross(posterior, -down), posterior, down)


def _turns(line: Points, left: Points, back: Points, hu: NDArray[np.int16], grid: Grid) -> Points:
    """(n,) turn, radians, from `back` towards `left` about which bone is most alike on both sides."""
    n_turns = 72
    stations = np.arange(0, len(line), 4)
    radius = np.arange(RING[0], RING[1], 2.0)
    angle = np.arange(n_turns) * 2 * np.pi / n_turns
    rays = np.cos(angle)[:, None] * back[stations][:, None] + np.sin(angle)[:, None] * left[stations][:, None]
    points = line[stations][:, None, None] + radius[None, :, None, None] * rays[:, None]
    values = sampled(hu, grid.index(points.reshape(-1, 3)), 0.0).reshape(points.shape[:3])
    values = np.clip(values, -100.0, 400.0)
    values = ndimage.gaussian_filter1d(values, 6.0, axis=0, mode="nearest")
    odd = np.empty((len(stations), n_turns))
    half = np.arange(1, n_turns // 2)
    for n in range(n_turns):
        off = values[:, :, (n + half) % n_turns] - values[:, :, (n - half) % n_turns]
        odd[:, n] = np.abs(off).mean(axis=(1, 2))
    odd = ndimage.gaussian_filter1d(odd, 1.0, axis=1, mode="wrap")
    off_angle = np.degrees((angle + np.pi) % (2 * np.pi) - np.pi)
    odd = np.where(np.abs(off_angle) <= TURNS, odd + 0.1 * np.abs(off_angle), np.inf)
    best = odd.argmin(axis=1)
    found = np.radians(off_angle[best])
    found = ndimage.gaussian_filter1d(ndimage.median_filter(found, 7, mode="nearest"), 5.0, mode="nearest")
    return np.asarray(np.interp(np.arange(len(line)), stations, found))


def canal_of(axis: Axis, bone: NDArray[np.bool_], grid: Grid) -> tuple[Axis, Canal]:
    """The bony canal about `axis`, and the axis moved to its middle."""
    found = bony_canal(bone, grid, axis.line, axis.posterior)
    keep = np.clip(np.arange(len(found.line)), 0, len(found.line) - 1)
    line = found.line[keep]
    return Axis(line, found.left, found.posterior, found.down), found


def straight(axis: Axis, hu: NDArray[np.int16], grid: Grid) -> NDArray[np.float32]:
    """Values (station, left, posterior) every mm across the line; nan where the scan holds nothing.

    Left runs from -`HALF` to `HALF`, posterior from -`FRONT` to `BACK`.
    """
    across = np.arange(-HALF, HALF + 1.0)
    deep = np.arange(-FRONT, BACK + 1.0)
    out = np.empty((len(axis.line), len(across), len(deep)), dtype=np.float32)
    plane = across[:, None, None], deep[None, :, None]
    for n in range(len(axis.line)):
        points = axis.line[n] + plane[0] * axis.left[n] + plane[1] * axis.posterior[n]
        out[n] = sampled(hu, grid.index(points.reshape(-1, 3)), np.nan).reshape(out.shape[1:])
    return out


def front_wall(copy: NDArray[np.float32]) -> Points:
    """(n,) distance, mm, from the canal's line forwards to the steepest rise of density, from the `straight` copy."""
    least, most, wide = WALL
    part = np.clip(copy[:, HALF - wide : HALF + wide + 1, FRONT - most - 3 : FRONT + 1], -100.0, 300.0)
    seen = np.isfinite(part)
    mean = np.where(seen, part, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    rise = np.gradient(ndimage.gaussian_filter(mean.astype(np.float64), (2.5, 0.8))[:, ::-1], axis=1)
    gain = np.maximum(rise, 0.0)
    usual = max(float(np.median(gain[:, least : most + 1].max(axis=1))), 10.0)
    gain = np.minimum(gain / usual, 1.5)
    gain[:, :least], gain[:, most + 1 :] = -1e3, -1e3
    path = _smooth_row(gain)
    rows, at = np.arange(len(path)), np.clip(path, 1, rise.shape[1] - 2)
    a, b, c = rise[rows, at - 1], rise[rows, at], rise[rows, at + 1]
    bent = np.minimum(a - 2 * b + c, -1e-6)
    return np.asarray(ndimage.gaussian_filter1d(path + np.clip(0.5 * (a - c) / bent, -0.5, 0.5), 1.5))


def _smooth_row(gain: NDArray[np.float64]) -> NDArray[np.int64]:
    """The column of each row along which the sum of `gain` is largest; from row to row it moves by one at most."""
    total, came = gain[0].copy(), np.zeros(gain.shape, dtype=np.int64)
    columns = np.arange(gain.shape[1])
    for n in range(1, len(gain)):
        chain = np.full((3, len(total)), -np.inf)
        chain[0, 1:], chain[1], chain[2, :-1] = total[:-1] - BEND, total, total[1:] - BEND
        best = chain.argmax(axis=0)
        came[n] = best - 1
        total = chain[best, columns] + gain[n]
    path = np.empty(len(gain), dtype=np.int64)
    path[-1] = int(total.argmax())
    for n in range(len(gain) - 1, 0, -1):
        path[n - 1] = path[n] + came[n, path[n]]
    return path
