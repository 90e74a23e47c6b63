"""Planes, segments and tubes in patient space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import InvalidInput

Points = NDArray[np.float64]


def unit(vector: ArrayLike) -> Points:
    """`vector`, shape (..., 3), scaled to length 1; refuses a zero or non-finite vector."""
    values = np.asarray(vector, dtype=np.float64)
    length = np.linalg.norm(values, axis=-1, keepdims=True)
    if not ((length > 0) & np.isfinite(length)).all():
        raise InvalidInput(f"a direction must be finite and not zero, got {values.tolist()}")
    return np.asarray(values / length)


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The plane through `point` (3,) LPS mm with unit `normal` (3,)."""

    point: Points
    normal: Points

    def __post_init__(self) -> None:
        object.__setattr__(self, "point", np.asarray(self.point, dtype=np.float64))
        object.__setattr__(self, "normal", unit(self.normal))

    def height(self, points: ArrayLike) -> Points:
        """Signed distance of `points`, shape (..., 3), from the plane, mm, positive on the normal's side."""
        return np.asarray((np.asarray(points) - self.point) @ self.normal, dtype=np.float64)

    def foot(self, points: ArrayLike) -> Points:
        """`points`, shape (..., 3), dropped onto the plane."""
        return np.asarray(np.asarray(points) - self.height(points)[..., None] * self.normal, dtype=np.float64)


def fit_plane(points: ArrayLike, toward: ArrayLike) -> Plane:
    """Least-squares plane of `points`, shape (n >= 3, 3), its normal on the side of `toward` (3,)."""
    cloud = np.asarray(points, dtype=np.float64)
    if cloud.ndim != 2 or len(cloud) < 3 or not np.isfinite(cloud).all():
        raise InvalidInput(f"a plane needs three finite points or more, got {len(cloud)}")
    centre = cloud.mean(axis=0)
    normal = np.linalg.svd(cloud - centre, full_matrices=False)[2][2]
    return Plane(centre, normal if normal @ np.asarray(toward) >= 0 else -normal)


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """A capsule: all points within `radius` mm of the segment from `start` to `stop` (3,), LPS mm.

    A segment of length zero is a ball. The corridor's tube of DESIGN.md section 4 runs from the skin
    entry to the point `radius` short of the dock, so that its rounded tip ends at the dock.
    """

    start: Points
    stop: Points
    radius: float

    def __post_init__(self) -> None:
        start, stop = np.asarray(self.start, dtype=np.float64), np.asarray(self.stop, dtype=np.float64)
        if not (np.isfinite(start).all() and np.isfinite(stop).all() and self.radius > 0):
            raise InvalidInput(f"a tube needs finite ends and a radius > 0 mm, got {start}, {stop}, {self.radius}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "stop", stop)

    @property
    def length(self) -> float:
        """Length of the axis, mm."""
        return float(np.linalg.norm(self.stop - self.start))

    def axis_distance(self, points: ArrayLike) -> Points:
        """Distance of `points`, shape (..., 3), from the axis segment, mm."""
        cloud = np.asarray(points, dtype=np.float64)
        along = self.stop - self.start
        squared = float(along @ along)
        share = np.clip((cloud - self.start) @ along / squared, 0.0, 1.0) if squared > 0 else np.zeros(cloud.shape[:-1])
        return np.asarray(np.linalg.norm(cloud - self.start - share[..., None] * along, axis=-1))

    def gap(self, points: ArrayLike) -> Points:
        """Distance of `points`, shape (..., 3), from the wall, mm, negative inside the tube."""
        return np.asarray(self.axis_distance(points) - self.radius)

    @property
    def volume(self) -> float:
        """Volume of the capsule, mm³."""
        return float(np.pi * self.radius**2 * (self.length + 4 / 3 * self.radius))
