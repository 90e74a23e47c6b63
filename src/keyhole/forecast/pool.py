"""One estimate from several studies, with what the studies say of each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtrc, ndtr, ndtri, stdtr, stdtrit

from keyhole.errors import InvalidInput
from keyhole.forecast.effects import LOGARITHMIC, Array
from keyhole.forecast.heterogeneity import (
    ESTIMATORS,
    cochran_q,
    tau2_interval,
    typical_variance,
    weighted_mean,
)

MODELS = {
    "fixed": "one common effect, inverse variance",
    "dl": "random effects, DerSimonian-Laird",
    "pm": "random effects, Paule-Mandel",
    "reml": "random effects, restricted maximum likelihood",
    "ml": "random effects, maximum likelihood",
    "sj": "random effects, Sidik-Jonkman",
    "he": "random effects, Hedges-Olkin",
    "mh": "one common effect, Mantel-Haenszel",
    "peto": "one common odds ratio, Peto",
}
PREDICTION = {
    "hartung-knapp": "t with k - 1 degrees of freedom, Hartung-Knapp standard error",
    "k-2": "t with k - 2 degrees of freedom, ordinary standard error",
    "normal": "normal quantile, ordinary standard error",
}
NORMAL = float(ndtri(0.975))
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its 95 % interval."""

    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Study:
    """One study as a pool takes it; `effect` is on the scale of the pool (logarithm for ratios)."""

    name: str
    effect: float
    variance: float
    design: str = ""
    cohort: str = ""
    counts: tuple[int, int, int, int] | None = None
    flags: tuple[str, ...] = ()
    covariates: tuple[tuple[str, float], ...] = ()

    @property
    def interval(self) -> Interval:
        """95 % interval of the study alone."""
        half = NORMAL * math.sqrt(self.variance)
        return self.effect - half, self.effect + half


@dataclass(frozen=True, slots=True)
class Pool:
    """An estimate of several studies, on their scale: the logarithm for odds and risk ratios.

    `interval` is the ordinary one (normal quantile), `hk` Hartung-Knapp's (t with k - 1 degrees of freedom), None for
    one study and for models of one common effect; `prediction` holds the effect of a next study, by `convention`.
    `weights` are percentages in the order of `studies`.
    """

    measure: str
    model: str
    studies: tuple[Study, ...]
    weights: tuple[float, ...]
    estimate: float
    se: float
    interval: Interval
    p: float
    q: float
    q_p: float
    i2: float
    tau2: float
    tau2_interval: Interval | None = None
    hk_se: float | None = None
    hk: Interval | None = None
    hk_p: float | None = None
    prediction: Interval | None = None
    convention: str = ""
    caveats: tuple[str, ...] = ()

    @property
    def k(self) -> int:
        """Number of studies."""
        return len(self.studies)

    @property
    def is_logarithmic(self) -> bool:
        """Whether the scale is the logarithm of a ratio."""
        return self.measure in LOGARITHMIC

    def shown(self, value: float) -> float:
        """`value` on the scale that people read: ratios as ratios."""
        return math.exp(value) if self.is_logarithmic else value


def pool(studies: Sequence[Study], measure: str, model: str = "reml") -> Pool:
    """The pooled effect of `studies`, with heterogeneity and every interval that the model has.

    Parameters
    ----------
    studies : at least one; no two of one cohort.
    measure : a key of `MEASURES`.
    model : a key of `MODELS`; mh and peto need counts (`keyhole.forecast.counts`).

    References
    ----------
    [inthout2014], [rover2015] for the Hartung-Knapp interval and its limits with few studies.
    """
    ordered = checked(studies)
    if model != "fixed" and model not in ESTIMATORS:
        raise InvalidInput(f"model {model!r} does not pool effects; choose fixed, {', '.join(ESTIMATORS)}")
    effects, variances = arrays(ordered)
    tau2 = ESTIMATORS[model](effects, variances) if model in ESTIMATORS and len(ordered) > 1 else 0.0
    weights = 1 / (variances + tau2)
    estimate = weighted_mean(effects, variances, tau2)
    found = summary(ordered, measure, model, weights, estimate, float(weights.sum() ** -0.5))
    found = replace(found, tau2=tau2, i2=_i2(found, variances, tau2))
    return _random(found, effects, variances) if model != "fixed" and len(ordered) > 1 else found


