"""Own and published results brought together in closed form: what each side is worth is a number of patients.

Means are normal with known variances, shares beta; the literature enters as a prior that is never worth less than
`LEAST_PATIENTS` own patients. A difference is learned from own patients of both arms only: own patients of one arm
against published ones of the other would compare hospitals, not operations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv

from keyhole.forecast.effects import Array
from keyhole.forecast.pool import NORMAL, Interval

LEAST_PATIENTS = 30.0
"""The literature counts as at least so many own patients, however much its hospitals disagree [keyhole-choice]."""

BEYOND = 2.576
"""Own and published results that differ by more standard errors are said to be in conflict (1 in 100 by chance)."""

FEW = 10
"""Own patients below which the spread of published ones is used, where it is known [keyhole-choice]."""

_OPEN0, _DIFF0, _PLANNED0, _OPEN, _PLANNED = range(5)
_OWN = (_OPEN, _PLANNED)


@dataclass(frozen=True, slots=True)
class Guess:
    """A number that is not exactly known."""

    value: float
    variance: float

    @property
    def interval(self) -> Interval:
        """95 % interval."""
        half = NORMAL * math.sqrt(self.variance)
        return self.value - half, self.value + half


@dataclass(frozen=True, slots=True)
class Sample:
    """Own patients of one arm."""

    n: int
    mean: float
    sd: float

    def guess(self, spread: float | None) -> Guess:
        """Their mean; `spread` is the published sd, used where they are few."""
        sd = spread if self.n < FEW and spread is not None else self.sd
        return Guess(self.mean, max(sd**2 / self.n, 1e-12))


@dataclass(frozen=True, slots=True)
class Weights:
    """Shares of own patients in each figure, and whether they conflict with the literature."""

    planned: float = 0.0
    open: float = 0.0
    difference: float = 0.0
    conflict: bool = False


@dataclass(frozen=True, slots=True)
class Means:
    """Expected values of both arms and their difference; None is not known."""

    planned: Guess | None
    open: Guess | None
    difference: Guess | None
    weights: Weights


@dataclass(frozen=True, slots=True)
class Prior:
    """What is published: the open arm, the difference, or where there is no open arm the planned one."""

    open: Guess | None = None
    difference: Guess | None = None
    planned: Guess | None = None
    spread: float | None = None  # sd of single patients


def at_least(variance: float, sd: float | None, arms: int) -> float:
    """`variance` of a published mean (difference with `arms` 2), but worth no fewer than `LEAST_PATIENTS` patients.

    Half of the patients are in each arm of a difference.
    """
    return variance if sd is None else min(variance, arms**2 * sd**2 / LEAST_PATIENTS)


def shrunk_means(prior: Prior, open_: Sample | None = None, planned: Sample | None = None) -> Means:
    """Expected values from the literature and own patients, each by its precision.

    Every result is a weighted sum of the inputs, so that its variance is exact for the weights used.
    """
    own = [None if one is None else one.guess(prior.spread) for one in (open_, planned)]
    inputs = [prior.open, prior.difference, prior.planned, *own]
    variances = np.array([0.0 if one is None else one.variance for one in inputs])
    values = np.array([0.0 if one is None else one.value for one in inputs])
    has = [one is not None for one in inputs]
    difference = _difference(has, variances)
    level = _level(has, variances, difference)
    if level is not None and difference is not None:
        both: Array | None = level + difference
    else:
        both = _mixed([_unit(n) for n in (_PLANNED0, _PLANNED) if has[n]], variances)
    weights = Weights(
        planned=_share(both),
        open=_share(level),
        difference=0.0 if difference is None else float(difference[_PLANNED]),
        conflict=_conflicts(has, values, variances, difference),
    )
    return Means(
        planned=_guess(both, values, variances),
        open=_guess(level, values, variances),
        difference=_guess(difference, values, variances),
        weights=weights,
    )


def _unit(n: int) -> Array:
    found = np.zeros(5)
    found[n] = 1.0
    return found


def _mixed(candidates: list[Array], variances: Array) -> Array | None:
    """The candidates weighted by their precision; None of none."""
    if not candidates:
        return None
    precision = np.array([1 / float((c**2 * variances).sum()) for c in candidates])
    mixed: Array = (precision[:, None] * np.array(candidates)).sum(axis=0) / precision.sum()
    return mixed


def _difference(has: list[bool], variances: Array) -> Array | None:
    own = [_unit(_PLANNED) - _unit(_OPEN)] if has[_OPEN] and has[_PLANNED] else []
    return _mixed([*([_unit(_DIFF0)] if has[_DIFF0] else []), *own], variances)


def _level(has: list[bool], variances: Array, difference: Array | None) -> Array | None:
    """The open arm: as published, as own, and own planned patients less the difference."""
    found = [_unit(n) for n in (_OPEN0, _OPEN) if has[n]]
    if difference is not None:
        alone = [_PLANNED0] if not has[_OPEN0] and has[_PLANNED0] else []
        found += [_unit(n) - difference for n in (*alone, *([_PLANNED] if has[_PLANNED] else []))]
    found = [c for c in found if float((c**2 * variances).sum()) > 0]
    return _mixed(found, variances)


def _guess(coefficients: Array | None, values: Array, variances: Array) -> Guess | None:
    if coefficients is None:
        return None
    return Guess(float(coefficients @ values), float((coefficients**2 * variances).sum()))


def _share(coefficients: Array | None) -> float:
    return 0.0 if coefficients is None else float(np.clip(coefficients[list(_OWN)].sum(), 0.0, 1.0))


def _conflicts(has: list[bool], values: Array, variances: Array, difference: Array | None) -> bool:
    contrasts = []
    if has[_DIFF0] and has[_OPEN] and has[_PLANNED]:
        contrasts.append(_unit(_PLANNED) - _unit(_OPEN) - _unit(_DIFF0))
    if has[_OPEN0] and has[_OPEN]:
        contrasts.append(_unit(_OPEN) - _unit(_OPEN0))
    elif has[_OPEN0] and has[_PLANNED] and difference is not None:
        contrasts.append(_unit(_PLANNED) - difference - _unit(_OPEN0))
    return any(abs(float(c @ values)) > BEYOND * math.sqrt(float((c**2 * variances).sum())) for c in contrasts)


@dataclass(frozen=True, slots=True)
class Count:
    """Own patients of one arm with and without the event."""

    events: int
    n: int


@dataclass(frozen=True, slots=True)
class Share:
    """A published share of 1 that is worth `patients` patients."""

    value: float
    patients: float


@dataclass(frozen=True, slots=True)
class Known:
    """A share of 1 with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Risks:
    """Expected shares of both arms and their ratio; None is not known."""

    planned: Known | None
    open: Known | None
    ratio: Guess | None  # logarithm
    weights: Weights
    prior_patients: float


