"""The label map of a spine after its levels were set: bones rigid, what lies between them bent along.

Each vertebra is resampled rigidly (trilinear membership, half inside). Canal, roots and discs follow a linear blend
of the motions of the bones above and below: a drawing of where they would come to lie, not a prediction of their
shape. Everything else is left out: nobody knows where muscle, vessel and skin would go.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.landmarks import canal_line, vertebrae
from keyhole.anatomy.model import Anatomy, Structure
from keyhole.geometry import Box, Grid, LabelMap, Plane, Points, Transform, affine, bounding_box, unit
from keyhole.plan.realign.motion import Realigned, turned_about
from keyhole.terms import Origin, are_neighbours, belongs, in_key, level, rank

SOFT = ("canal", "root", "disc", "foramen")
"""What is bent along between the bones."""

BENT = "bent along between the moved bones by a linear blend of their motions: modelled, its true shape is unknown"

LEFT_OUT = (
    "muscle, vessels, organs, fat and skin are left out of the moved label map: where they would come to lie is unknown"
)

FINE = 0.6
"""Voxel of the grid on which a moved level is measured again, mm [keyhole-choice]."""

_MARGIN = 2  # voxels around a bone
_BEYOND = 4.0  # mm of grid beyond the bones: an endplate counts as seen where the grid goes on
_UNEVEN = 1.5  # mm by which an endplate may lie off its plane and still have its disc
_MEET = 1.0  # mm between two endplates below which they have no disc between them
_SLAB = 16  # voxels that are bent along at a time
_INSIDE = 0.5  # least membership of a voxel of a bone


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A label map after realignment.

    `overlap` is the volume, mL, that the bones of two vertebrae would share, by the pair of their parts: each such
    voxel went to the one that holds more of it. `opened` is the volume, mL, of the gap that a vertebra left behind
    and nothing filled, by vertebra.
    """

    labels: LabelMap
    overlap: Mapping[tuple[str, str], float]
    opened: Mapping[str, float]


def moved(result: Realigned, names: Sequence[str] | None = None, *, grid: Grid | None = None) -> Moved:
    """The label map of `result` around the vertebrae called `names` (all in view for None).

    S1 has the sacrum with it. Parts keep their labels.

    Parameters
    ----------
    grid : where to draw it; None takes the voxels of the patient's own label map, as far as the bones now reach.
    """
    labels = result.anatomy.labels
    chosen = sorted(result.vertebrae if names is None else names, key=rank, reverse=True)
    parts = [part for name in chosen if (part := _part(labels, name)) is not None]
    at = native_grid(result, chosen) if grid is None else grid
    out = np.zeros(at.shape, dtype=labels.array.dtype)
    best, owner = np.zeros(at.shape, dtype=np.float32), np.zeros(at.shape, dtype=np.int16)
    shared: dict[tuple[int, int], int] = {}
    for n, part in enumerate(parts, 1):
        _put(part, n, result.motions[part.name], at, (out, best, owner), shared)
    opened = _bend(result, chosen, at, out)
    voxel = at.voxel_volume / 1000
    overlap = {(labels.structures[a], labels.structures[b]): k * voxel for (a, b), k in shared.items()}
    i, j, k = (float(n) for n in labels.drawn_grid.spacing)
    found = LabelMap(out, at.patient_from_index, labels.structures, labels.drawn if grid is None else (i, j, k))
    return Moved(found, dict(sorted(overlap.items())), {name: k * voxel for name, k in sorted(opened.items())})


def native_grid(result: Realigned, names: Sequence[str]) -> Grid:
    """The voxels of the patient's own label map as far as the bones called `names` reach after the motion."""
    return _reached(result, names, result.anatomy.labels.patient_from_index.matrix)


def oblique_grid(result: Realigned, names: Sequence[str], step: float = FINE) -> Grid:
    """Voxels of `step` mm on axes equally oblique to the spine, as far as the bones called `names` reach.

    A plane that is nearly parallel to the voxels of two grids, one after the other, lies in wide steps that are
    rounded twice: its fitted angle is off by up to 1.2 deg (voxels of 1 mm), 0.9 (0.5 mm). Where no plane is parallel
    to the grid the rounding averages out: at 0.6 mm below 0.13 deg and 0.01 mm, over 24 plates in random motions.
    """
    up = unit(np.sum([result.vertebrae[name].up for name in names], axis=0))
    even = unit(np.ones(3))
    axis = np.cross(even, up)
    sine = float(np.linalg.norm(axis))
    turn = turned_about(unit(axis), float(np.arctan2(sine, even @ up))) if sine > 1e-9 else np.eye(3)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = turn * step, result.vertebrae[names[0]].centre
    return _reached(result, names, matrix)


