"""Are the arms alike in what was measured, before and after weighting? [austin2015]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.design import Values, Variable, columns
from keyhole.comparison.model import Balance
from keyhole.comparison.table import Array, Mask

UNBALANCED = 0.1
"""Standardised differences beyond this are commonly taken to matter [austin2015]."""


@dataclass(frozen=True, slots=True, eq=False)
class Sides:
    """Mean and variance of one term in each arm before and after, (2, 2): before or after by arm."""

    name: str
    is_claim: bool
    means: Array
    variances: Array


def sides(chosen: Sequence[Variable], values: Values, treated: Mask, kept: Mask, weight: Array) -> tuple[Sides, ...]:
    """Every covariate (every level of a category) in both arms of one completed table.

    `kept` are the patients left after trimming, `weight` theirs.
    """
    found: list[Sides] = []
    for variable in chosen:
        block = columns(variable, values[variable.name])
        names = variable.terms
        if variable.levels:  # the reference level, too
            block = np.column_stack([1 - block.sum(axis=1), block])
            names = (f"{variable.name}={variable.levels[0]}", *names)
        claim = bool(variable.levels) or variable.is_claim
        found.extend(_side(name, claim, block[:, k], treated, kept, weight) for k, name in enumerate(names))
    return tuple(found)


def balance(tables: Sequence[tuple[Sides, ...]]) -> tuple[Balance, ...]:
    """Balance averaged over completed tables."""
    rows = []
    for same in zip(*tables, strict=True):
        means = np.mean([side.means for side in same], axis=0)
        variances = np.mean([side.variances for side in same], axis=0)
        spread = float(np.sqrt(variances[0].mean()))
        ratios = [None if same[0].is_claim or not v[0] > 0 else float(v[1] / v[0]) for v in variances]
        rows.append(
            Balance(
                covariate=same[0].name,
                means=(float(means[0, 0]), float(means[0, 1])),
                means_after=(float(means[1, 0]), float(means[1, 1])),
                smd_before=float((means[0, 1] - means[0, 0]) / spread) if spread > 0 else 0.0,
                smd_after=float((means[1, 1] - means[1, 0]) / spread) if spread > 0 else 0.0,
                variance_ratio_before=ratios[0],
                variance_ratio_after=ratios[1],
            )
        )
    return tuple(rows)


def _side(name: str, is_claim: bool, column: Array, treated: Mask, kept: Mask, weight: Array) -> Sides:
    means, variances = np.empty((2, 2)), np.empty((2, 2))
    after, arm_after = column[kept], treated[kept]
    for n, arm in enumerate((False, True)):
        means[0, n], variances[0, n] = _moments(column[treated == arm], None)
        means[1, n], variances[1, n] = _moments(after[arm_after == arm], weight[arm_after == arm])
    return Sides(name, is_claim, means, variances)


def _moments(values: Array, weight: Array | None) -> tuple[float, float]:
    """Mean and variance, weighted with the correction for weights that are no counts."""
    if weight is None:
        return float(values.mean()), float(values.var(ddof=1)) if len(values) > 1 else 0.0
    share = weight / weight.sum()
    mean = float(share @ values)
    lost = 1 - float(share @ share)
    return mean, float(share @ (values - mean) ** 2) / lost if lost > 0 else 0.0
