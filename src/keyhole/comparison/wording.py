"""What a comparison says in words: its plan before the result, the result, and what weakens it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.balance import UNBALANCED
from keyhole.comparison.design import Variable
from keyhole.comparison.impute import Imputed, is_coarse
from keyhole.comparison.model import (
    NO_LOT,
    Balance,
    Effect,
    LeftOut,
    Missing,
    MissingColumn,
    Overlap,
    Settings,
    Trimmed,
)
from keyhole.comparison.prepare import Prepared
from keyhole.comparison.table import Array

MUCH_MISSING = 0.2
"""Share of rows without the outcome from which the reader is warned: Keyhole's own choice."""


def arm_names(treatment: str) -> tuple[str, str]:
    """Names of arm 0 and arm 1."""
    return ("open", "small openings") if treatment == "miss" else (f"{treatment} = 0", f"{treatment} = 1")


def figure(value: float, se: float) -> str:
    """A number with as many decimals as its standard error deserves."""
    if not math.isfinite(value):
        return "not known"
    decimals = 2 if not (se > 0 and math.isfinite(se)) else min(max(0, 1 - math.floor(math.log10(se))), 6)
    return f"{value + 0.0:.{decimals}f}"


def verdict(effect: Effect, outcome: str, arms: tuple[str, str], *, is_binary: bool, level: float) -> str:
    """The doubly robust difference in one sentence that claims an association and no more."""
    scale, unit = (100.0, " percentage points") if is_binary else (1.0, "")
    se = effect.se * scale
    low, high = (figure(scale * end, se) for end in effect.interval)
    ends = f"{100 * level:g} % interval {low} to {high}"
    if effect.interval[0] <= 0 <= effect.interval[1] or not math.isfinite(effect.se):
        return (
            f"No clear difference in {outcome}: {figure(scale * effect.value, se)}{unit} ({ends}), {arms[1]} minus "
            f"{arms[0]}, after adjustment. The interval says which differences remain possible; it does not show that "
            "there is none."
        )
    way = "lower" if effect.value < 0 else "higher"
    return (
        f"{outcome} was {figure(abs(scale * effect.value), se)}{unit} {way} with {arms[1]} than with {arms[0]} ({ends} "
        "for the difference), after adjustment for what was measured. This is an association; it is the operation's "
        "own effect only if nothing unmeasured decided both the choice of operation and the outcome."
    )


def analysis_plan(
    prepared: Prepared, missing: Missing, trimmed: Trimmed, settings: Settings
) -> tuple[tuple[str, str], ...]:
    """Headings and texts of the plan; nothing in it depends on the outcome's values in either arm."""
    zero, one = arm_names(prepared.treatment)
    kind = "0 or 1; risk difference and risk ratio" if prepared.is_binary else "measured; difference of means"
    model = "logistic" if prepared.is_binary else "linear"
    squares = ", with squares of measured covariates" if settings.squares else ""
    cluster = "" if prepared.cluster_name is None else f", summed within each {prepared.cluster_name}"
    names = [variable.name for variable in prepared.covariates]
    out = [f"{left.name} ({left.reason})" for left in prepared.left_out]
    return (
        (
            "Question",
            f"Does {prepared.outcome} differ between {one} ({prepared.treatment} = 1) and {zero} "
            f"({prepared.treatment} = 0), among patients alike in the covariates? Outcome: {kind}.",
        ),
        (
            "Estimand",
            f"Average of {prepared.outcome} had all patients of the compared population had {one}, minus the average "
            f"had all had {zero} (average treatment effect). Population: {trimmed.population}.",
        ),
        ("Covariates", (", ".join(names) if names else "none: the arms are compared as they are") + "."),
        ("Left out", ("; ".join(out) if out else "no other column") + "."),
        (
            "Models",
            f"Propensity of {one}: {settings.link} model{_own(prepared.propensity, prepared.covariates)}{squares}. "
            f"Outcome: {model} model in each arm by itself{_own(prepared.outcome_terms, prepared.covariates)}{squares}."
            " Main result: the doubly robust estimate (AIPW), which holds if either model is right; beside it the "
            "naive, regression and IPW ones.",
        ),
        ("Trimming", f"{trimmed.rule}, chosen beforehand; the propensity is fitted anew on those left."),
        ("Missing data", missing.how),
        (
            "Precision",
            f"Standard errors from stacked estimating equations (sandwich){cluster}; {100 * settings.level:g} % "
            "intervals; no correction for comparing several outcomes.",
        ),
        (
            "Sensitivity",
            "Without trimming; complete cases alone; E-value for confounding that was not measured; overlap and "
            "balance are shown whatever they say.",
        ),
        ("What it cannot show", f"{NO_LOT} Both models can be wrong together."),
    )


def _own(part: Sequence[object], whole: Sequence[object]) -> str:
    if part == whole:
        return ""
    names = ", ".join(str(getattr(variable, "name", variable)) for variable in part)
    return f" on {names or 'nothing'} alone"


def trimmed_told(
    prepared: Prepared, e: Array, limits: tuple[float, float] | None, settings: Settings, left: int
) -> Trimmed:
    """Who was set aside and who is left, in words."""
    if limits is None:
        rule = "Nobody is set aside for an extreme propensity"
    elif settings.trim == "crump":
        rule = f"Patients of a propensity outside {limits[0]:.3f} to {limits[1]:.3f} are set aside (Crump's rule)"
    else:
        rule = f"Patients of a propensity outside {limits[0]:g} to {limits[1]:g} are set aside"
    if prepared.no_counterpart:
        rule += "; so are those of a category that one arm never has"
    low, high = limits or (None, None)
    whole = left == prepared.n_before
    population = (
        "all patients of the table whose operation is known"
        if whole
        else f"the {left} of {prepared.n_before} patients for whom both operations were in use"
    )
    return Trimmed(
        rule=rule,
        low=low,
        high=high,
        n_before=prepared.n_before,
        n_after=left,
        below=0 if low is None else int(np.sum(e < low)),
        above=0 if high is None else int(np.sum(e > high)),
        no_counterpart=prepared.no_counterpart,
        population=population,
    )


