"""E-values: how strong confounding that was not measured must be to explain a result away [vanderweele2017]."""

from __future__ import annotations

import math

from keyhole.comparison.model import EValue, Interval
from keyhole.errors import InvalidInput

PER_SD = 0.91
"""Log risk ratio for a standardised difference of 1, the published approximation for measured outcomes."""

PER_SE = 1.78
"""Half width of its 95 % interval for a standard error of 1 on the standardised scale."""


def e_value(risk_ratio: float) -> float:
    """RR + sqrt(RR (RR - 1)), of the inverse where RR is below 1.

    >>> round(e_value(3.9), 2)
    7.26
    """
    if not (risk_ratio > 0 and math.isfinite(risk_ratio)):
        raise InvalidInput(f"a risk ratio must be a number above 0, got {risk_ratio}")
    ratio = max(risk_ratio, 1 / risk_ratio)
    return ratio + math.sqrt(ratio * (ratio - 1))


def of_ratio(risk_ratio: float, interval: Interval) -> EValue:
    """E-value of a risk ratio and of the end of its interval nearest to 1 (1 where the interval holds 1)."""
    return EValue(e_value(risk_ratio), e_value(_nearest_to_one(*interval)), risk_ratio, "risk ratio")


def of_difference(difference: float, se: float, sd: float) -> EValue:
    """E-value of a difference of means, by the risk ratio exp(0.91 d) that its standardised difference d stands for.

    Parameters
    ----------
    difference, se : in units of the outcome.
    sd : of the outcome within the arms, > 0.
    """
    if not (sd > 0 and se >= 0 and math.isfinite(difference)):
        raise InvalidInput(f"sd must be > 0, se >= 0 and the difference finite, got {sd}, {se}, {difference}")
    d, error = difference / sd, se / sd
    ends = math.exp(PER_SD * d - PER_SE * error), math.exp(PER_SD * d + PER_SE * error)
    ratio = math.exp(PER_SD * d)
    how = f"risk ratio of about {ratio:.2f}, from the standardised difference of {d:.2f}"
    return EValue(e_value(ratio), e_value(_nearest_to_one(*ends)), ratio, how)


def _nearest_to_one(low: float, high: float) -> float:
    if low <= 1 <= high or not (low > 0 and math.isfinite(high)):
        return 1.0
    return low if low > 1 else high
