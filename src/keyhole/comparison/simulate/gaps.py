"""What a registry does not know: patients who leave, questionnaires and measures that are missing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from keyhole.comparison.simulate.patients import Array, Patients
from keyhole.comparison.simulate.settings import Settings, parameters

VISITS = {"6w": 42.0, "3m": 91.0, "6m": 182.0, "12m": 365.0, "24m": 730.0}
"""Days after the operation."""
_OF_ITSELF = 0.6  # logit per sd of the missing value where it decides itself


def leaving(people: Patients, settings: Settings, rng: np.random.Generator) -> Array:
    """The day on which each patient is lost for good, inf where never; it does not depend on the operation's way."""
    found, drawn = parameters()["missing"], rng.exponential(size=len(people))
    share = found["dropouts"] * settings.missing_share
    if settings.missing == "none" or share == 0:
        return np.full(len(people), np.inf)
    hazard = -np.log1p(-share) / VISITS["12m"]
    day: Array = np.ceil(drawn / (hazard * np.exp(_by_measures(people, settings))))
    return day


def answered(
    scores: Mapping[str, Array],
    people: Patients,
    miss: Array,
    left: Array,
    settings: Settings,
    rng: np.random.Generator,
) -> dict[str, Array]:
    """The scores with nan where no questionnaire came back: a visit is one sheet, missing whole."""
    if settings.missing == "none":
        return dict(scores)
    found = parameters()["missing"]
    seen: dict[str, Array] = {}
    for visit, day in VISITS.items():
        names = [name for name in scores if name.endswith(f"_{visit}")]
        gone = left < day
        logit = _by_measures(people, settings)
        if settings.missing != "mcar":
            logit = logit + found["logit"]["miss"] * miss
        if settings.missing == "mnar":
            logit = logit + _OF_ITSELF * _standard(scores[names[0]])
        share = min(found["at"][visit] * settings.missing_share, 0.9)
        rest = max(share - float(gone.mean()), 0.0) / max(1.0 - float(gone.mean()), 1e-9)
        blank = gone | (rng.random(len(people)) < _chances(logit, rest))
        seen |= {name: np.where(blank, np.nan, scores[name]) for name in names}
    return {name: seen[name] for name in scores}


def recorded(people: Patients, settings: Settings, rng: np.random.Generator) -> dict[str, Array]:
    """The measures before the operation with nan where they were not written down."""
    found, columns = parameters()["missing"], dict(people.columns)
    if settings.missing == "none":
        return columns
    for name in found["columns"]:
        logit = 0.3 * people.standard["age"] if settings.missing == "mar" else np.zeros(len(people))
        if settings.missing == "mnar":
            logit = _OF_ITSELF * people.standard[name]
        blank = rng.random(len(people)) < _chances(logit, found["covariates"] * settings.missing_share)
        columns[name] = np.where(blank, np.nan, columns[name])
    return columns


def _by_measures(people: Patients, settings: Settings) -> Array:
    if settings.missing == "mcar":
        return np.zeros(len(people))
    weights = parameters()["missing"]["logit"]
    return people.sum({name: weight for name, weight in weights.items() if name != "miss"})


def _chances(logit: Array, share: float) -> Array:
    """Chances with the given mean that follow `logit`."""
    if share <= 0:
        return np.zeros(len(logit))
    place = brentq(lambda at: float(expit(at + logit).mean()) - share, -40.0, 40.0)
    chances: Array = expit(place + logit)
    return chances


def _standard(values: Array) -> Array:
    standard: Array = (values - values.mean()) / (float(values.std()) or 1.0)
    return standard
