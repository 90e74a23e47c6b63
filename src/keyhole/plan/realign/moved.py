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
from keyhole.geometry import Box, Grid, LabelMap, Plane, Points, Transform, affine, bounding_box
from keyhole.plan.realign.motion import Realigned
from keyhole.terms import Origin, are_neighbours, belongs, in_key, level, rank

SOFT = ("canal", "root", "disc", "foramen")
"""What is bent along between the bones."""

BENT = "bent along between the moved bones by a linear blend of their motions: modelled, its true shape is unknown"

LEFT_OUT = (
    "muscle, vessels, organs, fat and skin are left out of the moved label map: where they would come to lie is unknown"
)

_MARGIN = 2  # voxels around a bone
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


def moved(result: Realigned, names: Sequence[str] | None = None, *, finer: int = 1) -> Moved:
    """The label map of `result` around the vertebrae called `names` (all in view for None).

    The grid has the axes and the voxels of the patient's label map, or voxels `finer` times as small, and grows
    where bones move beyond it. S1 has the sacrum with it. Parts keep their labels.

    A surface that is nearly parallel to the voxels lies in wide steps; when it is turned and rounded to voxels of
    the same size once more, its fitted plane turns by up to 1.2 deg. Halved voxels keep that below 0.2 deg.
    """
    labels = result.anatomy.labels
    chosen = sorted(result.vertebrae if names is None else names, key=rank, reverse=True)
    parts = [part for name in chosen if (part := _part(labels, name)) is not None]
    grid = _grid(labels, [(part, result.motions[part.name]) for part in parts], finer)
    out = np.zeros(grid.shape, dtype=labels.array.dtype)
    best, owner = np.zeros(grid.shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.int16)
    shared: dict[tuple[int, int], int] = {}
    for n, part in enumerate(parts, 1):
        _put(part, n, result.motions[part.name], grid, (out, best, owner), shared)
    opened = _bend(result, chosen, grid, out)
    voxel = grid.voxel_volume / 1000
    overlap = {(labels.structures[a], labels.structures[b]): k * voxel for (a, b), k in shared.items()}
    i, j, k = (float(n) for n in labels.drawn_grid.spacing)
    found = LabelMap(out, grid.patient_from_index, labels.structures, labels.drawn if finer == 1 else (i, j, k))
    return Moved(found, dict(sorted(overlap.items())), {name: k * voxel for name, k in sorted(opened.items())})


def after(result: Realigned, names: Sequence[str] | None = None, *, finer: int = 2) -> tuple[Anatomy, Moved]:
    """The anatomy found anew on the moved label map, as if it had been imported, and that map; see `moved`."""
    made = moved(result, names, finer=finer)
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


def _part(labels: LabelMap, name: str) -> _Part | None:
    """The bone of vertebra `name`; S1 has the sacrum with it. None where it has no voxel."""
    keys = (f"vertebra/{name}", *(("sacrum",) if name == "S1" else ()))
    mask = labels.mask(*keys)
    box = bounding_box(mask, _MARGIN)
    if box is None:
        return None
    inside = mask[box]
    nearest = ndimage.distance_transform_edt(~inside, return_distances=False, return_indices=True)
    return _Part(name, inside.astype(np.float32), labels.array[box][tuple(nearest)], labels.grid.crop(box))


