"""Tissue that may be removed, cut into bites on a lattice that hangs on the level's frame."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Volume
from keyhole.plan.decompress.canal import Canal
from keyhole.plan.decompress.problem import NONE, Indices
from keyhole.plan.site import Mask, Site
from keyhole.plan.targets import OFFSET
from keyhole.terms import belongs

BITE = 2.0
"""Side of a bite, mm: a small punch; smaller bites would let tunnels through that no tool fits [keyhole-choice]."""

FILL = 5.0
"""Removed tissue within this distance of the free canal becomes canal, mm; beyond it is filled with fat
[keyhole-choice]."""

FLAVUM = "canal/flavum"


@dataclass(frozen=True, slots=True, eq=False)
class Bites:
    """Bites of removable tissue: `at` is the bite of each voxel (-1: none), `index` the voxels (v, 3) that are in any.

    `of` (v,) is the bite of each of these, `centres` (n, 3) LPS mm the mean of its voxels, `place` (n, 3) its cell.
    """

    at: NDArray[np.int32]
    index: Indices
    of: Indices
    centres: Points
    place: Indices

    def __len__(self) -> int:
        return len(self.centres)

    def total(self, weight: NDArray[Any]) -> Points:
        """Sum over each bite of `weight` (v,) of its voxels."""
        return np.bincount(self.of, weight, minlength=len(self)).astype(np.float64)


def cells(site: Site, index: Indices) -> Indices:
    """The lattice cell (v, 3) of each voxel."""
    found: Indices = np.floor(site.local(index) / BITE + np.array(OFFSET)).astype(np.int64)
    return found


def bites(found: Canal, soft: tuple[str, ...]) -> Bites:
    """The bites of flavum and of the bones `soft`; kept in `found.made`."""
    key = ("bites", soft)
    if key not in found.made:
        index = np.argwhere(removable(found.site, soft))
        found.made[key] = _cut(found.site, index)
    made: Bites = found.made[key]
    return made


def removable(site: Site, soft: tuple[str, ...]) -> Mask:
    """Flavum and the bones `soft`."""
    return site.mask(FLAVUM, *soft)


def _cut(site: Site, index: Indices) -> Bites:
    at = np.full(site.labels.array.shape, -1, dtype=np.int32)
    if not len(index):
        return Bites(at, index, np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    place, of = np.unique(cells(site, index), axis=0, return_inverse=True)
    of = of.reshape(-1).astype(np.int64)
    at[tuple(index.T)] = of
    points = site.labels.grid.centres(index)
    counts = np.bincount(of)
    centres = np.stack([np.bincount(of, points[:, a]) / counts for a in range(3)], axis=1)
    return Bites(at, index, of, centres, place)


def nearness(cut: Bites, distance: Volume) -> Points:
    """Least distance of each bite from the free canal, mm, (n,)."""
    values = distance.array[tuple(cut.index.T)].astype(np.float64)
    least = np.full(len(cut), np.inf)
    np.minimum.at(least, cut.of, values)
    return least


def inward(cut: Bites, near: Points) -> Indices:
    """(n, m) neighbours of each bite nearer to the canal, the nearest first; `NONE` where there are no more."""
    steps = [step for step in itertools.product((-1, 0, 1), repeat=3) if any(step)]
    if not len(cut):
        return np.full((0, 1), NONE, dtype=np.int64)
    low = cut.place.min(axis=0) - 1
    table = np.full(cut.place.max(axis=0) - low + 2, NONE, dtype=np.int64)
    table[tuple((cut.place - low).T)] = np.arange(len(cut))
    other = np.stack([table[tuple((cut.place - low + step).T)] for step in steps], axis=1)
    value = np.where(other == NONE, np.inf, near[other])
    value = np.where(value < near[:, None] - 1e-3, value, np.inf)
    turn = np.argsort(value, axis=1, kind="stable")
    found = np.where(np.isfinite(value), other, NONE)
    return np.asarray(np.take_along_axis(found, turn, axis=1))


def is_bone(key: str) -> bool:
    """Whether `key` is a bone."""
    return belongs(key, "vertebra", "sacrum", "tissue/bone")
