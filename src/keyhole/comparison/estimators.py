"""The four estimates of an average difference, with standard errors by stacked estimating equations.

Each estimator solves mean(psi) = 0 for its means and for the coefficients of its models together; the influence of a
row on the means then holds what the row does to the models as well (the empirical sandwich), so that intervals hold
when only one of the two models is right [shook-sa2025].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keyhole.comparison.fit import Fit, binary, least_squares, logistic
from keyhole.comparison.table import Array, Index, Mask


@dataclass(frozen=True, slots=True, eq=False)
class Means:
    """Mean outcome of both arms as an estimator finds it.

    means : (2,) arm 0, arm 1. influence : (n, 2) influence of each row on them, of mean 0.
    """

    means: Array
    influence: Array


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Both models on one completed table: propensity of arm 1, and the outcome's model in each arm."""

    X: Array  # design of the propensity
    Z: Array  # design of the outcome
    treated: Mask
    y: Array
    propensity: Fit
    outcomes: tuple[Fit, Fit]


def models(X: Array, Z: Array, treated: Mask, y: Array, *, is_binary: bool, link: str = "logit") -> Models:
    """Fit the propensity on `X` and the outcome on `Z` in each arm (logistic where it is 0/1)."""
    fit = logistic if is_binary else least_squares
    propensity = binary(X, treated.astype(np.float64), link)
    return Models(X, Z, treated, y, propensity, (fit(Z, y, ~treated), fit(Z, y, treated)))


def naive(treated: Mask, y: Array) -> Means:
    """Plain mean of each arm."""
    columns, means = [], []
    for arm in (~treated, treated):
        mean = float(y[arm].mean())
        means.append(mean)
        columns.append(np.where(arm, y - mean, 0.0) / arm.mean())
    return Means(np.array(means), np.stack(columns, axis=1))


def regression(found: Models) -> Means:
    """Mean of the outcome that each arm's model predicts for everybody (g-computation)."""
    columns, means = [], []
    for fit in found.outcomes:
        mean = float(fit.mean.mean())
        means.append(mean)
        columns.append(fit.mean - mean + _through(found.Z, fit, fit.slope))
    return Means(np.array(means), np.stack(columns, axis=1))


def weights(found: Models) -> Array:
    """Inverse of the propensity of the arm that each patient was in."""
    e = found.propensity.mean
    weight: Array = np.where(found.treated, 1 / e, 1 / (1 - e))
    return weight


def ipw(found: Models) -> Means:
    """Weighted mean of each arm, weights normalised in it (Hajek)."""
    weight, columns, means = weights(found), [], []
    for treated, arm in ((False, ~found.treated), (True, found.treated)):
        inside = np.where(arm, weight, 0.0)
        mean = float(inside @ found.y / inside.sum())
        means.append(mean)
        residual = inside * (found.y - mean)
        moved = _through(found.X, found.propensity, _weight_slope(found, residual, treated))
        columns.append((residual + moved) / inside.mean())
    return Means(np.array(means), np.stack(columns, axis=1))


def aipw(found: Models) -> Means:
    """Predicted mean of each arm plus the weighted mean of what its model missed (augmented IPW)."""
    weight, columns, means = weights(found), [], []
    for treated, arm, fit in ((False, ~found.treated, found.outcomes[0]), (True, found.treated, found.outcomes[1])):
        inside = np.where(arm, weight, 0.0)
        residual = inside * (found.y - fit.mean)
        value = fit.mean + residual
        mean = float(value.mean())
        means.append(mean)
        by_propensity = _through(found.X, found.propensity, _weight_slope(found, residual, treated))
        by_outcome = _through(found.Z, fit, (1 - inside) * fit.slope)
        columns.append(value - mean + by_propensity + by_outcome)
    return Means(np.array(means), np.stack(columns, axis=1))


def _weight_slope(found: Models, weighted: Array, treated: bool) -> Array:
    """Derivative of `weighted` (weights times something) by the propensity's linear predictor."""
    e, slope = found.propensity.mean, found.propensity.slope
    return -weighted * slope / e if treated else weighted * slope / (1 - e)


def _through(design: Array, fit: Fit, slope: Array) -> Array:
    """Influence of each row through a model's coefficients; `slope` is the target's derivative by the predictor."""
    gradient = design.T @ slope / len(slope)
    moved: Array = (design @ (fit.inverse @ gradient)) * fit.score
    return moved


def covariance(influence: Array, cluster: Index | None = None) -> Array:
    """(2, 2) covariance of the two means; within clusters, influences are summed first (with G / (G - 1))."""
    n = len(influence)
    if cluster is None:
        return influence.T @ influence / n**2
    count = int(cluster.max()) + 1
    summed = np.stack([np.bincount(cluster, influence[:, k], count) for k in range(influence.shape[1])], axis=1)
    return summed.T @ summed / n**2 * count / (count - 1)
