"""Solids as rows of numbers: primitives, how they combine, and what they are made of.

Everything here is in the phantom's own frame: x left, y posterior, z up, mm, upright.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.geometry import Points, unit

WIDTH = 40  # columns of a row; `_field.py` reads them by number
EVERYWHERE = 1e6

TAPER, BODY, HALF, PRISM, SECTION, COLUMN, SPAN, BEHIND, CYLINDER = 1, 2, 3, 4, 5, 6, 7, 8, 9
ADD, CUT, KEEP, CARVE = 0, 1, 2, 3

MIDDLE = [5, 6, 7]  # columns of the middle of a primitive's box
REACH = [8, 36, 39]  # columns of the box's half lengths along x, y, z

Row = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """A vertebra's or disc's frame: its origin in the midsagittal plane and its forward tilt, degrees."""

    y: float
    z: float
    tilt: float

    @property
    def up(self) -> Points:
        """Unit vector cranially along the place's axis."""
        return np.array([0.0, -np.sin(np.radians(self.tilt)), np.cos(np.radians(self.tilt))])

    @property
    def posterior(self) -> Points:
        """Unit vector backwards."""
        return np.array([0.0, np.cos(np.radians(self.tilt)), np.sin(np.radians(self.tilt))])

    def at(self, x: float, y: float, z: float) -> Points:
        """The point (left, posterior, up) of this place in the phantom's frame."""
        return np.array([x, self.y, self.z]) + y * self.posterior + z * self.up

    def turn(self, x: float, y: float, z: float) -> Points:
        """The direction (left, posterior, up) of this place in the phantom's frame."""
        return np.array([x, 0.0, 0.0]) + y * self.posterior + z * self.up

    def within(self, point: ArrayLike) -> Points:
        """(left, posterior, up) of `point` (3,) or (n, 3) in this place."""
        off = np.asarray(point, dtype=np.float64) - np.array([0.0, self.y, self.z])
        return np.stack([off[..., 0], off @ self.posterior, off @ self.up], axis=-1)

    @property
    def axes(self) -> Points:
        """(3, 3) rows left, posterior, up."""
        return np.stack([np.array([1.0, 0.0, 0.0]), self.posterior, self.up])


def _row(kind: int, op: int, k: float, offset: float) -> Row:
    row = np.zeros(WIDTH)
    row[[0, 1, 2, 4]] = kind, op, k, offset
    row[REACH] = EVERYWHERE
    return row


def grown(row: Row, op: int, offset: float, k: float) -> Row:
    """The primitive `row` widened by `offset` mm, with another operation."""
    other = row.copy()
    other[[1, 2]] = op, k
    other[4] += offset
    other[REACH] += offset
    return other


def _place(row: Row, axes: Points, origin: Points) -> None:
    row[9:21] = np.hstack([axes, -(axes @ origin)[:, None]]).ravel()


def taper(
    start: ArrayLike,
    stop: ArrayLike,
    radii: tuple[float, ...],
    end: tuple[float, ...] | None = None,
    *,
    across: ArrayLike = (1.0, 0.0, 0.0),
    power: int = 2,
    op: int = ADD,
    k: float = 0.0,
    offset: float = 0.0,
) -> Row:
    """A capsule from `start` to `stop` with an elliptical section: `radii` along `across` and perpendicular to it.

    A third radius is that of the cap along the axis (default: the smaller of both). `end` are the radii at `stop`.
    `power` 4 gives a section with fuller corners.
    """
    a, b = np.asarray(start, dtype=np.float64), np.asarray(stop, dtype=np.float64)
    length = float(np.linalg.norm(b - a))
    axis = unit(b - a) if length > 1e-9 else unit(np.cross(np.asarray(across), (0.3, 0.9, 0.31)))
    first = np.asarray(across, dtype=np.float64)
    first = unit(first - (first @ axis) * axis)
    r0 = (*radii, min(radii))[:3]
    r1 = r0 if end is None else (*end, min(end))[:3]
    row = _row(TAPER, op, k, offset)
    axes = np.stack([first, np.cross(axis, first), axis])
    _place(row, axes, a)
    _bound(row, np.array([a - _extent(axes, r0, power), a + _extent(axes, r0, power)]))
    ends = np.array([b - _extent(axes, r1, power), b + _extent(axes, r1, power)])
    _bound(row, np.vstack([ends, row[MIDDLE] - row[REACH], row[MIDDLE] + row[REACH]]))
    row[REACH] += offset
    row[21:29] = max(length, 1e-6), *r0, *r1, power
    return row


