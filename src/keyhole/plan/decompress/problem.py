"""The least removal as a discrete problem: bites, the straight ways of the tool to them, and what each bite opens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points

Indices = NDArray[np.int64]

ROOTED, LOOSE = -1, -2
"""In `Problem.toward`: the bite lies on the canal itself; it opens nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What may be bitten away, and what that opens.

    `cost` (n,) is the tissue in each bite, mm³. `gain` (n, s) is what it opens on each plane, mm², once the bite
    `toward` it on the way to the canal is taken too (`ROOTED`: none is needed, `LOOSE`: never). The tool comes to bite
    i in a straight line and takes `bites[start[i] : start[i + 1]]` on its way, i included; without any it cannot come.
    `deficit` (s,) is what each plane lacks, mm². `forced` bites go in any case.
    """

    cost: Points
    gain: Points
    toward: Indices
    start: Indices
    bites: Indices
    deficit: Points
    forced: Indices

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Which bites the tool can come to."""
        return np.asarray(np.diff(self.start) > 0)

    @property
    def useful(self) -> NDArray[np.bool_]:
        """Which bites can open something: they and all on their way to the canal can be reached."""
        found: NDArray[np.bool_] = np.asarray(self.reached & (self.toward != LOOSE))
        while True:
            held: NDArray[np.bool_] = found & ((self.toward == ROOTED) | found[np.maximum(self.toward, 0)])
            if np.array_equal(held, found):
                return found
            found = held

    @property
    def attainable(self) -> Points:
        """What each plane gains if everything within reach is taken, mm²."""
        return np.asarray(self.gain[self.useful].sum(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A solution: which bites are `removed`, and which of them `open` something; its cost, mm³, and gain, mm²."""

    removed: NDArray[np.bool_]
    open: NDArray[np.bool_]
    cost: float
    gain: Points
