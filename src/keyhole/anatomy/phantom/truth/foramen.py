"""The exact foramina of a phantom, where they are narrowest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.flank import ARCH, FRONT, Flank, Probe, Span, bisected
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.casefile import FindingEntry
from keyhole.geometry import Points

AVERAGED = 2.0  # mm of breadth over which neighbouring planes, 1 mm apart, are averaged
CLEFT = 6.0  # mm: a less tall gap in the bone behind does not count
DEEPEST = 25.0  # mm behind the wall in front
RIM = 6.0  # mm: less bone of the arch on the wall in front is part of it
BROAD = 2.0  # mm: where the foramen ends above and below
TOUCH = 0.6  # mm: less room is none
ROW = 1.0  # mm between rows; their ends are bisected
PROBE = 1.5  # mm between the first samples along a row


def foramen_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Height, width and area of the foramina on both sides of every level."""
    for level in plates.levels:
        probe = Probe(body, level)
        for side in ("left", "right"):
            at = Flank(plates, level, "left" if side == "left" else "right", probe)
            spans = [at.span(name) for name in level.split("/")]
            planes, rooms = every_room(at, (spans[0], spans[1]))
            area, where = least(planes, [room.area for room in rooms])
            wide = [(x, room.width) for x, room in zip(planes, rooms, strict=True) if room.width is not None]
            yield true("foramen area", level, area, "mm2", at.side)
            if wide:
                width, _ = least(np.array([x for x, _ in wide]), [w for _, w in wide if w is not None])
                yield true("foramen width", level, width, "mm", at.side)
            if all(room.ends is not None for room in rooms):
                near = np.abs(planes - where) <= AVERAGED / 2 + 1.0
                heights = [height(at, x, room) for x, room, is_near in zip(planes, rooms, near, strict=True) if is_near]
                yield true("foramen height", level, mean_about(planes[near], heights, where), "mm", at.side)


@dataclass(frozen=True, slots=True, eq=False)
class Room:
    """The room between wall and bone in each of `rows` of one sagittal plane, mm; `disc` is its height there."""

    rows: Points
    gap: Points
    disc: tuple[float, float]

    @property
    def area(self) -> float:
        """mm²."""
        return float(self.gap.sum()) * ROW

    @property
    def ends(self) -> tuple[float, float] | None:
        """The lowest and highest row that is `BROAD` mm wide; None without one."""
        held = np.flatnonzero(self.gap >= BROAD)
        return (float(self.rows[held[0]]), float(self.rows[held[-1]])) if len(held) else None

    @property
    def width(self) -> float | None:
        """Least mean over 2 mm of height in the disc's upper half, mm."""
        means = np.convolve(np.pad(self.gap, 1, mode="edge"), np.ones(3) / 3, mode="valid")
        low, high = sum(self.disc) / 2, self.disc[1]
        inside = (self.rows >= low - ROW / 4) & (self.rows <= high + ROW / 4)
        return float(means[inside].min()) if inside.any() else None


def every_room(at: Flank, spans: tuple[Span, Span]) -> tuple[Points, list[Room]]:
    """The planes between the borders of both pedicles, 1 mm apart, and the room in each."""
    inner, outer = max(span.inner for span in spans), min(span.outer for span in spans)
    if outer - inner < AVERAGED:
        inner = (inner + outer - AVERAGED) / 2
    planes = inner + np.arange(max(2, int(outer - inner)) + 1.0)
    seen = [(x, one) for x in planes if (one := room(at, float(x), spans)) is not None]
    return np.array([x for x, _ in seen]), [one for _, one in seen]


def least(planes: Points, values: Sequence[float]) -> tuple[float, float]:
    """The least mean of `values` over `AVERAGED` mm of breadth, and where it is."""
    at, means = _sliding(planes, values)
    return float(means.min()), float(at[means.argmin()])


def mean_about(planes: Points, values: Sequence[float], where: float) -> float:
    """The mean of `values` over `AVERAGED` mm about `where`."""
    at, means = _sliding(planes, values)
    return float(np.interp(where, at, means))


def _sliding(planes: Points, values: Sequence[float]) -> tuple[Points, Points]:
    """Middles of stretches of `AVERAGED` mm, and the means of `values` over them."""
    fine = np.arange(planes[0], planes[-1] + 0.125, 0.25)
    n = min(int(AVERAGED / 0.25) + 1, len(fine))
    kernel = np.ones(n) / n
    return np.convolve(fine, kernel, mode="valid"), np.convolve(np.interp(fine, planes, values), kernel, mode="valid")