def _reached(result: Realigned, names: Sequence[str], matrix: NDArray[np.float64]) -> Grid:
    """The part of the endless grid `matrix` that holds the bones called `names` after the motion."""
    endless, labels = affine(matrix).inverse, result.anatomy.labels
    ends = []
    for name in names:
        mask = labels.mask(*_keys(name))
        box = bounding_box(mask)
        if box is not None:
            rim = np.argwhere(mask[box] & ~ndimage.binary_erosion(mask[box]))
            index = (endless @ result.motions[name]).apply(labels.grid.crop(box).centres(rim))
            ends += [index.min(axis=0), index.max(axis=0)]
    beyond = _BEYOND / np.linalg.norm(matrix[:3, :3], axis=0)
    low = np.floor(np.min(ends, axis=0) - beyond).astype(int)
    high = np.ceil(np.max(ends, axis=0) + beyond).astype(int)
    shift = np.eye(4)
    shift[:3, 3] = low
    i, j, k = (int(n) + 1 for n in high - low)
    return Grid((i, j, k), affine(matrix @ shift))


def after(result: Realigned, names: Sequence[str]) -> tuple[Anatomy, Moved]:
    """The anatomy of `names` found anew on the moved label map, as if it had been imported, and that map.

    It is drawn on `oblique_grid`, so that what is measured on it does not depend on how the scan lay.
    """
    made = moved(result, names, grid=oblique_grid(result, names))
    present = {made.labels.structures[int(n)] for n in np.flatnonzero(np.bincount(made.labels.array.ravel())) if n}
    known = {key: _known(one) for key, one in result.anatomy.structures.items() if key in present}
    found = vertebrae(made.labels, structures=known)
    anatomy = replace(
        result.anatomy, labels=made.labels, structures=known, vertebrae=found,
        canal_line=canal_line(made.labels, found), image=None, caveats=(*result.anatomy.caveats, LEFT_OUT),
    )  # fmt: skip
    return anatomy, made


def _known(one: Structure) -> Structure:
    if not belongs(one.key, *SOFT):
        return one
    return replace(one, origin=Origin.MODELLED, caveats=(*one.caveats, BENT))


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """The bone of one vertebra on its crop: membership, and its labels carried on beyond its surface."""

    name: str
    share: NDArray[np.float32]
    filled: NDArray[Any]
    grid: Grid


def _keys(name: str) -> tuple[str, ...]:
    return f"vertebra/{name}", *(("sacrum",) if name == "S1" else ())


def _part(labels: LabelMap, name: str) -> _Part | None:
    """The bone of vertebra `name`; None where it has no voxel."""
    mask = labels.mask(*_keys(name))
    box = bounding_box(mask, _MARGIN)
    if box is None:
        return None
    inside = mask[box]
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return _Part(name, inside.astype(np.float32), labels.array[box][tuple(nearest)], labels.grid.crop(box))


def _corners(grid: Grid) -> Points:
    ends = np.array(list(itertools.product((0, 1), repeat=3))) * (np.array(grid.shape) - 1)
    return grid.centres(ends)


def _put(
    part: _Part,
    number: int,
    motion: Transform,
    grid: Grid,
    into: tuple[NDArray[Any], NDArray[np.float32], NDArray[np.int16]],
    shared: dict[tuple[int, int], int],
) -> None:
    """Write one bone into the map; where another one lies already, the larger membership has the voxel."""
    box = _box(grid, motion.apply(_corners(part.grid)))
    target = grid.crop(box)
    back = part.grid.patient_from_index.inverse @ motion.inverse @ target.patient_from_index
    matrix = np.round(back.matrix, 9)
    share = ndimage.affine_transform(part.share, matrix, output_shape=target.shape, order=1, mode="constant")
    own = ndimage.affine_transform(part.filled, matrix, output_shape=target.shape, order=0, mode="nearest")
    out, best, owner = (array[box] for array in into)
    inside = share >= _INSIDE
    both = inside & (owner > 0)
    if both.any():
        pairs, counts = np.unique(np.stack([own[both], out[both]]), axis=1, return_counts=True)
        for (a, b), count in zip(pairs.T.tolist(), counts.tolist(), strict=True):
            shared[a, b] = shared.get((a, b), 0) + count
    wins = inside & (share > best)
    out[wins], best[wins], owner[wins] = own[wins], share[wins], number


def _box(grid: Grid, points: Points) -> Box:
    index = grid.index(points)
    low = np.clip(np.floor(index.min(axis=0)).astype(int), 0, grid.shape)
    high = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, low, grid.shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def _bend(result: Realigned, chosen: Sequence[str], grid: Grid, out: NDArray[Any]) -> dict[str, int]:
    """Fill what no bone took with canal, roots and discs bent along; count voxels that a bone left, by vertebra."""
    labels = result.anatomy.labels
    room = bounding_box(labels.mask(*SOFT), _MARGIN)
    if room is None:
        return {}
    ends = _corners(labels.grid.crop(room))
    box = _box(grid, np.concatenate([result.motions[name].apply(ends) for name in chosen]))
    pairs = [pair for pair in itertools.pairwise(reversed(chosen)) if _parted(result, *pair)]
    soft = labels.labels_of(*SOFT)
    discs = labels.labels_of(*(f"disc/{in_key(level(*pair))}" for pair in pairs if are_neighbours(*pair)))
    left = dict.fromkeys(chosen, 0)
    for start in range(box[0].start, box[0].stop, _SLAB):
        part = (slice(start, min(start + _SLAB, box[0].stop)), box[1], box[2])
        ticks = _Ticks(grid, part)
        found = _label_at(labels, _blended(result, chosen, ticks))
        kept = np.where(np.isin(found, soft) & ~np.isin(found, discs), found, 0)
        for pair in pairs:
            _disc(result, pair, ticks, kept)
        free = out[part] == 0
        out[part][free] = kept[free]
        for name in chosen:
            gone = np.isin(found, labels.labels_of(f"vertebra/{name}")) & free & (kept == 0)
            left[name] += int(np.count_nonzero(gone))
    return {name: count for name, count in left.items() if count}


