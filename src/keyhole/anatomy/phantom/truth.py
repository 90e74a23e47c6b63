"""The exact values of the measures of docs/measures.md, from the phantom's continuous surfaces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.model import Field, Phantom
from keyhole.anatomy.phantom.parameters import LEVELS, NAMES
from keyhole.anatomy.phantom.solids import Place
from keyhole.casefile import FindingEntry
from keyhole.errors import InvalidInput
from keyhole.geometry import Plane, Points, fit_plane

PIXEL = 0.2  # mm, of the cut through the canal
COLUMN = 1.0  # mm between the columns that probe an endplate
SLAB = 5.0  # mm, half width of the slabs in which corners are looked for
INSIDE = (2.0, 6.0)  # mm inside the endplate between which corners are looked for
SHRUNK = 0.8  # share of the footprint over which the plane is fitted
CHORD = 10.0  # mm, half length of the chord that gives the canal plane's normal
METHOD = "exact: docs/measures.md on the phantom's continuous surfaces, bisected to 0.02 mm, areas on 0.2 mm"

EVERYWHERE = [-1e6, 1e6, -1e6, 1e6, -1e6, 1e6]

FREE = ("canal/dural_sac", "canal/epidural")


@dataclass(frozen=True, slots=True, eq=False)
class TrueEndplate:
    """An endplate in the phantom's frame: fitted plane (normal cranial), midsagittal corners and centre on it."""

    plane: Plane
    anterior: Points
    posterior: Points
    centre: Points

    @property
    def depth(self) -> float:
        """Mm."""
        return float(np.linalg.norm(self.anterior - self.posterior))


@dataclass(frozen=True, slots=True, eq=False)
class Bone:
    """The solid that holds one vertebral body, and the number of the body's part in it."""

    place: Place
    rows: NDArray[np.float64]
    part: int
    n_parts: int
    field: Field


def bone_of(body: Phantom, name: str) -> Bone:
    """The solid of `name`."""
    key = f"vertebra/{name}/body"
    for solid in body.solids:
        keys = [part.key for part in solid.every]
        if key in keys:
            return Bone(body.spine.places[name], solid.rows(), keys.index(key), len(keys), body.field)
    raise InvalidInput(f"the phantom has no vertebra {name}; it has {', '.join(NAMES)}")


def endplate(body: Phantom, name: str, sense: int) -> TrueEndplate:
    """The upper (`sense` +1) or lower (-1) endplate of `name`."""
    bone, half = bone_of(body, name), body.size.vertebrae[name].height / 2
    ticks = np.arange(-32.0, 32.0 + COLUMN / 2, COLUMN)
    x, y = (a.ravel() for a in np.meshgrid(ticks, ticks, indexing="ij"))
    slope = sense * -np.tan(np.radians(body.size.vertebrae[name].wedge / 2)) if name != "S1" else 0.0
    rim = sense * half + slope * y
    foot = _is(bone, np.column_stack([x, y, rim - sense * 3.0]))
    centre = np.array([x[foot].mean(), y[foot].mean()])
    wide = _is(bone, np.column_stack([_grown(x, centre[0]), _grown(y, centre[1]), rim - sense * 3.0]))
    flat = np.column_stack([x, y])[wide & foot]
    heights = _surface(bone, flat, rim[wide & foot], sense)
    surface = np.column_stack([flat, heights])
    plane = fit_plane(surface, toward=(0.0, 0.0, 1.0))
    return _cornered(bone, plane, centre, sense)


def _grown(values: Points, centre: float) -> Points:
    return centre + (values - centre) / SHRUNK


def _is(bone: Bone, local: Points) -> NDArray[np.bool_]:
    """Whether each local point (n, 3) of the vertebra's place lies in its body."""
    points = np.ascontiguousarray(local @ bone.place.axes + bone.place.at(0, 0, 0))
    solids, boxes = np.array([[0, len(bone.rows)]]), np.array([EVERYWHERE])
    is_body = (np.arange(bone.n_parts) == bone.part).astype(np.int64)
    return np.asarray(_field.labels_at(points, bone.rows, solids, boxes, is_body, bone.field) == 1)


def _surface(bone: Bone, flat: Points, rim: Points, sense: int) -> Points:
    """Height of the body's outermost surface over each of `flat` (n, 2), by bisection."""
    inner, outer = rim - sense * 7.0, rim + sense * 3.0
    for _ in range(11):
        middle = (inner + outer) / 2
        within = _is(bone, np.column_stack([flat, middle]))
        inner, outer = np.where(within, middle, inner), np.where(within, outer, middle)
    return np.asarray((inner + outer) / 2)


def _cornered(bone: Bone, plane: Plane, centre: Points, sense: int) -> TrueEndplate:
    """The plane in the phantom's frame, with its corners."""
    normal = plane.normal
    back = np.array([0.0, 1.0, 0.0]) - normal[1] * normal
    back /= np.linalg.norm(back)
    side = np.cross(back, normal)
    foot = np.array([centre[0], centre[1], 0.0])
    start = foot - plane.height(foot) / normal[2] * np.array([0.0, 0.0, 1.0])
    start[0] = 0.0
    found = {}
    for name, way, across in (
        ("anterior", -back, side),
        ("posterior", back, side),
        ("left", side, back),
        ("right", -side, back),
    ):
        found[name] = start + way * _extent(bone, start, (way, across, -sense * normal))
    middle = np.mean(list(found.values()), axis=0)
    axes, origin = bone.place.axes, bone.place.at(0, 0, 0)
    lifted = {name: point @ axes + origin for name, point in found.items()}
    whole = Plane(plane.point @ axes + origin, plane.normal @ axes)
    return TrueEndplate(whole, lifted["anterior"], lifted["posterior"], middle @ axes + origin)


