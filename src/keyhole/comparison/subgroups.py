"""Does the difference between the arms differ between kinds of patients? Every subgroup named beforehand, all shown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from keyhole.comparison.adjust import OUTCOME_KNOWN, Completed, completed_designs
from keyhole.comparison.estimators import models
from keyhole.comparison.model import Interval
from keyhole.comparison.rubin import interval, pooled
from keyhole.comparison.table import Array, Mask, Table, missing, numbers, texts
from keyhole.errors import InvalidInput

MISLEAD = (
    "Many subgroups mislead: with enough of them one differs by chance alone. Read the test of the interaction, "
    "corrected for their number, and not which subgroup's interval leaves out 0."
)
SMALLEST = 10
"""Patients per arm below which a subgroup is shown as too small: Keyhole's own choice."""

PLANNED = ("age", "sex", "bmi", "smoker", "diabetes", "prior_surgery", "levels", "operation", "odi_0")
"""Subgroups looked at unless others are asked for; measures are cut at the value in `CUTS` or at their median."""
CUTS = {"age": 65.0, "bmi": 30.0, "levels": 1.5}
"""Usual cuts: 65 years, 30 kg/m², one level or more. Keyhole's own choice, made before any result."""
_EDGE = 0.02  # propensities are kept this far from 0 and 1 in the weights


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The difference in one part of the patients; value None where it is too small."""

    label: str
    n_arms: tuple[int, int]
    value: float | None
    se: float | None
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class Split:
    """One way to part the patients. p : test that all parts have one difference; p_corrected : Holm's, over all splits.

    difference : last part minus first, with interval; None where there are more than two parts or one is too small.
    """

    column: str
    parts: tuple[Subgroup, ...]
    difference: float | None
    interval: Interval | None
    p: float
    p_corrected: float


@dataclass(frozen=True, slots=True)
class Subgroups:
    """All splits that were planned, and the words that go with them. not_done : column and reason."""

    outcome: str
    treatment: str
    splits: tuple[Split, ...]
    not_done: tuple[tuple[str, str], ...]
    words: str
    caveats: tuple[str, ...]


def subgroups(
    table: Table,
    outcome: str,
    treatment: str = "miss",
    covariates: Sequence[str] | None = None,
    *,
    by: Sequence[str] = PLANNED,
    trim: tuple[float, float] | None = None,
    seed: int = 0,
) -> Subgroups:
    """Doubly robust differences within parts of the patients, and tests that the parts differ.

    Each patient's AIPW value is averaged over the part; models are fitted once, on everybody, so that a part borrows
    the others' covariate effects. Completed tables are pooled by Rubin's rules.

    Parameters
    ----------
    by : columns to part the patients by; every one of them is told, whatever it shows.
    trim : propensities kept, as in the main comparison; None for all.
    """
    found = completed_designs(table, outcome, treatment, covariates, seed=seed)
    values, inside = _patient_values(found, trim)
    splits, not_done = [], []
    for column in dict.fromkeys(by):
        if column not in table:
            not_done.append((column, "the table has no such column"))
            continue
        parts = _parts(table, column, found.rows)
        if len(parts) < 2:
            not_done.append((column, "all patients are alike in it, or it is unknown"))
            continue
        splits.append(_split(column, parts, values, inside, found))
    said = [MISLEAD]
    if len(found.y) < len(table):
        said.append(f"{len(table) - len(found.y)} of {len(table)} rows lack {outcome} or the arm: {OUTCOME_KNOWN}")
    return Subgroups(outcome, treatment, _holm(splits), tuple(not_done), _words(splits), tuple(said))


def _patient_values(found: Completed, trim: tuple[float, float] | None) -> tuple[list[Array], list[Mask]]:
    """Each patient's AIPW value of the difference, per completed table, and who is within the trimming."""
    is_binary = bool(np.isin(found.y, (0.0, 1.0)).all())
    values, inside = [], []
    for X in found.designs:
        fitted = models(X, X, found.treated, found.y, is_binary=is_binary)
        e = np.clip(fitted.propensity.mean, _EDGE, 1 - _EDGE)
        low, high = fitted.outcomes[0].mean, fitted.outcomes[1].mean
        own = np.where(found.treated, (found.y - high) / e, -(found.y - low) / (1 - e))
        values.append(high - low + own)
        within = np.ones(len(e), dtype=np.bool_)
        if trim is not None:
            within = (fitted.propensity.mean >= trim[0]) & (fitted.propensity.mean <= trim[1])
        inside.append(within)
    return values, inside


