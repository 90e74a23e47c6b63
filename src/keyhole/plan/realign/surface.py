"""The bony surface of an endplate over its plane: where a cage finds bone, and how uneven it is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.endplates import solid
from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.assessment.study import body_prefix
from keyhole.errors import NotInScan
from keyhole.geometry import Points, bounding_box
from keyhole.plan.realign.motion import plate_axes

STEP = 1.0
"""Distance of the columns in which the surface is looked for, mm [keyhole-choice]."""

DEPTH, BEYOND = 5.0, 4.0
"""How far inside and beyond the plane the surface is looked for, mm: deeper is a hole or the wall [keyhole-choice]."""

HALF = 38.0
"""Half side of the field of columns, mm [keyhole-choice]."""

_RAY = 0.25  # mm between samples along a column


@dataclass(frozen=True, slots=True, eq=False)
class Surface:
    """Heights (n, m), mm, of the bone over the plane of `plate`, away from the body positive; nan without bone.

    Rows run along left, columns along back, both from -`HALF` in steps of `STEP` mm about the plate's middle. `inside`
    is the distance from the edge of the bone, mm, 0 without bone.
    """

    plate: Endplate
    heights: NDArray[np.float64]
    inside: NDArray[np.float64]

    def at(self, flat: Points) -> Points:
        """Height at (left, back) `flat`, shape (..., 2), mm; nan without bone."""
        return _look(self.heights, flat, 1, np.nan)

    def margin(self, flat: Points) -> Points:
        """Distance from the edge of the bone at (left, back) `flat`, shape (..., 2), mm; 0 without bone."""
        return _look(self.inside, flat, 1, 0.0)

    def local(self, points: Points) -> Points:
        """(left, back, up) mm of `points`, shape (..., 3), about the plate's middle on its plane."""
        return np.asarray((points - self.plate.plane.foot(self.plate.centre)) @ plate_axes(self.plate).T)


def _look(field: NDArray[np.float64], flat: Points, order: int, outer: float) -> Points:
    index = np.moveaxis((np.asarray(flat) + HALF) / STEP, -1, 0)
    return np.asarray(ndimage.map_coordinates(field, index, order=order, cval=outer))


def surface(anatomy: Anatomy, vertebra: Vertebra, plate: Endplate, sense: int) -> Surface:
    """The surface of one endplate of `vertebra`.

    Parameters
    ----------
    sense : 1 for its superior, -1 for its inferior endplate.
    """
    key = body_prefix(anatomy, vertebra.name)
    mask = anatomy.labels.mask(key)
    box = bounding_box(mask, 3)
    if box is None:
        raise NotInScan(f"{vertebra.name}: its body is not in the label map")
    bone = solid(mask[box], anatomy.labels.grid.crop(box), anatomy.labels)
    ticks = np.arange(-HALF, HALF + STEP / 2, STEP)
    depth = np.arange(-DEPTH, BEYOND + _RAY / 2, _RAY)
    left, back, up = plate_axes(plate)
    middle = plate.plane.foot(plate.centre)
    columns = middle + ticks[:, None, None] * left + ticks[None, :, None] * back
    share = bone.at(columns[:, :, None, :] + sense * depth[:, None] * up)
    heights = _crossing(share, depth)
    known = _patch(np.isfinite(heights))
    edge = ndimage.distance_transform_edt(np.pad(known, 1))[1:-1, 1:-1]
    return Surface(plate, np.where(known, heights, np.nan), np.maximum(edge - 0.5, 0.0) * STEP)


def _crossing(share: NDArray[np.float32], depth: Points) -> NDArray[np.float64]:
    """Height of the first crossing of one half on the way out of the bone; nan where the column starts outside it."""
    inside = share >= 0.5
    first = np.where(inside.all(axis=2), len(depth) - 1, (~inside).argmax(axis=2))
    first = np.maximum(first, 1)
    here, there = (
        np.take_along_axis(share, n[..., None], 2)[..., 0].astype(np.float64) for n in (first - 1, first)
    )  # fmt: skip
    with np.errstate(divide="ignore", invalid="ignore"):
        part = np.clip(np.nan_to_num((here - 0.5) / (here - there)), 0.0, 1.0)
    return np.where(inside[:, :, 0], depth[first - 1] + _RAY * part, np.nan)


def _patch(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest patch of columns with bone, holes filled in the outline only."""
    parts, n = ndimage.label(known)
    return known if n <= 1 else np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax())
