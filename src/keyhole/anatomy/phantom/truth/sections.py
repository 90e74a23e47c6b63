"""Exact cuts through a phantom's canal, across its line: areas by cells, diameters by bisection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom
from keyhole.geometry import Points

CHORD = 10.0  # mm, half length of the chord that gives the canal plane's normal
CELL = 1.2  # mm, of the coarse cut; cells at a border are cut finer
FINE, ROUGH = 4, 3  # pixels along a cell's side: for one section, for the search of the least
TURN = 0.5  # rad between the cells' sides and left: walls along a side would all be rounded alike
WIDE, DEEP = 18.0, 12.5  # mm around the line
BAND = 2.0  # mm, over which the transverse diameter is averaged
MIDLINE = (-0.75, -0.25, 0.25, 0.75)  # mm, where the midsagittal diameter is taken
_ROUND = 1e-2  # mm, of a run's ends


@dataclass(frozen=True, slots=True, eq=False)
class Across:
    """The plane across the canal's line at one place: its point on the line, unit vectors back and cranial."""

    point: Points
    back: Points
    up: Points

    def at(self, flat: Points) -> Points:
        """(n, 3) phantom frame, of places (n, 2), (left, back) mm."""
        return np.asarray(self.point + flat[:, :1] * np.array([1.0, 0.0, 0.0]) + flat[:, 1:] * self.back)


def across(body: Phantom, s: float) -> Across:
    """The plane at arc length `s` of the phantom's own line."""
    spine = body.spine
    normal = spine.point(s - CHORD) - spine.point(s + CHORD)
    normal /= np.linalg.norm(normal)
    return Across(spine.point(s), np.cross(normal, np.array([1.0, 0.0, 0.0])), normal)


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """The labels of a section's pixels, and their places (n, m, 2), (left, back) mm, on the plane."""

    body: Phantom
    plane: Across
    labels: NDArray[np.int64]
    places: Points
    pixel: float


def cut_at(body: Phantom, s: float, per_cell: int = FINE) -> Cut:
    """The section at arc length `s`: a cell whose corners agree is of one piece, the others are sampled finer."""
    plane = across(body, s)
    half = np.hypot(WIDE, DEEP)
    ticks = np.arange(-half, half + CELL / 2, CELL)
    corners = _labelled(body, plane, _turned(ticks, ticks))
    four = np.stack([corners[:-1, :-1], corners[1:, :-1], corners[:-1, 1:], corners[1:, 1:]])
    mixed = np.argwhere((four != four[0]).any(axis=0))
    whole = np.repeat(np.repeat(four[0], per_cell, axis=0), per_cell, axis=1)
    fine = (ticks[:-1, None] + (np.arange(per_cell) + 0.5) * CELL / per_cell).ravel()
    places = _turned(fine, fine)
    a, b = (grid.ravel() for grid in np.meshgrid(np.arange(per_cell), np.arange(per_cell), indexing="ij"))
    i, j = (mixed[:, :1] * per_cell + a).ravel(), (mixed[:, 1:] * per_cell + b).ravel()
    whole[i, j] = _labelled(body, plane, places[i, j])
    return Cut(body, plane, whole, places, CELL / per_cell)


def _turned(first: Points, second: Points) -> Points:
    """(n, m, 2) places, (left, back), of a grid turned in its plane."""
    x, y = np.meshgrid(first, second, indexing="ij")
    return np.stack([np.cos(TURN) * x - np.sin(TURN) * y, np.sin(TURN) * x + np.cos(TURN) * y], axis=-1)


