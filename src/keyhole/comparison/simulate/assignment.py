"""Where, when, by whom and how each patient is operated on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from keyhole.comparison.simulate.patients import Array, Patients
from keyhole.comparison.simulate.settings import Settings, parameters

OPERATIONS = ("discectomy", "decompression", "fusion")
FIRST_DAY, LAST_DAY, CLOSED = np.datetime64("2018-01-01"), np.datetime64("2022-12-31"), np.datetime64("2024-12-31")
"""Operations from the first to the last day; the registry is closed two years after, so that nobody is too recent."""


@dataclass(frozen=True, slots=True, eq=False)
class Assignment:
    """Each patient's centre, surgeon, day, operation and way; how likely a small opening was.

    `centre_effect` and `surgeon_effect` are scores of sd 1 that belong to a patient's centre and surgeon and raise
    outcomes; `experience` is the number of small openings that the surgeon had done before.
    """

    centre: NDArray[np.int64]
    surgeon: NDArray[np.int64]
    day: NDArray[np.int64]
    operation: NDArray[np.int64]
    propensity: Array
    miss: Array
    experience: Array
    centre_effect: Array
    surgeon_effect: Array


def assign(people: Patients, settings: Settings, rng: np.random.Generator) -> Assignment:
    """The assignment: confounding by indication, the centre's and surgeon's habit, and a rise over the years.

    Habit and outcome of centres and surgeons are drawn apart and made uncorrelated, so that leaving them out of a
    model adds noise and no bias.
    """
    found, n = parameters()["assignment"], len(people)
    home = _home(settings, rng)
    surgeon = rng.choice(settings.surgeons, n, p=_sizes(settings.surgeons, rng))
    centre = home[surgeon]
    sizes = np.bincount(surgeon, minlength=settings.surgeons).astype(np.float64)
    habit = found["centre_sd"] * rng.standard_normal(settings.centres)[home]
    habit += found["surgeon_sd"] * rng.standard_normal(settings.surgeons)
    day = rng.integers(0, int((LAST_DAY - FIRST_DAY).astype(int)) + 1, n)
    logit = people.sum(found["logit"]) - settings.hidden * people.hidden
    if settings.curved in {"treatment", "both"}:
        logit = logit + 0.6 * (people.standard["odi_0"] ** 2 - 1)
    logit *= settings.confounding * (found["poor_overlap"] if settings.overlap == "poor" else 1.0)
    logit += found["intercept"] + found["per_year"] * (day / 365.25 - 2.5) + habit[surgeon]
    propensity: Array = expit(logit)
    miss = np.where(rng.random(n) < propensity, 1.0, 0.0)
    of_home: Array = np.bincount(home, sizes, settings.centres).astype(np.float64)
    per_centre: Array = np.bincount(home, sizes * habit, settings.centres) / np.maximum(of_home, 1.0)
    of_centre = _apart(rng.standard_normal(settings.centres), per_centre, of_home)
    of_surgeon = _apart(rng.standard_normal(settings.surgeons), habit, sizes)
    return Assignment(
        centre,
        surgeon,
        day,
        _operations(people, rng),
        propensity,
        miss,
        _experience(surgeon, day, miss, settings, rng),
        of_centre[centre],
        of_surgeon[surgeon],
    )


def _home(settings: Settings, rng: np.random.Generator) -> NDArray[np.int64]:
    """The centre of each surgeon; every centre has one."""
    free = rng.integers(0, settings.centres, settings.surgeons - settings.centres)
    return np.concatenate([np.arange(settings.centres), free])


def _sizes(count: int, rng: np.random.Generator) -> Array:
    """Shares of the operations, uneven as in life."""
    shares: Array = rng.gamma(3.0, size=count)
    shares /= shares.sum()
    return shares


def _apart(effect: Array, habit: Array, sizes: Array) -> Array:
    """`effect` with weighted mean 0, sd about 1 and no weighted correlation with `habit`; 0 where too few are left."""
    if np.count_nonzero(sizes) < 3:
        return np.zeros_like(effect)
    design = np.column_stack([np.ones_like(habit), habit])
    root = np.sqrt(sizes)
    fitted = design @ np.linalg.lstsq(design * root[:, None], effect * root, rcond=None)[0]
    left: Array = np.clip(effect - fitted, -2.5, 2.5)
    return left


def _operations(people: Patients, rng: np.random.Generator) -> NDArray[np.int64]:
    """Discectomy in the young, decompression in the old, fusion at several levels and after earlier operations."""
    scores = [
        0.5 - 0.9 * people.standard["age"],
        0.3 + 0.6 * people.standard["age"],
        -0.4 + 0.5 * people.standard["levels"] + 0.5 * people.standard["prior_surgery"],
    ]
    chosen: NDArray[np.int64] = np.argmax(np.stack(scores) + rng.gumbel(size=(3, len(people))), axis=0)
    return chosen


def _experience(
    surgeon: NDArray[np.int64], day: NDArray[np.int64], miss: Array, settings: Settings, rng: np.random.Generator
) -> Array:
    """Small openings that each patient's surgeon had done before, those before the registry included."""
    low, high = parameters()["learning"]["started"]
    begun = rng.integers(low, high, settings.surgeons, endpoint=True).astype(np.float64)
    order = np.lexsort((np.arange(len(day)), day, surgeon))
    before = np.concatenate([[0.0], np.cumsum(miss[order])[:-1]])
    starts = np.searchsorted(surgeon[order], np.arange(settings.surgeons))
    experience = np.empty(len(day))
    experience[order] = before - before[np.minimum(starts, len(day) - 1)][surgeon[order]] + begun[surgeon[order]]
    return experience
