"""Whether implants and instruments run into each other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Points, Tube

STEP = 0.1
"""Sampling of an axis against a box, mm."""

CLOSE = 3.0
"""Pairs farther apart than this are not listed, mm [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """A box about `centre` (3,) LPS mm: half its sizes (3,) along its `axes` (3, 3, unit rows)."""

    centre: Points
    axes: Points
    half: Points

    def gap(self, points: Points) -> Points:
        """Distance of `points` (n, 3) from its faces, mm, negative inside."""
        over = np.abs((points - self.centre) @ self.axes.T) - self.half
        outside = np.linalg.norm(np.maximum(over, 0.0), axis=1)
        return np.asarray(np.where(outside > 0, outside, over.max(axis=1)))


@dataclass(frozen=True, slots=True, eq=False)
class Solid:
    """Something that takes room: capsules and boxes. Solids of one `group` belong together and may touch.

    `when` says when it is there: implants stay ("implant"), instruments of one step come and go ("step name"); `order`
    counts the steps.
    """

    name: str
    tubes: tuple[Tube, ...]
    group: str
    when: str = "implant"
    blocks: tuple[Block, ...] = ()
    order: int = 0


@dataclass(frozen=True, slots=True)
class Contact:
    """Two solids and the gap between their surfaces, mm; negative where they run into each other."""

    first: str
    second: str
    gap: float

    @property
    def is_collision(self) -> bool:
        """True unless they are known to be apart."""
        return not self.gap > 0


def between(one: Tube, other: Tube) -> float:
    """Gap between the walls of two capsules, mm, exact; negative where they overlap."""
    return _apart(one.start, one.stop, other.start, other.stop) - one.radius - other.radius


def _apart(a: Points, b: Points, c: Points, d: Points) -> float:
    """Least distance of two segments: inside both, or at an end of one."""
    u, v, w = b - a, d - c, a - c
    uu, uv, vv, uw, vw = (float(x) for x in (u @ u, u @ v, v @ v, u @ w, v @ w))
    inner = uu * vv - uv * uv
    ends = [_to(a, c, d), _to(b, c, d), _to(c, a, b), _to(d, a, b)]
    if inner > 1e-9 * max(uu * vv, 1e-12):
        s, t = float((uv * vw - vv * uw) / inner), float((uu * vw - uv * uw) / inner)
        if 0 <= s <= 1 and 0 <= t <= 1:
            return min(float(np.linalg.norm(w + s * u - t * v)), *ends)
    return min(ends)


def _to(p: Points, a: Points, b: Points) -> float:
    """Distance of `p` from the segment from `a` to `b`."""
    along = b - a
    square = float(along @ along)
    share = min(max(float((p - a) @ along) / square, 0.0), 1.0) if square > 0 else 0.0
    return float(np.linalg.norm(p - a - share * along))


def contacts(solids: Sequence[Solid], close: float = CLOSE) -> list[Contact]:
    """Every pair nearer than `close` mm that can be there at once, nearest first.

    Implants meet each other; an instrument meets the implants that are in by the end of its step, and the instruments
    of its own step.
    """
    found = []
    for one, other in itertools.combinations(solids, 2):
        if one.group == other.group or not _together(one, other):
            continue
        gap = _least(one, other)
        if gap < close:
            found.append(Contact(one.name, other.name, gap))
    return sorted(found, key=lambda c: (round(c.gap, 6), c.first, c.second))


def _least(one: Solid, other: Solid) -> float:
    """Gap between two solids, mm; two boxes are not compared."""
    gaps = [between(a, b) for a in one.tubes for b in other.tubes]
    gaps += [beside(tube, block) for block in one.blocks for tube in other.tubes]
    gaps += [beside(tube, block) for block in other.blocks for tube in one.tubes]
    return min(gaps, default=float("inf"))


def beside(tube: Tube, block: Block) -> float:
    """Gap between a capsule's wall and a box, mm: its axis looked at every `STEP`, at most half of that too large."""
    steps = np.linspace(0.0, 1.0, max(2, int(np.ceil(tube.length / STEP)) + 1))
    return float(block.gap(tube.start + steps[:, None] * (tube.stop - tube.start)).min()) - tube.radius


def _together(one: Solid, other: Solid) -> bool:
    if one.when == other.when:
        return True
    if "implant" not in (one.when, other.when):
        return False
    stays, comes = (one, other) if one.when == "implant" else (other, one)
    return stays.order <= comes.order
