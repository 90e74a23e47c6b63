"""The stated order of corridors, the Pareto front, and which few of many are worth reporting."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points
from keyhole.plan.candidate import Figures
from keyhole.plan.doubt import ExecutionError
from keyhole.plan.search import Found

REACH_STEP, BREACH_STEP, BURDEN_STEP = 0.1, 0.02, 0.01
"""Differences in reach (share), breach probability and burden (mL) below these do not decide [keyhole-choice]."""

APART = (6.5, 12.5)
"""Corridors with docks and entries nearer than these, mm, count as one [keyhole-choice]."""

LOOKED = 5000
"""Corridors per aim among which those apart are looked for."""

WORTH = 0.5
"""Alternatives reach at least this share of what the best of the approach reaches [keyhole-choice]."""

REPORTED = 5
"""Corridors reported per approach at most."""


def order(found: Figures) -> tuple[float, ...]:
    """Sort key of the default order: target touched, reach, breach probability of danger, burden; smaller is better."""
    return (
        float(found.tier),
        -_steps(found.reach, REACH_STEP),
        _steps(found.danger, BREACH_STEP),
        _steps(found.total, BURDEN_STEP),
        round(found.facet_share, 2),
        -round(found.least, 4),
    )


def _steps(value: float, step: float) -> float:
    """`value` in whole steps, with a nudge so that noise of 1e-6 at a boundary does not decide."""
    return float(np.floor(value / step + 0.5 + 1e-6))


def pareto(entries: Sequence[Figures]) -> tuple[int, ...]:
    """Indices of those that no other beats or equals in breach probability, burden, reach and facet removed."""
    values = np.array(
        [[round(f.danger, 4), round(f.total, 3), -round(f.reach, 4), round(f.facet_share, 2), f.tier] for f in entries]
    ).reshape(-1, 5)
    return tuple(
        n for n, row in enumerate(values) if not any((other <= row).all() and (other < row).any() for other in values)
    )


def undominated(values: Points) -> NDArray[np.int64]:
    """Indices of the rows (n, m) that no other beats or equals everywhere, less being better; of equal rows the first.

    In lexicographic order nothing can be beaten by what comes later, so each row that is left is kept and removes
    what it beats.
    """
    rows, first = np.unique(values, axis=0, return_index=True)
    left, kept = np.arange(len(rows)), []
    while len(left):
        kept.append(int(first[left[0]]))
        left = left[1:][(rows[left[1:]] < rows[left[0]]).any(axis=1)]
    return np.sort(np.array(kept, dtype=np.int64))


def chance(found: Found, error: ExecutionError, sd: float) -> Points:
    """Chance of touching nerve, vessel or organ as far as the search knows it, from the smallest gap alone."""
    from scipy.special import ndtr  # noqa: PLC0415  (heavy import)

    spread = np.sqrt(np.trace(error.covariance) / 3 + sd**2)
    return np.asarray(ndtr(-found.danger / spread))


def shortlist(found: Found, error: ExecutionError, sd: float, n: int) -> list[int]:
    """Up to `n` corridors to look at exactly: the best in the default order and by each single aim, all apart."""
    breach = chance(found, error, sd)
    tier = found.tier.astype(np.float64)
    reach = -np.floor(found.reach / REACH_STEP + 0.5 + 1e-6)
    risk = np.floor(breach / BREACH_STEP + 0.5 + 1e-6)
    volume = np.round(found.volume, 2)
    aims = (
        (-np.round(found.gap, 2), volume, risk, reach, tier),
        (volume, reach, np.round(breach, 3), tier),
        (reach, risk, volume, tier),
        (reach, volume, np.round(found.facet, 0), risk, tier),
    )
    chosen: list[int] = []
    for keys, share in zip(aims, (n // 2, n // 6, n // 6, n - n // 2 - 2 * (n // 6)), strict=True):
        chosen += _apart(found, np.lexsort(keys)[:LOOKED], share, chosen)
    return chosen


def closest(found: Found, n: int) -> list[int]:
    """Up to `n` corridors that lack least, all apart."""
    width = np.minimum(found.gap, found.instrument_gap)
    return _apart(found, np.lexsort((found.volume, -np.round(width, 2)))[:LOOKED], n, ())


def _apart(found: Found, ranked: NDArray[np.intp], n: int, taken: Sequence[int]) -> list[int]:
    """The first `n` of `ranked` that lie apart from each other and from `taken`."""
    chosen: list[int] = []
    free = np.ones(len(ranked), dtype=np.bool_)
    for other in taken:
        free &= ~_close(found, ranked, other)
    while len(chosen) < n and free.any():
        best = int(ranked[int(np.argmax(free))])
        chosen.append(best)
        free &= ~_close(found, ranked, best)
    return chosen


def _close(found: Found, ranked: NDArray[np.intp], other: int) -> NDArray[np.bool_]:
    dock = np.linalg.norm(found.dock[ranked] - found.dock[other], axis=1) < APART[0]
    entry = np.linalg.norm(found.entry[ranked] - found.entry[other], axis=1) < APART[1]
    return np.asarray(dock & entry & (found.radius[ranked] == found.radius[other]))


def select(entries: Sequence[Figures], n: int = REPORTED) -> list[Figures]:
    """The best in the default order, then the best by each single aim, up to `n`; in the default order."""
    ranked = sorted(entries, key=order)
    ranked = [f for f in ranked if f.tier == ranked[0].tier and f.reach >= WORTH * ranked[0].reach]
    aims: tuple[Callable[[Figures], tuple[float, ...]], ...] = (
        lambda f: (f.tier, round(f.danger, 3), *order(f)),
        lambda f: (f.tier, round(f.total, 2), *order(f)),
        lambda f: (f.tier, round(f.facet_share, 1), *order(f)),
        lambda f: (f.tier, -round(f.cleft, 1), *order(f)),
    )
    chosen = ranked[:1]
    for aim in aims:
        best = min(ranked, key=aim, default=None)
        if best is not None and all(best is not c for c in chosen):
            chosen.append(best)
    for other in ranked:
        if len(chosen) < n and all(other is not c for c in chosen):
            chosen.append(other)
    return sorted(chosen[:n], key=order)
