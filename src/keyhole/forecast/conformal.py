"""Ranges that hold a next patient with a stated share, from own patients, whatever their distribution."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import Array
from keyhole.forecast.pool import Interval


@dataclass(frozen=True, slots=True, eq=False)
class Conformal:
    """A linear expectation with the widths below and above it that hold `share` of next patients."""

    coefficients: Array
    below: float
    above: float
    share: float

    def expected(self, features: Array) -> Array:
        """What is expected for `features`, shape (n, d)."""
        found: Array = _design(features) @ self.coefficients
        return found

    def interval(self, features: Array) -> Array:
        """Lower and upper end, shape (n, 2)."""
        middle = self.expected(features)
        return np.column_stack([middle - self.below, middle + self.above])


def least_patients(share: float) -> int:
    """Fewest own patients from which a range with both ends exists: half of them must reach the outermost ranks."""
    return 2 * math.ceil(round(2 / (1 - share) - 1, 9))


def split_conformal(features: Array, outcome: Array, share: float = 0.9, seed: int = 0) -> Conformal:
    """A range for next patients by split conformal prediction [lei-conformal].

    Half of the patients, drawn with `seed`, give a least-squares expectation; the residuals of the others its widths,
    each side with half of what may be missed. The share is met on average over cohorts, whatever the distribution,
    as long as the next patient is like these.

    Parameters
    ----------
    features : (n, d), d may be 0: then the range is the same for everyone.
    outcome : (n,).
    share : of next patients that the range holds, above 0 and below 1.
    """
    known = np.isfinite(outcome) & np.isfinite(features).all(axis=1)
    x, y = features[known], outcome[known]
    if not 0 < share < 1:
        raise InvalidInput(f"share must be above 0 and below 1, got {share}")
    if len(y) < max(least_patients(share), 4 * (x.shape[1] + 1)):
        raise InvalidInput(f"{len(y)} patients are too few for a range that holds {100 * share:.0f} %")
    order = np.random.default_rng(seed).permutation(len(y))
    fit, rest = order[: len(y) // 2], order[len(y) // 2 :]
    coefficients = np.linalg.lstsq(_design(x[fit]), y[fit], rcond=None)[0]
    residuals = np.sort(y[rest] - _design(x[rest]) @ coefficients)
    n, miss = len(residuals), (1 - share) / 2
    rank = math.ceil((n + 1) * (1 - miss))
    return Conformal(coefficients.astype(np.float64), float(-residuals[n - rank]), float(residuals[rank - 1]), share)


def next_patient(outcome: Array, share: float, bounds: Interval) -> Interval | None:
    """The range of a next patient from own ones, within `bounds`; None where they are too few."""
    known = outcome[np.isfinite(outcome)]
    if len(known) < least_patients(share):
        return None
    found = split_conformal(np.empty((len(known), 0)), known, share)
    low, high = found.interval(np.empty((1, 0)))[0]
    return max(float(low), bounds[0]), min(float(high), bounds[1])


def _design(features: Array) -> Array:
    return np.column_stack([np.ones(len(features)), features])
