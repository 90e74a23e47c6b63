"""Estimates from several completed tables brought together by Rubin's rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit


@dataclass(frozen=True, slots=True)
class Pooled:
    """Mean of the estimates with its standard error, degrees of freedom and share of missing information."""

    value: float
    se: float
    df: float
    missing_information: float


def pooled(values: Sequence[float], variances: Sequence[float], complete_df: float = math.inf) -> Pooled:
    """Rubin's rules: within plus (1 + 1/m) times the variance between, with Barnard and Rubin's degrees of freedom.

    Parameters
    ----------
    values, variances : one of each per completed table; a single one passes through.
    complete_df : degrees of freedom had nothing been missing; infinite for the normal distribution.
    """
    m = len(values)
    mean, within = float(np.mean(values)), float(np.mean(variances))
    between = float(np.var(values, ddof=1)) if m > 1 else 0.0
    added = (1 + 1 / m) * between
    total = within + added
    if not added > 0 or not total > 0:
        return Pooled(mean, math.sqrt(total), complete_df, 0.0)
    share = added / total
    old = (m - 1) / share**2
    if math.isinf(complete_df):
        df = old
    else:
        observed = (complete_df + 1) / (complete_df + 3) * complete_df * (1 - share)
        df = 1 / (1 / old + 1 / observed)
    ratio = added / within if within > 0 else math.inf
    information = share if math.isinf(ratio) else (ratio + 2 / (df + 3)) / (ratio + 1)
    return Pooled(mean, math.sqrt(total), df, float(information))


def interval(value: float, se: float, df: float, level: float = 0.95) -> tuple[float, float]:
    """Interval of `level` by Student's t, normal where `df` is infinite."""
    half = se * float(ndtri(0.5 + level / 2) if math.isinf(df) else stdtrit(df, 0.5 + level / 2))
    return value - half, value + half
