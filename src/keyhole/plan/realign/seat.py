"""Where a cage stands between two endplates, how it gets there, and how much bone it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate
from keyhole.errors import InvalidInput
from keyhole.geometry import Points, unit
from keyhole.plan.realign.cages import Cage
from keyhole.plan.realign.motion import Goal, Realigned, facing, height_at, plate_axes, seat_point
from keyhole.plan.realign.surface import Surface, surface
from keyhole.terms import check_side

MARGIN = {"transforaminal": 2.0, "lateral": 0.0}
"""Least distance of a cage's footprint from the edge of both endplates, mm, by kind: a lateral cage spans from rim to
rim [keyhole-choice]."""

TOUCH = 1.0
"""A cage's face rests on bone that is this near or nearer, mm [keyhole-choice]."""

RIM = 5.0
"""Breadth of the ring at the edge of an endplate that counts as its rim, mm [keyhole-choice]."""

LEVELS = 0.5
"""A cage that is wider than this share of the endplate sets the coronal angle; a narrower one leaves it as it is
[keyhole-choice]."""

OBLIQUE = 35.0
"""Deg to the midline at which a transforaminal cage is pushed in where no corridor says [keyhole-choice]."""

_STEP = 0.5  # mm along the line on which a cage's place is looked for


@dataclass(frozen=True, slots=True)
class Seat:
    """A cage in a disc: its middle `at` (left, back) mm from the middle of the lower endplate.

    `heading` is the unit direction (left, back) in which it is pushed in. `fits` is False where its footprint comes
    nearer than `MARGIN` to the edge of an endplate.
    """

    level: str
    cage: Cage
    at: tuple[float, float]
    heading: tuple[float, float]
    fits: bool = True

    @property
    def rises(self) -> tuple[float, float]:
        """Unit direction (left, back) in which the cage gets higher: the one of both that looks forward."""
        way = np.array(self.heading if self.cage.wedge == "length" else (-self.heading[1], self.heading[0]))
        way = -way if way[1] > 0 else way
        return float(way[0]), float(way[1])

    @property
    def lordosis(self) -> float:
        """The part of the cage's angle that acts from the side, deg."""
        return self._part(-self.rises[1])

    @property
    def coronal(self) -> float:
        """The part of the cage's angle that acts from the front, deg; higher on the left is positive."""
        return self._part(self.rises[0])

    def _part(self, share: float) -> float:
        return float(2 * np.degrees(np.arctan(share * np.tan(np.radians(self.cage.lordosis) / 2))))

    def corners(self, step: float = 1.0, grow: float = 0.0) -> Points:
        """Places (n, 2), (left, back), that fill the footprint widened by `grow` mm, about `step` mm apart."""
        u, v = (_ticks(size + 2 * grow, step) for size in (self.cage.length, self.cage.width))
        along = np.array(self.heading)
        across = np.array([-along[1], along[0]])
        flat = u[:, None, None] * along + v[None, :, None] * across
        return np.asarray(np.array(self.at) + flat.reshape(-1, 2))


def _ticks(size: float, step: float) -> Points:
    n = max(2, int(np.ceil(size / step)) + 1)
    return np.linspace(-size / 2, size / 2, n)


def goal_of(anatomy: Anatomy, seat: Seat, *, reduction: float = 0.0) -> Goal:
    """How the endplates stand once they lie on the faces of the cage of `seat`."""
    _, under = facing(*anatomy.pair(seat.level))
    broad = abs(seat.heading[0]) * seat.cage.length + abs(seat.heading[1]) * seat.cage.width
    sets = broad > LEVELS * under.width
    return Goal(seat.level, seat.cage.height, seat.lordosis, seat.at, seat.coronal if sets else None, reduction)


@dataclass(frozen=True, slots=True, eq=False)
class Beds:
    """The two facing surfaces of a level: of the upper and of the lower vertebra."""

    upper: Surface
    lower: Surface

    def margins(self, places: Points, seat: Seat) -> Points:
        """Distance of the footprint from the edge of both endplates, mm, were its middle at each of `places` (n, 2).

        The endplates as they stand over each other now; (n, m), one for each point of the footprint.
        """
        flat = places[:, None, :] + (seat.corners(2.0) - np.array(seat.at))
        return np.minimum(self.lower.margin(flat), self.upper.margin(flat))


