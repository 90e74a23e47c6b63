"""The plane between multifidus and longissimus: how much of the way through the muscle follows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Tube
from keyhole.plan.site import Site
from keyhole.terms import level as checked_level
from keyhole.terms import split

NEAR, STEP = 2.5, 0.5
"""The axis runs in the cleft where both muscles lie this near, mm [keyhole-choice], and half a voxel's edge; step."""

PUBLISHED = {"L1/L2": 9.0, "L2/L3": 11.0, "L3/L4": 17.0, "L4/L5": 30.0, "L5/S1": 35.0}
"""Distance of the cleft from the midline, mm, means of 30 cadavers [deng2015]."""

VIALLE = (40.4, (24.0, 70.0))
"""The same at the spinous process of L4, mean and range of 50 cadavers, mm [vialle2006]."""


@dataclass(frozen=True, slots=True)
class Cleft:
    """How an axis goes through multifidus and erector spinae of one side.

    `share` of its way in these muscles that runs in the cleft between them, 0 to 1, nan where the labels do not tell
    the muscles apart; `lateral` distance from the midline where it enters muscle, mm; `length` of the way, mm.
    """

    share: float
    lateral: float
    length: float

    @property
    def is_visible(self) -> bool:
        """Whether the labels tell the two muscles apart."""
        return bool(np.isfinite(self.share))


def cleft(site: Site, tube: Tube) -> Cleft | None:
    """How the axis of `tube` goes through the paraspinal muscles; None where it does not.

    Sampled every `STEP` mm: in the cleft where voxels of both muscles lie within `NEAR` mm and half a voxel's edge
    (mean of three), in muscle where either does or a paraspinal muscle that is not told apart is met.
    """
    out = (tube.stop - tube.start) / tube.length
    axis = tube.start + np.arange(0.0, tube.length, STEP)[:, None] * out
    sides = [s for s in ("left", "right") if site.labels.labels_of(f"muscle/paraspinal/{s}")]
    best: Cleft | None = None
    for side in sides:
        found = _along(site, axis, f"muscle/paraspinal/{side}")
        if found is not None and (best is None or found.length > best.length):
            best = found
    return best


def _along(site: Site, axis: Points, muscle: str) -> Cleft | None:
    labels = site.labels
    here = np.isin(_labels_at(site, axis), labels.labels_of(muscle))
    if not here.any():
        return None
    parts = [labels.labels_of(f"{muscle}/{name}") for name in ("multifidus", "erector_spinae")]
    lateral = abs(float(site.frame.local(axis[int(here.argmax())])[0]))
    if not all(parts):
        return Cleft(np.nan, lateral, float(here.sum() * STEP))
    both = _near_both(site, axis, parts)
    way = here | both
    return Cleft(float(both.sum() / way.sum()), lateral, float(way.sum() * STEP))


def _labels_at(site: Site, points: Points) -> NDArray[np.int64]:
    """Label of the voxel that holds each of `points` (..., 3); 0 outside the grid."""
    index = np.rint(site.labels.grid.index(points)).astype(np.int64)
    inside = ((index >= 0) & (index < site.labels.array.shape)).all(axis=-1)
    found = np.zeros(inside.shape, dtype=np.int64)
    found[inside] = site.labels.array[tuple(index[inside].T)]
    return found


def _near_both(site: Site, points: Points, parts: Sequence[tuple[int, ...]]) -> NDArray[np.bool_]:
    """Whether voxel centres of every one of `parts` lie within the cleft's reach of each of `points` (n, 3)."""
    grid = site.labels.grid
    reach = NEAR + float(grid.spacing.mean()) / 2
    room = int(np.ceil((reach + grid.half_diagonal) / grid.spacing.min()))
    span = np.arange(-room, room + 1)
    offsets = grid.patient_from_index.turn(np.stack(np.meshgrid(span, span, span, indexing="ij"), -1).reshape(-1, 3))
    offsets = offsets[np.linalg.norm(offsets, axis=1) <= reach + grid.half_diagonal]
    around = grid.centres(np.rint(grid.index(points)))[:, None] + offsets
    near = np.linalg.norm(around - points[:, None], axis=-1) <= reach
    labels = np.where(near, _labels_at(site, around), 0)
    wanted = np.zeros((len(parts), max(site.labels.structures) + 1), dtype=np.bool_)
    for row, part in zip(wanted, parts, strict=True):
        row[list(part)] = True
    return np.asarray(wanted[:, labels].any(axis=2).all(axis=0))


def published(level: str) -> float | None:
    """Where 30 cadavers had the cleft at `level`, mm from the midline; None where they were not looked at."""
    return PUBLISHED.get(checked_level(*split(level)))
