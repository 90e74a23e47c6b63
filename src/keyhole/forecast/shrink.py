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

from keyhole.forecast.effects import Array, log_odds_ratio, log_risk_ratio
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

    The arm with more own patients is the anchor: the published mean and its own. The other arm lies the difference
    away, so that planned minus open is the difference. Every result is a weighted sum of the inputs, so that its
    variance is exact for the weights used.
    """
    own = [None if one is None else one.guess(prior.spread) for one in (open_, planned)]
    inputs = [prior.open, prior.difference, prior.planned, *own]
    variances = np.array([0.0 if one is None else one.variance for one in inputs])
    values = np.array([0.0 if one is None else one.value for one in inputs])
    has = [one is not None for one in inputs]
    difference = _difference(has, variances)
    by_planned = planned is not None and (open_ is None or planned.n > open_.n)
    both, level = _arms(has, variances, difference, prior.spread, by_planned=by_planned)
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


def _mixed(candidates: list[Array], variances: Array, spread: float | None = None) -> Array | None:
    """The candidates weighted by their precision; None of none.

    With `spread` a published one is worth the literature's least number of patients.
    """
    if not candidates:
        return None
    own = [bool(c[list(_OWN)].any()) for c in candidates]
    told = [float((c**2 * variances).sum()) for c in candidates]
    precision = np.array([1 / at_least(v, None if o else spread, 1) for v, o in zip(told, own, strict=True)])
    mixed: Array = (precision[:, None] * np.array(candidates)).sum(axis=0) / precision.sum()
    return mixed


def _difference(has: list[bool], variances: Array) -> Array | None:
    own = [_unit(_PLANNED) - _unit(_OPEN)] if has[_OPEN] and has[_PLANNED] else []
    return _mixed([*([_unit(_DIFF0)] if has[_DIFF0] else []), *own], variances)


def _arms(
    has: list[bool], variances: Array, difference: Array | None, spread: float | None, *, by_planned: bool
) -> tuple[Array | None, Array | None]:
    """Planned and open arm as weighted sums of the inputs; `by_planned`: the planned one is the anchor."""
    open0 = [_unit(_OPEN0)] if has[_OPEN0] else []
    planned0 = [_unit(_PLANNED0)] if has[_PLANNED0] else []
    if difference is None:
        planned = [*planned0, *([_unit(_PLANNED)] if has[_PLANNED] else [])]
        return _mixed(planned, variances), _mixed([*open0, *([_unit(_OPEN)] if has[_OPEN] else [])], variances)
    if by_planned or (not open0 and not has[_OPEN]):
        first = planned0 or [one + _published(has) for one in open0 if has[_DIFF0]]
        planned_ = _mixed([*first, *([_unit(_PLANNED)] if has[_PLANNED] else [])], variances, spread)
        return planned_, None if planned_ is None else planned_ - difference
    level = _mixed([*open0, *([_unit(_OPEN)] if has[_OPEN] else [])], variances)
    return None if level is None else level + difference, level


def _published(has: list[bool]) -> Array:
    return _unit(_DIFF0) if has[_DIFF0] else np.zeros(5)


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
    """Expected shares: the arm with more own patients beta-binomial, the other by the ratio.

    The ratio is the published one and, where both arms have own patients, theirs, by precision on the logarithm.
    """
    worth = 1.0 if prior is None else prior.patients
    first = None if prior is None else (prior.value * worth, (1 - prior.value) * worth)
    after, learned = _ratio(ratio, open_, planned, is_odds)
    if after is None or (first is None and open_ is None):
        found = _updated(None, planned)
        weights = Weights(float(planned is not None), _weight(worth, open_))
        return Risks(_known(found), _known(_updated(first, open_)), None, weights, worth)
    if planned is not None and first is not None and (open_ is None or planned.n > open_.n):
        expected, log_variance = _by_ratio(first, ratio or after, is_odds)
        share = 0.5 if expected is None else expected
        anchor = _updated((share * worth, (1 - share) * worth), planned)
        known, other = _known(anchor), _other(anchor, Guess(-after.value, after.variance), is_odds)
        weight, far = _weight(worth, planned), _is_far(planned, share, log_variance)
        return Risks(known, other, after, Weights(weight, weight, learned, far), worth)
    anchor = _updated(first, open_)
    weight = _weight(worth if first is not None else 0.0, open_)
    far = (
        open_ is not None
        and prior is not None
        and _is_far(open_, prior.value, (1 - prior.value) / (prior.value * worth))
    )
    return Risks(_other(anchor, after, is_odds), _known(anchor), after, Weights(weight, weight, learned, far), worth)


def _ratio(
    ratio: Guess | None, open_: Count | None, planned: Count | None, is_odds: bool
) -> tuple[Guess | None, float]:
    """The logarithm of the ratio from the published one and own patients of both arms, and the weight of theirs."""
    own = _own_ratio(open_, planned, is_odds)
    if own is None or ratio is None:
        return (ratio, 0.0) if own is None else (own, 1.0)
    weight = ratio.variance / (ratio.variance + own.variance)
    return Guess(weight * own.value + (1 - weight) * ratio.value, weight * own.variance), weight


def _own_ratio(open_: Count | None, planned: Count | None, is_odds: bool) -> Guess | None:
    """Own odds or risk ratio with 0.5 in empty cells; None where own patients say nothing of it."""
    if open_ is None or planned is None or not 0 < open_.events + planned.events < open_.n + planned.n:
        return None
    way = log_odds_ratio if is_odds else log_risk_ratio
    value, variance = way([planned.events], [planned.n], [open_.events], [open_.n])
    return Guess(float(value[0]), float(variance[0]))


def _other(anchor: tuple[float, float] | None, ratio: Guess, is_odds: bool) -> Known | None:
    value, log_variance = _by_ratio(anchor, ratio, is_odds)
    return None if value is None else _spread(value, log_variance)


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