def _extent(axes: Points, radii: tuple[float, ...], power: int) -> Points:
    """Half lengths along x, y, z of an ellipsoid (or, for fuller corners, of the box around it)."""
    scaled = np.abs(axes) * np.array(radii)[:, None]
    return np.asarray(scaled.sum(axis=0) if power > 2 else np.sqrt((scaled**2).sum(axis=0)))


def _bound(row: Row, points: Points) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    row[MIDDLE], row[REACH] = (low + high) / 2, (high - low) / 2


def ball(centre: ArrayLike, radii: tuple[float, float, float], axes: Points | None = None, **options: float) -> Row:
    """An ellipsoid with `radii` along the rows of `axes` (3, 3), default left, posterior, up."""
    rows = np.eye(3) if axes is None else axes
    at = np.asarray(centre, dtype=np.float64)
    row = taper(at, at + 1e-7 * rows[2], radii, across=rows[0], op=int(options.pop("op", ADD)), **options)  # type: ignore[arg-type]
    row[21] = 1e-6
    return row


def tube(points: ArrayLike, radii: ArrayLike, *, k: float = 0.0, offset: float = 0.0, op: int = ADD) -> list[Row]:
    """Round capsules along a polyline (n, 3) with `radii` (n,) at its points."""
    line, r = np.asarray(points, dtype=np.float64), np.broadcast_to(radii, len(np.asarray(points)))
    rows = []
    for n in range(len(line) - 1):
        across = np.cross(line[n + 1] - line[n], (0.31, 0.2, 0.93))
        rows.append(taper(line[n], line[n + 1], (r[n],) * 3, (r[n + 1],) * 3, across=across, k=k, offset=offset, op=op))
    return rows


def body(place: Place, numbers: Sequence[float], *, op: int = ADD, k: float = 0.0, offset: float = 0.0) -> Row:
    """A vertebral body or disc at `place`.

    `numbers`: half width and half depth of the upper end, of the lower end, half height, slopes dz/dy of the upper and
    lower end, depth of the dish of the upper and lower end (negative: domed), waist and its flattening of the back
    (mm), the dish's extent (share of the outline), rounding of the rim, mm.
    """
    row = _row(BODY, op, k, offset)
    centre = place.at(0, 0, 0)
    wide, deep = max(numbers[0], numbers[2]), max(numbers[1], numbers[3])
    tall = numbers[4] + deep * max(abs(numbers[5]), abs(numbers[6])) + max(0.0, -numbers[7], -numbers[8])
    shear = abs(numbers[13]) * tall if len(numbers) > 13 else 0.0
    extent = _extent(place.axes, (wide, deep + shear, tall), 4) + 1.0
    _place(row, place.axes, centre)
    _bound(row, np.array([centre - extent, centre + extent]))
    row[REACH] += offset
    row[21 : 21 + len(numbers)] = numbers
    return row


def half(point: ArrayLike, normal: ArrayLike, *, op: int = KEEP, k: float = 0.0, offset: float = 0.0) -> Row:
    """The half space behind the plane through `point`: everything against `normal`."""
    row = _row(HALF, op, k, offset)
    axis = unit(normal)
    across = unit(np.cross(axis, (0.31, 0.2, 0.93)))
    _place(row, np.stack([across, np.cross(axis, across), axis]), np.asarray(point, dtype=np.float64))
    return row


def cylinder(point: ArrayLike, axis: ArrayLike, radius: float, *, op: int, k: float = 0.0, offset: float = 0.0) -> Row:
    """An endless cylinder."""
    row = half(point, axis, op=op, k=k, offset=offset)
    row[0], row[21] = CYLINDER, radius
    return row


