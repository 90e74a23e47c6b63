"""Which vertebrae bear ribs: by the labels, and by what a CT shows beside them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from keyhole.anatomy.row import Row, cloud, row_of, up_at
from keyhole.geometry import LabelMap, Points, Volume, unit
from keyhole.terms import rank

JOINS = 8.0
"""Largest distance, mm, between a rib and the vertebra that bears it [keyhole-choice]."""

RIB_HU = 200.0
"""HU above which a voxel beside a vertebra is bone [keyhole-choice]."""

RIB = 0.25
"""mL of bone beside a vertebra and not part of it that are a rib: T12 had 0.7 to 0.9, L1 to L4 up to 0.01 in the two
bodies that were looked at [keyhole-choice]."""


def rib_bearers(labels: LabelMap) -> dict[str, str]:
    """Rib key -> the vertebra that it joins, for the ribs whose head is in view beside one."""
    row = row_of(labels)
    return joined_ribs(row) if row is not None else {}


def joined_ribs(row: Row) -> dict[str, str]:
    """Rib key -> the vertebra that it joins."""
    trees = {one.name: cKDTree(one.points) for one in row.bones}
    stride = max(1, round(2.0 / float(row.labels.grid.spacing.max())))
    found = {}
    for key in sorted(row.boxes):
        if not key.startswith("rib/"):
            continue
        points = cloud(row.labels, row.boxes, stride, key)
        gaps = {name: _gap(points, tree) for name, tree in trees.items()} if len(points) else {}
        if gaps and min(gaps.values()) <= JOINS:
            found[key] = min(gaps, key=lambda name: (gaps[name], -rank(name)))
    return found


def _gap(points: Points, tree: cKDTree) -> float:
    """Least distance, mm, of `points` to what `tree` holds; inf where that is well beyond `JOINS`."""
    return float(tree.query(points, distance_upper_bound=2 * JOINS)[0].min())


def rib_in_image(labels: LabelMap, image: Volume, row: Row | None = None) -> str | None:
    """The lowest vertebra beside which a CT, in HU, shows a rib; None where it shows none.

    Bone behind the body's middle and to its side that belongs to no labelled vertebra, near the rib's joint.
    """
    row = row or row_of(labels)
    if row is None:
        return None
    tree = cKDTree(np.concatenate([one.points for one in row.bones]))
    back = _back(row)
    if back is None:
        return None
    for place in range(len(row.bones) - 3, -1, -1):  # the two lowest lie between the iliac wings
        amounts = [_bone_beside(row, place, (sense, back), tree, image) for sense in (1, -1)]
        if max(amounts) >= RIB:
            return row.bones[place].name
    return None


def _back(row: Row) -> Points | None:
    """Posterior for the row as a whole: from the bodies to the whole bones."""
    back = np.sum([one.points.mean(axis=0) - one.centre for one in row.bones], axis=0)
    return unit(back) if np.linalg.norm(back) > 3 else None


def _bone_beside(row: Row, place: int, way: tuple[int, Points], tree: cKDTree, image: Volume) -> float:
    """Bone, mL, on one side of the vertebra at `place`, 3.5 mm or more from every labelled vertebra."""
    sense, back = way
    up = up_at(row, place)
    posterior = unit(back - (back @ up) * up)
    left, step = np.cross(posterior, up), 1.5
    spans = (np.arange(22, 44, step), np.arange(0, 32, step), np.arange(-8, 18, step))
    aside, behind, above = (a.ravel()[:, None] for a in np.meshgrid(*spans, indexing="ij"))
    points = row.bones[place].centre + sense * aside * left + behind * posterior + above * up
    index = np.rint(image.grid.index(points)).astype(np.int64)
    held = ((index >= 0) & (index < image.array.shape)).all(axis=1)
    points, index = points[held], index[held]
    bone = points[image.array[tuple(index.T)] > RIB_HU]
    if not len(bone):
        return 0.0
    return float((tree.query(bone)[0] > 3.5).sum()) * step**3 / 1000
