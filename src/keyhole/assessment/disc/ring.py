"""The ring that the two endplates of a disc make, and what of the disc lies beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy.endplates import Solid, solid
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.disc.heights import mid_plane
from keyhole.geometry import LabelMap, Points, bounding_box, unit
from keyhole.terms import in_key

DIRECTIONS = 72
"""Directions about the disc's centre in which an endplate's outline is looked for [keyhole]."""

RIM = (-1.5, 3.0)
"""Heights inside the endplate plane, mm, over which its outline is the body's furthest extent: the rim stands over
the plane where the endplate is hollow [keyhole]."""

EDGE = 2.0
"""Mm beyond the ring up to which a disc's label does not count as displaced: labels of discs and bodies agree to a
millimetre at best, and healthy discs end a little outside the rims [keyhole-choice]."""

_STEP = 0.5  # mm between heights and along rays
_REACH = (5.0, 40.0)  # mm from the disc's centre between which an outline is looked for
_HALF, _CELL = 48.0, 1.0  # mm: half side of the grid of distances, and its spacing
_BEYOND = 25.0  # mm above and below the disc to which a fragment is followed


@dataclass(frozen=True, slots=True, eq=False)
class DiscFrame:
    """The disc's centre and its axes as rows (3, 3): left, back, up (its own axis), LPS."""

    centre: Points
    axes: Points

    def local(self, points: Points) -> Points:
        """`points` (..., 3), LPS mm, as left, back, up from the disc's centre."""
        return np.asarray((points - self.centre) @ self.axes.T)

    def patient(self, local: Points) -> Points:
        """The way back."""
        return np.asarray(self.centre + local @ self.axes)


def disc_frame(pair: tuple[Vertebra, Vertebra], upper: Endplate, lower: Endplate) -> DiscFrame:
    """The frame of the disc between `upper` and `lower`, its left the mean of both vertebrae's.

    Its centre lies in the midsagittal plane of the pair.
    """
    middle = mid_plane(upper, lower)
    sagittal = unit(pair[0].left + pair[1].left)
    back = unit(np.cross(middle.normal, sagittal))
    left = np.cross(back, middle.normal)
    off = float((middle.point - (pair[0].centre + pair[1].centre) / 2) @ sagittal / (left @ sagittal))
    return DiscFrame(middle.point - off * left, np.stack([left, back, middle.normal]))


