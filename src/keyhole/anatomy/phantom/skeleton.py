"""Where the vertebrae stand, and the line of the canal through them."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.parameters import LEVELS, NAMES, Dimensions
from keyhole.anatomy.phantom.pathology import Changes
from keyhole.anatomy.phantom.solids import Place
from keyhole.geometry import Points

NOTCH = {"T11": 1.4, "T12": 1.4, "L1": 1.3, "L2": 1.2, "L3": 1.0, "L4": 0.5, "L5": 0.0, "S1": 0.3}
"""Depth of the hollow of the body's back in the midline, mm; keyhole-choice."""

SACRAL_TILTS = (0.0, -9.0, -24.0, -42.0)
"""Forward tilt of S1 to S4 against the sacral slope, degrees; keyhole-choice."""

SACRAL_HEIGHTS = (30.0, 25.0, 21.0, 18.0)
"""Heights of S1 to S4, mm; keyhole-choice."""

STEP = 1.0  # mm, of the table that straightens the canal


@dataclass(frozen=True, slots=True, eq=False)
class Skeleton:
    """Places of the vertebral bodies, discs (tilt: mean of both endplates) and sacral segments; the canal's line.

    `line` (n, 2) holds y, z every 0.5 mm from cranial to caudal, `arc` its arc length; `curve` and `origin` are the
    table by which the kernels find (v, s): offset behind the line and arc length.
    """

    places: dict[str, Place]
    discs: dict[str, Place]
    heights: dict[str, float]
    wedges: dict[str, float]
    sacrum: tuple[Place, ...]
    line: Points
    arc: Points
    curve: NDArray[np.float64]
    origin: NDArray[np.float64]

    def arc_at(self, y: float, z: float) -> float:
        """Arc length of the line's point nearest to (y, z)."""
        return float(self.arc[np.argmin(np.hypot(self.line[:, 0] - y, self.line[:, 1] - z))])

    def arc_on(self, place: Place) -> float:
        """Arc length where the line meets the plane of `place` across its axis."""
        heights = place.within(np.column_stack([np.zeros(len(self.line)), self.line]))[:, 2]
        return float(np.interp(0.0, -heights, self.arc))

    def point(self, s: float) -> Points:
        """The line's point (3,) at arc length `s`."""
        return np.array([0.0, np.interp(s, self.arc, self.line[:, 0]), np.interp(s, self.arc, self.line[:, 1])])

    def at(self, u: float, v: float, s: float) -> Points:
        """The point (3,) `u` to the left and `v` behind the line at arc length `s`."""
        ahead, back = self.point(s + 0.5), self.point(s - 0.5)
        down = (ahead - back) / np.linalg.norm(ahead - back)
        return np.asarray(self.point(s) + np.array([u, 0.0, 0.0]) + v * np.array([0.0, -down[2], down[1]]))


def skeleton(size: Dimensions, change: Changes) -> Skeleton:
    """Stack the vertebrae from the sacrum upwards: disc heights and wedges, slip, then the canal's line."""
    places, discs, heights, wedges = _stack(size, change)
    shift = (-places["L3"].y, -places["L3"].z)
    places = {name: _moved(place, shift) for name, place in places.items()}
    discs = {name: _moved(place, shift) for name, place in discs.items()}
    sacrum = _sacrum(places["S1"], size)
    line, arc = _line(size, places, sacrum)
    curve, origin = _table(line, arc)
    return Skeleton(places, discs, heights, wedges, sacrum, line, arc, curve, origin)


def _moved(place: Place, shift: tuple[float, float]) -> Place:
    return Place(place.y + shift[0], place.z + shift[1], place.tilt)


def _stack(
    size: Dimensions, change: Changes
) -> tuple[dict[str, Place], dict[str, Place], dict[str, float], dict[str, float]]:
    top = Place(0.0, 0.0, size.sacral_slope)
    base = top.at(0, 0, -size.vertebrae["S1"].height / 2)
    places = {"S1": Place(base[1], base[2], size.sacral_slope)}
    discs: dict[str, Place] = {}
    heights: dict[str, float] = {}
    wedges: dict[str, float] = {}
    for name, (upper, lower) in reversed(list(zip(LEVELS, itertools.pairwise(NAMES), strict=True))):
        here = change.level == name
        heights[name] = size.levels[name].disc_height * (1 - change.height_loss * here)
        wedges[name] = size.levels[name].disc_wedge * (1 - 0.5 * change.height_loss * here)
        slip = change.slip * here * size.vertebrae[lower].depth
        places[upper], discs[name] = _above(size, (upper, lower), places[lower], (heights[name], wedges[name], slip))
    return places, discs, heights, wedges