def checked(studies: Sequence[Study]) -> tuple[Study, ...]:
    """`studies` in an order of their own; none, an impossible one, or one cohort twice is refused."""
    if not studies:
        raise InvalidInput("nothing to pool: no study gives what the measure needs")
    for study in studies:
        if not (math.isfinite(study.effect) and study.variance > 0 and math.isfinite(study.variance)):
            raise InvalidInput(f"{study.name}: effect {study.effect} with variance {study.variance} cannot be pooled")
    cohorts = [study.cohort for study in studies if study.cohort]
    for cohort in cohorts:
        if cohorts.count(cohort) > 1:
            names = " and ".join(study.name for study in studies if study.cohort == cohort)
            raise InvalidInput(f"{names} are the same patients ({cohort}); one cohort is never pooled twice")
    return tuple(sorted(studies, key=lambda s: (s.name, s.effect, s.variance)))


def arrays(studies: Sequence[Study]) -> tuple[Array, Array]:
    """Effects and variances of `studies`."""
    return np.array([s.effect for s in studies]), np.array([s.variance for s in studies])


def summary(studies: tuple[Study, ...], measure: str, model: str, weights: Array, estimate: float, se: float) -> Pool:
    """A pool with the ordinary interval and Cochran's Q about `estimate`."""
    effects, variances = arrays(studies)
    own = model in {"mh", "peto"}
    q = float(((effects - estimate) ** 2 / variances).sum()) if own else cochran_q(effects, variances)
    q_p, i2 = spread(q, len(studies))
    return Pool(
        measure=measure,
        model=model,
        studies=studies,
        weights=tuple(float(w) for w in 100 * weights / weights.sum()),
        estimate=estimate,
        se=se,
        interval=(estimate - NORMAL * se, estimate + NORMAL * se),
        p=2 * float(ndtr(-abs(estimate) / se)),
        q=q,
        q_p=q_p,
        i2=i2,
        tau2=0.0,
        caveats=tuple(dict.fromkeys(flag for study in studies for flag in study.flags)),
    )


def spread(q: float, k: int) -> tuple[float, float]:
    """Chance of a Q this large without heterogeneity, and I² in %, of `k` studies; nan for one."""
    if k < 2:
        return math.nan, math.nan
    return float(chdtrc(k - 1, q)), 100 * max(0.0, (q - k + 1) / q) if q > 0 else 0.0


def _i2(found: Pool, variances: Array, tau2: float) -> float:
    """Share of the spread that is not chance, %: from tau² where the model has one, else from Q."""
    if found.k < 2 or found.model == "fixed":
        return found.i2
    return 100 * tau2 / (tau2 + typical_variance(variances))


def _random(found: Pool, effects: Array, variances: Array) -> Pool:
    weights = 1 / (variances + found.tau2)
    free = found.k - 1
    hk_se = float(np.sqrt(weights @ (effects - found.estimate) ** 2 / free / weights.sum()))
    half = float(stdtrit(free, 0.975)) * hk_se
    hk_p = 2 * float(stdtr(free, -abs(found.estimate) / hk_se)) if hk_se > 0 else math.nan
    added = replace(
        found,
        hk_se=hk_se,
        hk=(found.estimate - half, found.estimate + half),
        hk_p=hk_p,
        tau2_interval=tau2_interval(effects, variances),
    )
    return replace(added, prediction=prediction(added), convention=PREDICTION["hartung-knapp"])


def prediction(found: Pool, convention: str = "hartung-knapp") -> Interval | None:
    """95 % interval of the true effect in a next study; None where the convention has too few studies."""
    if found.hk_se is None:
        return None
    free = {"hartung-knapp": found.k - 1, "k-2": found.k - 2, "normal": math.inf}[convention]
    if not free > 0:
        return None
    se = found.hk_se if convention == "hartung-knapp" else found.se
    quantile = NORMAL if math.isinf(free) else float(stdtrit(free, 0.975))
    half = quantile * math.sqrt(found.tau2 + se**2)
    return found.estimate - half, found.estimate + half
