"""The spine found in a scan: first on a coarse copy of everything, then on a fine grid around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.canal import Canal
from keyhole.geometry import Grid, Points, Volume
from keyhole.segment.classical import bone, canal, frame, grid

LONGEST = 460.0
"""Length, mm, of spine above the canal's lower end that is looked at [keyhole-choice]."""

BELOW, ABOVE = 60.0, 30.0
"""Room, mm, below and above the canal's line [keyhole-choice]."""

SLOPE, PSF, SHELL, SHIFT = 0.6, 0.4, 1.1, 0.4
"""Sd, mm, of the smoothing before a slope is taken; a scan's own blur as a share of its voxel; thickness of a body's
shell; largest correction, mm [keyhole-choice]."""

BLUR = ((25.0, 0.6), (40.0, 0.8), (1e9, 1.0))
"""Sd of the smoothing, mm, up to each noise in HU [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Spine:
    """A scan on the fine grid with bone, body, canal and the straight copy along it."""

    hu: NDArray[np.int16]
    grid: Grid
    bone: NDArray[np.bool_]
    body: NDArray[np.bool_]
    axis: frame.Axis
    canal: Canal
    straight: NDArray[np.float32]
    front: Points  # (n,) distance from the canal's line to its front wall, mm
    threshold: float
    noise: float
    spacing: tuple[float, float, float]
    sigma: float  # of the smoothing, mm

    @property
    def shift(self) -> float:
        """How far outside the true wall of a body the steepest slope of its blurred thin shell lies, mm."""
        spread = np.sqrt(SLOPE**2 + self.sigma**2 + (PSF * max(self.spacing)) ** 2)
        return float(np.clip(spread - SHELL / 2, 0.0, SHIFT))

    @property
    def plate_shift(self) -> float:
        """The same for an endplate; coarse scans are read as their labels are, endplates whole."""
        return self.shift * float(np.clip(3.0 - max(self.spacing), 0.0, 1.5)) / 1.5


def find(image: Volume, *, is_poor: bool = False) -> Spine:
    """The spine of `image`; refused with NotInScan where no canal shows.

    With `is_poor` bone is taken to be osteoporotic: lower thresholds, and a canal that is followed farther.
    """
    array = grid.whole_numbers(image)
    coarse = grid.working_grid(image.grid, grid.COARSE)
    hu = grid.on_grid(array, image.grid, coarse)
    body = bone.body_mask(hu)
    path, threshold, step = _path(hu, body, is_poor)
    points = coarse.centres(path)[::-1]
    fine = _around(image.grid, coarse, body, points)
    noise = grid.noise(array)
    hu = grid.on_grid(array, image.grid, fine)
    sigma = next(sigma for most, sigma in BLUR if noise <= most)
    hu = grid.smoothed(hu, sigma)
    solid = bone.hysteresis(hu, threshold, step=step)
    axis = frame.axis_of(_kept(points), hu, fine)
    axis, bony = frame.canal_of(axis, solid, fine)
    straight = frame.straight(axis, hu, fine)
    held = grid.taken(body, coarse, fine)
    return Spine(
        hu=hu,
        grid=fine,
        bone=solid,
        body=held,
        axis=axis,
        canal=bony,
        straight=straight,
        front=frame.front_wall(straight),
        threshold=threshold,
        noise=noise,
        spacing=_spacing(image.grid, fine),
        sigma=sigma,
    )


def _path(hu: NDArray[np.int16], body: NDArray[np.bool_], is_poor: bool) -> tuple[Points, float, float]:
    """The canal's path on the coarse grid, the threshold of bone, and the step to the upper one.

    Bone is taken to be osteoporotic where it was not told so, but the first look finds no spine.
    """
    threshold, step = bone.threshold(hu, body), bone.STEP
    if not is_poor:
        path = canal.canal_path(hu, bone.hysteresis(hu, threshold, body), body, grid.COARSE)
        if len(path) * grid.COARSE >= canal.SHORTEST:
            return path, threshold, step
    threshold, step = threshold - bone.POOR[0], bone.POOR[1]
    path = canal.canal_path(hu, bone.hysteresis(hu, threshold, body, step), body, grid.COARSE, is_poor=True)
    canal.check_length(path, grid.COARSE)
    return path, threshold, step


def _kept(points: Points) -> Points:
    """The lower `LONGEST` mm of the canal's points, cranial to caudal."""
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.asarray(points[length >= length[-1] - LONGEST])


def _around(source: Grid, coarse: Grid, body: NDArray[np.bool_], points: Points) -> Grid:
    """The fine grid over the body's cross-section about the canal's points."""
    whole = grid.working_grid(source, grid.FINE)
    line = coarse.index(_kept(points))[:, 2]
    low = int(max(0, line.min() - BELOW / grid.COARSE))
    high = int(min(coarse.shape[2] - 1, line.max() + ABOVE / grid.COARSE))
    held = np.argwhere(body[:, :, low : high + 1].any(axis=2))
    ends = np.array([[*held.min(axis=0), low], [*held.max(axis=0), high]], dtype=np.float64)
    index = whole.index(coarse.centres(ends))
    first = np.clip(np.floor(index[0]) - 2, 0, np.array(whole.shape) - 1).astype(int)
    last = np.clip(np.ceil(index[1]) + 3, first + 1, whole.shape).astype(int)
    return whole.crop((slice(first[0], last[0]), slice(first[1], last[1]), slice(first[2], last[2])))


def _spacing(source: Grid, fine: Grid) -> tuple[float, float, float]:
    """The source's voxel sides along the fine grid's axes, mm."""
    matrix = source.patient_from_index.matrix[:3, :3]
    directions = fine.patient_from_index.matrix[:3, :3] / fine.spacing
    share = np.abs(directions.T @ (matrix / source.spacing))
    sides = source.spacing[share.argmax(axis=1)]
    return float(sides[0]), float(sides[1]), float(sides[2])
