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

OFF = 40.0
"""A peak farther than this from its tissue's middle, HU, makes every threshold doubtful [keyhole-choice]."""

_BIN = 5.0
_CLEAR = 0.4  # least score of another scale, and least advantage over the values as they are [keyhole-choice]
_FAR = 0.25


@dataclass(frozen=True, slots=True)
class Scale:
    """What the values are: `offset` and `slope` such that HU = (value - offset) / slope; None where nothing fits."""

    offset: float
    slope: float
    score: float


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


def score(means: Points, offset: float = 0.0, slope: float = 1.0) -> float:
    """How well `means` fit a body if HU = (value - offset) / slope: shares of air, fat and soft tissue, capped."""
    hu = (means - offset) / slope
    if not len(hu):
        return 0.0
    held = [float(((hu >= low) & (hu <= high)).mean()) for low, high in (AIR, FAT, SOFT)]
    return min(held[0], 0.2) + min(held[1], 0.2) + min(held[2], 0.3)


def fitting(means: Points) -> Scale:
    """The scale that fits best: the values as they are, unless another one fits far better."""
    own = Scale(0.0, 1.0, score(means))
    if not len(means):
        return own
    low, high = np.percentile(means, (0.5, 99.5))
    best = own
    for slope in (1.0, 0.25, 0.5, 2.0, 4.0):
        for offset in np.arange(low - 100 * slope, high + 1100 * slope, 20.0 * slope):
            found = Scale(float(offset), slope, score(means, float(offset), slope))
            best = found if found.score > best.score + 0.02 else best
    if not (best.score >= _CLEAR and best.score >= own.score + _FAR):
        return own
    return _centred(means, best)


def _centred(means: Points, found: Scale) -> Scale:
    """`found` moved so that air lies at -1000 HU, or soft tissue in the middle of its range where no air is seen."""
    at = peaks((means - found.offset) / found.slope)
    off = at.air + 1000 if at.air is not None else (0.0 if at.soft is None else at.soft - sum(SOFT) / 2)
    return Scale(round(found.offset + found.slope * off, 1), found.slope, found.score)


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