def prism(table: int, *, op: int = ADD, k: float = 0.0, offset: float = 0.0) -> Row:
    """The trapezoid section of loft `table` along the canal's line."""
    row = _row(PRISM, op, k, offset)
    row[21] = table
    return row


def section(table: int, *, op: int = ADD, k: float = 0.0, offset: float = 0.0) -> Row:
    """The elliptical section of loft `table` along the canal's line."""
    row = prism(table, op=op, k=k, offset=offset)
    row[0] = SECTION
    return row


def column(table: int, *, op: int = ADD, k: float = 0.0, offset: float = 0.0) -> Row:
    """The elliptical section of loft `table` along z."""
    row = prism(table, op=op, k=k, offset=offset)
    row[0] = COLUMN
    return row


def span(start: float, stop: float, *, op: int = KEEP, k: float = 0.0) -> Row:
    """The slab between two arc lengths of the canal's line."""
    row = _row(SPAN, op, k, 0.0)
    row[21:23] = start, stop
    return row


def behind(v: float, lateral: float = 0.0, *, op: int = KEEP, k: float = 0.0) -> Row:
    """Everything farther back than `v` from the canal's line; the border moves forward by `lateral` per mm aside."""
    row = _row(BEHIND, op, k, 0.0)
    row[21:23] = v, lateral
    return row


@dataclass(frozen=True, slots=True)
class Material:
    """What a part shows: CT (HU) and T2 values inside and in its shell, and the shell's thickness, mm."""

    ct: float
    t2: float
    ct_shell: float = 0.0
    t2_shell: float = 0.0
    shell: float = -10.0

    @property
    def columns(self) -> tuple[float, float, float, float, float]:
        """As the kernel reads them."""
        thick = self.shell > 0
        return (
            self.ct,
            self.ct_shell if thick else self.ct,
            self.t2,
            self.t2_shell if thick else self.t2,
            self.shell,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One structure key of a solid: its rows, how wide it blends into the parts before it, and its claim (mm)."""

    key: str
    rows: Sequence[Row]
    material: Material
    blend: float = 0.0
    claim: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """Parts painted together; `carve` is cut out of all but those of `after`. An empty key paints images only."""

    parts: Sequence[Part]
    box: tuple[float, float, float, float, float, float]
    carve: Sequence[Row] = field(default=())
    after: Sequence[Part] = field(default=())

    @property
    def every(self) -> tuple[Part, ...]:
        """All parts in the order of their numbers."""
        return (*self.parts, *self.after)

    def rows(self, first: int = 0) -> Row:
        """The solid as one array, its parts numbered from `first`."""
        out: list[Row] = []
        for number, part in enumerate(self.parts, first):
            out.extend(_numbered(part, number))
        for row in self.carve:
            cut = row.copy()
            cut[[1, 3]] = CARVE, -1
            out.append(cut)
        for number, part in enumerate(self.after, first + len(self.parts)):
            out.extend(_numbered(part, number))
        return np.array(out)


def _numbered(part: Part, number: int) -> list[Row]:
    rows = []
    for row in part.rows:
        one = row.copy()
        one[[3, 37, 38]] = number, part.blend, part.claim
        rows.append(one)
    return rows


def box_of(points: ArrayLike, margin: float) -> tuple[float, float, float, float, float, float]:
    """The box (x, y, z lower and upper bounds) around `points` (n, 3) widened by `margin`, mm."""
    cloud = np.atleast_2d(np.asarray(points, dtype=np.float64))
    low, high = cloud.min(axis=0) - margin, cloud.max(axis=0) + margin
    return low[0], high[0], low[1], high[1], low[2], high[2]


def box_of_rows(rows: Sequence[Row]) -> tuple[float, float, float, float, float, float]:
    """The box around the rows that add, with room for what their blending adds."""
    adds = np.array([r for r in rows if r[1] == ADD and r[REACH[0]] < EVERYWHERE])
    margin = 2.0 + adds[:, 2].max()
    low = (adds[:, MIDDLE] - adds[:, REACH]).min(axis=0) - margin
    high = (adds[:, MIDDLE] + adds[:, REACH]).max(axis=0) + margin
    return low[0], high[0], low[1], high[1], low[2], high[2]