def _labelled(body: Phantom, plane: Across, places: Points) -> NDArray[np.int64]:
    """The labels at places (..., 2) on the plane; 0 where the canal cannot be."""
    flat = places.reshape(-1, 2)
    near = (np.abs(flat[:, 0]) <= WIDE) & (np.abs(flat[:, 1]) <= DEEP)
    found = np.zeros(len(flat), dtype=np.int64)
    found[near] = body.labels_at(plane.at(flat[near]))
    return found.reshape(places.shape[:-1])


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Where a section holds some structures, and a root within their convex outline.

    `sides` (n, 3) are that outline's half planes; None where there are no roots.
    """

    cut: Cut
    labels: NDArray[np.int64]
    roots: NDArray[np.int64]
    sides: Points | None
    mask: NDArray[np.bool_]

    @property
    def area(self) -> float:
        """mm²."""
        return float(self.mask.sum()) * self.cut.pixel**2

    def holds(self, flat: Points) -> NDArray[np.bool_]:
        """Whether each place (n, 2) on the plane lies in the structures."""
        found = _labelled(self.cut.body, self.cut.plane, flat)
        held = np.isin(found, self.labels)
        if self.sides is None:
            return np.asarray(held)
        within = (flat @ self.sides[:, :2].T + self.sides[:, 2] <= 0).all(axis=1)
        return np.asarray(held | (np.isin(found, self.roots) & within))


def shape(cut: Cut, keys: Sequence[str]) -> Shape:
    """Where the section holds one of `keys`."""
    numbers = {key: n for n, key in cut.body.structures.items()}
    labels = np.array([numbers[key] for key in keys])
    roots = np.array([n for key, n in numbers.items() if key.startswith("root/")])
    held = np.isin(cut.labels, labels)
    root = np.isin(cut.labels, roots)
    if not root.any() or held.sum() < 3:
        return Shape(cut, labels, roots, None, held)
    from scipy.ndimage import binary_erosion  # noqa: PLC0415  (heavy import)
    from scipy.spatial import ConvexHull  # noqa: PLC0415  (heavy import)

    sides = ConvexHull(cut.places[held & ~binary_erosion(held)]).equations
    within = (cut.places[root] @ sides[:, :2].T + sides[:, 2] <= 0).all(axis=1)
    mask = held.copy()
    mask[root] |= within
    return Shape(cut, labels, roots, sides, mask)


def main_part(of: Shape) -> NDArray[np.bool_]:
    """The connected part of the mask nearest to the canal's line."""
    from scipy.ndimage import label as parts_of  # noqa: PLC0415  (heavy import)

    parts, n = parts_of(of.mask)
    if n <= 1:
        return of.mask
    far = np.where(of.mask, np.linalg.norm(of.cut.places, axis=-1), np.inf)
    return np.asarray(parts == parts[np.unravel_index(far.argmin(), far.shape)])


def diameter(of: Shape) -> float:
    """Longest run in the midsagittal plane, mean within 0.75 mm of it, mm."""
    starts = np.array([(left, -DEEP) for left in MIDLINE])
    return float(_runs(of, starts, np.array([0.0, 1.0]), 2 * DEEP).mean())


def width(of: Shape) -> float:
    """Greatest mean over a band of 2 mm of the rows' longest runs, mm."""
    rows = np.arange(-DEEP + 0.5, DEEP, BAND / 2)
    starts = np.column_stack([np.full(len(rows), -WIDE), rows])
    runs = _runs(of, starts, np.array([1.0, 0.0]), 2 * WIDE)
    return float(np.convolve(runs, (0.25, 0.5, 0.25), mode="valid").max())


def _runs(of: Shape, starts: Points, way: Points, length: float) -> Points:
    """(n,) length of each line's longest run within the main part, mm; its ends bisected."""
    t = np.arange(0.0, length + CELL / 2, CELL)
    flat = starts[:, None] + t[None, :, None] * way
    inside = of.holds(flat.reshape(-1, 2)).reshape(len(starts), len(t))
    inside[:, [0, -1]] = False
    line, n = np.nonzero(inside[:, 1:] != inside[:, :-1])
    low, high = t[n], t[n + 1]
    first = inside[line, n]
    while len(low) and np.max(high - low) > _ROUND:
        middle = (low + high) / 2
        same = of.holds(starts[line] + middle[:, None] * way) == first
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    edge = (low + high) / 2
    main = main_part(of)
    longest = np.zeros(len(starts))
    for a, b in zip(range(0, len(edge), 2), range(1, len(edge), 2), strict=True):
        place = starts[line[a]] + (edge[a] + edge[b]) / 2 * way
        if _is_in(of.cut, main, place):
            longest[line[a]] = max(longest[line[a]], edge[b] - edge[a])
    return longest


def _is_in(cut: Cut, main: NDArray[np.bool_], place: Points) -> bool:
    """Whether the pixel at `place` (2,) is one of `main`."""
    turn = np.array([[np.cos(TURN), np.sin(TURN)], [-np.sin(TURN), np.cos(TURN)]])
    index = np.round(((place - cut.places[0, 0]) @ turn.T) / cut.pixel).astype(int)
    return bool(main[tuple(np.clip(index, 0, np.array(main.shape) - 1))])
