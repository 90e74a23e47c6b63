"""Kambin's triangle seen from behind, and the window to the disc seen along the transforaminal direction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.assessment.flank.frame import Flank, pedicle_span
from keyhole.geometry import Points

OBLIQUE = 45.0
"""The transforaminal direction in the disc's plane, degrees to the sagittal plane [keyhole-choice]."""

BEFORE, INSIDE = 16.0, 12.0
"""How far outside the disc's surface bone and nerves stand in the way, and how far inside nerves do, mm
[keyhole-choice]."""

RISE = 15.0
"""Height, mm, over the caudal endplate up to which the root's edge is taken for the hypotenuse [keyhole-choice]."""

LEAST_RISE = 5.0
"""Less of the root's edge than this, mm of height, is no hypotenuse [keyhole-choice]."""

STEP = 0.5
"""Pixel of the projections, mm [keyhole-choice]."""

REACH = 8.0
"""How far medial of the window's lateral limit a cannula's centre is looked for, mm [keyhole-choice]."""

HALF = 0.5
"""Share of a structure from which a place counts as its own."""

_DEEP = 1.5  # mm between samples along the direction of view
_COARSE, _FINE = 0.4, 0.05  # mm between candidate centres, first and then about the best

CLEAR = 1e3
"""mm: distance from what is not there."""


@dataclass(frozen=True, slots=True, eq=False)
class Triangle:
    """Kambin's triangle seen from behind: the root's edge as a line, in a flank's axes, mm.

    `dura` is where the side of sac and traversing root lies, lateral; `foot` where the exiting root's lower medial edge
    meets the caudal endplate, and `lean` its change of lateral per mm upward (negative); `floor` is the endplate's
    height there.
    """

    dura: float
    foot: float
    lean: float
    floor: float

    @property
    def base(self) -> float:
        """Along the endplate, from dura to root, mm."""
        return self.foot - self.dura

    @property
    def height(self) -> float:
        """Along the dura, from the endplate to the root, mm."""
        return self.base / -self.lean

    @property
    def corners(self) -> Points:
        """(3, 2) lateral and up: foot of the dura, foot of the root, top."""
        return np.array(
            [[self.dura, self.floor], [self.foot, self.floor], [self.dura, self.floor + self.height]], dtype=np.float64
        )


def triangle(at: Flank, *, with_traversing: bool) -> Triangle | str:
    """The triangle between the dura, exiting root and caudal endplate, or why there is none.

    `with_traversing`: the traversing root, where it was seen, is part of the dura's side.
    """
    floor = at.height(at.floor.plane, 14.0, at.wall)
    roof = at.height(at.roof.plane, 14.0, at.wall)
    root = at.keys["root"]
    if not root:
        return f"{at.level}: no {at.side} root of {at.upper.name} is known; not measured"
    x, rows = np.arange(0.0, 40.0, STEP), np.arange(floor, floor + RISE + STEP / 2, STEP)
    dura = _edge(
        at, at.keys["nerves" if with_traversing else "sac"], (x, np.arange(floor, max(roof, floor + 2.0), STEP)), 1
    )
    edge = _edge(at, root, (x, rows), -1)
    if not at.keys["sac"] or not np.isfinite(dura).any():
        return f"{at.level}: no dural sac is known; not measured"
    side = float(np.nanmean(dura))
    held = np.isfinite(edge) & (np.nan_to_num(edge) > side)
    if not held.sum() * STEP >= LEAST_RISE:
        return f"{at.level}: the {at.side} root of {at.upper.name} does not pass lateral of the dura; not measured"
    lean, foot = np.polyfit(rows[held] - floor, edge[held], 1)
    if not (lean < -0.1 and foot > side):
        return f"{at.level}: the {at.side} root of {at.upper.name} does not slant away from the dura; not measured"
    return Triangle(side, float(foot), float(lean), floor)


