"""Centres side by side without a league table: funnel plots with exact limits [spiegelhalter2005]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from keyhole.comparison.adjust import FOR_CHANCES, chances, completed_designs
from keyhole.comparison.table import Array, Table, numbers, texts
from keyhole.errors import InvalidInput

LEVELS = (0.95, 0.998)
"""Shares of average centres within the inner and the outer limits."""
WINSORISED = 0.1
"""Share of centres at each end whose deviation counts only as much as the next one's, for the overdispersion."""
FEWEST = 3
FOLLOWED = ("reoperated", "recovered")
"""Events that are seen only while a patient is followed."""
_DRAWN = 60  # sizes at which limits are drawn


@dataclass(frozen=True, slots=True)
class Place:
    """One centre: patients, events, expected events, crude and adjusted share, and how it lies.

    share : events per patient. adjusted : observed over expected times the share of all. side : "within",
    "above 95 %", "below 99.8 %" and so on, of the adjusted share against the exact limits for its size.
    """

    centre: str
    n: int
    events: int
    expected: float
    share: float
    adjusted: float
    side: str


@dataclass(frozen=True, slots=True, eq=False)
class Funnel:
    """Centres around the share of all.

    target : share of all. sizes, limits : (k,) and (k, 4) lower and upper 95 %, lower and upper 99.8 %. dispersion :
    mean squared deviation in sd, winsorised; 1 where centres differ by chance alone. p : test that they do so.
    by_chance : centres of an average kind expected outside the inner limits.
    """

    outcome: str
    target: float
    places: tuple[Place, ...]
    sizes: Array
    limits: Array
    dispersion: float
    p: float
    by_chance: float
    caveats: tuple[str, ...]


def limits(target: float, n: int, level: float) -> tuple[float, float]:
    """Shares of `n` between which a centre of the true share `target` lies with chance `level`.

    Exact binomial limits, interpolated between whole counts so that they fall smoothly with `n` (Spiegelhalter's
    appendix): r is the least count whose cumulative chance reaches the tail, moved back by the part that it overshoots.
    """
    tail = (1 - level) / 2
    return _limit(target, n, tail), _limit(target, n, 1 - tail)


def _limit(target: float, n: int, tail: float) -> float:
    count = float(stats.binom.ppf(tail, n, target))
    reached, before = stats.binom.cdf(count, n, target), stats.binom.cdf(count - 1, n, target)
    over = (reached - tail) / (reached - before) if reached > before else 0.0
    return float(min(max((count - over) / n, 0.0), 1.0))


def funnel(
    table: Table,
    outcome: str = "complication",
    treatment: str = "miss",
    covariates: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Funnel:
    """Share of patients with an event in each centre, crude and adjusted for who its patients are (both arms together).

    Expected events come from a logistic model of all centres on what was known before the operation; the operation's
    way is not in it, since the choice of it is the centre's.
    """
    values = numbers(table, outcome)
    if not np.isin(values[~np.isnan(values)], (0.0, 1.0)).all():
        raise InvalidInput(f"{table.name}: a funnel needs an event, 0 or 1; {outcome} is a measure")
    found = completed_designs(table, outcome, treatment, covariates, imputations=FOR_CHANCES, seed=seed)
    target = float(found.y.mean())
    if not 0 < target < 1:
        raise InvalidInput(f"{table.name}: {outcome} is {target:g} in every row: there is nothing to compare")
    expected = chances(found)
    names = texts(table, "centre")[found.rows].astype(str)
    kinds, codes, counts = np.unique(names, return_inverse=True, return_counts=True)
    if len(kinds) < FEWEST:
        raise InvalidInput(f"{table.name}: {len(kinds)} centres; a funnel needs {FEWEST} or more")
    events = np.bincount(codes, found.y)
    awaited = np.bincount(codes, expected)
    places = tuple(
        _place(str(kinds[k]), int(counts[k]), int(events[k]), float(awaited[k]), target)
        for k in range(len(kinds))
        if kinds[k]
    )
    spread = np.bincount(codes, expected * (1 - expected))
    dispersion, p = _dispersion((events - awaited) / np.sqrt(np.maximum(spread, 1e-12)))
    unnamed = int(counts[kinds == ""].sum())
    sizes = _sizes(counts)
    drawn = np.array([[*limits(target, int(n), LEVELS[0]), *limits(target, int(n), LEVELS[1])] for n in sizes])
    return Funnel(
        outcome,
        target,
        places,
        sizes,
        drawn,
        dispersion,
        p,
        (1 - LEVELS[0]) * len(places),
        _caveats(places, dispersion, p, len(table) - len(found.y), unnamed, outcome),
    )


def _place(name: str, n: int, events: int, expected: float, target: float) -> Place:
    adjusted = events / expected * target if expected > 0 else math.nan
    side = "within"
    for level in LEVELS:
        low, high = limits(target, n, level)
        if adjusted > high:
            side = f"above {100 * level:g} %"
        elif adjusted < low:
            side = f"below {100 * level:g} %"
    return Place(name, n, events, expected, events / n, adjusted, side)


def _dispersion(deviations: Array) -> tuple[float, float]:
    """Winsorised mean square of the deviations, and the p value of the unwinsorised sum against chance alone."""
    ordered = np.sort(deviations)
    cut = int(WINSORISED * len(ordered))
    held = np.clip(deviations, ordered[cut], ordered[len(ordered) - 1 - cut])
    return float(np.mean(held**2)), float(stats.chi2.sf(float(deviations @ deviations), len(deviations) - 1))


def _sizes(counts: NDArray[np.int64]) -> Array:
    """Sizes from the smallest to a little beyond the largest centre, evenly on a square-root scale."""
    low, high = max(math.sqrt(float(counts.min())) * 0.8, 1.5), math.sqrt(float(counts.max()) * 1.08)
    sizes: Array = np.unique(np.round(np.linspace(low, high, _DRAWN) ** 2))
    return sizes


def _caveats(
    places: Sequence[Place], dispersion: float, p: float, without: int, unnamed: int, outcome: str
) -> tuple[str, ...]:
    said = []
    if outcome in FOLLOWED:
        said.append("counted is what was seen in each patient's own follow-up: centres that follow longer see more")
    if p < 0.05 and dispersion > 1:
        said.append(
            f"centres differ more than chance explains (dispersion {dispersion:.1f}, p {p:.2g}): with limits this "
            "narrow, more centres lie outside than are out of the ordinary"
        )
    if without:
        said.append(f"{without} rows lack {outcome} or the arm and are not counted")
    if unnamed:
        said.append(f"{unnamed} rows name no centre and are in no place")
    small = [place for place in places if place.expected < 5]
    if small:
        said.append(f"{len(small)} of {len(places)} centres expect fewer than 5 events: they can hardly lie outside")
    return tuple(said)