def room(at: Flank, lateral: float, spans: tuple[Span, Span]) -> Room | None:
    """The room in the sagittal plane `lateral` mm from the midline; None where hardly any wall is in front."""
    upper, lower = spans
    rows = np.arange(lower.middle, upper.middle + ROW / 2, ROW)
    front, behind = _walls(at, lateral, rows)
    known = np.isfinite(front)
    if known.mean() < 0.6:
        return None
    front = np.interp(rows, rows[known], front[known])
    gap = _closed(np.where(behind - front <= DEEPEST, behind, np.nan), rows, round(CLEFT / ROW)) - front
    disc = [at.height(plate.plane, lateral, float(np.median(front))) for plate in at.plates.facing(at.level)]
    return Room(rows, np.where(gap < TOUCH, 0.0, gap), (disc[1], disc[0]))


def height(at: Flank, lateral: float, coarse: Room) -> float:
    """From the lowest to the highest place that is `BROAD` mm wide, found between the rows of `coarse`, mm."""
    ends = coarse.ends or (0.0, 0.0)
    found = []
    for end, way in zip(ends, (-1.0, 1.0), strict=True):
        rows = end + way * np.arange(0.0, ROW + 1e-6, ROW / 8)
        front, behind = _walls(at, lateral, rows)
        is_narrow = ~(np.nan_to_num(behind, nan=np.inf) - front >= BROAD)
        found.append(float(rows[is_narrow.argmax()] - way * ROW / 16) if is_narrow.any() else float(rows[-1]))
    return found[1] - found[0]


def _walls(at: Flank, lateral: float, rows: Points) -> tuple[Points, Points]:
    """Where the wall in front ends and where bone begins behind it in each of `rows`, mm along back; else nan."""
    along = np.arange(at.wall - 14.0, at.wall + 27.0, PROBE)
    kind = at.kind(_local(lateral, along[None], rows[:, None]))
    is_front, is_bone = np.isin(kind, FRONT), np.isin(kind, ARCH)
    last = along[len(along) - 1 - is_front[:, ::-1].argmax(axis=1)]
    front = bisected(last, last + PROBE, lambda y: np.isin(at.kind(_local(lateral, y, rows)), FRONT))
    front = np.where(is_front.any(axis=1), front, np.nan)
    front = _with_rim(at, (lateral, rows, along), is_bone, front)
    later = is_bone & ~(along[None] <= front[:, None])
    first = along[later.argmax(axis=1)]
    before = np.fmax(first - PROBE, front)
    behind = bisected(first, before, lambda y: np.isin(at.kind(_local(lateral, y, rows)), ARCH))
    return front, np.where(later.any(axis=1), behind, np.nan)


def _with_rim(
    at: Flank, where: tuple[float, Points, Points], is_bone: NDArray[np.bool_], front: Points
) -> NDArray[np.float64]:
    """`front`, moved behind bone of less than `RIM` mm that lies on it, where there is room and bone behind that."""
    lateral, rows, along = where
    ends = np.full(len(rows), np.nan)
    touching = np.isin(at.kind(_local(lateral, front + TOUCH, rows)), ARCH)
    for n in np.flatnonzero(touching):
        later = np.flatnonzero(is_bone[n] & (along > front[n]))
        start = float(along[later[0]]) if len(later) else np.inf
        edges = later[np.flatnonzero(np.diff(later) > 1)]
        if start - front[n] > PROBE + 1e-6 or (len(later) and later[0] > 0 and not len(edges)):
            ends[n] = front[n] + TOUCH if start - front[n] > PROBE + 1e-6 and len(later) else np.nan
        elif len(edges):
            ends[n] = along[edges[0]]
    held = np.flatnonzero(np.isfinite(ends))
    if not len(held):
        return front
    exact = bisected(ends[held], ends[held] + PROBE, lambda y: np.isin(at.kind(_local(lateral, y, rows[held])), ARCH))
    moved = front.copy()
    moved[held] = np.where(exact - front[held] <= RIM, exact, front[held])
    return moved


def _local(lateral: float, back: Points, up: Points) -> Points:
    """Points (..., 3) at `back` and `up` in the plane `lateral`."""
    back, up = np.broadcast_arrays(back, up)
    return np.stack([np.full(back.shape, lateral), back, up], axis=-1)


def _closed(behind: Points, rows: Points, size: int) -> NDArray[np.float64]:
    """`behind` without the peaks that are less than `size` rows tall."""
    far = np.where(np.isfinite(behind), behind, np.nanmax(behind))
    wide = np.pad(far, size, mode="edge")
    starts = range(len(wide) - size + 1)
    low = np.array([wide[n : n + size].min() for n in starts])
    opened = np.array([low[max(0, n - size + 1) : n + 1].max() for n in range(len(wide))])[size : size + len(rows)]
    known = np.isfinite(behind) | (opened < far)
    return np.asarray(np.interp(rows, rows[known], opened[known]))
