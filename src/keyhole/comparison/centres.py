"""How much of an outcome belongs to the centre and the surgeon, and whether the operation works alike everywhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from keyhole.comparison.adjust import OUTCOME_KNOWN, Completed, completed_designs
from keyhole.comparison.mixed import Block, Mixed, fit
from keyhole.comparison.model import Interval
from keyhole.comparison.rubin import interval, pooled
from keyhole.comparison.table import Array, Table, texts
from keyhole.errors import InvalidInput

FEWEST = 3
"""Centres below which no spread between centres is estimated."""
FEW = 10
"""Centres below which the spread is said to be uncertain: Keyhole's own choice."""


@dataclass(frozen=True, slots=True)
class CentreEffect:
    """The difference between the arms in one centre, drawn towards the mean of all by how little it knows."""

    centre: str
    n_arms: tuple[int, int]
    raw: float  # plain difference in the centre; nan where an arm is empty
    value: float
    interval: Interval


@dataclass(frozen=True, slots=True)
class CentreEffects:
    """A mixed model of the outcome.

    value, se, interval : adjusted difference between the arms within centres, at the mean of the centres.
    between : what the centre's share of arm 1 adds over the whole range from 0 to 1; far from 0 where centres that
    choose arm 1 more are better or worse for all their patients. sds : centre, effect in the centre, surgeon,
    residual. icc : share of the variance that belongs to the centre and to the surgeon. p_effect_varies : likelihood
    ratio test that the effect is the same in every centre.
    """

    outcome: str
    treatment: str
    n: int
    value: float
    se: float
    interval: Interval
    between: tuple[float, Interval]
    sds: tuple[float, float, float, float]
    icc: tuple[float, float]
    p_effect_varies: float
    centres: tuple[CentreEffect, ...]
    surgeons: int
    covariates: tuple[str, ...]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Groups:
    names: tuple[str, ...]
    centre: NDArray[np.int64]
    surgeon: NDArray[np.int64] | None
    surgeons: int


