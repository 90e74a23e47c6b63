"""Models fitted by Newton's method: logistic and probit for 0/1, least squares for measures.

All take a design matrix with its intercept in column 0 and the other columns of mean 0 and sd 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.special import expit, log_expit, log_ndtr, ndtr

from keyhole.comparison.table import Array, Mask

SEPARATED = 1e-8
"""A fitted probability closer than this to 0 or 1 says that the columns tell the outcome apart without doubt."""

PRIOR_SD = 2.5
"""Where they do, coefficients (per sd of a column) are held back by a normal prior of this sd: Keyhole's own choice."""

_STEPS, _TOLERANCE = 60, 1e-11


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """A fitted model and what its estimating equations need, row by row.

    mean : fitted mean of each row. slope : its derivative by the linear predictor.
    score : derivative of the log likelihood by the linear predictor (0 for rows that were not fitted).
    inverse : inverse of the mean negative derivative of the scores over all rows, (p, p).
    separated : whether the columns told the outcome apart and a prior held the coefficients.
    """

    coefficients: Array
    mean: Array
    slope: Array
    score: Array
    inverse: Array
    separated: bool


def logistic(X: Array, y: Array, rows: Mask | None = None) -> Fit:
    """Logistic model of 0/1 `y` on `X`, fitted on `rows` (all where None), with fitted means for every row."""
    return _binary(X, y, rows, "logit")


def binary(X: Array, y: Array, link: str) -> Fit:
    """Logistic ("logit") or probit ("probit") model of 0/1 `y`, fitted on all rows."""
    return _binary(X, y, None, link)


def least_squares(X: Array, y: Array, rows: Mask) -> Fit:
    """Linear model of `y` on `X`, fitted on `rows` by least squares, with fitted means for every row."""
    within = X[rows]
    inverse = linalg.pinvh(within.T @ within)
    coefficients = inverse @ (within.T @ y[rows])
    mean = X @ coefficients
    return Fit(coefficients, mean, np.ones(len(y)), np.where(rows, y - mean, 0.0), inverse * len(y), False)


def held_logistic(X: Array, y: Array, precision: float, start: Array | None = None) -> tuple[Array, Array]:
    """Logistic coefficients held by a normal prior of `precision` (on all but the intercept), and the information.

    Made for many small fits: full steps from `start`, to a thousandth of a standard error.
    """
    prior = np.full(X.shape[1], precision)
    prior[0] = 1e-6
    found = np.zeros(X.shape[1]) if start is None else start
    for _ in range(_STEPS):
        mean = expit(X @ found)
        weight = np.maximum(mean * (1 - mean), 1e-9)
        information = (X * weight[:, None]).T @ X
        information[np.diag_indices_from(information)] += prior
        gradient = X.T @ (y - mean) - prior * found
        step = np.linalg.solve(information, gradient)
        long = float(np.sqrt(max(step @ information @ step, 0.0)))
        found = found + step * min(1.0, 50.0 / max(float(np.abs(X @ step).max(initial=0.0)), 1e-9))
        if long < 1e-3:
            return found, information
    found, information, _ = _newton(X, y, "logit", precision)
    return found, information


def _binary(X: Array, y: Array, rows: Mask | None, link: str) -> Fit:
    within, target = (X, y) if rows is None else (X[rows], y[rows])
    found, information, settled = _newton(within, target, link, 0.0)
    mean, slope, _, _ = _pieces(within @ found, target, link)
    separated = not settled or bool((np.minimum(mean, 1 - mean) < SEPARATED).any())
    if separated:
        found, information, _ = _newton(within, target, link, 1 / PRIOR_SD**2)
    mean, slope, score, _ = _pieces(X @ found, y, link)
    inside = score if rows is None else np.where(rows, score, 0.0)
    return Fit(found, mean, slope, inside, linalg.pinvh(information) * len(y), separated)


def _newton(X: Array, y: Array, link: str, precision: float) -> tuple[Array, Array, bool]:
    """Coefficients, observed information there, and whether the steps settled."""
    prior = np.full(X.shape[1], precision)
    prior[0] = 0.0
    found = np.zeros(X.shape[1])

    def value(at: Array) -> float:
        return _likelihood(X @ at, y, link) - 0.5 * float(prior @ at**2)

    best = value(found)
    settled = False
    for _ in range(_STEPS):
        _, _, score, weight = _pieces(X @ found, y, link)
        information = (X * weight[:, None]).T @ X + np.diag(prior)
        step = linalg.pinvh(information) @ (X.T @ score - prior * found)
        trial, reached = _shortened(value, found, step, best)
        gain, best, found = reached - best, reached, trial
        if gain <= _TOLERANCE * (abs(best) + 1):
            settled = True
            break
    _, _, _, weight = _pieces(X @ found, y, link)
    return found, (X * weight[:, None]).T @ X + np.diag(prior), settled


def _shortened(value: Callable[[Array], float], found: Array, step: Array, best: float) -> tuple[Array, float]:
    """The step, halved until `value` does not fall; where it always does, no step."""
    for halving in range(30):
        trial = found + step / 2**halving
        reached = value(trial)
        if reached >= best:
            return trial, reached
    return found, best


def _likelihood(eta: Array, y: Array, link: str) -> float:
    log = log_expit if link == "logit" else log_ndtr
    return float(np.sum(log(np.where(y > 0.5, eta, -eta))))


def _pieces(eta: Array, y: Array, link: str) -> tuple[Array, Array, Array, Array]:
    """Mean, its slope, score and observed weight at the linear predictor `eta`."""
    if link == "logit":
        mean = expit(eta)
        slope = mean * (1 - mean)
        return mean, slope, y - mean, slope
    mean, slope = ndtr(eta), np.exp(-0.5 * eta**2) / np.sqrt(2 * np.pi)
    sign = np.where(y > 0.5, 1.0, -1.0)
    score = sign * np.exp(-0.5 * eta**2 - log_ndtr(sign * eta)) / np.sqrt(2 * np.pi)
    return mean, slope, score, score * (score + eta)