def _parts(table: Table, column: str, rows: Mask) -> list[tuple[str, Mask]]:
    """Label and members of each part; who is unknown is in none."""
    unknown = missing(table, column)[rows]
    if unknown.all():
        return []
    if table.is_text(column):
        words = texts(table, column)[rows]
        return [(f"{column} {word}", words == word) for word in sorted(set(words.tolist()) - {""})]
    values = numbers(table, column)[rows]
    known = values[~unknown]
    if np.isin(known, (0.0, 1.0)).all():
        parts = [(f"{column} {word}", ~unknown & (values == code)) for word, code in (("no", 0.0), ("yes", 1.0))]
    else:
        cut = CUTS.get(column, float(np.median(known)))
        shown = math.ceil(cut) if column == "levels" else cut
        parts = [(f"{column} below {shown:g}", values < cut), (f"{column} {shown:g} or more", values >= cut)]
    return [(label, members) for label, members in parts if members.any()]


def _split(
    column: str, parts: Sequence[tuple[str, Mask]], values: Sequence[Array], inside: Sequence[Mask], found: Completed
) -> Split:
    told, means, errors = [], [], []
    for label, members in parts:
        arms = (int((members & ~found.treated).sum()), int((members & found.treated).sum()))
        of = [one[members & kept] for one, kept in zip(values, inside, strict=True)]
        if min(arms) < SMALLEST or min(len(one) for one in of) < 2:
            told.append(Subgroup(label, arms, None, None, None))
            continue
        total = pooled([float(o.mean()) for o in of], [float(o.var(ddof=1)) / len(o) for o in of], sum(arms) - 1.0)
        told.append(Subgroup(label, arms, total.value, total.se, interval(total.value, total.se, total.df)))
        means.append(total.value)
        errors.append(total.se)
    if len(means) < 2:
        return Split(column, tuple(told), None, None, math.nan, math.nan)
    weight = np.array(errors) ** -2.0
    centre = float(weight @ means / weight.sum())
    p = float(stats.chi2.sf(weight @ (np.array(means) - centre) ** 2, len(means) - 1))
    difference, ends = None, None
    if len(parts) == len(means) == 2:
        difference, se = means[1] - means[0], math.hypot(errors[0], errors[1])
        ends = interval(difference, se, math.inf)
    return Split(column, tuple(told), difference, ends, p, math.nan)


def _holm(splits: Sequence[Split]) -> tuple[Split, ...]:
    """The splits with p values corrected for their number by Holm's method."""
    tested = sorted((k for k, split in enumerate(splits) if not math.isnan(split.p)), key=lambda k: splits[k].p)
    corrected, most = [math.nan] * len(splits), 0.0
    for rank, k in enumerate(tested):
        most = max(most, min(1.0, splits[k].p * (len(tested) - rank)))
        corrected[k] = most
    return tuple(Split(s.column, s.parts, s.difference, s.interval, s.p, corrected[k]) for k, s in enumerate(splits))


def _words(splits: Sequence[Split]) -> str:
    held = _holm(splits)
    count = sum(not math.isnan(split.p) for split in held)
    if not count:
        raise InvalidInput("no subgroup has enough patients in both arms")
    clear = [split.column for split in held if split.p_corrected < 0.05]
    if not clear:
        return (
            f"None of {count} subgroups shows that the difference depends on who the patient is, after correction for "
            f"their number. {MISLEAD}"
        )
    return (
        f"The difference may depend on {', '.join(clear)} ({len(clear)} of {count} subgroups after correction for "
        f"their number): a lead to be tested in other patients, not a result. {MISLEAD}"
    )