def mixed(
    table: Table,
    outcome: str,
    treatment: str = "miss",
    covariates: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> CentreEffects:
    """Centre and surgeon effects by a linear mixed model (REML): intercepts of both, and the effect in each centre.

    The arm enters twice, as the patient's own and as the centre's share of arm 1, so that the patient's own is the
    difference within centres. A 0/1 outcome is modelled linearly: differences are of risks. Missing covariates are
    drawn several times and pooled by Rubin's rules; intervals use Student's t with one less than the centres.
    """
    placed = texts(table, "centre") != ""
    found = completed_designs(table, outcome, treatment, covariates, among=placed, seed=seed)
    if found.treated.all() or not found.treated.any():
        raise InvalidInput(f"{table.name}: rows with a centre and {outcome} are of one arm only, two are needed")
    groups = _groups(table, found)
    arm = found.treated.astype(np.float64)
    share = _share(arm, groups)
    fits = [_fit(found.y, arm, share, X, groups, varies=True) for X in found.designs]
    plain = [_fit(found.y, arm, share, X, groups, varies=False) for X in found.designs]
    df = float(len(groups.names) - 1)
    own = _told(fits, 1, df)
    context = _told(fits, 2, df) if np.ptp(share) > 0 else (math.nan, math.nan, (math.nan, math.nan))
    gain = float(np.mean([max(p.criterion - f.criterion, 0.0) for f, p in zip(fits, plain, strict=True)]))
    sds = _sds(fits, groups)
    total = sds[0] ** 2 + sds[2] ** 2 + sds[3] ** 2
    return CentreEffects(
        outcome,
        treatment,
        len(found.y),
        own[0],
        own[1],
        own[2],
        (context[0], context[2]),
        sds,
        (sds[0] ** 2 / total, sds[2] ** 2 / total),
        0.5 * float(stats.chi2.sf(gain, 1)) if gain > 1e-6 else 1.0,
        _each(found, groups, fits, len(groups.names)),
        groups.surgeons,
        found.covariates,
        _caveats(table, found, groups, outcome),
    )


def _groups(table: Table, found: Completed) -> _Groups:
    names, codes = np.unique(texts(table, "centre")[found.rows].astype(str), return_inverse=True)
    if len(names) < FEWEST:
        raise InvalidInput(f"{table.name}: {len(names)} centres; a spread between centres needs {FEWEST} or more")
    if len(names) >= len(found.y):
        raise InvalidInput(f"{table.name}: every row has a centre of its own; a spread between centres needs several")
    surgeon, count = None, 0
    if "surgeon" in table:
        whole = texts(table, "surgeon")[found.rows].astype(str)
        each, surgeon = np.unique(whole, return_inverse=True)
        count = len(each)
        if count <= len(names) or count >= len(found.y) or "" in each:
            surgeon, count = None, 0
    return _Groups(tuple(names.tolist()), codes.astype(np.int64), surgeon, count)


def _share(arm: Array, groups: _Groups) -> Array:
    count = np.bincount(groups.centre, minlength=len(groups.names))
    shares = np.bincount(groups.centre, arm, len(groups.names)) / count
    own: Array = shares[groups.centre]
    return own


def _fit(y: Array, arm: Array, share: Array, X: Array, groups: _Groups, *, varies: bool) -> Mixed:
    """The model of one completed table: intercept, arm, centre's share of arm 1, covariates."""
    columns = [X[:, :1], arm[:, None]] + ([share[:, None] - share.mean()] if np.ptp(share) > 0 else []) + [X[:, 1:]]
    count, one = len(groups.names), np.ones(len(y))
    blocks = [Block(groups.centre, count, one)]
    if varies:
        blocks.append(Block(groups.centre, count, arm - 0.5))
    if groups.surgeon is not None:
        blocks.append(Block(groups.surgeon, groups.surgeons, one))
    return fit(np.column_stack(columns), y, blocks)


def _told(fits: Sequence[Mixed], place: int, df: float) -> tuple[float, float, Interval]:
    """A fixed coefficient pooled over the completed tables, with the t interval of the centres."""
    total = pooled([f.fixed[place] for f in fits], [f.covariance[place, place] for f in fits], df)
    return total.value, total.se, interval(total.value, total.se, min(total.df, df))


def _sds(fits: Sequence[Mixed], groups: _Groups) -> tuple[float, float, float, float]:
    mean = np.mean([[*f.sds, f.residual] for f in fits], axis=0)
    surgeon = float(mean[2]) if groups.surgeon is not None else 0.0
    return float(mean[0]), float(mean[1]), surgeon, float(mean[-1])


def _each(found: Completed, groups: _Groups, fits: Sequence[Mixed], count: int) -> tuple[CentreEffect, ...]:
    p = len(fits[0].fixed)
    told = []
    for k, name in enumerate(groups.names):
        values, variances = [], []
        for one in fits:
            at = p + count + k
            values.append(float(one.fixed[1] + one.effects[1][k]))
            variances.append(float(one.joint[1, 1] + one.joint[at, at] + 2 * one.joint[1, at]))
        total = pooled(values, variances, float(count - 1))
        inside = groups.centre == k
        arms = (int((inside & ~found.treated).sum()), int((inside & found.treated).sum()))
        raw = math.nan
        if min(arms):
            raw = float(found.y[inside & found.treated].mean() - found.y[inside & ~found.treated].mean())
        ends = interval(total.value, total.se, min(total.df, float(count - 1)))
        told.append(CentreEffect(name, arms, raw, total.value, ends))
    return tuple(told)


def _caveats(table: Table, found: Completed, groups: _Groups, outcome: str) -> tuple[str, ...]:
    said = []
    left = len(table) - len(found.y)
    unplaced = int((texts(table, "centre") == "").sum())
    if unplaced:
        said.append(f"{unplaced} rows name no centre and are left out")
    if left - unplaced > 0:
        said.append(f"{left - unplaced} of {len(table)} rows lack {outcome} or the arm: {OUTCOME_KNOWN}")
    if len(groups.names) < FEW:
        said.append(f"{len(groups.names)} centres tell little about a spread between centres: take the sds as rough")
    if groups.surgeon is None:
        said.append("surgeons are not told apart from centres in this table: their part is within the others")
    if len(np.unique(found.y)) == 2:
        said.append(f"{outcome} is 0 or 1 and modelled linearly: differences of risks, approximate where rare")
    one_way = sum(not 0 < found.treated[groups.centre == k].mean() < 1 for k in range(len(groups.names)))
    if one_way:
        said.append(
            f"{one_way} centres did one of the two operations only: their own difference is a guess from others"
        )
    return tuple(said)
