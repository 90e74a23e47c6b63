"""Completed design matrices that centre effects, subgroups and charts of surgeons and centres share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.columns import arms, choose
from keyhole.comparison.design import Variable, design, terms, variables
from keyhole.comparison.fit import logistic
from keyhole.comparison.impute import LARGE, completed, impute
from keyhole.comparison.table import Array, Mask, Table, numbers, taken
from keyhole.errors import InvalidInput

FOR_CHANCES = 2
"""Completed tables behind the expected outcomes of charts and funnels, which average over patients anyway."""
OUTCOME_KNOWN = "rows without the outcome are left out here; missing covariates are drawn"


@dataclass(frozen=True, slots=True, eq=False)
class Completed:
    """Rows that can be used, and the covariates of each completed table.

    y, treated : (n,) outcome and arm. rows : of the table. designs : per completed table (n, 1 + terms), intercept
    first, the other columns of mean 0 and sd 1; equal columns in each.
    """

    y: Array
    treated: Mask
    rows: Mask
    designs: tuple[Array, ...]
    names: tuple[str, ...]
    covariates: tuple[str, ...]


def completed_designs(
    table: Table,
    outcome: str,
    treatment: str,
    covariates: Sequence[str] | None = None,
    *,
    among: Mask | None = None,
    imputations: int | None = None,
    seed: int = 0,
) -> Completed:
    """Designs of the covariates (None: all known before the operation) for rows whose arm and outcome are known.

    Missing covariates are drawn as in the comparison, with the outcome among the columns that draw them; 5 times up to
    20,000 rows and twice beyond.
    """
    values, known = arms(table, treatment)
    y = numbers(table, outcome)
    rows = known & ~np.isnan(y) & (True if among is None else among)
    if rows.sum() < 2 or (among is None and len(np.unique(values[rows])) < 2):
        raise InvalidInput(f"{table.name}: too few rows have {outcome} and {treatment}")
    chosen = choose(table, outcome, treatment, covariates)
    held = taken(table, rows)
    found, codes = variables(held, chosen.covariates)
    target = y[rows]
    kept = tuple(v for v in found if not np.isnan(codes[v.name]).all())
    count = imputations or (2 if len(target) > LARGE else 5)
    every = (*kept, Variable(outcome, is_claim=bool(np.isin(target, (0.0, 1.0)).all())))
    drawn = impute(every, {**codes, outcome: target}, values[rows] == 1, count, seed=seed)
    first = completed({**codes, outcome: target}, drawn, 0)
    all_rows = np.ones(len(target), dtype=np.bool_)
    wanted = terms(kept, first, all_rows)
    tables = (completed({**codes, outcome: target}, drawn, k) for k in range(drawn.imputations))
    designs = tuple(design(kept, one, all_rows, wanted) for one in tables)
    return Completed(target, values[rows] == 1, rows, designs, wanted.names, tuple(v.name for v in kept))


def chances(found: Completed) -> Array:
    """Chance of a 0/1 outcome of each row from what was known before the operation, averaged over completed tables."""
    total: Array = sum((logistic(X, found.y).mean for X in found.designs), start=np.zeros(len(found.y)))
    return total / len(found.designs)


def expected(found: Completed) -> Array:
    """Expected value of a measured outcome of each row, averaged over completed tables."""
    total = np.zeros(len(found.y))
    for X in found.designs:
        total += X @ np.linalg.lstsq(X, found.y, rcond=None)[0]
    return total / len(found.designs)