@dataclass(frozen=True, eq=False)
class Ring:
    """The outlines (DIRECTIONS, 2) of the two endplates in the disc's frame, (left, back) mm, and their planes.

    A point's distance beyond the ring is that from either outline, across the disc's axis, weighted by its height
    between the two planes.
    """

    frame: DiscFrame
    upper: Points
    lower: Points
    planes: tuple[Endplate, Endplate]

    @cached_property
    def _fields(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return _outside(self.upper), _outside(self.lower)

    def beyond(self, local: Points) -> Points:
        """Distance of points (n, 3) of the disc's frame beyond the ring, mm, negative inside it."""
        share = self.height(local)
        over, under = (_at(field, local[:, :2]) for field in self._fields)
        return np.asarray(share * over + (1 - share) * under)

    def height(self, local: Points) -> Points:
        """Height of points (n, 3) between the lower (0) and the upper (1) endplate plane; 0 and 1 beyond them."""
        points = self.frame.patient(local)
        top, floor = (plate.plane.height(points) for plate in self.planes)
        return np.asarray(np.clip(floor / np.maximum(floor - top, 1e-3), 0.0, 1.0))

    @property
    def outline(self) -> Points:
        """The ring halfway between the endplates, (DIRECTIONS, 3) LPS mm."""
        flat = (self.upper + self.lower) / 2
        return self.frame.patient(np.column_stack([flat, np.zeros(len(flat))]))


def ring(frame: DiscFrame, bodies: tuple[Solid, Solid], planes: tuple[Endplate, Endplate]) -> Ring | None:
    """The ring of two facing endplates; None where an outline is not found all round.

    Parameters
    ----------
    bodies : upper and lower vertebral body.
    planes : inferior endplate of the upper, superior endplate of the lower one.
    """
    found = [_outline(frame, *one) for one in zip(bodies, planes, (-1, 1), strict=True)]
    if found[0] is None or found[1] is None:
        return None
    return Ring(frame, found[0], found[1], planes)


def body_solid(labels: LabelMap, prefix: str) -> Solid | None:
    """The anti-aliased body or vertebra `prefix` on its own crop; None where it has no voxels."""
    box = bounding_box(labels.mask(prefix), 3)
    if box is None:
        return None
    return solid(labels.mask(prefix, box=box), labels.grid.crop(box), labels)


def _outline(frame: DiscFrame, body: Solid, plate: Endplate, sense: int) -> Points | None:
    """Furthest extent of `body` in every direction over the heights `RIM`, (DIRECTIONS, 2) mm."""
    turn = np.arange(DIRECTIONS) * 2 * np.pi / DIRECTIONS
    ways = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    run = np.arange(_REACH[0], _REACH[1], _STEP)
    flat = ways[:, None] * run[:, None]  # (directions, run, 2)
    rows = frame.axes
    base = frame.centre + flat @ rows[:2]
    rise = -plate.plane.height(base) / float(rows[2] @ plate.plane.normal)
    depth = np.arange(RIM[0], RIM[1] + 0.1, _STEP)
    points = base + (rise[..., None] * rows[2]) - sense * depth[:, None, None, None] * plate.plane.normal
    share = body.at(points).max(axis=0)  # the footprints of all heights joined
    inside = share >= 0.5
    if not inside.any(axis=1).all():
        return None
    last = len(run) - 1 - inside[:, ::-1].argmax(axis=1)
    last = np.minimum(last, len(run) - 2)
    here, after = (np.take_along_axis(share, at[:, None], 1)[:, 0].astype(np.float64) for at in (last, last + 1))
    reach = run[last] + _STEP * np.clip((here - 0.5) / np.maximum(here - after, 1e-6), 0.0, 1.0)
    return ways * _without_spikes(reach)[:, None]


def _without_spikes(reach: Points) -> Points:
    """A median over five directions: a cut pedicle or a speck in one direction is no rim."""
    return np.asarray(ndimage.median_filter(reach, 5, mode="wrap"))


def _outside(outline: Points) -> NDArray[np.float64]:
    """Signed distance from a closed `outline` (n, 2) on the grid of distances, mm, negative inside."""
    ticks = np.arange(-_HALF, _HALF + _CELL / 2, _CELL)
    points = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), axis=-1).reshape(-1, 2)
    after = np.roll(outline, -1, axis=0)
    share = np.arange(0.0, 1.0, 0.05)[:, None, None]
    least = cKDTree((outline + share * (after - outline)).reshape(-1, 2)).query(points)[0]
    angle = np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi) / (2 * np.pi) * len(outline)
    low = np.floor(angle).astype(int) % len(outline)
    a, b = outline[low], after[low]
    cross = (b[:, 0] - a[:, 0]) * (points[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (points[:, 0] - a[:, 0])
    return np.asarray((least * np.where(cross > 0, -1.0, 1.0)).reshape(len(ticks), -1))


def _at(field: NDArray[np.float64], flat: Points) -> Points:
    return np.asarray(ndimage.map_coordinates(field, (flat.T + _HALF) / _CELL, order=1, mode="nearest"))


@dataclass(frozen=True, slots=True, eq=False)
class Displaced:
    """The voxels of a disc that lie beyond the ring: local (n, 3) mm, distance beyond (n,) mm, volume of one, mm³."""

    ring: Ring
    local: Points
    beyond: Points
    voxel: float

    def behind(self) -> Displaced:
        """Those in the posterior half of the disc."""
        kept = self.local[:, 1] > 0
        return Displaced(self.ring, self.local[kept], self.beyond[kept], self.voxel)

    def volume(self, edge: float) -> float:
        """Volume, mm³, of what lies more than `edge` mm beyond the ring."""
        return float(np.count_nonzero(self.beyond > edge)) * self.voxel

    def depth(self, least: float) -> float:
        """The distance beyond the ring, mm, that all but `least` mm³ stay within; 0 where less lies beyond it."""
        order = np.sort(self.beyond)[::-1]
        held = np.arange(1, len(order) + 1) * self.voxel
        if not len(order) or held[-1] < least:
            return 0.0
        return max(0.0, float(np.interp(least, held, order)))

    def middle(self, edge: float) -> Points | None:
        """Centroid (3,) in the disc's frame of what lies more than `edge` mm beyond the ring; None without any."""
        kept = self.local[self.beyond > edge]
        return np.asarray(kept.mean(axis=0)) if len(kept) else None

    def sectors(self, edge: float, least: float, n: int) -> float:
        """Share, %, of `n` equal sectors about the centre with more than `least` mm³ beyond `edge` mm."""
        kept = self.local[self.beyond > edge]
        turn = np.mod(np.arctan2(kept[:, 1], kept[:, 0]), 2 * np.pi) / (2 * np.pi) * n
        held = np.bincount(np.floor(turn).astype(int) % n, minlength=n) * self.voxel
        return 100.0 * float(np.count_nonzero(held > least)) / n


def displaced(labels: LabelMap, level: str, where: Ring) -> Displaced | None:
    """What of the disc of `level` lies beyond `where`, with all its parts; None where it has no voxels."""
    key = f"disc/{in_key(level)}"
    box = bounding_box(labels.mask(key))
    if box is None:
        return None
    points = labels.grid.crop(box).centres(np.argwhere(labels.mask(key, box=box)))
    local = where.frame.local(points)
    local = local[np.abs(local[:, 2]) < _BEYOND]
    far = where.beyond(local)
    return Displaced(where, local[far > 0], far[far > 0], labels.grid.voxel_volume)