def beds(anatomy: Anatomy, level: str) -> Beds:
    """The facing surfaces of `level`."""
    upper, lower = anatomy.pair(level)
    over, under = facing(upper, lower)
    return Beds(surface(anatomy, upper, over, -1), surface(anatomy, lower, under, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """How a cage comes in: from `start` towards `stop`, (3,) LPS mm, through a tube of `radius` mm."""

    start: Points
    stop: Points
    radius: float

    def __post_init__(self) -> None:
        start, stop = np.asarray(self.start, dtype=np.float64), np.asarray(self.stop, dtype=np.float64)
        if not (np.isfinite(start).all() and np.isfinite(stop).all() and np.linalg.norm(stop - start) > 1.0):
            raise InvalidInput(f"a cage's way needs two distinct ends, got {start.tolist()} and {stop.tolist()}")
        if not self.radius > 0:
            raise InvalidInput(f"a cage's way needs a tube of a radius > 0 mm, got {self.radius}")
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "stop", stop)

    def flat(self, plate: Endplate) -> Points:
        """Its unit direction (left, back) in the plane of `plate`; refused where it runs across that plane."""
        left, back, _ = plate_axes(plate)
        way = self.stop - self.start
        return unit(np.array([way @ left, way @ back]))


def default_way(anatomy: Anatomy, level: str, side: str, kind: str) -> Way:
    """The way of a cage where no corridor says: obliquely from the side's back corner, or straight from the flank."""
    _, under = facing(*anatomy.pair(level))
    left, back, _ = plate_axes(under)
    sign = 1.0 if check_side(side) == "left" else -1.0
    middle = under.plane.foot(under.centre)
    if kind == "lateral":
        return Way(middle + sign * 70.0 * left, middle, 11.0)
    lean = np.radians(OBLIQUE)
    into = -sign * np.sin(lean) * left - np.cos(lean) * back
    door = middle + sign * under.width / 4 * left + under.depth / 2 * back
    return Way(door - 40.0 * into, door, 11.0)


def fit_cage(bed: Beds, level: str, line: Sequence[Cage], way: Way) -> Seat:
    """The seat of the largest cage of `line` that finds room on `way`.

    A transforaminal cage slides along the way, laid into the disc's plane, as far in as the rims allow. A lateral one
    is turned straight across once it is inside and stands where its middle is nearest to the middle of the endplates.
    The largest footprint of `line` that keeps `MARGIN` is taken. Where none does, the smallest, at the place with the
    most bone above and below, and `fits` is False.
    """
    flat, places = _places(bed, line[0].kind, way)
    heading = (float(flat[0]), float(flat[1]))
    sizes = sorted(line, key=lambda cage: -cage.length * cage.width)
    for cage in sizes:
        trial = Seat(level, cage, (0.0, 0.0), heading)
        room = np.flatnonzero((bed.margins(places, trial) >= max(MARGIN[cage.kind], 1e-6)).all(axis=1))
        if len(room):
            best = places[room[-1 if cage.kind == "transforaminal" else 0]]
            return replace(trial, at=(float(best[0]), float(best[1])))
    trial = Seat(level, sizes[-1], (0.0, 0.0), heading, fits=False)
    held = (bed.margins(places, trial) > 0).mean(axis=1)
    best = places[np.lexsort((np.hypot(*places.T).round(3), -held.round(3)))[0]]
    return replace(trial, at=(float(best[0]), float(best[1])))


def _places(bed: Beds, kind: str, way: Way) -> tuple[Points, Points]:
    """Heading, and the places (n, 2) for the cage's middle in the order in which they are preferred, last or first.

    Along the way from outside inwards; for a lateral cage all about the middle, the nearest first.
    """
    flat = way.flat(bed.lower.plate)
    if kind == "lateral":
        forth = np.arange(-12.0, 13.0, 2 * _STEP)
        grid = np.stack(np.meshgrid(forth / 2, forth, indexing="ij"), axis=-1).reshape(-1, 2)
        order = np.lexsort((grid[:, 1], np.abs(grid[:, 0]), np.hypot(*grid.T).round(6)))
        return np.array([np.sign(flat[0]) or 1.0, 0.0]), grid[order]
    through = bed.lower.local(way.stop)[:2]
    return flat, through + np.arange(-60.0, 60.0, _STEP)[:, None] * flat


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A cage in the patient after realignment: its middle and axes (rows: heading, across, up), LPS mm."""

    seat: Seat
    centre: Points
    axes: Points

    @property
    def rise(self) -> Points:
        """Unit direction in which the cage gets higher, (3,) LPS."""
        way = self.axes[0] if self.seat.cage.wedge == "length" else self.axes[1]
        sign = np.sign(np.dot(self.seat.rises, _flat(self.seat)))
        return np.asarray(way * (sign if sign else 1.0))

    def height(self, points: Points) -> Points:
        """Height of the cage over `points`, shape (..., 3), mm; beyond its footprint as if it went on."""
        slope = 2 * np.tan(np.radians(self.seat.cage.lordosis) / 2)
        return np.asarray(self.seat.cage.height + slope * ((points - self.centre) @ self.rise))

    def holds(self, points: Points) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Whether each of `points`, shape (..., 3), lies inside the cage, taken as a solid wedge."""
        local = (points - self.centre) @ self.axes.T
        cage = self.seat.cage
        inside = (np.abs(local[..., 0]) <= cage.length / 2) & (np.abs(local[..., 1]) <= cage.width / 2)
        return np.asarray(inside & (np.abs(local[..., 2]) <= self.height(points) / 2))

    def outline(self) -> Points:
        """The eight corners (8, 3): four below, four above, LPS mm."""
        cage = self.seat.cage
        ends = [(a, b) for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        found = []
        for sense in (-1, 1):
            for a, b in ends:
                foot = self.centre + a * cage.length / 2 * self.axes[0] + b * cage.width / 2 * self.axes[1]
                found.append(foot + sense * float(self.height(foot)) / 2 * self.axes[2])
        return np.array(found)


def _flat(seat: Seat) -> tuple[float, float]:
    """The axis along the wedge in (left, back), as `Placed.axes` has it."""
    along = seat.heading
    return along if seat.cage.wedge == "length" else (-along[1], along[0])


def placed(over: Endplate, under: Endplate, seat: Seat) -> Placed:
    """The cage of `seat` between two endplates as they stand: in the middle between their planes."""
    up = unit(over.plane.normal + under.plane.normal)
    left, back, _ = plate_axes(under)
    foot = seat_point(under, seat.at)
    along = seat.heading[0] * left + seat.heading[1] * back
    heading = unit(along - (along @ up) * up)
    across = np.cross(up, heading)
    side = -seat.heading[1] * left + seat.heading[0] * back
    across = across if across @ side > 0 else -across
    return Placed(seat, foot + height_at(over, under, foot) / 2 * up, np.stack([heading, across, up]))


@dataclass(frozen=True, slots=True, eq=False)
class Contact:
    """What one face of a cage rests on: shares of the face, mm and mL.

    `touching` is nearer to bone than `TOUCH` or in it, `overhang` has no endplate below it, `rim` lies on the outer
    `RIM` mm of the endplate; `gap` is the mean distance where it stands off, `sunk` the largest depth in bone and
    `overlap` the bone's volume inside the cage on this side.
    """

    touching: float
    overhang: float
    rim: float
    gap: float
    sunk: float
    overlap: float


def contact(result: Realigned, bed: Beds, seat: Seat) -> tuple[Contact, Contact]:
    """What the upper and the lower face of the cage rest on after realignment."""
    over, under = facing(*result.pair(seat.level))
    cage = placed(over, under, seat)
    flat = seat.corners(1.0)
    left, back, _ = plate_axes(under)
    feet = seat_point(under, (0.0, 0.0)) + flat @ np.stack([left, back])
    middle = feet + (((cage.centre - feet) @ cage.axes[2])[:, None]) * cage.axes[2]
    half = cage.height(middle)[:, None] / 2 * cage.axes[2]
    after = Beds(replace(bed.upper, plate=over), replace(bed.lower, plate=under))
    cell = seat.cage.length * seat.cage.width / len(flat)
    return _rest(after.upper, middle + half, -1, cell), _rest(after.lower, middle - half, 1, cell)


def _rest(bed: Surface, face: Points, sense: int, cell: float) -> Contact:
    """What the points of one face rest on; `sense` is that of the endplate, `cell` the area of a point, mm²."""
    local = bed.local(face)
    bone = bed.at(local[:, :2])
    known = np.isfinite(bone)
    off = np.where(known, sense * local[:, 2] - bone, np.inf)
    touching = off <= TOUCH
    stands = off[known & (off > 0)]
    sunk = np.maximum(-off[known], 0.0)
    rim = known & (bed.margin(local[:, :2]) <= RIM)
    return Contact(
        touching=float(touching.mean()),
        overhang=float((~known).mean()),
        rim=float((rim & touching).mean()),
        gap=float(stands.mean()) if len(stands) else 0.0,
        sunk=float(sunk.max(initial=0.0)),
        overlap=float(sunk.sum() * cell / 1000),
    )
