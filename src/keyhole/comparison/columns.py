"""Which columns are compared and adjusted for, which are not, and why; checked before anything is estimated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from keyhole.comparison.model import LeftOut
from keyhole.comparison.table import DATES, IDENTIFIERS, Array, Mask, Table, missing, numbers
from keyhole.errors import InvalidInput

AFTER = {
    "minutes": "measured in the operation",
    "blood_loss_ml": "measured in the operation",
    "stay_days": "measured after the operation",
    "complication": "happens after the operation",
    "readmitted": "happens after the operation",
    "reoperated": "happens after the operation",
    "reoperation_days": "measured after the operation",
    "followup_days": "measured after the operation",
    "recovered": "measured after the operation",
    "recovery_days": "measured after the operation",
    "converted": "decided in the operation",
}
"""Columns of a registry that lie after the choice of the operation: adjusting for them would hide its effect."""

MOST_LEVELS = 20
"""More words than these in one column are taken for names, not for categories: Keyhole's own choice."""

_VISIT = re.compile(r"_(\d+)(d|w|m|mo|y)$")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOSTLY = 0.8


@dataclass(frozen=True, slots=True)
class Chosen:
    """Covariates, and every other column with its reason."""

    covariates: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    caveats: tuple[str, ...]


def arms(table: Table, treatment: str) -> tuple[Array, Mask]:
    """The treatment as 0 and 1 and where it is known; anything else, or an empty arm, is refused."""
    values = numbers(table, treatment)
    known = ~np.isnan(values)
    odd = np.unique(values[known & (values != 0) & (values != 1)])
    if odd.size:
        raise InvalidInput(f"{table.name}: the treatment {treatment!r} must be 0 or 1, found {_few(odd)}")
    for arm in (0, 1):
        if not (values == arm).any():
            raise InvalidInput(f"{table.name}: no row has {treatment} = {arm}: two arms are needed")
    return values, known


def outcomes(table: Table, outcome: str, treatment: str) -> Array:
    """The outcome as numbers; a constant one, or one that an arm never has, is refused."""
    if outcome == treatment:
        raise InvalidInput(f"outcome and treatment must be two columns, both are {outcome!r}")
    values = numbers(table, outcome)
    arm = numbers(table, treatment)
    for n in (0, 1):
        if np.isnan(values[arm == n]).all():
            raise InvalidInput(f"{table.name}: no row with {treatment} = {n} has the outcome {outcome!r}")
    known = values[~np.isnan(values) & ~np.isnan(arm)]
    if known.min() == known.max():
        raise InvalidInput(
            f"{table.name}: the outcome {outcome!r} is {known[0]:g} in every row: nothing can be compared"
        )
    return values


def choose(table: Table, outcome: str, treatment: str, asked: Sequence[str] | None) -> Chosen:
    """The covariates: those asked for, or every column known before the operation.

    Left out by default are outcome, treatment, identifiers, dates, what lies after the operation (`AFTER`, names that
    end in a visit such as _3m), columns that are empty or constant, and columns of many different words.
    """
    if asked is not None:
        return _asked(table, outcome, treatment, tuple(dict.fromkeys(asked)))
    used, left_out = [], []
    for name in table.columns:
        reason = _reason(table, name, outcome, treatment)
        if reason:
            left_out.append(LeftOut(name, reason))
        else:
            used.append(name)
    return Chosen(tuple(used), tuple(left_out), ())


def auxiliaries(table: Table, outcome: str, covariates: Sequence[str]) -> tuple[str, ...]:
    """Other visits of the outcome's questionnaire: they are no covariates, but they help to impute it."""
    match = _VISIT.search(outcome)
    if not match:
        return ()
    stem = outcome[: match.start()]
    found = [
        name
        for name in table.columns
        if name not in {outcome, *covariates}
        and name.startswith(f"{stem}_")
        and _VISIT.fullmatch(name[len(stem) :])
        and not table.is_text(name)
        and not missing(table, name).all()
    ]
    return tuple(found)


def _asked(table: Table, outcome: str, treatment: str, asked: tuple[str, ...]) -> Chosen:
    caveats = []
    for name in asked:
        if name in (outcome, treatment):
            raise InvalidInput(f"{name!r} is the {'outcome' if name == outcome else 'treatment'}: it is no covariate")
        reason = _unusable(table, name)
        if reason:
            raise InvalidInput(f"{table.name}: {name!r} cannot be a covariate: {reason}")
        later = _later(name)
        if later:
            caveats.append(
                f"{name} is {later}: adjusting for it takes away part of what the operation did, and can bias the rest"
            )
    left = tuple(LeftOut(name, "not asked for") for name in table.columns if name not in {*asked, outcome, treatment})
    return Chosen(asked, left, tuple(caveats))


def _reason(table: Table, name: str, outcome: str, treatment: str) -> str:
    if name == outcome:
        return "the outcome"
    if name == treatment:
        return "the treatment"
    if name in IDENTIFIERS:
        return "identifies, does not describe"
    return _later(name) or _unusable(table, name)


def _later(name: str) -> str:
    return AFTER.get(name, "measured after the operation" if _VISIT.search(name) else "")


def _unusable(table: Table, name: str) -> str:
    """Why the column can be no covariate, empty where it can."""
    values = table[name]
    empty = missing(table, name)
    if empty.all():
        return "it is empty"
    known = values[~empty]
    if name in DATES or (values.dtype == object and all(_DATE.match(cell) for cell in known[:100])):
        return "it is a date"
    if (known == known[0]).all():
        return "it is the same in every row"
    return _too_many_words(table, name) if values.dtype == object else ""


def _too_many_words(table: Table, name: str) -> str:
    words = set(table[name].tolist()) - {""}
    plain = sum(_is_number(word) for word in words)
    if plain >= _MOSTLY * len(words) and len(words) > 2:
        numbers(table, name)  # refuses with the first word among the numbers
    return f"it holds {len(words)} different words, names rather than categories" if len(words) > MOST_LEVELS else ""


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _few(values: Array) -> str:
    shown = ", ".join(f"{value:g}" for value in values[:5])
    return shown + (" and more" if len(values) > 5 else "")
