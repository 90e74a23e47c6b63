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
from keyhole.forecast.pool import NORMAL, Figure, Interval

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

    The difference is the published one and that of own patients, and so are both arms, as if nothing were published of
    how much it is here. Then both move together to what is published of that, by the arm that is known best. So planned
    minus open is the difference, and the distance between hospitals never becomes one between operations. Every
    result is a weighted sum of the inputs: its variance is exact for the weights used.
    """
    own = [None if one is None else one.guess(prior.spread) for one in (open_, planned)]
    inputs = [prior.open, prior.difference, prior.planned, *own]
    variances = np.array([0.0 if one is None else one.variance for one in inputs])
    values = np.array([0.0 if one is None else one.value for one in inputs])
    has = [one is not None for one in inputs]
    difference = _difference(has, variances)
    both, level = _arms(has, variances, difference, prior.spread)
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
    has: list[bool], variances: Array, difference: Array | None, spread: float | None
) -> tuple[Array | None, Array | None]:
    """Planned and open arm as weighted sums of the inputs."""
    if difference is None:
        planned, open_ = ([_unit(n) for n in pair if has[n]] for pair in ((_PLANNED0, _PLANNED), (_OPEN0, _OPEN)))
        return _mixed(planned, variances), _mixed(open_, variances)
    gap = _unit(_DIFF0) if has[_DIFF0] else None
    level0 = _unit(_OPEN0) if has[_OPEN0] else _unit(_PLANNED0) - difference if has[_PLANNED0] else None
    own = [_own(has, variances, gap, n) for n in (_PLANNED, _OPEN)]
    told = [np.inf if c is None else float((c**2 * variances).sum()) for c in own]
    if min(told) == np.inf:
        return None if level0 is None else level0 + difference, level0
    by_planned = told[0] < told[1]
    anchor = own[0] if by_planned else own[1]
    if level0 is not None:
        first = level0 + (difference if gap is None else gap) if by_planned else level0
        anchor = _mixed([first, *([] if anchor is None else [anchor])], variances, spread)
    if anchor is None:
        return None, None
    return (anchor, anchor - difference) if by_planned else (anchor + difference, anchor)


def _own(has: list[bool], variances: Array, gap: Array | None, arm: int) -> Array | None:
    """An arm from own patients alone: its own, and those of the other arm the published difference away."""
    other, sign = (_OPEN, 1.0) if arm == _PLANNED else (_PLANNED, -1.0)
    found = [_unit(arm)] if has[arm] else []
    if has[other] and gap is not None:
        found.append(_unit(other) + sign * gap)
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
class Risks:
    """Expected shares of both arms and their ratio; None is not known."""

    planned: Figure | None
    open: Figure | None
    ratio: Guess | None  # logarithm
    weights: Weights
    prior_patients: float


def shrunk_risks(
    prior: Share | None, ratio: Guess | None, open_: Count | None, planned: Count | None, *, is_odds: bool = False
) -> Risks:
    """Expected shares, beta-binomial: first the arm with more own patients, then the other, expected by the ratio.

    Without own patients of both arms the ratio is the published one.
    """
    worth = 1.0 if prior is None else prior.patients
    first = None if prior is None else (prior.value * worth, (1 - prior.value) * worth)
    if ratio is None or (first is None and open_ is None):
        found = _updated(None, planned)
        weights = Weights(float(planned is not None), _weight(0.0 if first is None else worth, open_))
        return Risks(_known(found), _known(_updated(first, open_)), None, weights, worth)
    by_planned = planned is not None and first is not None and (open_ is None or planned.n > open_.n)
    prior_anchor, far = first, False
    if by_planned and planned is not None:
        share, log_variance = _by_ratio(first, ratio, is_odds)
        prior_anchor = None if share is None else (share * worth, (1 - share) * worth)
        far = share is not None and _is_far(planned, share, log_variance)
    elif open_ is not None and prior is not None:
        far = _is_far(open_, prior.value, (1 - prior.value) / (prior.value * worth))
    own, rest = (planned, open_) if by_planned else (open_, planned)
    anchor = _updated(prior_anchor, own)
    weight = _weight(0.0 if prior_anchor is None else worth, own)
    toward = Guess(-ratio.value, ratio.variance) if by_planned else ratio
    other, share_of_rest = _second(anchor, toward, rest, is_odds)
    learned = share_of_rest if own is not None and rest is not None else 0.0
    planned_, open__ = (_known(anchor), other) if by_planned else (other, _known(anchor))
    after = _learned(planned_, open__, ratio, (planned, open_), learned)
    both = 1 - (1 - weight) * (1 - share_of_rest)
    pair = (weight, both) if by_planned else (both, weight)
    return Risks(planned_, open__, after, Weights(*pair, learned, far), worth)


def _second(
    anchor: tuple[float, float] | None, toward: Guess, own: Count | None, is_odds: bool
) -> tuple[Figure | None, float]:
    """The other arm: what the ratio makes of the anchor, and its own patients; and the weight of these."""
    value, log_variance = _by_ratio(anchor, toward, is_odds)
    if value is None:
        return _known(_updated(None, own)), float(own is not None)
    if own is None:
        return _spread(value, log_variance), 0.0
    worth = max((1 - value) / (value * log_variance), LEAST_PATIENTS)
    return _known(_updated((value * worth, (1 - value) * worth), own)), _weight(worth, own)


def _learned(
    planned: Figure | None,
    open_: Figure | None,
    ratio: Guess,
    own: tuple[Count | None, Count | None],
    weight: float,
) -> Guess:
    """The logarithm of the ratio of both arms where own patients of both taught it, else the published one."""
    first, second = own
    if planned is None or open_ is None or first is None or second is None or weight <= 0:
        return ratio
    spread = (1 - planned.value) / (planned.value * first.n) + (1 - open_.value) / (open_.value * second.n)
    return Guess(math.log(planned.value / open_.value), (1 - weight) ** 2 * ratio.variance + weight**2 * spread)


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


def _known(beta: tuple[float, float] | None) -> Figure | None:
    if beta is None:
        return None
    a, b = max(beta[0], 1e-9), max(beta[1], 1e-9)
    return Figure(a / (a + b), (float(betaincinv(a, b, 0.025)), float(betaincinv(a, b, 0.975))))


def _spread(value: float, log_variance: float) -> Figure:
    """A share whose logarithm has this variance."""
    factor = math.exp(NORMAL * math.sqrt(log_variance))
    return Figure(min(value, 1.0), (value / factor, min(value * factor, 1.0)))


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
