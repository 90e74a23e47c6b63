"""The row of vertebrae in a label map, without frames: where each lies and what the label map's edge cuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.geometry import Box, LabelMap, Points, unit
from keyhole.terms import lineage_of, rank

EDGE = 2
"""Voxels from the array's edge at which a structure counts as cut."""


@dataclass(frozen=True, slots=True, eq=False)
class RowBone:
    """One vertebra of the row: voxel centres of the whole and of its body (n, 3) LPS mm; whether the scan cuts it."""

    name: str
    points: Points
    body: Points
    cut: bool

    @property
    def centre(self) -> Points:
        """Middle of the body, LPS mm."""
        return np.asarray(self.body.mean(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The thoracic and lumbar vertebrae in view, cranial to caudal, and the boxes of every key."""

    labels: LabelMap
    boxes: Mapping[str, Box]
    bones: tuple[RowBone, ...]
    sacrum: Points
    step: float  # mm between the samples

    @property
    def names(self) -> tuple[str, ...]:
        """Cranial to caudal."""
        return tuple(one.name for one in self.bones)

    @property
    def lowest(self) -> RowBone:
        """The lowest lumbar vertebra in view."""
        return self.bones[-1]

    @property
    def last_thoracic(self) -> str:
        """The vertebra above L1 by these names."""
        return next(name for name in reversed(lineage_of(self.names)) if name.startswith("T"))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Where a vertebra lies: middle of its body, of the whole bone, LPS mm, and whether the label map's edge cuts it.

    `canal` is the middle of the canal beside the body, None where none is labelled there.
    """

    name: str
    body: Points
    whole: Points
    canal: Points | None
    cut: bool


def seen_in(labels: LabelMap) -> tuple[Seen, ...]:
    """The thoracic and lumbar vertebrae of `labels`, cranial to caudal, without frames: quick."""
    row = row_of(labels)
    if row is None:
        return ()
    canal = cloud(labels, row.boxes, 2, "canal")
    found = []
    for place, one in enumerate(row.bones):
        away = canal - one.centre
        near = canal[(np.abs(away @ up_at(row, place)) < 8) & (np.linalg.norm(away, axis=1) < 45)]
        middle = near.mean(axis=0) if len(near) >= 8 else None
        found.append(Seen(one.name, one.centre, one.points.mean(axis=0), middle, one.cut))
    return tuple(found)


def vertebrae_in_view(row: Row | None) -> tuple[tuple[str, bool], ...]:
    """The thoracic and lumbar vertebrae, cranial to caudal, each with whether the label map's edge cuts it."""
    return tuple((one.name, one.cut) for one in row.bones) if row is not None else ()


def row_of(labels: LabelMap) -> Row | None:
    """The row in `labels`; None where it does not end in a lumbar vertebra."""
    boxes = label_boxes(labels)
    present = {key.split("/")[1] for key in boxes if key.startswith("vertebra/") and "/" in key}
    names = sorted((n for n in present if n != "S1"), key=rank)
    if not names or not names[-1].startswith("L"):
        return None
    stride = max(1, round(2.0 / float(labels.grid.spacing.max())))
    bones = [one for name in names if (one := _one(labels, boxes, name, stride)) is not None]
    if not bones or not bones[-1].name.startswith("L"):
        return None
    sacrum = cloud(labels, boxes, stride, "sacrum", "vertebra/S1")
    return Row(labels, boxes, tuple(bones), sacrum, stride * float(labels.grid.spacing.max()))


def _one(labels: LabelMap, boxes: Mapping[str, Box], name: str, stride: int) -> RowBone | None:
    key = f"vertebra/{name}"
    whole = cloud(labels, boxes, stride, key)
    body = cloud(labels, boxes, stride, f"{key}/body")
    if len(whole) < 10:
        return None
    box = union_box(boxes, key)
    return RowBone(name, whole, body if len(body) >= 10 else whole, box is not None and _is_cut(box, labels, key))


def _is_cut(box: Box, labels: LabelMap, key: str) -> bool:
    """Whether voxels of `key` lie at the array's edge."""
    for axis, (side, n) in enumerate(zip(box, labels.array.shape, strict=True)):
        ends = [slice(0, EDGE)] * (side.start < EDGE) + [slice(n - EDGE, n)] * (side.stop > n - EDGE)
        for end in ends:
            face = tuple(end if a == axis else box[a] for a in range(3))
            if labels.mask(key, box=(face[0], face[1], face[2])).any():
                return True
    return False


def cloud(
    labels: LabelMap, boxes: Mapping[str, Box], stride: int, *prefixes: str, within: tuple[str, ...] | None = None
) -> Points:
    """Every `stride`-th voxel centre, (n, 3) LPS mm, of the keys at or below `prefixes` or, in their box, `within`."""
    box = union_box(boxes, *prefixes)
    if box is None:
        return np.empty((0, 3))
    thin = slice(box[0].start, box[0].stop, stride), slice(box[1].start, box[1].stop, stride)
    mask = labels.mask(*(within or prefixes), box=(*thin, slice(box[2].start, box[2].stop, stride)))
    index = np.argwhere(mask) * stride + [s.start for s in box]
    at = labels.grid.patient_from_index.matrix
    return np.asarray(index @ at[:3, :3].T + at[:3, 3])


def gap_between(one: Points, other: Points) -> float:
    """Least distance between two clouds, mm; inf where one is empty."""
    if not len(one) or not len(other):
        return float("inf")
    return float(cKDTree(other).query(one)[0].min())


def up_at(row: Row, place: int) -> Points:
    """Cranial direction at the vertebra at `place`."""
    above, below = row.bones[max(0, place - 1)], row.bones[min(len(row.bones) - 1, place + 1)]
    if above is below:
        return np.array([0.0, 0.0, 1.0])
    return unit(above.centre - below.centre)