def _above(
    size: Dimensions, pair: tuple[str, str], below: Place, gap: tuple[float, float, float]
) -> tuple[Place, Place]:
    """Place of the upper vertebra of `pair` and of the disc, for a disc height, wedge and slip."""
    height, wedge, slip = gap
    upper, lower = size.vertebrae[pair[0]], size.vertebrae[pair[1]]
    floor = below.tilt - lower.wedge / 2
    roof = floor - wedge
    centre = below.at(0, 0, lower.height / 2)
    level = Place(centre[1], centre[2], floor)
    axis = Place(centre[1], centre[2], (floor + roof) / 2)
    back = (upper.depth / 2 - NOTCH[pair[0]]) * np.cos(np.radians(wedge)) + height * np.sin(np.radians(wedge / 2))
    forward = slip + back - (lower.depth / 2 - NOTCH[pair[1]])
    ceiling = axis.at(0, 0, height) - forward * level.posterior
    tilt = roof - upper.wedge / 2
    origin = Place(ceiling[1], ceiling[2], tilt).at(0, 0, upper.height / 2)
    middle = (ceiling + centre) / 2
    return Place(origin[1], origin[2], tilt), Place(middle[1], middle[2], (floor + roof) / 2)


def _sacrum(first: Place, size: Dimensions) -> tuple[Place, ...]:
    """Places of S1 to S4: each below the other, along the sacrum's own curve."""
    scale = size.vertebrae["S1"].height / 30.0
    places = [first]
    for n in range(1, len(SACRAL_TILTS)):
        above = places[-1]
        joint = above.at(0, 0, -SACRAL_HEIGHTS[n - 1] * scale / 2)
        tilt = first.tilt + SACRAL_TILTS[n]
        centre = Place(joint[1], joint[2], tilt).at(0, 0, -SACRAL_HEIGHTS[n] * scale / 2)
        places.append(Place(centre[1], centre[2], tilt))
    return tuple(places)


def canal_centre(size: Dimensions, name: str) -> float:
    """Offset of the canal's middle behind the body's centre, mm."""
    one = size.vertebrae[name]
    return one.depth / 2 - 0.6 + one.canal_depth / 2


def _line(size: Dimensions, places: dict[str, Place], sacrum: tuple[Place, ...]) -> tuple[Points, Points]:
    from scipy.interpolate import CubicSpline  # noqa: PLC0415  (heavy import)

    knots = [places[name].at(0, canal_centre(size, name), 1.0) for name in NAMES]
    for place, offset in zip(sacrum[1:], (17.0, 12.5, 10.0), strict=True):
        knots.append(place.at(0, offset, 0.0))
    first, last = knots[0], knots[-1]
    knots = [first + 60 * places["T11"].up, *knots, last - 40 * sacrum[-1].up]
    points = np.array(knots)[:, 1:]
    chord = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    spline = CubicSpline(chord, points)
    fine = spline(np.linspace(0, chord[-1], 4000))
    lengths = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(fine, axis=0), axis=1))])
    arc = np.arange(0.0, lengths[-1], 0.5)
    line = np.column_stack([np.interp(arc, lengths, fine[:, 0]), np.interp(arc, lengths, fine[:, 1])])
    return line, arc


def _table(line: Points, arc: Points) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(v, s) on a grid of the sagittal plane around the spine, by the nearest point of the line."""
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    low, high = line.min(axis=0) - 70, line.max(axis=0) + 70
    y, z = np.arange(low[0], high[0], STEP), np.arange(low[1], high[1], STEP)
    grid = np.stack(np.meshgrid(y, z, indexing="ij"), axis=-1).reshape(-1, 2)
    _, nearest = cKDTree(line).query(grid)
    nearest = np.clip(nearest, 1, len(line) - 2)
    tangent = line[nearest + 1] - line[nearest - 1]
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    off = grid - line[nearest]
    s = arc[nearest] + np.einsum("ij,ij->i", off, tangent)
    v = -tangent[:, 1] * off[:, 0] + tangent[:, 0] * off[:, 1]
    table = np.stack([v, s], axis=-1).reshape(len(y), len(z), 2)
    return np.ascontiguousarray(table), np.array([low[0], low[1], STEP])
