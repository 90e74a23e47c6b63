"""Effects of single studies from what their two arms report: MISS minus open, or the logarithm of MISS over open.

Every function takes arrays of one length and returns effects and their variances. References: Cochrane Handbook
(statistical methods), Hedges 1981 for the exact small-sample factor; the anchors of tests/reference agree to 4 digits.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, ndtri

Array = NDArray[np.float64]
LOGARITHMIC = ("or", "rr")
MEASURES = {
    "md": "mean difference",
    "smd": "standardised mean difference (Hedges)",
    "or": "odds ratio",
    "rr": "risk ratio",
    "rd": "risk difference",
}
ZERO_CELLS = "0.5 is added to every cell of a study that has an empty one"
"""The rule for inverse-variance pools; Mantel-Haenszel and Peto use the counts as they are."""


def mean_difference(
    n: ArrayLike, mean: ArrayLike, sd: ArrayLike, n0: ArrayLike, mean0: ArrayLike, sd0: ArrayLike
) -> tuple[Array, Array]:
    """Differences of means with the variance of two separate standard deviations; the second arm is the open one."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (n, n0))
    s, t = (np.asarray(x, dtype=np.float64) for x in (sd, sd0))
    return _difference(mean, mean0), s**2 / a + t**2 / b


def mean_difference_of_one_sd(
    n: ArrayLike, mean: ArrayLike, sd: ArrayLike, n0: ArrayLike, mean0: ArrayLike, sd0: ArrayLike
) -> tuple[Array, Array]:
    """Differences of means with the variance of the standard deviation pooled over both arms."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (n, n0))
    return _difference(mean, mean0), _pooled_variance(a, sd, b, sd0) * (1 / a + 1 / b)


def standardised_mean_difference(
    n: ArrayLike, mean: ArrayLike, sd: ArrayLike, n0: ArrayLike, mean0: ArrayLike, sd0: ArrayLike
) -> tuple[Array, Array]:
    """Hedges' g: the difference of means over the pooled standard deviation, its small-sample bias taken away."""
    a, b = (np.asarray(x, dtype=np.float64) for x in (n, n0))
    free = a + b - 2
    exact = np.exp(gammaln(free / 2) - np.log(np.sqrt(free / 2)) - gammaln((free - 1) / 2))
    g = exact * _difference(mean, mean0) / np.sqrt(_pooled_variance(a, sd, b, sd0))
    return g, 1 / a + 1 / b + g**2 / (2 * (a + b))


def log_odds_ratio(events: ArrayLike, n: ArrayLike, events0: ArrayLike, n0: ArrayLike) -> tuple[Array, Array]:
    """Logarithms of odds ratios; empty cells by `ZERO_CELLS`."""
    a, b, c, d = _cells(events, n, events0, n0)
    return np.log(a * d / (b * c)), 1 / a + 1 / b + 1 / c + 1 / d


def log_risk_ratio(events: ArrayLike, n: ArrayLike, events0: ArrayLike, n0: ArrayLike) -> tuple[Array, Array]:
    """Logarithms of risk ratios; empty cells by `ZERO_CELLS`."""
    a, b, c, d = _cells(events, n, events0, n0)
    return np.log(a / (a + b) / (c / (c + d))), 1 / a - 1 / (a + b) + 1 / c - 1 / (c + d)


def risk_difference(events: ArrayLike, n: ArrayLike, events0: ArrayLike, n0: ArrayLike) -> tuple[Array, Array]:
    """Differences of risks, as shares; empty cells by `ZERO_CELLS`."""
    a, b, c, d = _cells(events, n, events0, n0)
    return a / (a + b) - c / (c + d), a * b / (a + b) ** 3 + c * d / (c + d) ** 3


def from_quartiles(n: float, q1: float, median: float, q3: float) -> tuple[float, float]:
    """Mean and standard deviation that a median and quartiles suggest, as if the values lay near a normal curve.

    References
    ----------
    [wan2014] scenario C3: the mean of the three, and the quartiles' distance over twice a normal score.
    """
    score = float(ndtri((0.75 * n - 0.125) / (n + 0.25)))
    return (q1 + median + q3) / 3, (q3 - q1) / (2 * score)


def _difference(mean: ArrayLike, mean0: ArrayLike) -> Array:
    return np.asarray(mean, dtype=np.float64) - np.asarray(mean0, dtype=np.float64)


def _pooled_variance(n: Array, sd: ArrayLike, n0: Array, sd0: ArrayLike) -> Array:
    within = (n - 1) * np.asarray(sd, dtype=np.float64) ** 2 + (n0 - 1) * np.asarray(sd0, dtype=np.float64) ** 2
    found: Array = within / (n + n0 - 2)
    return found


def _cells(events: ArrayLike, n: ArrayLike, events0: ArrayLike, n0: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """With and without event, MISS then open; 0.5 added to studies with an empty cell."""
    a, c = np.asarray(events, dtype=np.float64), np.asarray(events0, dtype=np.float64)
    b, d = np.asarray(n, dtype=np.float64) - a, np.asarray(n0, dtype=np.float64) - c
    half = 0.5 * ((a == 0) | (b == 0) | (c == 0) | (d == 0))
    return a + half, b + half, c + half, d + half
