"""The stack of discs and bodies with their names."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from keyhole.errors import NotInScan
from keyhole.geometry import Points, unit
from keyhole.segment.classical import frame, numbering, planes
from keyhole.segment.classical.body import RADII, Body, Look, body
from keyhole.segment.classical.endplates import Gap, flat, gap
from keyhole.segment.classical.scene import UNSEEN
from keyhole.segment.classical.spine import Spine

LEAST = 0.12
"""Disc score below which a plane of the row was set by its neighbours alone [keyhole-choice]."""

FEWEST = 3
"""Fewest discs in a row that make a spine: one whole vertebra proves nothing [bare-ct-prototype]."""

THIN = 110.0
"""Median density of marrow, HU, below which bone counts as osteoporotic [keyhole-choice]."""

WIDE = 1.2
"""Sd, mm, of the smoothing in which wings are looked for [keyhole-choice]."""

SACRAL = 29.0
"""Height, mm, of the first sacral body where its lower end does not show [keyhole-choice]."""

SHARE = 0.92
"""Height of a vertebra that the scan cuts, as a share of the next one below [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Discs, cranial to caudal, down to L5/S1 where the scan holds it, and the bodies below each of them.

    ``bodies[n]`` lies below disc n; the last one is S1's where `is_sacral`, else a vertebra that the scan cuts.
    ``names[n]`` is the vertebra above disc n; there is one more name than discs, and none before they are named.
    """

    stations: tuple[float, ...]
    gaps: tuple[Gap, ...]
    bodies: tuple[Body, ...]
    top: Body | None  # the body above the first disc, of which the scan may hold only a part
    shares: tuple[numbering.Wings, ...]  # what lies beside the body below each disc
    is_sacral: bool
    signals: planes.Signals
    names: tuple[str, ...] = ()

    @property
    def whole(self) -> tuple[str, ...]:
        """Vertebrae between two discs."""
        return self.names[1:-1]

    @property
    def cut(self) -> tuple[str, ...]:
        """Vertebrae of which the scan holds a part."""
        return (self.names[0],) if self.is_sacral else (self.names[0], self.names[-1])


def stacked(spine: Spine) -> Stack:
    """The stack of discs and bodies, still without names."""
    signals = planes.signals(spine.straight)
    row = _trimmed(planes.row(signals), signals)
    smooth = ndimage.gaussian_filter(np.nan_to_num(spine.straight, nan=UNSEEN), WIDE)
    smooth[~np.isfinite(spine.straight)] = np.nan
    shares = [numbering.wings(smooth, signals, s, spine.threshold) for s in row]
    lowest = numbering.lumbosacral(shares, is_poor=_marrow(spine, row) < THIN)
    last = len(row) - 1 if lowest is None else lowest
    gaps = [_gap(spine, signals, s) for s in row[: last + 2]]
    ends = [*gaps[: last + 1], gaps[last + 1] if len(gaps) > last + 1 else _below(gaps[last])]
    bodies = [_body(spine, a, b) for a, b in itertools.pairwise(ends[:-1])]
    rim = float(np.percentile(bodies[-1].radius[:, 0], 90)) + 2.0 if bodies else RADII[1]
    bodies.append(_body(spine, ends[-2], ends[-1], min(rim, RADII[1])))
    return Stack(
        stations=tuple(float(s) for s in row[: last + 1]),
        gaps=tuple(ends[:-1]),
        bodies=tuple(bodies),
        top=_top(spine, gaps[0], row),
        shares=tuple(shares[: last + 1]),
        is_sacral=lowest is not None,
        signals=signals,
    )


def _marrow(spine: Spine, row: list[int]) -> float:
    """Median density between the discs, HU."""
    back = slice(frame.FRONT + int(planes.COLUMN[0]) + 6, frame.FRONT + int(planes.COLUMN[1]) - 6)
    middles = [(a + b) // 2 for a, b in itertools.pairwise(row)]
    part = spine.straight[middles, frame.HALF - 8 : frame.HALF + 9, back]
    return float(np.nanmedian(part)) if np.isfinite(part).any() else 0.0


def _trimmed(row: list[int], signals: planes.Signals) -> list[int]:
    """`row` without the planes at its ends that rest on their neighbours alone; refused where too few remain."""
    seen = [n for n, s in enumerate(row) if signals.disc[s] > LEAST]
    if len(seen) < FEWEST:
        raise NotInScan(
            f"no lumbar spine was found: {len(seen)} discs are in view along the canal, at least {FEWEST} are needed"
        )
    return row[seen[0] : seen[-1] + 1]


def _frame(spine: Spine, signals: planes.Signals, station: int) -> tuple[Points, Points]:
    """Centre and axes of the plane at `station`."""
    point, left, back, up = spine.axis.at(station)
    tilt, lean = np.tan(np.radians(signals.tilt[station])), np.tan(np.radians(signals.lean[station]))
    normal = unit(up + tilt * back - lean * left)
    rear = unit(back - (back @ normal) * normal)
    return point + (planes.COLUMN[0] + planes.COLUMN[1]) / 2 * back, np.stack([np.cross(rear, normal), rear, normal])


def _gap(spine: Spine, signals: planes.Signals, station: int) -> Gap:
    centre, axes = _frame(spine, signals, station)
    wall = _wall(spine, centre, axes[1])
    return gap(spine.hu, spine.grid, (centre, axes), float(signals.half[station]), wall, spine.plate_shift)


def _wall(spine: Spine, point: Points, back: Points) -> float:
    """Distance, mm, from `point` in a body backwards to the canal's front wall."""
    line = spine.axis.line
    n = int(((line - point) ** 2).sum(axis=1).argmin())
    return float((line[n] - point) @ back - spine.front[n] - spine.shift)


def _body(spine: Spine, over: Gap, under: Gap, widest: float = RADII[1]) -> Body:
    return body(
        spine.hu, spine.grid, (over, under), _back(spine, over, under), Look(spine.threshold, spine.shift), widest
    )


def _back(spine: Spine, over: Gap, under: Gap) -> Points:
    """The posterior wall behind the axis of the body between two gaps: at its foot and at its top, mm."""
    sides = (under, 1.0), (over, -1.0)
    return np.array([_wall(spine, one.centre + sense * 6.0 * one.axes[2], one.axes[1]) for one, sense in sides])


def _below(last: Gap) -> Gap:
    """A stand-in for the gap below S1: parallel to the last disc."""
    middle = float(np.median(last.below))
    return flat(last.centre + (middle - SACRAL) * last.axes[2], last.axes)


def _top(spine: Spine, first: Gap, row: list[int]) -> Body | None:
    """The body above the first disc up to where the next disc should be; None where the scan ends before."""
    height = SHARE * (row[1] - row[0]) if len(row) > 1 else 30.0
    station = row[0] - height
    if station < 0.3 * height - height:
        return None
    point, left, back, up = spine.axis.at(max(station, 0.0))
    point = point + max(0.0, -station) * up
    centre = point + (planes.COLUMN[0] + planes.COLUMN[1]) / 2 * back
    over = flat(centre, np.stack([left, back, up]))
    over = replace(over, above=over.above + 2.0, below=over.below - 2.0)
    return _body(spine, over, first)
