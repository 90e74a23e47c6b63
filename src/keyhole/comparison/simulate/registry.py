"""A whole simulated registry: the columns of the analysis table, and the truth behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from keyhole.casefile.store import RESEARCH_USE
from keyhole.comparison.simulate import gaps, outcomes
from keyhole.comparison.simulate.assignment import FIRST_DAY, OPERATIONS, Assignment, assign
from keyhole.comparison.simulate.patients import Array, Patients, patients
from keyhole.comparison.simulate.settings import Settings
from keyhole.comparison.table import Table

SYNTHETIC = "Synthetic: no patient, surgeon or centre of this table exists."
NAME = "simulated registry"
_ORDER = (
    "episode patient centre surgeon surgery_date operation miss age sex bmi asa smoker diabetes prior_surgery levels "
    "odi_0 leg_0 back_0 odi_6w odi_3m odi_6m odi_12m odi_24m leg_3m leg_12m leg_24m back_3m back_12m back_24m "
    "minutes blood_loss_ml stay_days complication readmitted reoperated reoperation_days followup_days recovered "
    "recovery_days"
)


@dataclass(frozen=True, slots=True, eq=False)
class Simulated:
    """The table as a clinic would have it, the truth, and each patient's true chance of a small opening."""

    table: Table
    truth: Mapping[str, Any]
    propensity: Array


def simulate(settings: Settings) -> Simulated:
    """The registry of these settings: same settings, same rows.

    Every part draws from a stream of its own, so that what is missing, for example, changes no value of what is not.
    """
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(settings.seed).spawn(7)]
    people = patients(settings.patients, streams[0])
    at = assign(people, settings, streams[1])
    left = gaps.leaving(people, settings, streams[2])
    drawn = outcomes.scores(people, at, settings, streams[3])
    drawn |= outcomes.operation(people, at, streams[4]) | outcomes.events(people, at, streams[4])
    timed = outcomes.times(people, at, left, streams[5])
    scores = {name: one.seen for name, one in drawn.items() if "_" in name and name.rsplit("_", 1)[1] in gaps.VISITS}
    columns = {name: one.seen for name, one in drawn.items()} | timed.columns
    columns |= gaps.answered(scores, people, at.miss, left, settings, streams[6])
    columns |= gaps.recorded(people, settings, streams[6])
    known = columns | _identified(people, at, settings)
    table = Table({name: known[name] for name in _ORDER.split()}, NAME)
    return Simulated(table, _truth(settings, drawn, timed, at), at.propensity)


def _identified(people: Patients, at: Assignment, settings: Settings) -> dict[str, Any]:
    """Pseudonyms that say SIM, days and words."""
    n = len(people)
    dates = np.datetime_as_string(np.unique(FIRST_DAY + np.arange(at.day.max() + 1)), unit="D").astype(object)
    return {
        "episode": _named("SIM-E", np.arange(1, n + 1), n),
        "patient": _named("SIM-P", np.arange(1, n + 1), n),
        "centre": _named("SIM-C", at.centre + 1, settings.centres),
        "surgeon": _named("SIM-S", at.surgeon + 1, settings.surgeons),
        "surgery_date": dates[at.day],
        "operation": np.array(OPERATIONS, dtype=object)[at.operation],
        "sex": np.array(["F", "M"], dtype=object)[people.columns["sex"].astype(np.int64)],
        "miss": at.miss,
    }


def _named(prefix: str, numbers: Any, most: int) -> Any:
    width = len(str(most))
    names = np.array([f"{prefix}{number:0{width}d}" for number in range(most + 1)], dtype=object)
    return names[numbers]


def _truth(
    settings: Settings, drawn: Mapping[str, outcomes.Outcome], timed: outcomes.Times, at: Assignment
) -> dict[str, Any]:
    """What no clinic knows, for truth.json."""
    effect = {name: one.effect for name, one in drawn.items()} | timed.effects
    known = {name: one.known for name, one in drawn.items()} | dict.fromkeys(timed.effects, outcomes.INTEGRATED)
    share = at.propensity
    return {
        "schema": "keyhole.simulated/1",
        "synthetic": SYNTHETIC,
        "research_use": RESEARCH_USE,
        "effect": effect,
        "effect_means": "mean over all patients of what a small opening gives minus what an open operation gives",
        "effect_known": known,
        "times": timed.truths,
        "propensity": {
            "share_miss": float(at.miss.mean()),
            "below_0.05": float(np.mean(share < 0.05)),
            "above_0.95": float(np.mean(share > 0.95)),
        },
        "notes": _notes(settings),
        "settings": asdict(settings),
    }


def _notes(settings: Settings) -> list[str]:
    notes = [
        "0/1 outcomes and the operation's minutes, blood loss and stay: the effect differs between patients, its mean "
        "over the patients of this file is given; the learning curve makes it differ with the surgeon's experience too",
        "reoperated and recovered: the chance to be seen within each patient's own follow-up, which is the same both "
        "ways; under times the same at a fixed day",
        "nobody dies in a simulated registry",
    ]
    if settings.hidden:
        notes.append("a confounder that is in no column raises both choice and outcome: no estimate can be right")
    if settings.missing == "mnar":
        notes.append("values are missing because of what they are: no estimate from this table alone can be right")
    return notes
