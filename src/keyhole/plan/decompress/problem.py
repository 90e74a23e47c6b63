"""The least removal as a discrete problem: bites, the straight ways of the tool to them, and what each bite opens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points

Indices = NDArray[np.int64]

NONE = -1
"""In `Problem.inner` and `Problem.toward`: no bite."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """What may be bitten away, and what that opens.

    `cost` (n,) is the tissue in each bite, mm³. `gain` (n, s) is what it adds to each plane, mm², once it is open: it
    is taken, and it is `rooted`, that is it lies on the canal itself, or one of its neighbours `inner` (n, m), nearer
    to the canal, is open. Bites are in the order of their distance from the canal. The tool comes to bite i in a
    straight line and takes `bites[start[i] : start[i + 1]]` on its way, i included; without any it cannot come.
    `deficit` (s,) is what each plane lacks, mm². `forced` bites go in any case.
    """

    cost: Points
    gain: Points
    rooted: NDArray[np.bool_]
    inner: Indices
    start: Indices
    bites: Indices
    deficit: Points
    forced: Indices

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Which bites the tool can come to."""
        return np.asarray(np.diff(self.start) > 0)

    @property
    def able(self) -> NDArray[np.bool_]:
        """Which bites can be opened by sending the tool there and to others on to the canal."""
        found = np.zeros(len(self.cost), dtype=np.bool_)
        for i in np.flatnonzero(self.reached):
            found[i] = self.rooted[i] or found[self.inner[i][self.inner[i] != NONE]].any()
        return found

    @property
    def attainable(self) -> Points:
        """What each plane gains if every bite that can be opened is, mm²."""
        return np.asarray(self.gain[self.able].sum(axis=0))


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """A solution: which bites are `removed`, and which of them `open` something; its cost, mm³, and gain, mm².

    `exact`: no other set of places of the tool takes less.
    """

    removed: NDArray[np.bool_]
    open: NDArray[np.bool_]
    cost: float
    gain: Points
    exact: bool