def _grid(labels: LabelMap, parts: Sequence[tuple[_Part, Transform]], finer: int) -> Grid:
    """The smallest grid, on the voxels of `labels`, that holds every part where it comes to lie."""
    corners = np.concatenate([labels.grid.index(motion.apply(_corners(part.grid))) for part, motion in parts])
    low, high = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
    place = np.diag([1 / finer, 1 / finer, 1 / finer, 1.0])
    place[:3, 3] = low + (1 / finer - 1) / 2
    i, j, k = (int(n) * finer for n in high - low)
    return Grid((i, j, k), affine(labels.patient_from_index.matrix @ place))


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
    soft = np.array(labels.labels_of(*SOFT), dtype=np.int64)
    room = bounding_box(labels.mask(*SOFT), _MARGIN)
    if room is None:
        return {}
    ends = _corners(labels.grid.crop(room))
    box = _box(grid, np.concatenate([result.motions[name].apply(ends) for name in chosen]))
    left = dict.fromkeys(chosen, 0)
    for start in range(box[0].start, box[0].stop, _SLAB):
        part = slice(start, min(start + _SLAB, box[0].stop)), box[1], box[2]
        free = np.argwhere(out[part] == 0) + [one.start for one in part]
        points = grid.centres(free)
        found = _label_at(labels, _blended(result, chosen, points))
        is_disc = np.isin(found, labels.labels_of("disc"))
        kept = np.where(np.isin(found, soft) & ~is_disc, found, 0)
        for upper, lower in itertools.pairwise(reversed(chosen)):
            _disc(result, (upper, lower), (points, kept), labels)
        out[tuple(free.T)] = kept
        for name in chosen:
            left[name] += int(np.isin(found[kept == 0], labels.labels_of(f"vertebra/{name}")).sum())
    return {name: count for name, count in left.items() if count}


def _blended(result: Realigned, chosen: Sequence[str], points: Points) -> Points:
    """Where each of `points` (n, 3) came from: between two bodies' middles both motions, each by its nearness."""
    source = result.motions[chosen[0]].inverse.apply(points)
    for below, above in itertools.pairwise(chosen):
        low, high = (result.vertebrae[name] for name in (below, above))
        share = _share(points, Plane(low.centre, low.up), Plane(high.centre, high.up))
        if not _same(result.motions[below], result.motions[above]):
            other = result.motions[above].inverse.apply(points)
            source = source + share[:, None] * (other - result.motions[below].inverse.apply(points))
    return source


def _same(one: Transform, other: Transform) -> bool:
    return bool(np.allclose(one.matrix, other.matrix, atol=1e-12))


def _share(points: Points, low: Plane, high: Plane) -> Points:
    """0 at or below the plane `low`, 1 at or above `high`, in proportion to the distances in between."""
    up, down = low.height(points), -high.height(points)
    between = (up > 0) & (down > 0)
    ratio = np.divide(up, up + down, out=np.zeros(len(points)), where=between)
    return np.asarray(np.where(between, ratio, (up > 0).astype(np.float64)))


def _disc(result: Realigned, pair: tuple[str, str], filled: tuple[Points, NDArray[Any]], labels: LabelMap) -> None:
    """Put the disc of a pair into what is free, stretched from one facing endplate to the other."""
    points, kept = filled
    name = f"disc/{in_key(level(*pair))}" if are_neighbours(*pair) else ""
    over, under = result.vertebrae[pair[0]].inferior, result.vertebrae[pair[1]].superior
    own = np.array(labels.labels_of(name), dtype=np.int64) if name else np.zeros(0, dtype=np.int64)
    if not len(own) or over is None or under is None:
        return
    near = np.flatnonzero((kept == 0) & (np.linalg.norm(points - (over.centre + under.centre) / 2, axis=1) < 45.0))
    here = points[near]
    up, down = under.plane.height(here), -over.plane.height(here)
    total = up + down
    meets = total > 1.0
    share = np.clip(np.divide(up, total, out=np.zeros(len(here)), where=meets), 0.0, 1.0)[:, None]
    low, high = (result.motions[one].inverse.apply(here) for one in (pair[1], pair[0]))
    found = _label_at(labels, (1 - share) * low + share * high)
    hit = np.isin(found, own) & meets
    kept[near[hit]] = found[hit]


def _label_at(labels: LabelMap, points: Points) -> NDArray[Any]:
    """The label of the voxel that holds each of `points` (n, 3); 0 outside the map."""
    index = np.rint(labels.grid.index(points)).astype(np.int64)
    inside = ((index >= 0) & (index < np.array(labels.array.shape))).all(axis=1)
    found = np.zeros(len(points), dtype=labels.array.dtype)
    found[inside] = labels.array[tuple(index[inside].T)]
    return found