def _extent(bone: Bone, start: Points, ways: tuple[Points, Points, Points]) -> float:
    """Furthest extent over the slab along a way, mean over the heights inside the plane."""
    way, across, inward = ways
    slab = np.arange(-SLAB, SLAB + 0.1, 1.0)
    heights = np.arange(INSIDE[0], INSIDE[1] + 0.1, 0.5)
    reach = np.arange(8.0, 41.0)
    h, a = (grid.ravel() for grid in np.meshgrid(heights, slab, indexing="ij"))
    rays = start + h[:, None] * inward + a[:, None] * across
    points = rays[:, None] + reach[:, None] * way
    within = _is(bone, points.reshape(-1, 3)).reshape(len(rays), len(reach))
    low = np.where(within, reach, 0.0).max(axis=1)
    high = low + 1.0
    for _ in range(6):
        middle = (low + high) / 2
        inside = _is(bone, rays + middle[:, None] * way)
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return float(((low + high) / 2).reshape(len(heights), len(slab)).max(axis=1).mean())


@dataclass(frozen=True, slots=True)
class TrueCanal:
    """Areas, mm², and midsagittal diameter, mm, of the free canal on one canal plane."""

    area: float
    diameter: float
    sac: float


def canal(body: Phantom, middle: Plane) -> TrueCanal:
    """The cut through the canal across its line, where the line meets the disc's `middle` plane."""
    spine = body.spine
    line = np.column_stack([np.zeros(len(spine.line)), spine.line])
    near = np.linalg.norm(line - middle.point, axis=1) < 45.0
    s = float(np.interp(0.0, -middle.height(line[near]), spine.arc[near]))
    normal = spine.point(s - CHORD) - spine.point(s + CHORD)
    normal /= np.linalg.norm(normal)
    left = np.array([1.0, 0.0, 0.0])
    back = np.cross(normal, left)
    ticks, deep = np.arange(-18.0, 18.0 + PIXEL / 2, PIXEL), np.arange(-14.0, 14.0 + PIXEL / 2, PIXEL)
    points = spine.point(s) + ticks[:, None, None] * left + deep[None, :, None] * back
    labels = body.labels_at(points.reshape(-1, 3)).reshape(len(ticks), len(deep))
    free = np.isin(labels, [n for n, key in body.structures.items() if key in FREE])
    sac = labels == next(n for n, key in body.structures.items() if key == "canal/dural_sac")
    areas = [float(_part(mask).sum()) * PIXEL**2 for mask in (free, sac)]
    return TrueCanal(areas[0], _chord(free, ticks), areas[1])


def _part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected part nearest to the middle of the cut."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    parts, n = parts_of(mask)
    if n == 0:
        return mask
    where = np.argwhere(mask)
    nearest = where[np.linalg.norm(where - np.array(mask.shape) / 2, axis=1).argmin()]
    return np.asarray(parts == parts[tuple(nearest)])


def _chord(free: NDArray[np.bool_], ticks: Points) -> float:
    """Longest run in the midsagittal plane, mean over 1 mm to both sides, mm."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    runs = []
    for column in _part(free)[np.abs(ticks) <= 1.0]:
        parts, n = parts_of(column)
        runs.append(np.bincount(parts)[1:].max() if n else 0)
    return float(np.mean(runs) * PIXEL)


def findings(body: Phantom, levels: Sequence[str] = LEVELS[1:]) -> tuple[FindingEntry, ...]:
    """Every measure at each of `levels`, and lumbar lordosis where L1 and S1 are among their vertebrae."""
    names = {name for level in levels for name in level.split("/")}
    upper = {name: endplate(body, name, +1) for name in NAMES if name in names}
    found: list[FindingEntry] = []
    for level in levels:
        above, below = level.split("/")
        found.extend(_level(body, level, (upper[above], endplate(body, above, -1), upper[below])))
    if {"L1", "S1"} <= names:
        angle = _lean(upper["S1"].plane.normal) - _lean(upper["L1"].plane.normal)
        found.append(_entry("lumbar lordosis", "L1/S1", angle, "deg"))
    return tuple(found)


def _level(body: Phantom, level: str, plates: tuple[TrueEndplate, TrueEndplate, TrueEndplate]) -> list[FindingEntry]:
    above, roof, floor = plates
    middle = Plane((roof.centre + floor.centre) / 2, roof.plane.normal + floor.plane.normal)
    height = _along(roof.plane, middle) - _along(floor.plane, middle)
    forward = (floor.anterior - floor.posterior) / floor.depth
    slip = float((roof.posterior - floor.posterior) @ forward)
    cut = canal(body, middle)
    return [
        _entry("disc height", level, height, "mm"),
        _entry("canal area", level, cut.area, "mm2"),
        _entry("canal AP diameter", level, cut.diameter, "mm"),
        _entry("dural sac area", level, cut.sac, "mm2"),
        _entry("slip", level, slip, "mm"),
        _entry("slip ratio", level, 100 * slip / floor.depth, "%"),
        _entry("segmental lordosis", level, _lean(floor.plane.normal) - _lean(above.plane.normal), "deg"),
    ]


def _along(plate: Plane, middle: Plane) -> float:
    return float((plate.point - middle.point) @ plate.normal / (middle.normal @ plate.normal))


def _lean(normal: Points) -> float:
    """Forward lean of a normal in the sagittal plane, degrees."""
    return float(np.degrees(np.arctan2(-normal[1], normal[2])))


def _entry(name: str, level: str, value: float, unit: str) -> FindingEntry:
    return FindingEntry(
        name=name,
        level=level,
        side=None,
        value=round(float(value), 4),
        sd=0.0,
        unit=unit,
        source="keyhole",
        method=METHOD,
    )
