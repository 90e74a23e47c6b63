"""Two arms compared on one outcome: imputed, trimmed, estimated four ways, pooled, and said with what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.comparison import estimators
from keyhole.comparison.balance import Sides, balance, sides
from keyhole.comparison.design import Terms, Values, design
from keyhole.comparison.estimators import Means, Models, covariance
from keyhole.comparison.evalue import of_difference, of_ratio
from keyhole.comparison.fit import binary
from keyhole.comparison.impute import Imputed, completed, imputations_for, impute
from keyhole.comparison.model import Comparison, Effect, EValue, LeftOut, Ratio, Settings
from keyhole.comparison.overlap import overlap, trimming
from keyhole.comparison.prepare import Prepared, enough, model_terms, prepare
from keyhole.comparison.rubin import interval, pooled
from keyhole.comparison.table import Array, Index, Mask, Table
from keyhole.comparison.wording import Grounds, analysis_plan, arm_names, caveats, missing_told, trimmed_told, verdict
from keyhole.errors import InvalidInput

_DIFFERENCE = np.array([-1.0, 1.0])


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Means and their covariance from one completed table."""

    means: Array
    covariance: Array
    n: int


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What every completed table gave."""

    found: Mapping[str, list[_Found]]
    propensities: list[Array]
    sides: list[tuple[Sides, ...]]
    spread: float  # sd of the outcome within the arms
    separated: bool
    dropped: tuple[LeftOut, ...]


def estimate(
    table: Table,
    outcome: str,
    treatment: str,
    covariates: Sequence[str] | None = None,
    *,
    settings: Settings | None = None,
) -> Comparison:
    """Compare the arms of `treatment` (1 against 0) on `outcome`, adjusted for `covariates`.

    Missing values are drawn several times (chained equations within the arms), patients of extreme propensity are set
    aside by the rule of `settings`, and the naive, regression, IPW and AIPW differences are pooled by Rubin's rules,
    each with a stacked sandwich standard error. A binary outcome gives risk differences and ratios.

    Parameters
    ----------
    covariates : columns known before the operation; None takes all that are (`columns.choose`).
    settings : choices made before the outcome is looked at; None for the defaults.

    Raises
    ------
    InvalidInput
        where the question cannot be asked of the table: no such column, a treatment that is not 0 or 1, an empty arm,
        a constant outcome, too few rows.

    References
    ----------
    shook-sa2025, crump2009, leyrat2019, white2011, austin2015, vanderweele2017.
    """
    chosen = _checked(settings or Settings())
    prepared = prepare(table, outcome, treatment, covariates, chosen)
    names = arm_names(treatment)
    everyone = np.ones(len(prepared.treated), dtype=np.bool_)
    imputed = _imputed(prepared, chosen)
    tables = [completed(prepared.values, imputed, k) for k in range(imputed.imputations)]
    first, separated = _propensities(prepared, tables, everyone, chosen)
    mean = np.mean(first, axis=0)
    limits = trimming(mean, chosen.trim)
    kept = everyone if limits is None else (mean >= limits[0]) & (mean <= limits[1])
    enough(prepared.treated[kept], len(prepared.propensity), f"{table.name}, after trimming")
    run = _run(prepared, tables, kept, chosen)
    effects = {name: _effect(name, found, prepared, chosen, kept) for name, found in run.found.items()}
    estimates = {name: effects.pop(name) for name in ("naive", "regression", "ipw", "aipw")}
    told = trimmed_told(prepared, mean, limits, chosen, int(kept.sum()))
    absent = missing_told(prepared, imputed, chosen)
    seen = overlap(first, prepared.treated, run.propensities, prepared.treated[kept], names)
    balanced = balance(run.sides)
    strength = _e_value(estimates["aipw"], run.spread, is_binary=prepared.is_binary)
    arms = prepared.treated[kept]
    grounds = Grounds(seen, balanced, told, absent, run.dropped, separated or run.separated)
    return Comparison(
        source=table.name,
        outcome=outcome,
        treatment=treatment,
        arms=names,
        n=len(table),
        n_used=int(kept.sum()),
        n_arms=(int((~arms).sum()), int(arms.sum())),
        is_binary=prepared.is_binary,
        estimates=estimates,
        further=effects,
        overlap=seen,
        balance=balanced,
        trimmed=told,
        e_value=strength,
        missing=absent,
        covariates=tuple(variable.name for variable in prepared.covariates),
        left_out=prepared.left_out,
        dropped=run.dropped,
        plan=analysis_plan(prepared, absent, told, chosen),
        verdict=verdict(estimates["aipw"], outcome, names, is_binary=prepared.is_binary, level=chosen.level),
        caveats=caveats(prepared, estimates, grounds),
        settings=chosen,
        cluster=prepared.cluster_name,
    )


def _checked(settings: Settings) -> Settings:
    if settings.imputations is not None and settings.imputations < 1:
        raise InvalidInput(f"imputations must be 1 or more, got {settings.imputations}")
    if not 0.5 <= settings.level < 1:
        raise InvalidInput(f"the level of intervals must be from 0.5 to below 1, got {settings.level}")
    if settings.link not in ("logit", "probit"):
        raise InvalidInput(f'the link must be "logit" or "probit", got {settings.link!r}')
    trimming(np.array([0.5]), settings.trim)
    return settings


def _imputed(prepared: Prepared, settings: Settings) -> Imputed:
    many = settings.imputations or imputations_for(len(prepared.treated))
    every = [*prepared.covariates, prepared.outcome_variable]
    incomplete = any(np.isnan(prepared.values[variable.name]).any() for variable in every)
    used = [*every, *prepared.auxiliary] if incomplete else every
    return impute(used, prepared.values, prepared.treated, many, seed=settings.seed)


def _propensities(
    prepared: Prepared, tables: Sequence[Values], rows: Mask, settings: Settings
) -> tuple[list[Array], bool]:
    """Propensity of everybody in each completed table, and whether the covariates told the arm without doubt."""
    wanted, _ = model_terms(prepared, tables[0], rows, settings)
    target = prepared.treated[rows].astype(np.float64)
    fits = [binary(design(prepared.propensity, values, rows, wanted), target, settings.link) for values in tables]
    return [fit.mean for fit in fits], any(fit.separated for fit in fits)


def _run(prepared: Prepared, tables: Sequence[Values], kept: Mask, settings: Settings) -> _Run:
    everyone = np.ones(len(kept), dtype=np.bool_)
    wanted = model_terms(prepared, tables[0], kept, settings)
    first = wanted if kept.all() else model_terms(prepared, tables[0], everyone, settings)
    found: dict[str, list[_Found]] = {name: [] for name in ("naive", "regression", "ipw", "aipw")}
    propensities, told, spread, separated = [], [], [], False
    for values in tables:
        fitted = _models(prepared, values, kept, wanted, settings)
        separated |= fitted.propensity.separated or any(fit.separated for fit in fitted.outcomes)
        cluster = None if prepared.cluster is None else prepared.cluster
        inside = None if cluster is None else _codes(cluster[kept])
        y = values[prepared.outcome]
        found["naive"].append(_of(estimators.naive(prepared.treated, y), cluster))
        for name, method in (("regression", estimators.regression), ("ipw", estimators.ipw), ("aipw", estimators.aipw)):
            found[name].append(_of(method(fitted), inside))
        if not kept.all():
            found.setdefault("naive after trimming", []).append(
                _of(estimators.naive(prepared.treated[kept], y[kept]), inside)
            )
            whole = _models(prepared, values, everyone, first, settings)
            found.setdefault("aipw untrimmed", []).append(_of(estimators.aipw(whole), cluster))
        weight = estimators.weights(fitted)
        told.append(sides(prepared.covariates, values, prepared.treated, kept, weight))
        propensities.append(fitted.propensity.mean)
        spread.append(np.sqrt(np.mean([y[kept & arm].var(ddof=1) for arm in (prepared.treated, ~prepared.treated)])))
    found |= _complete_cases(prepared, kept, settings)
    dropped = tuple({left.name: left for part in wanted for left in part.dropped}.values())
    return _Run(found, propensities, told, float(np.mean(spread)), separated, dropped)


def _models(prepared: Prepared, values: Values, rows: Mask, wanted: tuple[Terms, Terms], settings: Settings) -> Models:
    X = design(prepared.propensity, values, rows, wanted[0])
    same = prepared.propensity == prepared.outcome_terms
    Z = X if same else design(prepared.outcome_terms, values, rows, wanted[1])
    y = values[prepared.outcome][rows]
    return estimators.models(X, Z, prepared.treated[rows], y, is_binary=prepared.is_binary, link=settings.link)


def _complete_cases(prepared: Prepared, kept: Mask, settings: Settings) -> dict[str, list[_Found]]:
    """AIPW of the rows without a missing value, to be seen beside the imputed one; empty where there is no other."""
    used = [*prepared.covariates, prepared.outcome_variable]
    whole = kept & ~np.any([np.isnan(prepared.values[variable.name]) for variable in used], axis=0)
    arms = prepared.treated[whole]
    least = max(2 * (1 + sum(variable.width for variable in prepared.covariates)), 10)
    if whole.sum() == kept.sum() or min(int(arms.sum()), int((~arms).sum())) < least:
        return {}
    y = prepared.values[prepared.outcome][whole]
    if min(np.ptp(y[arms]), np.ptp(y[~arms])) == 0:
        return {}
    wanted = model_terms(prepared, prepared.values, whole, settings)
    fitted = _models(prepared, prepared.values, whole, wanted, settings)
    cluster = None if prepared.cluster is None else _codes(prepared.cluster[whole])
    return {"aipw complete cases": [_of(estimators.aipw(fitted), cluster)]}


def _codes(cluster: Index) -> Index:
    codes: Index = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
    return codes


def _of(means: Means, cluster: Index | None) -> _Found:
    return _Found(means.means, covariance(means.influence, cluster), len(means.influence))


def _effect(name: str, found: Sequence[_Found], prepared: Prepared, settings: Settings, kept: Mask) -> Effect:
    """Completed tables pooled into one effect."""
    values = [float(_DIFFERENCE @ one.means) for one in found]
    variances = [float(_DIFFERENCE @ one.covariance @ _DIFFERENCE) for one in found]
    clusters = None if prepared.cluster is None else len(np.unique(prepared.cluster[kept]))
    whole = math.inf if clusters is None and len(found) == 1 else float((clusters or found[0].n) - 1)
    total = pooled(values, variances, whole)
    means = np.mean([one.means for one in found], axis=0)
    return Effect(
        method=name,
        value=total.value,
        se=total.se,
        interval=interval(total.value, total.se, total.df, settings.level),
        means=(float(means[0]), float(means[1])),
        n=found[0].n,
        df=total.df,
        missing_information=total.missing_information,
        ratio=_ratio(found, whole, settings) if prepared.is_binary else None,
    )


def _ratio(found: Sequence[_Found], complete_df: float, settings: Settings) -> Ratio | None:
    """The ratio of the two risks, pooled on the log scale; None where an arm has no event."""
    if not all((one.means > 0).all() for one in found):
        return None
    logs = [float(_DIFFERENCE @ np.log(one.means)) for one in found]
    gradients = [_DIFFERENCE / one.means for one in found]
    total = pooled(logs, [float(g @ one.covariance @ g) for g, one in zip(gradients, found, strict=True)], complete_df)
    low, high = interval(total.value, total.se, total.df, settings.level)
    return Ratio(math.exp(total.value), total.se, (math.exp(low), math.exp(high)))


def _e_value(effect: Effect, spread: float, *, is_binary: bool) -> EValue | None:
    if is_binary:
        return None if effect.ratio is None else of_ratio(effect.ratio.value, effect.ratio.interval)
    if not spread > 0:
        return None
    found = of_difference(effect.value, effect.se, spread)
    holds_none = effect.interval[0] <= 0 <= effect.interval[1]  # by Student's t, or another level than 95 %
    return replace(found, interval_end=1.0) if holds_none else found