class _Ticks:
    """The voxels of a part of a grid as open ticks, to which affine rows are applied without a list of points."""

    def __init__(self, grid: Grid, part: Box) -> None:
        self.at = grid.patient_from_index.matrix
        self.ticks = np.ogrid[part]

    def rows(self, matrix: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Each row of `matrix` (n, 4), patient LPS mm, at every voxel."""
        i, j, k = self.ticks
        return [a * i + (b * j + (c * k + d)) for a, b, c, d in matrix @ self.at]

    def height(self, plane: Plane) -> NDArray[np.float64]:
        """Height of every voxel over `plane`, mm."""
        return self.rows(np.array([[*plane.normal, -(plane.normal @ plane.point)]]))[0]


def _source(result: Realigned, name: str) -> NDArray[np.float64]:
    """(3, 4): index in the patient's label map from where a point moved with `name` has come to lie."""
    back = result.anatomy.labels.patient_from_index.inverse @ result.motions[name].inverse
    return np.asarray(back.matrix[:3])


def _blended(result: Realigned, chosen: Sequence[str], ticks: _Ticks) -> list[NDArray[np.float64]]:
    """Index each voxel came from: between two bodies' middles both motions, each by its nearness."""
    source = ticks.rows(_source(result, chosen[0]))
    for below, above in itertools.pairwise(chosen):
        if not _parted(result, above, below):
            continue
        low, high = (result.vertebrae[name] for name in (below, above))
        share = _share(ticks.height(Plane(low.centre, low.up)), -ticks.height(Plane(high.centre, high.up)))
        further = ticks.rows(_source(result, above) - _source(result, below))
        source = [one + share * by for one, by in zip(source, further, strict=True)]
    return source


def _parted(result: Realigned, upper: str, lower: str) -> bool:
    """Whether two vertebrae move differently."""
    return not np.allclose(result.motions[upper].matrix, result.motions[lower].matrix, atol=1e-12)


def _share(up: NDArray[np.float64], down: NDArray[np.float64]) -> NDArray[np.float64]:
    """0 below the lower plane, 1 above the upper one, in proportion to the distances from both in between."""
    between = (up > 0) & (down > 0)
    ratio = np.divide(up, up + down, out=np.zeros(up.shape), where=between)
    return np.asarray(np.where(between, ratio, (up > 0).astype(np.float64)))


def _disc(result: Realigned, pair: tuple[str, str], ticks: _Ticks, kept: NDArray[Any]) -> None:
    """Put the disc of a pair into what is free, stretched from one facing endplate to the other.

    Endplates are not flat: what comes to lie within `_UNEVEN` mm of one is taken from that much farther inside.
    """
    labels = result.anatomy.labels
    own = labels.labels_of(f"disc/{in_key(level(*pair))}") if are_neighbours(*pair) else ()
    over, under = result.vertebrae[pair[0]].inferior, result.vertebrae[pair[1]].superior
    if not own or over is None or under is None:
        return
    up, down = ticks.height(under.plane), -ticks.height(over.plane)
    meets = up + down > _MEET
    share = np.clip(np.divide(up, up + down, out=np.zeros(up.shape), where=meets), 0.0, 1.0)
    low, high = (ticks.rows(_source(result, name)) for name in (pair[1], pair[0]))
    axis = unit(result.anatomy.vertebrae[pair[0]].up + result.anatomy.vertebrae[pair[1]].up)
    inward = labels.patient_from_index.inverse.turn(axis)
    source = [a + share * (b - a) + _UNEVEN * (1 - 2 * share) * c for a, b, c in zip(low, high, inward, strict=True)]
    found = _label_at(labels, source)
    hit = np.isin(found, own) & meets & (kept == 0)
    kept[hit] = found[hit]


def _label_at(labels: LabelMap, index: Sequence[NDArray[np.float64]]) -> NDArray[Any]:
    """The label of the voxel that holds each index (three arrays of one shape); 0 outside the map."""
    places = [np.rint(one).astype(np.int64) for one in index]
    inside = np.logical_and.reduce(
        [(one >= 0) & (one < size) for one, size in zip(places, labels.array.shape, strict=True)]
    )
    i, j, k = (np.where(inside, one, 0) for one in places)
    return np.asarray(np.where(inside, labels.array[i, j, k], 0))