def _edge(at: Flank, numbers: frozenset[int], where: tuple[Points, Points], way: int) -> Points:
    """Lateral (`way` +1) or medial end of a structure in each row, seen from behind, mm; nan where it is not."""
    x, rows = where
    deep = np.arange(at.wall - 22.0, at.wall + 26.0, _DEEP)
    local = np.stack(np.meshgrid(x, deep, rows, indexing="ij"), axis=-1)
    seen = at.share(local, numbers).max(axis=1).T[:, ::-way]
    inside = seen >= 0.5
    first = inside.argmax(axis=1)
    n = np.arange(len(rows))
    here, there = seen[n, first], seen[n, np.maximum(first - 1, 0)]
    part = np.where((first > 0) & (there < 0.5), (here - 0.5) / np.maximum(here - there, 1e-9), 0.0)
    return np.where(inside.any(axis=1), x[::-way][first] + way * part * STEP, np.nan)


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One obstacle, seen along the transforaminal direction: its share of each pixel, and its edge (n, 2), mm."""

    share: NDArray[np.float64]
    edge: Points
    origin: Points

    def gap(self, centres: Points) -> Points:
        """Distance of each of `centres` (n, 2) from it, mm; negative inside."""
        if not len(self.edge):
            return np.full(len(centres), CLEAR)
        away = cKDTree(self.edge).query(centres)[0]
        at = ((centres - self.origin) / STEP).T
        inside = ndimage.map_coordinates(self.share, at, order=1, mode="nearest") >= HALF
        return np.asarray(np.where(inside, -away, away))


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The way to the disc, seen along the transforaminal direction: across (outward) and up, mm.

    A cannula's centre lies at or medial to `limit`, where the middle of the pedicles meets the disc, and between
    `floor` and `roof`, the facing endplates there; its edge not below `floor`. `depth` is where the disc's surface lies
    along the view. `obstacles` are "bone" and "root" (exiting and traversing root, sac).
    """

    obstacles: Mapping[str, Seen]
    limit: float
    floor: float
    roof: float
    depth: float

    def widest(self, names: tuple[str, ...], shift: Mapping[str, float] | None = None) -> tuple[float, Points]:
        """Diameter, mm, and centre (2,) of the largest circle clear of the obstacles `names`.

        Parameters
        ----------
        shift : how far each of "bone", "root", "floor" and "limit" recedes, mm.
        """
        moved = {"limit": 0.0, "floor": 0.0} | dict(shift or {})
        limit = self.limit + moved["limit"]
        across, up = (limit - REACH, limit), (self.floor - moved["floor"], self.roof)
        centres = _grid(across, up, _COARSE)
        for step in (_COARSE, _FINE):
            radius = np.min([self.obstacles[name].gap(centres) + moved.get(name, 0.0) for name in names], axis=0)
            radius = np.minimum(radius, centres[:, 1] - self.floor + moved["floor"])
            best = int(radius.argmax())
            size, centre = float(radius[best]), centres[best]
            low, high = np.maximum(centre - step, (across[0], up[0])), np.minimum(centre + step, (across[1], up[1]))
            centres = _grid((low[0], high[0]), (low[1], high[1]), _FINE)
        return 2 * max(size, 0.0), centre


def oblique(across: Points, depth: Points, up: Points) -> Points:
    """Points (..., 3) in a flank's axes, of places seen along the transforaminal direction."""
    turn = np.radians(OBLIQUE)
    across, depth, up = np.broadcast_arrays(across, depth, up)
    lateral = np.cos(turn) * across + np.sin(turn) * depth
    back = np.cos(turn) * depth - np.sin(turn) * across
    return np.stack([lateral, back, up], axis=-1)