def shrunk_risks(
    prior: Share | None, ratio: Guess | None, open_: Count | None, planned: Count | None, *, is_odds: bool = False
) -> Risks:
    """Expected shares: the open one beta-binomial, the planned one by the ratio and then beta-binomial too.

    Own planned patients without own open ones leave the published ratio as it is and move both arms.
    """
    worth = 1.0 if prior is None else prior.patients
    first = None if prior is None else (prior.value * worth, (1 - prior.value) * worth)
    if open_ is None and planned is not None and ratio is not None and first is not None:
        return _moved(first, ratio, planned, is_odds)
    beta = _updated(first, open_)
    expected, log_variance = _by_ratio(beta, ratio, is_odds)
    if expected is None:
        after = _updated(None, planned)
        weights = Weights(float(planned is not None), _weight(worth, open_), 0.0)
        return Risks(_known(after), _known(beta), None, weights, worth)
    worth_planned = max((1 - expected) / (expected * log_variance), LEAST_PATIENTS) if log_variance > 0 else worth
    if planned is None:
        return Risks(_spread(expected, log_variance), _known(beta), ratio, Weights(open=_weight(worth, open_)), worth)
    after = _updated((expected * worth_planned, (1 - expected) * worth_planned), planned)
    weight = _weight(worth_planned, planned)
    conflict = _is_far(planned, expected, log_variance)
    weights = Weights(weight, _weight(worth, open_), weight if open_ is not None else 0.0, conflict)
    return Risks(_known(after), _known(beta), _after_ratio(after, beta, ratio, planned, open_, weight), weights, worth)


