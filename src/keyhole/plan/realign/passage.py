"""The way of a cage through its corridor into the disc: what it passes, what it would have to take with it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.geometry import LabelMap, Points
from keyhole.plan.realign.motion import facing
from keyhole.plan.realign.seat import Placed, Seat, Way, placed
from keyhole.terms import Tissue, tissue

LOOK = 15.0
"""Structures farther than this from a cage's way are not told, mm [keyhole-choice]."""

SHORTEST = 10.0
"""The way is looked at from at least this far outside the seat, mm [keyhole-choice]."""

_DANGER = (Tissue.NERVE, Tissue.VESSEL, Tissue.ORGAN, Tissue.GAS)


@dataclass(frozen=True, slots=True, eq=False)
class Passage:
    """What a cage meets on its straight way from the corridor's tip to its seat, before anything has moved.

    `tilt` is the angle of the corridor out of the disc's plane, deg; `room` the tube's diameter less the cage's
    diagonal across the way, mm (negative: it does not pass); `clearance` a lower bound of the gap to each structure
    within `LOOK` mm; `bone` mL of each bone in the way, the two bodies' rims among them.
    """

    tilt: float
    room: float
    clearance: Mapping[str, float]
    bone: Mapping[str, float]


def passage(anatomy: Anatomy, seat: Seat, way: Way) -> Passage:
    """The way of the cage of `seat` through the corridor `way`; the box it sweeps lies in the middle of the disc.

    A cage that is turned once it is inside is looked at as it comes in.
    """
    over, under = facing(*anatomy.pair(seat.level))
    into = way.flat(under)
    cage = placed(over, under, replace(seat, heading=(float(into[0]), float(into[1]))))
    along = (way.stop - way.start) / np.linalg.norm(way.stop - way.start)
    tilt = float(np.degrees(np.arcsin(np.clip(along @ cage.axes[2], -1, 1))))
    out = max(SHORTEST, float((cage.centre - way.stop) @ cage.axes[0]) - seat.cage.length / 2)
    low = np.array([-seat.cage.length / 2 - out, -seat.cage.width / 2, -seat.cage.highest / 2])
    high = np.array([seat.cage.length / 2, seat.cage.width / 2, seat.cage.highest / 2])
    crop = _around(anatomy.labels, cage, low, high)
    gaps, inside = _gaps(crop, cage, low, high)
    room = 2 * way.radius - float(np.hypot(seat.cage.width, seat.cage.highest))
    return Passage(tilt, room, gaps, inside)


def _around(labels: LabelMap, cage: Placed, low: Points, high: Points) -> LabelMap:
    """The labels within `LOOK` mm of the box."""
    corners = np.array(list(itertools.product(*zip(low - LOOK, high + LOOK, strict=True))))
    index = labels.grid.index(cage.centre + corners @ cage.axes)
    first = np.clip(np.floor(index.min(axis=0)).astype(int), 0, labels.array.shape)
    last = np.clip(np.ceil(index.max(axis=0)).astype(int) + 1, first, labels.array.shape)
    i, j, k = (slice(int(a), int(b)) for a, b in zip(first, last, strict=True))
    return labels.crop((i, j, k))


def _gaps(crop: LabelMap, cage: Placed, low: Points, high: Points) -> tuple[dict[str, float], dict[str, float]]:
    """Lower bound of the gap of the box to each structure of danger, mm, and the mL of each bone inside it."""
    gaps: dict[str, float] = {}
    bone: dict[str, float] = {}
    for number in np.flatnonzero(np.bincount(crop.array.ravel())):
        key = crop.structures.get(int(number))
        kind = tissue(key) if key is not None else None
        if key is None or kind not in (*_DANGER, Tissue.BONE):
            continue
        local = (crop.grid.centres(np.argwhere(crop.array == number)) - cage.centre) @ cage.axes.T
        away = np.maximum(np.maximum(low - local, local - high), 0.0)
        gap = np.linalg.norm(away, axis=1)
        if kind is Tissue.BONE:
            volume = float(np.count_nonzero(gap == 0)) * crop.grid.voxel_volume / 1000
            bone |= {key: volume} if volume > 0 else {}
        elif float(gap.min()) - crop.grid.half_diagonal <= LOOK:
            gaps[key] = float(gap.min()) - crop.grid.half_diagonal
    return dict(sorted(gaps.items())), dict(sorted(bone.items()))