def missing_told(prepared: Prepared, imputed: Imputed, settings: Settings) -> Missing:
    """Which columns had gaps and what was done about them."""
    n = len(prepared.treated)
    used = [(v, "covariate") for v in prepared.covariates] + [(prepared.outcome_variable, "outcome")]
    told, gaps = [], np.zeros(n, dtype=np.bool_)
    for variable, role in [*used, *((v, "auxiliary") for v in prepared.auxiliary if v.name in imputed.rows)]:
        empty = np.isnan(prepared.values[variable.name])
        if not empty.any():
            continue
        if role != "auxiliary":
            gaps |= empty
        told.append(
            MissingColumn(variable.name, int(empty.sum()), float(empty.mean()), role, _drawn_by(variable, prepared))
        )
    helped = [v.name for v in prepared.auxiliary] if told else []
    return Missing(
        columns=tuple(told),
        incomplete_rows=int(gaps.sum()),
        share=float(gaps.mean()),
        imputations=imputed.imputations if told else 0,
        cycles=imputed.cycles,
        seed=settings.seed,
        how=_how(imputed, helped, settings) if told else "Nothing is missing; no value is drawn.",
        complete_cases=n - int(gaps.sum()),
    )


def _drawn_by(variable: Variable, prepared: Prepared) -> str:
    if variable.levels:
        return "multinomial draws"
    if variable.is_claim:
        return "Bayesian logistic draws"
    return "predictive mean matching" if is_coarse(prepared.values[variable.name]) else "local residual draws"


def _how(imputed: Imputed, helped: Sequence[str], settings: Settings) -> str:
    side = "in each arm by itself" if imputed.by_arm else "in both arms together, with the arm in every model"
    more = f", helped by {', '.join(helped)}" if helped else ""
    return (
        f"{imputed.imputations} completed tables by chained equations {side} ({imputed.cycles} cycles, seed "
        f"{settings.seed}), outcome included{more}: local residual draws for measures (predictive mean matching for "
        "those of few values), Bayesian logistic draws for 0/1, multinomial ones for categories; pooled by Rubin's "
        "rules. It holds if what is missing depends on what is known (missing at "
        "random), which no data can show."
    )


@dataclass(frozen=True, slots=True)
class Grounds:
    """What a result rests on."""

    overlap: Overlap
    balance: Sequence[Balance]
    trimmed: Trimmed
    missing: Missing
    dropped: Sequence[LeftOut]
    separated: bool


def caveats(prepared: Prepared, estimates: Mapping[str, Effect], grounds: Grounds) -> tuple[str, ...]:
    """Everything that weakens the result, the worst first."""
    found = []
    if grounds.overlap.is_poor:
        reasons = "; ".join(grounds.overlap.reasons)
        found.append(f"OVERLAP IS POOR: {reasons}. The estimates lean on the models, not on data.")
    if grounds.separated:
        found.append(
            "the covariates tell the arm or the outcome apart without doubt for some patients (separation); the "
            "model's coefficients are held back by a prior, and the estimates rest on it"
        )
    found += _of_trimming(grounds.trimmed)
    found += _of_balance(grounds.balance)
    found += _of_missing(grounds.missing)
    found += _of_agreement(estimates)
    found += prepared.caveats
    found += [f"{left.name} is dropped from the models: {left.reason}" for left in grounds.dropped]
    if prepared.is_binary and estimates["aipw"].ratio is None:
        found.append("an arm has no event, or none left after adjustment: there is no risk ratio and no E-value")
    found.append(NO_LOT)
    return tuple(dict.fromkeys(found))


def _of_trimming(trimmed: Trimmed) -> list[str]:
    gone = trimmed.n_before - trimmed.n_after
    if not gone:
        return []
    found = [
        f"{gone} of {trimmed.n_before} patients ({100 * gone / trimmed.n_before:.0f} %) are set aside by the trimming "
        "rule: the result is about the others"
    ]
    if trimmed.no_counterpart:
        named = ", ".join(f"{name} ({many})" for name, many in trimmed.no_counterpart[:6])
        found.append(f"one arm never has these, so they are set aside: {named}")
    return found


def _of_balance(balance: Sequence[Balance]) -> list[str]:
    off = [row for row in balance if abs(row.smd_after) > UNBALANCED]
    if not off:
        return []
    named = ", ".join(f"{row.covariate} ({row.smd_after:+.2f})" for row in sorted(off, key=lambda r: -abs(r.smd_after)))
    return [f"still unlike after weighting (standardised difference beyond {UNBALANCED:g}): {named}"]


def _of_missing(missing: Missing) -> list[str]:
    found = []
    for column in missing.columns:
        if column.role == "outcome" and column.share > MUCH_MISSING:
            found.append(
                f"the outcome is missing in {100 * column.share:.0f} % of patients: if those who did badly stay away "
                "for reasons not in the table, every estimate is off"
            )
    if missing.share > MUCH_MISSING:
        found.append(
            f"{100 * missing.share:.0f} % of patients have some value missing, drawn {missing.imputations} times"
        )
    return found


def _of_agreement(estimates: Mapping[str, Effect]) -> list[str]:
    regression, ipw = estimates["regression"], estimates["ipw"]
    apart = abs(regression.value - ipw.value)
    if not apart > 2 * max(regression.se, ipw.se):
        return []
    return ["regression and IPW disagree by more than two standard errors: at least one of the two models is wrong"]
