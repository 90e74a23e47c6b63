"""The rows and columns of a comparison, checked; what cannot be compared is refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.comparison.columns import Chosen, arms, auxiliaries, choose, outcomes
from keyhole.comparison.design import Terms, Values, Variable, names_the_arm, terms, unmatched, variables
from keyhole.comparison.model import LeftOut, Settings
from keyhole.comparison.table import Index, Mask, Table, missing, taken, texts
from keyhole.errors import InvalidInput

LEAST_IN_ARM = 10
"""Fewest patients of an arm that are compared at all: Keyhole's own choice."""

FEW_CLUSTERS = 20
_MUCH_MISSING = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Everything an analysis needs, rows without a counterpart already set aside."""

    table: Table
    outcome: str
    treatment: str
    treated: Mask
    covariates: tuple[Variable, ...]
    propensity: tuple[Variable, ...]
    outcome_terms: tuple[Variable, ...]
    auxiliary: tuple[Variable, ...]
    outcome_variable: Variable
    values: Values
    cluster: Index | None
    cluster_name: str | None
    n_before: int
    no_counterpart: tuple[tuple[str, int], ...]
    left_out: tuple[LeftOut, ...]
    caveats: tuple[str, ...]

    @property
    def is_binary(self) -> bool:
        """Whether the outcome is 0 or 1."""
        return self.outcome_variable.is_claim


def prepare(
    table: Table, outcome: str, treatment: str, covariates: Sequence[str] | None, settings: Settings
) -> Prepared:
    """Choose and check rows and columns; see `Prepared`."""
    if covariates is None and settings.propensity is not None and settings.outcome is not None:
        covariates = (*settings.propensity, *settings.outcome)
    arm, known = arms(table, treatment)
    outcomes(table, outcome, treatment)
    chosen = choose(table, outcome, treatment, covariates)
    caveats = list(chosen.caveats)
    if not known.all():
        caveats.append(f"{int((~known).sum())} rows do not say the treatment and are left out")
        table, arm = taken(table, known), arm[known]
    treated = arm == 1
    chosen = _without_names_of_the_arm(table, chosen, treated, treatment, asked=covariates is not None)
    table, treated, lost = _with_counterpart(table, treated, chosen)
    answered = ~np.isnan(outcomes(table, outcome, treatment))
    cluster = _cluster_name(table, settings.cluster)
    extra = settings.auxiliary if settings.auxiliary is not None else auxiliaries(table, outcome, chosen.covariates)
    found, values = variables(table, [*chosen.covariates, outcome, *extra])
    by_name = {variable.name: variable for variable in found}
    prepared = Prepared(
        table=table,
        outcome=outcome,
        treatment=treatment,
        treated=treated,
        covariates=tuple(by_name[name] for name in chosen.covariates),
        propensity=_subset(by_name, chosen, settings.propensity, "propensity"),
        outcome_terms=_subset(by_name, chosen, settings.outcome, "outcome"),
        auxiliary=tuple(by_name[name] for name in extra),
        outcome_variable=by_name[outcome],
        values=values,
        cluster=None if cluster is None else _clusters(table, cluster),
        cluster_name=cluster,
        n_before=int(known.sum()),
        no_counterpart=lost,
        left_out=chosen.left_out,
        caveats=(*caveats, *_warnings(table, chosen.covariates, cluster)),
    )
    enough(treated, len(prepared.propensity), table.name)
    enough(treated[answered], 0, f"{table.name}, rows with {outcome}")
    return prepared


def enough(treated: Mask, columns: int, name: str) -> None:
    """Refuse where an arm has too few patients for the columns of its model."""
    needed = max(LEAST_IN_ARM, columns + 2)
    for n, arm in enumerate((~treated, treated)):
        many = int(arm.sum())
        if many < needed:
            raise InvalidInput(
                f"{name}: too few rows: arm {n} has {many} patients left to compare, expected at least {needed}"
                f"{f' for {columns} columns of covariates' if columns + 2 > LEAST_IN_ARM else ''}"
            )


def model_terms(prepared: Prepared, values: Values, rows: Mask, settings: Settings) -> tuple[Terms, Terms]:
    """Columns of the propensity's and of the outcome's model on these rows."""
    first = terms(prepared.propensity, values, rows, squares=settings.squares)
    if prepared.outcome_terms == prepared.propensity:
        return first, first
    return first, terms(prepared.outcome_terms, values, rows, squares=settings.squares)


def _without_names_of_the_arm(table: Table, chosen: Chosen, treated: Mask, treatment: str, *, asked: bool) -> Chosen:
    """Without covariates that are another name of the treatment."""
    found, values = variables(table, chosen.covariates)
    same = [variable.name for variable in found if names_the_arm(variable, values[variable.name], treated)]
    if same and asked:
        raise InvalidInput(f"{table.name}: {same[0]!r} tells {treatment} without doubt: it is no covariate")
    reason = f"it tells {treatment} without doubt: another name of the treatment"
    return replace(
        chosen,
        covariates=tuple(name for name in chosen.covariates if name not in same),
        left_out=(*chosen.left_out, *(LeftOut(name, reason) for name in same)),
    )


def _with_counterpart(table: Table, treated: Mask, chosen: Chosen) -> tuple[Table, Mask, tuple[tuple[str, int], ...]]:
    """Without rows of categories that one arm never has; repeated, because each removal can make another."""
    lost: list[tuple[str, int]] = []
    while True:
        found, values = variables(table, chosen.covariates)
        outside, named = unmatched(found, values, treated)
        if not named:
            return table, treated, tuple(lost)
        lost += named
        table, treated = taken(table, ~outside), treated[~outside]
        if not treated.any() or treated.all():
            words = ", ".join(name for name, _ in lost[:4])
            raise InvalidInput(f"{table.name}: nobody is left in one arm once categories of one arm are gone: {words}")


def _subset(
    by_name: dict[str, Variable], chosen: Chosen, asked: tuple[str, ...] | None, model: str
) -> tuple[Variable, ...]:
    if asked is None:
        return tuple(by_name[name] for name in chosen.covariates)
    strange = [name for name in asked if name not in chosen.covariates]
    if strange:
        raise InvalidInput(f"the {model} model asks for {strange[0]!r}, which is not among the covariates")
    return tuple(by_name[name] for name in asked)


def _clusters(table: Table, name: str) -> Index:
    if missing(table, name).any():
        many = int(missing(table, name).sum())
        raise InvalidInput(f"{table.name}: the cluster column {name!r} must be known in every row, it is not in {many}")
    codes: Index = np.unique(texts(table, name).astype(str), return_inverse=True)[1].astype(np.int64)
    if int(codes.max()) + 1 < 2:
        raise InvalidInput(f"{table.name}: the cluster column {name!r} must hold at least two values")
    return codes


def _cluster_name(table: Table, asked: str | None) -> str | None:
    if asked != "auto":
        return asked
    if "surgeon" not in table or missing(table, "surgeon").any():
        return None
    return "surgeon" if len(set(texts(table, "surgeon").tolist())) >= FEW_CLUSTERS else None


def _warnings(table: Table, covariates: Sequence[str], cluster: str | None) -> list[str]:
    found = []
    for name in covariates:
        share = float(missing(table, name).mean())
        if share > _MUCH_MISSING:
            found.append(f"{name} is missing in {100 * share:.0f} % of rows: what stands for it is mostly drawn")
    if cluster is None or cluster == "surgeon":
        found += _together(table)
    if cluster is not None and int(_clusters(table, cluster).max()) + 1 < FEW_CLUSTERS:
        found.append(f"there are fewer than {FEW_CLUSTERS} values of {cluster}: intervals can be too narrow")
    if "episode" in table and len(set(texts(table, "episode").tolist())) < len(table):
        found.append("some episodes are in the table more than once")
    return found


def _together(table: Table) -> list[str]:
    if "patient" not in table:
        return []
    many = len(table) - len(set(texts(table, "patient").tolist()))
    if not many:
        return []
    return [f"{many} rows are of patients who are there already: --cluster patient lets the intervals know"]
