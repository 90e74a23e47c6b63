"""How much the true effects of studies differ: estimators of tau² and the measures that go with it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import chdtri

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import Array

_STEPS = 200
_CLOSE = 1e-12  # of the mean variance: far below what four digits need


def weighted_mean(effects: Array, variances: Array, tau2: float) -> float:
    """Mean of `effects` weighted by the inverse of their variance and tau² together."""
    weights = 1 / (variances + tau2)
    return float(weights @ effects / weights.sum())


def cochran_q(effects: Array, variances: Array, tau2: float = 0.0, design: Array | None = None) -> float:
    """Weighted sum of squared deviations from the weighted mean, or from the line of `design`."""
    weights = 1 / (variances + tau2)
    left = effects - _fitted(effects, weights, _columns(effects, design))
    return float(weights @ left**2)


def dersimonian_laird(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² by the method of moments with fixed weights."""
    columns = _columns(effects, design)
    weights = 1 / variances
    excess = cochran_q(effects, variances, 0.0, columns) - (len(effects) - columns.shape[1])
    return float(max(0.0, excess / np.trace(_projection(weights, columns))))


def hedges_olkin(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² as the plain variance of the effects less the mean sampling variance."""
    columns = _columns(effects, design)
    hat = _projection(np.ones(len(effects)), columns)
    left = effects @ hat @ effects - float(np.diag(hat) @ variances)
    return max(0.0, float(left / (len(effects) - columns.shape[1])))


def sidik_jonkman(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² of Sidik and Jonkman, from the plain variance of the effects as a first guess."""
    columns = _columns(effects, design)
    first = float(np.var(effects))
    if not first > 0:
        return 0.0
    ratio = variances / first
    return float(cochran_q(effects, ratio, 1.0, columns) / (len(effects) - columns.shape[1]))


def paule_mandel(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² at which the generalised Q equals its degrees of freedom; the same as the empirical Bayes estimate."""
    columns = _columns(effects, design)
    free = len(effects) - columns.shape[1]
    return _root(lambda tau2: cochran_q(effects, variances, tau2, columns) - free, effects)


def maximum_likelihood(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² of the largest likelihood."""
    return _iterated(effects, variances, _columns(effects, design), restricted=False)


def restricted_likelihood(effects: Array, variances: Array, design: Array | None = None) -> float:
    """tau² of the largest restricted likelihood (REML)."""
    return _iterated(effects, variances, _columns(effects, design), restricted=True)


ESTIMATORS: dict[str, Callable[..., float]] = {
    "dl": dersimonian_laird,
    "pm": paule_mandel,
    "reml": restricted_likelihood,
    "ml": maximum_likelihood,
    "sj": sidik_jonkman,
    "he": hedges_olkin,
}


def typical_variance(variances: Array, design: Array | None = None) -> float:
    """Sampling variance of a typical study, after Higgins and Thompson: what I² measures tau² against."""
    columns = _columns(variances, design)
    weights = 1 / variances
    return float((len(variances) - columns.shape[1]) / np.trace(_projection(weights, columns)))


def tau2_interval(effects: Array, variances: Array) -> tuple[float, float]:
    """95 % interval of tau² by the Q profile (Viechtbauer); its ends are 0 where the profile never comes that high."""
    free = len(effects) - 1
    ends = [float(chdtri(free, p)) for p in (0.025, 0.975)]
    low, high = (_root(_profile(effects, variances, end), effects) for end in ends)
    return low, high


def _profile(effects: Array, variances: Array, end: float) -> Callable[[float], float]:
    return lambda tau2: cochran_q(effects, variances, tau2) - end


def likelihood_interval(effects: Array, variances: Array, *, restricted: bool) -> tuple[float, float]:
    """95 % interval of tau² where the (restricted) likelihood stays within 1.92 of its largest."""
    best = _iterated(effects, variances, _columns(effects, None), restricted)
    floor = _log_likelihood(effects, variances, best, restricted) - float(chdtri(1, 0.05)) / 2

    def above(tau2: float) -> float:
        return _log_likelihood(effects, variances, tau2, restricted) - floor

    high = best + _root(lambda step: above(best + step), effects)
    if best == 0.0 or above(0.0) > 0:
        return 0.0, high
    return best - _root(lambda step: above(max(best - step, 0.0)), effects), high


def _log_likelihood(effects: Array, variances: Array, tau2: float, restricted: bool) -> float:
    total = variances + tau2
    found = -0.5 * float(np.log(total).sum()) - 0.5 * cochran_q(effects, variances, tau2)
    return found - 0.5 * float(np.log((1 / total).sum())) if restricted else found


def tau2_error(variances: Array, tau2: float) -> float:
    """Standard error of a REML tau², from the expected information."""
    projection = _projection(1 / (variances + tau2), np.ones((len(variances), 1)))
    return float(np.sqrt(2 / np.trace(projection @ projection)))


def _columns(effects: Array, design: Array | None) -> Array:
    return np.ones((len(effects), 1)) if design is None else design


def _projection(weights: Array, columns: Array) -> Array:
    """W - W X (X'WX)^-1 X'W: what is left of the weights after the columns are fitted."""
    weighted = weights[:, None] * columns
    found: Array = np.diag(weights) - weighted @ np.linalg.solve(columns.T @ weighted, weighted.T)
    return found


def _fitted(effects: Array, weights: Array, columns: Array) -> Array:
    weighted = weights[:, None] * columns
    found: Array = columns @ np.linalg.solve(columns.T @ weighted, weighted.T @ effects)
    return found


def _root(falling: Callable[[float], float], effects: Array) -> float:
    """Where a function of tau² that falls comes through zero; 0 where it starts below."""
    if not falling(0.0) > 0:
        return 0.0
    low, high = 0.0, max(float(np.var(effects)), 1e-300)
    for _ in range(_STEPS):
        if falling(high) <= 0:
            break
        low, high = high, 2 * high
    for _ in range(_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if falling(middle) > 0 else (low, middle)
        if high - low <= _CLOSE * high:
            break
    return (low + high) / 2


def _iterated(effects: Array, variances: Array, columns: Array, restricted: bool) -> float:
    """Fisher scoring with halved steps; the start is the plain estimate, steps never leave tau² >= 0."""
    tau2 = hedges_olkin(effects, variances, columns)
    close = _CLOSE * (float(variances.mean()) + float(np.var(effects)))
    for _ in range(_STEPS * 10):
        weights = 1 / (variances + tau2)
        projection = _projection(weights, columns)
        turned = projection @ effects
        trace = np.trace(projection) if restricted else weights.sum()
        information = np.trace(projection @ projection) if restricted else (weights**2).sum()
        step = float((turned @ turned - trace) / information)
        new = tau2 + step
        while new < 0 and tau2 > close:
            step /= 2
            new = tau2 + step
        new = max(0.0, new)
        if abs(new - tau2) <= close:
            return new
        tau2 = new
    raise InvalidInput(f"tau² did not settle on these {len(effects)} studies; pool them with --model pm or dl")
