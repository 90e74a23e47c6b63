"""Does the effect follow something the studies differ in: meta-regression, and Egger's look at small studies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtr

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import Array
from keyhole.forecast.heterogeneity import ESTIMATORS, cochran_q
from keyhole.forecast.pool import Pool, arrays

FEW = 10
"""Studies below which an asymmetry of the funnel can neither be found nor excluded."""


@dataclass(frozen=True, slots=True)
class Coefficient:
    """One coefficient of a meta-regression, with its standard error and p (t with Hartung-Knapp, else normal)."""

    name: str
    value: float
    se: float
    p: float


@dataclass(frozen=True, slots=True)
class Regression:
    """Effects on covariates: coefficients, tau² that is left, and the share of tau² that the covariates explain, %."""

    coefficients: tuple[Coefficient, ...]
    tau2: float
    q: float
    explained: float


@dataclass(frozen=True, slots=True)
class SmallStudies:
    """Egger's regression of the effect on its standard error: slope, t, p; `words` say what it can tell."""

    slope: float
    t: float
    p: float
    words: str


def regress(
    effects: Array, variances: Array, covariates: Mapping[str, Array], model: str = "reml", hk: bool = False
) -> Regression:
    """The line (or plane) of effects over `covariates`, weighted by inverse variance with the tau² of `model`."""
    if model != "fixed" and model not in ESTIMATORS:
        raise InvalidInput(f"model {model!r} has no regression; choose fixed, {', '.join(ESTIMATORS)}")
    columns = np.column_stack([np.ones(len(effects)), *covariates.values()])
    free = len(effects) - columns.shape[1]
    if free < 1 or np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise InvalidInput(
            f"{len(effects)} studies cannot carry {columns.shape[1]} coefficients: more studies or other covariates"
        )
    tau2 = ESTIMATORS[model](effects, variances, columns) if model in ESTIMATORS else 0.0
    weights = 1 / (variances + tau2)
    covariance = np.linalg.inv(columns.T @ (weights[:, None] * columns))
    values = covariance @ columns.T @ (weights * effects)
    scale = cochran_q(effects, variances, tau2, columns) / free if hk else 1.0
    errors = np.sqrt(np.diag(covariance) * scale)
    chances = [_p(value / se, free if hk else None) for value, se in zip(values, errors, strict=True)]
    names = ("intercept", *covariates)
    found = tuple(
        Coefficient(name, float(v), float(se), p) for name, v, se, p in zip(names, values, errors, chances, strict=True)
    )
    alone = ESTIMATORS[model](effects, variances) if model in ESTIMATORS else 0.0
    explained = 100 * max(0.0, (alone - tau2) / alone) if alone > 0 else math.nan
    return Regression(found, tau2, cochran_q(effects, variances, 0.0, columns), explained)


def _p(ratio: float, free: int | None) -> float:
    return 2 * float(ndtr(-abs(ratio)) if free is None else stdtr(free, -abs(ratio)))


def regress_on(found: Pool, names: tuple[str, ...], hk: bool = False) -> Regression:
    """The meta-regression of a pool's studies on their own covariates `names`."""
    tables = [dict(study.covariates) for study in found.studies]
    for study, table in zip(found.studies, tables, strict=True):
        missing = [name for name in names if name not in table]
        if missing:
            raise InvalidInput(f"{study.name}: covariate x_{missing[0]} is empty; a regression needs it of every study")
    columns = {name: np.array([table[name] for table in tables]) for name in names}
    return regress(*arrays(found.studies), columns, found.model, hk)


def small_studies(found: Pool) -> SmallStudies | None:
    """Whether small studies show another effect than large ones; None below three studies or for equal sizes.

    Weighted least squares of the effect on its standard error, t with k - 2 degrees of freedom.

    References
    ----------
    [cochrane-asymmetry]; the limit of ten studies is the usual rule of thumb [keyhole-choice].
    """
    effects, variances = arrays(found.studies)
    errors = np.sqrt(variances)
    if found.k < 3 or np.ptp(errors) <= 1e-9 * errors.max():
        return None
    columns = np.column_stack([np.ones(found.k), errors])
    covariance = np.linalg.inv(columns.T @ (columns / variances[:, None]))
    values = covariance @ columns.T @ (effects / variances)
    left = cochran_q(effects, variances, 0.0, columns) / (found.k - 2)
    se = math.sqrt(float(covariance[1, 1]) * left)
    t = float(values[1]) / se if se > 0 else math.nan
    p = 2 * float(stdtr(found.k - 2, -abs(t)))
    return SmallStudies(float(values[1]), t, p, _said(found, p))


def _said(found: Pool, p: float) -> str:
    if found.k < FEW:
        return f"with {found.k} studies (fewer than {FEW}) it can neither show nor exclude that small studies differ"
    linked = "; a ratio and its error are linked by arithmetic, so p may be too small" if found.is_logarithmic else ""
    if p < 0.1:
        return f"small studies differ from large ones; publication bias is one cause of several{linked}"
    return f"no sign that small studies differ; that excludes no bias{linked}"
