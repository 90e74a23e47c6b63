"""Where the slices of a series lie: one affine for all of them, by their positions along their normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import unit
from keyhole.imaging.dicom_planes import Plane

TILT = 0.1
"""Largest angle, degrees, between the stack's direction and the slices' normal that counts as upright."""

MOST_TILT = 45.0
"""Degrees: gantries lean up to 30; more is a damaged header [keyhole-choice]."""

HUMAN_SPACING = (0.01, 50.0)
"""mm between voxels of any scan of a spine."""

POSITION_ROUNDING = 0.02
"""Scanners write positions to this many mm; a drift of the whole stack below it is no tilt."""

EXACT = 0.01
"""Largest departure, mm, of a slice from the one affine; slices that lie farther off are resampled."""

SIDEWAYS = 0.5
"""Slices farther than this, mm, beside one straight stack contradict each other [keyhole-choice]."""

WHOLE = 0.1
"""A wider step is slices missing if it is whole steps within this share of one, and else no even stack
[keyhole-choice]."""

SAME_PLACE = 1e-3
"""Slices closer than this, mm, are images of one place."""

TURNED = 0.05
"""Slices whose farthest corners, seen from the first, part by more than this, mm, are of different orientation."""

MOST_MISSING = 0.05
MOST_MISSING_RUN = 2
"""Missing slices are left unseen (nan) up to this share of all and this many in a row; more is refused
[keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Slices in the order of their normal. `places` are their numbers among `depth`; the other slices are missing.

    `matrix` maps (column, row, slice number) to LPS mm; it is sheared by `tilt` degrees where that is not 0.
    `positions` are the first voxels, (n, 3) LPS mm; `matrix` gives them within `EXACT` where `is_even`.
    """

    planes: tuple[Plane, ...]
    places: tuple[int, ...]
    depth: int
    matrix: NDArray[np.float64]
    positions: NDArray[np.float64]
    is_even: bool = True
    tilt: float = 0.0
    caveats: tuple[str, ...] = ()

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Distances between voxels along a row, down a column and from slice to slice along the normal, mm."""
        across, down = np.linalg.norm(self.matrix[:3, :2], axis=0)
        return float(across), float(down), abs(float(self.matrix[:3, 2] @ normal_of(self.matrix[:3, :2].T)))


def normal_of(axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit normal of a slice whose rows and columns run along the two rows of `axes`."""
    return np.asarray(unit(np.cross(axes[0], axes[1])), dtype=np.float64)


def direction_of(normal: NDArray[np.float64]) -> str:
    """Axial, coronal or sagittal for slices with this unit normal, with the angle from it beyond 5 degrees."""
    along = np.abs(normal)
    name = ("sagittal", "coronal", "axial")[int(along.argmax())]
    angle = float(np.degrees(np.arccos(min(1.0, float(along.max())))))
    return name if angle <= 5 else f"{name} {angle:.0f}°"


def corner_shift(one: Plane, other: Plane) -> float:
    """How far the farthest voxels of two slices part, mm, when their first voxels are laid on each other."""
    rows, columns = one.shape
    reach = np.array([[columns * one.spacing[0]], [rows * one.spacing[1]]])
    return float(np.linalg.norm((one.axes - other.axes) * reach, axis=1).max())


def stacked(planes: Sequence[Plane], where: str) -> Stack:
    """The one stack of `planes`; unknown places, doubled, uneven and too gappy stacks are refused with the number."""
    _placed(planes, where)
    first = planes[0]
    _flat(first)
    for other in planes[1:]:
        _same(first, other)
    normal = normal_of(first.axes)
    corners = np.array([p.position for p in planes])
    heights = corners @ normal
    order = np.argsort(heights, kind="stable")
    planes, corners, heights = [planes[n] for n in order], corners[order], heights[order]
    places = _places(planes, heights, where)
    start, step, apart = _line(corners, places)
    off = float(np.linalg.norm(apart, axis=1).max())
    beside = float(np.linalg.norm(np.cross(apart, normal), axis=1).max())
    if beside > SIDEWAYS:
        raise InvalidInput(f"{where}: the slices lie up to {beside:.2f} mm beside one straight stack")
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = first.axes[0] * first.spacing[0], first.axes[1] * first.spacing[1]
    matrix[:3, 2], matrix[:3, 3] = step, start
    drift = float(np.linalg.norm(np.cross(step, normal)))
    lean = float(np.degrees(np.arctan2(drift, abs(step @ normal))))
    _human(where, (*first.spacing, abs(float(step @ normal))), lean)
    tilt = lean if lean > TILT and drift * (len(planes) - 1) > POSITION_ROUNDING else 0.0
    depth = int(places[-1]) + 1
    caveats = _told(planes, places, depth)
    return Stack(tuple(planes), tuple(int(n) for n in places), depth, matrix, corners, off <= EXACT, tilt, caveats)


def _human(where: str, spacing: tuple[float, ...], lean: float) -> None:
    """Refuse sizes and angles that no scanner makes."""
    low, high = HUMAN_SPACING
    if not low <= min(spacing) <= max(spacing) <= high:
        size = " x ".join(f"{s:.3g}" for s in spacing)
        raise InvalidInput(f"{where}: voxels of a spine scan measure between {low:g} and {high:g} mm, found {size} mm")
    if not lean <= MOST_TILT:
        raise InvalidInput(f"{where}: the slices lean {lean:.0f} degrees against the stack; no gantry tilts so far")


def _placed(planes: Sequence[Plane], where: str) -> None:
    problem = next((p.problem for p in planes if p.problem), "")
    if problem:
        raise InvalidInput(problem)
    if len(planes) < 2:
        raise InvalidInput(f"{where}: a volume needs two slices or more, found {len(planes)}")


def _flat(first: Plane) -> None:
    """Refuse directions that are not those of a flat image."""
    if not abs(float(first.axes[0] @ first.axes[1])) < 1e-3:
        raise InvalidInput(f"{first.name}: rows and columns must be perpendicular, found {first.axes.ravel().tolist()}")
    if not (np.abs(np.linalg.norm(first.axes, axis=1) - 1) < 1e-3).all():
        raise InvalidInput(
            f"{first.name}: the directions of rows and columns must have length 1, found {first.axes.ravel().tolist()}"
        )


def _same(first: Plane, other: Plane) -> None:
    """Refuse a slice of another orientation, spacing or size than the first."""
    if first.shape != other.shape or not np.abs(other.spacing / first.spacing - 1).max() < 1e-3:
        raise InvalidInput(
            f"{first.name} and {other.name} are slices of different size in one series: {first.shape[::-1]} and "
            f"{other.shape[::-1]} voxels, {first.spacing.tolist()} and {other.spacing.tolist()} mm"
        )
    if not corner_shift(first, other) <= TURNED:
        raise InvalidInput(f"{first.name} and {other.name} are slices of different orientation in one series")


def _places(planes: Sequence[Plane], heights: NDArray[np.float64], where: str) -> NDArray[np.int64]:
    """The number of each slice, counting missing ones."""
    steps = np.diff(heights)
    double = np.flatnonzero(steps < SAME_PLACE)
    if double.size:
        a, b = planes[double[0]].name, planes[double[0] + 1].name
        raise InvalidInput(
            f"{where}: {double.size + 1} of {len(planes)} slices share a position, for one {a} and {b} at "
            f"{heights[double[0]]:.2f} mm; the series holds several images of one place (echoes, phases or copies) "
            "that no tag tells apart"
        )
    usual = float(np.sort(steps)[(len(steps) - 1) // 2])  # of two middle ones the smaller: the wider may be a gap
    strides = np.rint(steps / usual).astype(np.int64)
    wide = strides > 1
    if strides.min() < 1 or (np.abs(steps / usual - strides)[wide] > WHOLE).any():
        raise InvalidInput(
            f"{where}: slices must be evenly spaced, found steps from {steps.min():.3f} to {steps.max():.3f} mm"
        )
    missing, widest = int((strides - 1).sum()), int(strides.max()) - 1
    if missing > MOST_MISSING * (len(planes) + missing) or widest > MOST_MISSING_RUN:
        at = int(np.flatnonzero(strides > 1)[0])
        raise InvalidInput(
            f"{where}: about {missing} slices are missing, the first after {planes[at].name}: a step of "
            f"{steps[at]:.2f} mm among steps of {usual:.2f} mm"
        )
    return np.concatenate([[0], np.cumsum(strides)])


def _line(
    corners: NDArray[np.float64], places: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Start and step of the line through the first voxels, by least squares, and the departures from it, mm."""
    middle = places.mean()
    centre = corners.mean(axis=0)
    step = (places - middle) @ (corners - centre) / float(((places - middle) ** 2).sum())
    step = np.round(step, 9)
    start = np.round(centre - middle * step, 9)
    return start, step, corners - start - places[:, None] * step


def _told(planes: Sequence[Plane], places: NDArray[np.int64], depth: int) -> tuple[str, ...]:
    """What to be wary of."""
    if depth == len(planes):
        return ()
    gaps = np.flatnonzero(np.diff(places) > 1)
    first = ", ".join(f"{v:.1f}" for v in planes[int(gaps[0])].position)
    return (f"{depth - len(planes)} of {depth} slices are missing, the first after ({first}) mm; they count as unseen",)
