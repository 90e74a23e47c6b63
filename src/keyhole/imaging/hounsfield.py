"""Whether the values of a CT are Hounsfield units: where air, fat and soft tissue lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.geometry import Points
from keyhole.imaging.sampling import Blocks

AIR = (-1100.0, -900.0)
FAT = (-140.0, -60.0)
SOFT = (10.0, 90.0)
"""HU in which the peaks of air, fat and muscle or organs lie [keyhole-choice, about fat-hu and long2019]."""

BETWEEN = (-52.0, 2.0)
"""HU between the peaks of fat and of soft tissue [keyhole-choice]."""

OFF = 40.0
"""A peak farther than this from its tissue's middle, HU, makes every threshold doubtful [keyhole-choice]."""

FARTHEST = 40_000.0
"""A shift by more than what 16 bits hold is not looked for."""

_BIN = 5.0
_CLEAR, _FAR = 0.4, 0.2  # least score of a shift, and least advantage over the values as they are [keyhole-choice]
_NOTHING = 0.1  # a score below which the values fit no body at all [keyhole-choice]


@dataclass(frozen=True, slots=True)
class Scale:
    """What the values are: HU = value - `offset`; `fits` is False where no offset makes a body of them."""

    offset: float
    fits: bool


@dataclass(frozen=True, slots=True)
class Peaks:
    """The values at which air, fat and soft tissue are most frequent; None where one is not there."""

    air: float | None
    fat: float | None
    soft: float | None


def calm(blocks: Blocks) -> Points:
    """Means of the blocks that lie within one tissue: of all blocks, the half with the least variance."""
    if not len(blocks.mean):
        return blocks.mean
    return np.asarray(blocks.mean[blocks.variance <= np.median(blocks.variance)])


def score(means: Points, offset: float = 0.0) -> float:
    """How well `means` fit a body if HU = value - `offset`.

    Shares of air, fat and soft tissue, capped, those of fat and soft tissue halved where one of the two is missing;
    less the share of what lies between both, where a body has little: two peaks have to be there, not one wide heap.
    """
    hu = means - offset
    if not len(hu):
        return 0.0
    air, fat, soft, between = (float(((hu > low) & (hu < high)).mean()) for low, high in (AIR, FAT, SOFT, BETWEEN))
    both = 1.0 if min(fat, soft) >= 0.01 else 0.5
    return min(air, 0.2) + both * (min(fat, 0.2) + min(soft, 0.3)) - between


def fitting(means: Points) -> Scale:
    """The values as they are, unless a shift of all of them fits a body far better, or nothing fits."""
    own = score(means)
    if not len(means):
        return Scale(0.0, fits=True)
    low, high = np.clip(np.percentile(means, (0.5, 99.5)), -FARTHEST, FARTHEST)
    offsets = np.arange(low - 100, high + 1100, 10.0)
    scores = np.array([score(means, float(offset)) for offset in offsets])
    top = np.flatnonzero(scores >= scores.max() - 1e-9)
    best = float(offsets[top[len(top) // 2]])
    if scores.max() >= _CLEAR and scores.max() >= own + _FAR:
        return Scale(_centred(means, best), fits=True)
    return Scale(0.0, fits=own >= _NOTHING)


def _centred(means: Points, offset: float) -> float:
    """`offset` moved so that air lies at -1000 HU, or soft tissue in the middle of its range where no air is seen."""
    at = peaks(means - offset)
    off = at.air + 1000 if at.air is not None else (0.0 if at.soft is None else at.soft - sum(SOFT) / 2)
    return round(offset + off, 1)


def peaks(means: Points) -> Peaks:
    """The most frequent value near air, fat and soft tissue, to 5 HU, each within `OFF` beyond its range."""
    return Peaks(*(_peak(means, low - OFF, high + OFF) for low, high in (AIR, FAT, SOFT)))


def _peak(means: Points, low: float, high: float) -> float | None:
    held = means[(means >= low) & (means <= high)]
    if len(held) < max(20, 0.01 * len(means)):
        return None
    count, edges = np.histogram(held, bins=np.arange(low, high + _BIN, _BIN))
    smooth = np.convolve(count, (1, 2, 3, 2, 1), mode="same")
    return float(edges[int(np.argmax(smooth))] + _BIN / 2)