def window(at: Flank) -> Window | str:
    """The window to the disc on the flank's side, or why there is none.

    Seen along the transforaminal direction, `OBLIQUE` degrees to the sagittal plane in the disc's plane, from the
    disc's surface to `BEFORE` mm outside it. Holes in the bone beside the window do not count.
    """
    lateral = _mid_pedicle(at)
    if isinstance(lateral, str):
        return lateral
    back = _surface(at, lateral)
    if back is None:
        return f"{at.level}: the disc does not reach the middle of the {at.side} pedicles; not measured"
    turn = np.radians(OBLIQUE)
    limit, depth = np.cos(turn) * lateral - np.sin(turn) * back, np.sin(turn) * lateral + np.cos(turn) * back
    floor, roof = (at.height(plate.plane, lateral, back) for plate in (at.floor, at.roof))
    h, z = np.arange(limit - REACH - 2.0, limit + 9.0, STEP), np.arange(floor - 2.0, roof + 10.0, STEP)
    bone = _projected(at, at.keys["bone"], (h, z), (depth - 1.0, depth + BEFORE))
    root = _projected(at, at.keys["root"] | at.keys["nerves"], (h, z), (depth - INSIDE, depth + BEFORE))
    bone = _without_holes(bone, (h, z), np.array([limit, (floor + roof) / 2]))
    obstacles = {"bone": _seen(bone, (h, z)), "root": _seen(root, (h, z))}
    return Window(obstacles, float(limit), floor, max(roof, floor + STEP), float(depth))


def _mid_pedicle(at: Flank) -> float | str:
    """The middle of the stretch in which both pedicles lie, mm lateral, or why it is not known."""
    upper, lower = (pedicle_span(at, vertebra) for vertebra in (at.upper, at.lower))
    if upper is None or lower is None:
        name = at.upper.name if upper is None else at.lower.name
        return f"{at.level}: no pedicle of {name} was found on the {at.side}; not measured"
    return (max(upper.inner, lower.inner) + min(upper.outer, lower.outer)) / 2


def _surface(at: Flank, lateral: float) -> float | None:
    """Where the disc ends behind at half its height, mm along back; None where it is not that wide."""
    along = np.arange(at.wall - 22.0, at.wall + 12.0, STEP)
    local = np.stack(np.broadcast_arrays(lateral, along, np.array([[-1.0], [0.0], [1.0]])), axis=-1)
    share = at.share(local, at.keys["front"]).mean(axis=0)
    held = np.flatnonzero(share >= HALF)
    if not len(held):
        return None
    last = int(held[-1])
    beyond = share[min(last + 1, len(share) - 1)]
    part = (share[last] - HALF) / (share[last] - beyond) if beyond < HALF else 0.0
    return float(along[last] + part * STEP)


def _projected(
    at: Flank, numbers: frozenset[int], pixels: tuple[Points, Points], depths: tuple[float, float]
) -> NDArray[np.float64]:
    """The largest share of a structure along the view in each pixel (across, up)."""
    h, z = pixels
    if not numbers:
        return np.zeros((len(h), len(z)))
    deep = np.arange(depths[0], depths[1] + _DEEP / 2, _DEEP)
    local = oblique(h[:, None, None], deep[:, None], z[None, None, :])
    return np.asarray(at.share(local, numbers).max(axis=1))


def _without_holes(bone: NDArray[np.float64], pixels: tuple[Points, Points], middle: Points) -> NDArray[np.float64]:
    """`bone` with every gap filled that does not belong to the one at `middle`."""
    parts, n = ndimage.label(bone < HALF)
    if n == 0:
        return bone
    index = np.argwhere(parts > 0)
    places = np.column_stack([pixels[0][index[:, 0]], pixels[1][index[:, 1]]])
    nearest = index[int(np.linalg.norm(places - middle, axis=1).argmin())]
    return np.where((parts > 0) & (parts != parts[tuple(nearest)]), 1.0, bone)


def _seen(share: NDArray[np.float64], pixels: tuple[Points, Points]) -> Seen:
    """An obstacle with its edge between the pixels."""
    from skimage.measure import find_contours  # noqa: PLC0415  (heavy import)

    origin = np.array([pixels[0][0], pixels[1][0]])
    lines = [origin + STEP * line for line in find_contours(share, HALF)]
    edge = np.concatenate(lines) if lines else np.zeros((0, 2))
    if not len(edge) and (share >= HALF).any():
        edge = origin[None]
    return Seen(share, edge, origin)


def _grid(across: tuple[float, float], up: tuple[float, float], step: float) -> Points:
    """Places (n, 2) at most `step` mm apart over a rectangle, its rim included."""
    h, z = (np.linspace(a, b, max(2, int(np.ceil((b - a) / step)) + 1)) for a, b in (across, up))
    return np.stack(np.meshgrid(h, z, indexing="ij"), axis=-1).reshape(-1, 2)
