"""The two endplates that face each other across a disc, as surfaces over the disc's middle plane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Grid, Points
from keyhole.segment.classical._kernels import bilinear, sampled

REACH = 16.0
"""Heights, mm, to both sides of the plane in which endplates are looked for [keyhole-choice]."""

STEP = 0.5
"""Distance of samples along a column, mm."""

WIDE, DEEP = 32, 28
"""Half width and half depth, mm, of the square of columns, 1 mm apart [keyhole-choice]."""

SHARP = 0.6
"""Sd, mm, of the smoothing along a column before its slope is taken [keyhole-choice]."""

LEAST = 1.0
"""Least distance of an endplate from the middle plane, mm [keyhole-choice]."""

ROUNDS = ((5.0, 4.5), (3.0, 3.0), (1.6, 2.0), (1.2, 1.5))
"""Rounds of the search: sd of the smoothing over the plane and half window of heights, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Gap:
    """A disc's space: its frame and the heights, mm, of both endplates over each column (left, posterior)."""

    centre: Points
    axes: Points  # rows: left, posterior, up
    above: NDArray[np.float64]  # of the upper vertebra's lower endplate, positive
    below: NDArray[np.float64]  # of the lower vertebra's upper endplate, negative
    edge: tuple[float, float]  # mean rise of density across each endplate, HU per mm

    def local(self, points: Points) -> Points:
        """`points` (n, 3) LPS mm as left, posterior, up of the disc."""
        return np.asarray((points - self.centre) @ self.axes.T)

    def heights(self, local: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Height less the upper vertebra's endplate, and less the lower one's, for `local` points (n, 3)."""
        x, y = local[:, 0] + WIDE, local[:, 1] + DEEP
        over, under = bilinear(self.above, x, y), bilinear(self.below, x, y)
        return local[:, 2] - over, local[:, 2] - under


def gap(hu: NDArray[np.int16], grid: Grid, frame: tuple[Points, Points], half: float, wall: float, shift: float) -> Gap:
    """The endplates about a disc's middle plane.

    Parameters
    ----------
    frame : the plane's centre (3,) LPS mm and its axes (rows: left, posterior, up).
    half : first guess of the endplates' distance from the plane, mm.
    wall : where along posterior the canal begins, mm: columns behind it say nothing.
    shift : how far, mm, a thin shell's blurred edge lies outside its true one.
    """
    centre, axes = frame
    values = _columns(hu, grid, centre, axes)
    rise = np.gradient(ndimage.gaussian_filter1d(values, SHARP / STEP, axis=2, mode="nearest"), STEP, axis=2)
    heights = np.arange(-REACH, REACH + STEP / 2, STEP)
    above, strong_above = _surface(np.maximum(rise, 0.0), heights, half, wall)
    below, strong_below = _surface(np.maximum(-rise, 0.0)[:, :, ::-1], heights, half, wall)
    return Gap(centre, axes, above + shift, -below - shift, (strong_above, strong_below))


def flat(centre: Points, axes: Points) -> Gap:
    """A stand-in for a gap that was not found: a plane without height."""
    level = np.zeros((2 * WIDE + 1, 2 * DEEP + 1))
    return Gap(centre, axes, level, level, (0.0, 0.0))


def _columns(hu: NDArray[np.int16], grid: Grid, centre: Points, axes: Points) -> NDArray[np.float32]:
    """Values (left, posterior, up) about `centre`."""
    x, y = np.arange(-WIDE, WIDE + 1.0), np.arange(-DEEP, DEEP + 1.0)
    z = np.arange(-REACH, REACH + STEP / 2, STEP)
    local = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1)
    points = centre + local.reshape(-1, 3) @ axes
    values = sampled(hu, grid.index(points), 0.0).reshape(local.shape[:3])
    return np.clip(values, -100.0, 700.0)


def _surface(
    rise: NDArray[np.float64], heights: NDArray[np.float64], half: float, wall: float
) -> tuple[NDArray[np.float64], float]:
    """Height of the strongest rise in each column, coarse to fine, and its mean strength over the middle."""
    surface = np.full(rise.shape[:2], half)
    i, j = np.indices(rise.shape[:2])
    held = np.where(j - DEEP <= wall - 1.0, 1.0, 1e-3)
    inner = ((i - WIDE) / 20.0) ** 2 + ((j - DEEP) / 14.0) ** 2 <= 1.0
    strong = 0.0
    for n, (sigma, window) in enumerate(ROUNDS):
        smooth = ndimage.gaussian_filter(rise, (sigma, sigma, 0.0), mode="nearest")
        away = heights[None, None] - surface[..., None]
        allowed = (np.abs(away) <= window) & (heights[None, None] >= LEAST)
        gain = np.where(allowed, smooth * (1.0 - 0.35 * (away / window) ** 2), -1.0)
        best = gain.argmax(axis=2)
        found = heights[best]
        weight = np.maximum(np.take_along_axis(smooth, best[..., None], axis=2)[..., 0], 0.0) + 0.5
        if n == 0:
            surface = np.full_like(surface, float(np.median(found[inner])))
            continue
        weight = weight**2 * np.where(inner, 4.0, 1.0) * held
        soft = max(sigma, 1.2)
        total = ndimage.gaussian_filter(weight, soft, mode="nearest")
        surface = ndimage.gaussian_filter(weight * ndimage.median_filter(found, 3), soft, mode="nearest") / total
        strong = float(np.sqrt(weight[inner & (held == 1.0)] / 4.0).mean())
    return surface, strong
