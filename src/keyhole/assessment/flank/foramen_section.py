"""The foramen in a sagittal plane of its level, row by row from the wall in front to the bone behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.assessment.flank.frame import Flank, Span, pedicle_span
from keyhole.geometry import Points

STEP = 0.5
"""Distance of rows, and of samples along a row, mm [keyhole-choice]."""

PLANES = 1.0
"""Distance of the sagittal planes among which the narrowest is looked for, mm [keyhole-choice]."""

AVERAGED = 2.0
"""Breadth, mm, over which neighbouring planes are averaged [keyhole-choice]."""

CLEFT = 6.0
"""A gap in the bone behind that is less tall than this, mm, does not belong to the foramen: joint, capsule
[keyhole-choice]."""

DEEPEST = 25.0
"""mm behind the wall in front: bone farther off does not bound a foramen [keyhole-choice]."""

RIM = 6.0
"""Bone of the arch on the wall in front that is less thick than this, mm, is part of that wall [keyhole-choice]."""

BROAD = 2.0
"""The foramen ends above and below where it is less broad than this, mm [keyhole-choice]."""

TOUCH = 0.6
"""Room of less than this, mm, between wall and bone is none [keyhole-choice]."""

WIDTH_BAND = 2.0
"""Height, mm, over which the width is averaged [keyhole-choice]."""

_FINE = 0.25  # mm between the places at which a sliding mean is taken

LEAST_FRONT = 0.6
"""Share of the rows between the pedicles in which a wall in front must be seen [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """One foramen in one sagittal plane `lateral` mm from the midline: rows at `rows`, mm along up.

    `front` and `behind`, mm along back, bound each row; `disc` is the height of the disc's lower and upper endplate at
    the wall, mm along up.
    """

    lateral: float
    rows: Points
    front: Points
    behind: Points
    disc: tuple[float, float]

    @property
    def gap(self) -> Points:
        """Room in each row, mm."""
        return np.maximum(self.behind - self.front, 0.0)

    @property
    def area(self) -> float:
        """mm²."""
        return float(self.gap.sum()) * STEP

    @property
    def ends(self) -> tuple[float, float] | None:
        """Lower and upper end along up, mm, where the foramen is `BROAD` mm broad; None where it nowhere is."""
        held = np.flatnonzero(self.gap >= BROAD)
        if not len(held):
            return None
        return self._edge(int(held[0]), -1), self._edge(int(held[-1]), 1)

    def _edge(self, at: int, way: int) -> float:
        """Where the room falls below `BROAD` between row `at` and the next, mm along up."""
        if not 0 <= at + way < len(self.rows):
            return float(self.rows[at])
        here, there = min(self.gap[at], 2 * BROAD), self.gap[at + way]  # a flat roof lies halfway between two rows
        return float(self.rows[at] + way * STEP * (here - BROAD) / (here - there))

    @property
    def width(self) -> tuple[float, int] | None:
        """Least room over `WIDTH_BAND` mm of height in the disc's upper half, mm, and its row; None without one."""
        low, high = sum(self.disc) / 2, self.disc[1]
        inside = np.flatnonzero((self.rows >= low - STEP / 2) & (self.rows <= high + STEP / 2))
        if not len(inside):
            return None
        band = ndimage.uniform_filter1d(self.gap, round(WIDTH_BAND / STEP) + 1, mode="nearest")
        row = int(inside[band[inside].argmin()])
        return float(band[row]), row

    @property
    def outline(self) -> Points:
        """Corners (n, 3) in the flank's axes, down the front and up the back; empty where there is no room."""
        held = np.flatnonzero(self.gap > 0)
        if not len(held):
            return np.zeros((0, 3))
        along = np.concatenate([self.front[held[::-1]], self.behind[held]])
        up = np.concatenate([self.rows[held[::-1]], self.rows[held]])
        return np.column_stack([np.full(len(up), self.lateral), along, up])


@dataclass(frozen=True, slots=True, eq=False)
class Foramen:
    """One foramen in neighbouring sagittal planes, `PLANES` mm apart, between the borders of both pedicles."""

    profiles: tuple[Profile, ...]

    def least(self, values: list[float]) -> tuple[float, float]:
        """The least mean of `values`, one for each plane, over `AVERAGED` mm of breadth, and where that is, lateral."""
        at, means = self._sliding(values)
        n = int(means.argmin())
        return float(means[n]), float(at[n])

    def mean(self, values: list[float], lateral: float) -> float:
        """The mean of `values` over `AVERAGED` mm about `lateral`."""
        at, means = self._sliding(values)
        return float(np.interp(lateral, at, means))

    def nearest(self, lateral: float) -> Profile:
        """The plane nearest to `lateral`."""
        return min(self.profiles, key=lambda p: abs(p.lateral - lateral))

    def _sliding(self, values: list[float]) -> tuple[Points, Points]:
        """Middles, and means of `values` between them by straight lines over `AVERAGED` mm about these."""
        planes = np.array([p.lateral for p in self.profiles])
        fine = np.arange(planes[0], planes[-1] + _FINE / 2, _FINE)
        n = min(round(AVERAGED / _FINE) + 1, len(fine))
        kernel = np.ones(n) / n
        between = np.interp(fine, planes, values)
        return np.convolve(fine, kernel, mode="valid"), np.convolve(between, kernel, mode="valid")


def narrowest(at: Flank) -> Foramen | str:
    """The foramen of the flank in every plane in which it may be narrowest, or why there is none.

    The planes are parallel to the level's midsagittal plane, between the inner and outer borders of both pedicles:
    the root crosses them on its way out.
    """
    upper, lower = (pedicle_span(at, vertebra) for vertebra in (at.upper, at.lower))
    if upper is None or lower is None:
        name = at.upper.name if upper is None else at.lower.name
        return f"{at.level}: no pedicle of {name} was found on the {at.side}; not measured"
    profiles = [p for lateral in _planes(upper, lower) if (p := profile(at, lateral, (upper, lower))) is not None]
    if not profiles:
        return f"{at.level}: no wall in front of the {at.side} foramen was found; not measured"
    found = Foramen(tuple(profiles))
    where = found.least([p.area for p in profiles])[1]
    if found.nearest(where).ends is None:
        return f"{at.level}: no room of {BROAD:.0f} mm was seen between the {at.side} pedicles; not measured"
    if not at.sees(found.nearest(where).outline):
        return f"{at.level}: the {at.side} foramen is cut by the field of view; not measured"
    return found


def _planes(upper: Span, lower: Span) -> Points:
    """Where the sagittal planes lie, mm lateral: all that cut both pedicles, at least three."""
    inner, outer = max(upper.inner, lower.inner), min(upper.outer, lower.outer)
    if outer - inner < AVERAGED:
        inner = (inner + outer - AVERAGED) / 2
    return np.asarray(inner + PLANES * np.arange(max(2, int((outer - inner) / PLANES)) + 1), dtype=np.float64)


def profile(at: Flank, lateral: float, pedicles: tuple[Span, Span]) -> Profile | None:
    """The foramen in the sagittal plane `lateral` mm from the midline; None where no wall is in front of it."""
    upper, lower = pedicles
    rows = np.arange(lower.middle, upper.middle + STEP / 2, STEP)
    along = np.arange(at.wall - 25.0, at.wall + 35.0, STEP)
    if len(rows) < 4:
        return None
    local = np.empty((len(rows), len(along), 3))
    local[..., 0], local[..., 1], local[..., 2] = lateral, along[None], rows[:, None]
    front = _last(at.share(local, at.keys["front"]), along)
    if np.isfinite(front).mean() < LEAST_FRONT:
        return None
    bone = at.share(local, at.keys["bone"])
    front = _with_rim(bone, along, _bridged(front, rows))
    behind = _first(bone, along, front)
    closed = _closed(np.where(behind - front > DEEPEST, np.nan, behind), rows)
    if closed is None:
        return None
    behind = np.where(closed - front < TOUCH, front, closed)
    near = float(np.median(front))
    ends = [at.height(plate.plane, lateral, near) for plate in (at.floor, at.roof)]
    return Profile(lateral, rows, front, behind, (ends[0], ends[1]))


def _last(share: NDArray[np.float64], along: Points) -> Points:
    """Where each row's last part with a share of a half or more ends, mm; nan without one."""
    inside = share >= 0.5
    last = share.shape[1] - 1 - inside[:, ::-1].argmax(axis=1)
    n = np.arange(len(share))
    beyond = np.minimum(last + 1, share.shape[1] - 1)
    here, there = share[n, last], share[n, beyond]
    part = np.where(here > there, (here - 0.5) / np.maximum(here - there, 1e-9), 0.0)
    return np.where(inside.any(axis=1), along[last] + part * STEP, np.nan)


def _with_rim(share: NDArray[np.float64], along: Points, front: Points) -> Points:
    """`front`, moved behind bone of the arch that lies on it like a rim, where there is room and bone behind that.

    The root of a pedicle, or a body cut out of its vertebra a little too far in front.
    """
    moved = front.copy()
    for n, (row, wall) in enumerate(zip(share >= 0.5, front, strict=True)):
        later = np.flatnonzero(row & (along > wall - STEP / 2))
        if not len(later) or along[later[0]] - wall > TOUCH + STEP:
            continue
        gaps = np.flatnonzero(np.diff(later) > 1)
        if not len(gaps):
            continue
        last = later[gaps[0]]
        part = (share[n, last] - 0.5) / (share[n, last] - share[n, last + 1])
        end = float(along[last] + part * STEP)
        if end - wall <= RIM and along[later[gaps[0] + 1]] - end <= DEEPEST:
            moved[n] = end
    return moved


def _first(share: NDArray[np.float64], along: Points, front: Points) -> Points:
    """Where bone begins behind `front` in each row, mm; nan without any."""
    inside = (share >= 0.5) & (along[None] > front[:, None])
    first = inside.argmax(axis=1)
    n = np.arange(len(share))
    before = np.maximum(first - 1, 0)
    here, there = share[n, first], share[n, before]
    part = np.where((here > there) & (there < 0.5), (here - 0.5) / np.maximum(here - there, 1e-9), 0.0)
    return np.where(inside.any(axis=1), np.maximum(along[first] - part * STEP, front), np.nan)


def _bridged(values: Points, rows: Points) -> Points:
    """`values` with straight lines across the rows where they are unknown."""
    known = np.isfinite(values)
    return np.asarray(np.interp(rows, rows[known], values[known]))


def _closed(behind: Points, rows: Points) -> Points | None:
    """The bone behind without clefts less tall than `CLEFT`; None where there is none at all."""
    known = np.isfinite(behind)
    if not known.any():
        return None
    size = round(CLEFT / STEP)
    far = np.where(known, behind, np.nanmax(behind))
    opened = ndimage.grey_opening(np.pad(far, size, mode="edge"), size)[size:-size]
    return _bridged(np.where(known | (opened < far), opened, np.nan), rows)
