"""The exact depth and angle of a phantom's lateral recesses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom.model import Phantom
from keyhole.anatomy.phantom.truth.canal import up_of
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.anatomy.phantom.truth.places import inside_part
from keyhole.casefile import FindingEntry
from keyhole.geometry import Points

TOP, MIDDLE = 95.0, 50.0  # percentiles of the pedicle's heights
S1_TOP, S1_MIDDLE = 3.0, 8.0  # mm below S1's endplate
NEAR = np.arange(2.0, 7.1, 1.0)  # mm aside, where the body's back is taken to find the pedicle's wall
FLOOR = np.arange(0.25, 0.81, 0.05)  # share of the wall's distance, where it is the floor
WALL = np.arange(1.5, 6.0, 1.0)  # mm behind it, where the pedicle's wall is taken
BESIDE, ROOF = (0.5, 3.5), 6.0  # mm medial of that wall: depth, angle
STEP = 0.5  # mm between columns
DEEP = 12.0  # mm, most
PROBE = 0.8  # mm between the samples of a line

SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


def recess_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Depth and angle of both recesses at every level."""
    for level in plates.levels:
        for side in SIDES:
            depth, angle = _recess(body, plates, level, side)
            yield true("lateral recess depth", level, depth, "mm", side)
            yield true("lateral recess angle", level, angle, "deg", side)


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """An axial plane of the lower vertebra: origin in the midsagittal plane, unit vectors; labels that are bone."""

    body: Phantom
    origin: Points
    out: Points
    back: Points
    lower: NDArray[np.int64]
    both: NDArray[np.int64]

    def bone(self, flat: Points, numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Whether each place (n, 2), (outward, back), is bone."""
        points = self.origin + flat[:, :1] * self.out + flat[:, 1:] * self.back
        return np.asarray(np.isin(self.body.labels_at(points), numbers))

    def change(self, starts: Points, way: Points, length: float, what: tuple[NDArray[np.int64], bool]) -> Points:
        """(n,) where lines from `starts` (n, 2) along `way` first become bone (or not); nan where they do not."""
        numbers, wanted = what
        t = np.arange(0.0, length, PROBE)
        flat = starts[:, None] + t[None, :, None] * way
        held = self.bone(flat.reshape(-1, 2), numbers).reshape(len(starts), len(t)) == wanted
        turned = held[:, 1:] & ~held[:, :-1]
        n = turned.argmax(axis=1)
        low, high = t[n], t[n + 1]
        for _ in range(7):
            middle = (low + high) / 2
            here = self.bone(starts + middle[:, None] * way, numbers) == wanted
            low, high = np.where(here, low, middle), np.where(here, middle, high)
        return np.where(turned.any(axis=1), (low + high) / 2, np.nan)


def _recess(body: Phantom, plates: Plates, level: str, side: Literal["left", "right"]) -> tuple[float, float]:
    above, below = level.split("/")
    top, middle = (_frame(body, plates, (above, below), side, n) for n in (0, 1))
    wall = _wall(middle)
    height, slope = _floor(top, FLOOR * wall)
    columns = wall - ROOF + STEP / 2 + np.arange(round(ROOF / STEP)) * STEP
    floor = height + slope * columns
    start = np.column_stack([columns, floor - 3.0])
    front = floor - 3.0 + top.change(start, np.array([0.0, 1.0]), 12.0, (top.lower, False))
    behind = np.column_stack([columns, front])
    gap = front - floor + top.change(behind, np.array([0.0, 1.0]), DEEP + 3.0, (top.both, True))
    known = np.where(np.isnan(gap), DEEP, np.minimum(gap, DEEP)) / np.hypot(1.0, slope)
    near = (columns >= wall - BESIDE[1]) & (columns <= wall - BESIDE[0])
    return float(known[near].min()), float(np.degrees(np.arctan(2 * known.mean() / ROOF)))


def _frame(body: Phantom, plates: Plates, pair: tuple[str, str], side: Literal["left", "right"], which: int) -> _Frame:
    """The plane at the top (0) or the middle (1) of the pedicle."""
    up = up_of(plates, pair[1])
    left = np.array([1.0, 0.0, 0.0])
    back = np.cross(up, left)
    centre = body.spine.places[pair[1]].at(0.0, 0.0, 0.0)
    if pair[1] == "S1":
        height = float((plates.of("S1", +1).centre - centre) @ up) - (S1_TOP, S1_MIDDLE)[which]
    else:
        inside = inside_part(body, f"vertebra/{pair[1]}/pedicle/{side}")
        height = float(np.percentile((inside - centre) @ up, (TOP, MIDDLE)[which]))
    numbers = {key: n for n, key in body.structures.items()}
    lower, both = (
        np.array([n for key, n in numbers.items() if key.split("/")[0] in ("vertebra", "sacrum") and _is(key, names)])
        for names in ((pair[1],), pair)
    )
    return _Frame(body, centre + height * up, left if side == "left" else -left, back, lower, both)


def _is(key: str, names: tuple[str, ...]) -> bool:
    """Whether `key` is bone of one of `names`; the sacrum is S1's."""
    return key == "sacrum" if "/" not in key and "S1" in names else "/" in key and key.split("/")[1] in names


def _floor(frame: _Frame, aside: Points) -> tuple[float, float]:
    """Height at the midline and slope of the line along the body's back."""
    start = np.column_stack([aside, np.full(len(aside), 8.0)])
    back = 8.0 + frame.change(start, np.array([0.0, 1.0]), 16.0, (frame.lower, False))
    known = np.isfinite(back)
    slope, height = np.polyfit(aside[known], back[known], 1)
    return float(height), float(slope)


def _wall(frame: _Frame) -> float:
    """Distance of the pedicle's medial wall from the midline, mm."""
    height, _ = _floor(frame, NEAR)
    start = np.column_stack([np.zeros(len(WALL)), height + WALL])
    return float(np.nanmean(frame.change(start, np.array([1.0, 0.0]), 26.0, (frame.lower, True))))
