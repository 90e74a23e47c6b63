"""The exact endplates of a phantom's bodies, from its continuous surfaces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.model import Field, Phantom
from keyhole.anatomy.phantom.parameters import NAMES
from keyhole.anatomy.phantom.solids import Place
from keyhole.errors import InvalidInput
from keyhole.geometry import Plane, Points, fit_plane

COLUMN = 1.0  # mm between the columns that probe an endplate
SLAB = 5.0  # mm, half width of the slabs in which corners are looked for
INSIDE = (2.0, 6.0)  # mm inside the endplate between which corners are looked for
SHRUNK = 0.8  # share of the footprint over which the plane is fitted

EVERYWHERE = [-1e6, 1e6, -1e6, 1e6, -1e6, 1e6]


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


def inside(body: Phantom, name: str, points: Points) -> NDArray[np.bool_]:
    """Whether each of `points` (n, 3), phantom frame, lies in the body of `name`."""
    bone = bone_of(body, name)
    return _is(bone, bone.place.within(points))


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


def along(plate: Plane, middle: Plane) -> float:
    """Where the axis of `middle` meets `plate`, mm above its point."""
    return float((plate.point - middle.point) @ plate.normal / (middle.normal @ plate.normal))


def lean(normal: Points) -> float:
    """Forward lean of a normal in the sagittal plane, degrees."""
    return float(np.degrees(np.arctan2(-normal[1], normal[2])))
