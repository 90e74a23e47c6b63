"""Could the patients of one arm have had the other operation? Propensities, trimming, effective numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keyhole.comparison.model import Overlap
from keyhole.comparison.table import Array, Mask
from keyhole.errors import InvalidInput

BINS = 20
EXTREME = 0.05
POOR_OUTSIDE = 0.05
POOR_EXTREME = 0.10
POOR_EFFECTIVE = 0.25
POOR_WEIGHT = 0.05
"""Overlap is called poor beyond these shares (outside the common support, extreme propensities, effective number per
patient of an arm, weight of one patient): Keyhole's own choice. Arms under 200 are spared the last."""


def trimming(e: Array, rule: float | str | None) -> tuple[float, float] | None:
    """The range of propensities kept, or None where all are.

    A number trims both ends by it; "crump" finds the range whose average effect can be told most precisely under equal
    variances: it keeps where 1 / (e (1 - e)) is at most twice its own mean among those kept [crump2009].
    """
    if rule is None:
        return None
    if rule == "crump":
        low = crump(e)
    elif isinstance(rule, str) or not 0 < rule < 0.5:
        raise InvalidInput(f'trimming must be between 0 and 0.5, "crump" or none, got {rule!r}')
    else:
        low = rule
    return low, 1 - low


def crump(e: Array) -> float:
    """The lower end of Crump's range of propensities, 0 where nobody needs to be trimmed."""
    cost = np.sort(1 / np.maximum(e * (1 - e), 1e-300))
    within = cost <= 2 * np.cumsum(cost) / np.arange(1, len(cost) + 1)
    if within[-1]:
        return 0.0
    last = int(np.flatnonzero(within)[-1])  # the greatest cost still at most twice the mean up to it
    bound = min(float(2 * np.mean(cost[: last + 1])), float(cost[last + 1]))
    return 0.5 - float(np.sqrt(max(0.25 - 1 / bound, 0.0)))


def effective(weight: Array) -> float:
    """Effective number of patients behind weights: (sum w)^2 / sum w^2."""
    return float(weight.sum() ** 2 / (weight @ weight)) if weight.size else 0.0


def overlap(
    everyone: Sequence[Array], treated: Mask, kept: Sequence[Array], treated_kept: Mask, arms: tuple[str, str]
) -> Overlap:
    """What the propensities say, averaged over the completed tables.

    Parameters
    ----------
    everyone : propensity of every patient, one vector a completed table; treated : arm 1 among them.
    kept : propensity fitted anew after trimming; treated_kept : arm 1 among those left.
    arms : names of arm 0 and arm 1.
    """
    edges = np.linspace(0, 1, BINS + 1)
    bins = [_binned([e[arm] for e in everyone], edges) for arm in (~treated, treated)]
    mean = np.mean(everyone, axis=0)
    reach = [(float(mean[arm].min()), float(mean[arm].max())) for arm in (~treated, treated)]
    outside = _outside(mean, treated, reach)
    extreme = float(np.mean((mean < EXTREME) | (mean > 1 - EXTREME)))
    numbers, shares = [], []
    for arm, sign in ((~treated_kept, -1), (treated_kept, 1)):
        weights = [1 / e[arm] if sign > 0 else 1 / (1 - e[arm]) for e in kept]
        numbers.append(float(np.mean([effective(w) for w in weights])))
        shares.append(float(np.mean([w.max() / w.sum() for w in weights])))
    n = int((~treated_kept).sum()), int(treated_kept.sum())
    reasons = _reasons(outside, extreme, tuple(zip(arms, n, numbers, strict=True)), max(shares))
    return Overlap(
        edges=tuple(edges.tolist()),
        counts=(bins[0], bins[1]),
        n=n,
        effective=(numbers[0], numbers[1]),
        reach=(reach[0], reach[1]),
        outside_support=outside,
        extreme=extreme,
        largest_weight=max(shares),
        is_poor=bool(reasons),
        reasons=tuple(reasons),
    )


def _binned(propensities: Sequence[Array], edges: Array) -> tuple[float, ...]:
    counts = np.mean([np.histogram(e, edges)[0] for e in propensities], axis=0)
    return tuple(float(count) for count in counts)


def _outside(e: Array, treated: Mask, reach: Sequence[tuple[float, float]]) -> float:
    """Share of patients whose propensity lies where the other arm has nobody."""
    (low0, high0), (low1, high1) = reach
    lost = np.where(treated, (e < low0) | (e > high0), (e < low1) | (e > high1))
    return float(lost.mean())


def _reasons(outside: float, extreme: float, arms: Sequence[tuple[str, int, float]], largest: float) -> list[str]:
    reasons = []
    if outside > POOR_OUTSIDE:
        reasons.append(f"{100 * outside:.0f} % of patients are like nobody in the other arm (outside common support)")
    if extreme > POOR_EXTREME:
        reasons.append(f"for {100 * extreme:.0f} % the kind of operation was all but certain (under 5 or over 95 %)")
    for name, many, worth in arms:
        if worth < POOR_EFFECTIVE * many:
            reasons.append(f"after weighting, {many} patients ({name}) are worth {worth:.0f}")
    if largest > POOR_WEIGHT and min(many for _, many, _ in arms) >= 200:
        reasons.append(f"one patient carries {100 * largest:.0f} % of an arm's weight")
    return reasons
