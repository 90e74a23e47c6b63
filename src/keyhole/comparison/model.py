"""What a comparison of two arms is asked for, and what it answers: values without behaviour.

Arm 1 is the treatment (small openings, `miss` = 1), arm 0 what it is compared with (open). Every difference is arm 1
minus arm 0, every ratio arm 1 over arm 0, every pair is (arm 0, arm 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

Interval: TypeAlias = tuple[float, float]

METHODS = {
    "naive": "plain difference of means",
    "regression": "outcome model in each arm (g-computation)",
    "ipw": "weighted by the propensity (IPW)",
    "aipw": "doubly robust (AIPW)",
}
"""The four estimates, in the order they are told."""

NO_LOT = "The patients were not drawn by lot: what was not measured can still explain a difference."


@dataclass(frozen=True, slots=True)
class Settings:
    """Choices made before the outcome is looked at.

    trim : keep propensities within [trim, 1 - trim]; "crump" for the range that Crump's rule finds; None for all.
    imputations : how many completed tables; None chooses by the number of rows; 1 or more otherwise.
    seed : of the imputation; the same seed gives the same numbers.
    cluster : column whose values hold together (patient, surgeon, centre), for the standard errors; "auto" takes the
        surgeon where the table knows at least 20 of them in every row; None for no clusters.
    level : of every interval.
    link : of the propensity model, "logit" or "probit".
    squares : whether squares of measured covariates join both models.
    propensity, outcome : covariates of one model alone, where the two differ; None for all covariates.
    auxiliary : columns that help the imputation alone; None for other visits of the same questionnaire.
    """

    trim: float | str | None = 0.05
    imputations: int | None = None
    seed: int = 0
    cluster: str | None = "auto"
    level: float = 0.95
    link: str = "logit"
    squares: bool = False
    propensity: tuple[str, ...] | None = None
    outcome: tuple[str, ...] | None = None
    auxiliary: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Ratio:
    """Risk of arm 1 over risk of arm 0; `se_log` on the log scale."""

    value: float
    se_log: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class Effect:
    """One estimate of the average difference, with the mean of each arm (arm 0, arm 1) that it stands for.

    `df` is infinite where the normal distribution is used; `missing_information` is the share of the variance that
    missing values cost (Rubin's fraction, 0 where nothing is missing).
    """

    method: str
    value: float
    se: float
    interval: Interval
    means: tuple[float, float]
    n: int
    df: float
    missing_information: float
    ratio: Ratio | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """How far the two arms could have had either operation, before trimming unless named otherwise.

    edges : (k + 1,) edges of the propensity's bins; counts : bins per arm (arm 0, arm 1), averaged over imputations.
    effective : effective number of patients per arm under the weights, after trimming; n : patients they stand for.
    reach : least and greatest propensity of each arm.
    outside_support : share of patients whose propensity the other arm never reaches.
    extreme : share of patients below 0.05 or above 0.95.
    largest_weight : greatest share of an arm's weight that one patient carries, after trimming.
    """

    edges: tuple[float, ...]
    counts: tuple[tuple[float, ...], tuple[float, ...]]
    n: tuple[int, int]
    effective: tuple[float, float]
    reach: tuple[Interval, Interval]
    outside_support: float
    extreme: float
    largest_weight: float
    is_poor: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Trimmed:
    """Who was set aside before the estimates, by a rule stated beforehand.

    low, high : propensities kept; None where nobody is trimmed by propensity.
    no_counterpart : patients of a category that one arm never has, each category with its count.
    population : who is left, in words.
    """

    rule: str
    low: float | None
    high: float | None
    n_before: int
    n_after: int
    below: int
    above: int
    no_counterpart: tuple[tuple[str, int], ...]
    population: str


@dataclass(frozen=True, slots=True)
class Balance:
    """One covariate (or one level of it) between the arms: all patients unweighted, and after trimming and weighting.

    Standardised mean differences in sd of the two arms before weighting; variance ratios arm 1 over arm 0, None for
    what is 0 or 1.
    """

    covariate: str
    means: tuple[float, float]
    means_after: tuple[float, float]
    smd_before: float
    smd_after: float
    variance_ratio_before: float | None
    variance_ratio_after: float | None


@dataclass(frozen=True, slots=True)
class EValue:
    """How strong unmeasured confounding must be, as a risk ratio with both arm and outcome, to explain the result.

    risk_ratio : what it rests on, approximated from the standardised difference for measured outcomes.
    interval_end : for the end of the interval nearest to no difference; 1 where the interval holds it.
    """

    value: float
    interval_end: float
    risk_ratio: float
    how: str


@dataclass(frozen=True, slots=True)
class MissingColumn:
    """A column with missing values and how they were drawn."""

    column: str
    n: int
    share: float
    role: str  # outcome | covariate | auxiliary
    method: str


@dataclass(frozen=True, slots=True)
class Missing:
    """What was missing and what was done about it."""

    columns: tuple[MissingColumn, ...]
    incomplete_rows: int
    share: float
    imputations: int
    cycles: int
    seed: int
    how: str
    complete_cases: int


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A column or a term that is not in the models, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms compared on one outcome: the plan, the estimates, and what they rest on.

    estimates : by method, keys of `METHODS`. further : sensitivity analyses by name ("aipw untrimmed",
    "aipw complete cases", "naive after trimming").
    plan : headings and texts, stated before the result. verdict : the result in words that claim no more than it can.
    """

    source: str
    outcome: str
    treatment: str
    arms: tuple[str, str]
    n: int
    n_used: int
    n_arms: tuple[int, int]
    is_binary: bool
    estimates: Mapping[str, Effect]
    further: Mapping[str, Effect]
    overlap: Overlap
    balance: tuple[Balance, ...]
    trimmed: Trimmed
    e_value: EValue | None
    missing: Missing
    covariates: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    dropped: tuple[LeftOut, ...]
    plan: tuple[tuple[str, str], ...]
    verdict: str
    caveats: tuple[str, ...]
    settings: Settings
    cluster: str | None = None  # the column that standard errors were summed within