def _moved(first: tuple[float, float], ratio: Guess, planned: Count, is_odds: bool) -> Risks:
    """Own patients of the planned arm alone: both arms move, the ratio stays."""
    worth = sum(first)
    expected, log_variance = _by_ratio(first, ratio, is_odds)
    share = expected if expected is not None else 0.5
    after = _updated((share * worth, (1 - share) * worth), planned)
    value = _value(after)
    weight = _weight(worth, planned)
    back = Guess(-ratio.value, ratio.variance)
    open_value, _ = _by_ratio(after, back, is_odds)
    variance = (1 - value) / (value * sum(after)) + ratio.variance if after is not None else 0.0
    conflict = _is_far(planned, share, log_variance)
    known = None if open_value is None else _spread(open_value, variance)
    return Risks(_known(after), known, ratio, Weights(weight, weight, 0.0, conflict), worth)


def _weight(worth: float, own: Count | None) -> float:
    return 0.0 if own is None else own.n / (worth + own.n)


def _updated(first: tuple[float, float] | None, own: Count | None) -> tuple[float, float] | None:
    """Parameters of the beta distribution; Jeffreys' where only own patients are known."""
    if own is None:
        return first
    a, b = (0.5, 0.5) if first is None else first
    return a + own.events, b + own.n - own.events


def _value(beta: tuple[float, float] | None) -> float:
    return math.nan if beta is None else beta[0] / (beta[0] + beta[1])


def _known(beta: tuple[float, float] | None) -> Known | None:
    if beta is None:
        return None
    a, b = max(beta[0], 1e-9), max(beta[1], 1e-9)
    return Known(a / (a + b), (float(betaincinv(a, b, 0.025)), float(betaincinv(a, b, 0.975))))


def _spread(value: float, log_variance: float) -> Known:
    """A share whose logarithm has this variance."""
    factor = math.exp(NORMAL * math.sqrt(log_variance))
    return Known(min(value, 1.0), (value / factor, min(value * factor, 1.0)))


def _by_ratio(beta: tuple[float, float] | None, ratio: Guess | None, is_odds: bool) -> tuple[float | None, float]:
    """The planned share that a ratio makes of the open one, and the variance of its logarithm."""
    if beta is None or ratio is None or not beta[0] > 0 or not beta[1] > 0:
        return None, 0.0
    share, factor = _value(beta), math.exp(ratio.value)
    odds = factor * share / (1 - share)
    value = odds / (1 + odds) if is_odds else min(factor * share, 0.999)
    return value, (1 - share) / (share * sum(beta)) + ratio.variance


def _is_far(own: Count, expected: float, log_variance: float) -> bool:
    sd = math.sqrt(expected * (1 - expected) / own.n + expected**2 * log_variance)
    return abs(own.events / own.n - expected) > BEYOND * sd


def _after_ratio(
    after: tuple[float, float] | None,
    beta: tuple[float, float] | None,
    ratio: Guess | None,
    planned: Count,
    open_: Count | None,
    weight: float,
) -> Guess | None:
    """The ratio of both arms after own patients; its variance from the published one and theirs, by weight."""
    p, q = _value(after), _value(beta)
    if ratio is None or open_ is None or not (p > 0 and q > 0):
        return ratio
    own = (1 - p) / (p * planned.n) + (1 - q) / (q * open_.n)
    return Guess(math.log(p / q), (1 - weight) ** 2 * ratio.variance + weight**2 * own)
