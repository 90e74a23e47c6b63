"""What happens: scores, the operation itself, events and times, each with what it would have been the other way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, expit, gamma, gammainc, ndtr

from keyhole.comparison.simulate.assignment import CLOSED, FIRST_DAY, OPERATIONS, Assignment
from keyhole.comparison.simulate.patients import Array, Patients
from keyhole.comparison.simulate.settings import Settings, parameters

EXACT = "exact: added to every patient's mean"
INTEGRATED = "mean over the patients of the file of the difference of their two expected values, no draw"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What was seen in each patient, the true marginal effect, and how that is known."""

    seen: Array
    effect: float
    known: str


def scores(people: Patients, at: Assignment, settings: Settings, rng: np.random.Generator) -> dict[str, Outcome]:
    """ODI, leg and back pain at the visits. The effect is added to the mean of a beta distribution on the scale.

    The mean of the open operation is cut so that both means stay on the scale, and steps are rounded up or down with
    the chance that keeps the mean: the effect is exact.
    """
    found, n = parameters()["scores"], len(people)
    raised = people.sum(found["odi_per_sd"]) + 4.0 * settings.hidden * people.hidden
    raised += found["centre_sd"] * at.centre_effect + found["surgeon_sd"] * at.surgeon_effect
    if settings.curved in {"outcome", "both"}:
        raised = raised + 3.0 * (people.standard["odi_0"] ** 2 - 1)
    shared = rng.standard_normal(n)
    drawn: dict[str, Outcome] = {}
    for name, scale, step, per_point, times in (
        ("odi", 100.0, 2.0, 1.0, 1.0),
        ("leg", 10.0, 1.0, found["pain_per_odi"], found["leg_effect"]),
        ("back", 10.0, 1.0, found["pain_per_odi"], found["back_effect"]),
    ):
        for visit, mean in found[name].items():
            effect = settings.effect * times * found["effect_at"][visit]
            rho = found["between_visits"]
            level = ndtr(np.sqrt(rho) * shared + np.sqrt(1 - rho) * rng.standard_normal(n))
            seen = _score(mean + per_point * raised, effect * at.miss, (scale, effect), level)
            drawn[f"{name}_{visit}"] = Outcome(_rounded(seen, step, rng), effect, EXACT)
    return drawn


def _score(open_mean: Array, added: Array, scale: tuple[float, float], level: Array) -> Array:
    """The `level` quantile of a beta distribution on 0 to scale whose mean is the open mean plus what is added."""
    top, effect = scale
    edge = 0.03 * top
    mean = np.clip(open_mean, edge + max(0.0, -effect), top - edge - max(0.0, effect)) + added
    share, precision = mean / top, parameters()["scores"]["precision"]
    seen: Array = top * betaincinv(precision * share, precision * (1 - share), level)
    return seen


def _rounded(values: Array, step: float, rng: np.random.Generator) -> Array:
    """`values` in whole steps; up or down with the chance that keeps the mean."""
    seen: Array = step * np.floor(values / step + rng.random(len(values)))
    return seen


def operation(people: Patients, at: Assignment, rng: np.random.Generator) -> dict[str, Outcome]:
    """Minutes, blood loss and stay: gamma about the mean of the kind, minutes with a learning curve."""
    found, learning = parameters()["surgery"], parameters()["learning"]
    early = np.exp(-at.experience / learning["cases"])
    drawn: dict[str, Outcome] = {}
    for name in ("minutes", "blood_loss_ml", "stay_days"):
        per_kind = np.array([found[kind][name] for kind in OPERATIONS])[at.operation]
        base = per_kind * np.exp(0.1 * people.standard["levels"] + 0.05 * people.standard["bmi"])
        times = found["miss"][name] * (1 + (learning["minutes"] * early if name == "minutes" else 0.0))
        shape = found["spread"][name] ** -2
        noise = rng.gamma(shape, 1 / shape, len(people))
        seen = base * np.where(at.miss > 0, times, 1.0) * noise
        drawn[name] = Outcome(_rounded(seen, 1.0, rng), float(np.mean(base * (times - 1.0))), INTEGRATED)
    return drawn


def events(people: Patients, at: Assignment, rng: np.random.Generator) -> dict[str, Outcome]:
    """A complication and a readmission, 0 or 1; complications with a learning curve."""
    found, learning = parameters()["events"], parameters()["learning"]
    early = learning["complication"] * np.exp(-at.experience / learning["cases"])
    raised = people.sum(found["per_sd"])
    raised += found["centre_sd"] * at.centre_effect + found["surgeon_sd"] * at.surgeon_effect
    drawn: dict[str, Outcome] = {}
    for name in ("complication", "readmitted"):
        without = expit(found[name] + raised)
        more = found[f"{name}_miss"] + (early if name == "complication" else 0.0)
        with_it = expit(found[name] + raised + more)
        chance = np.where(at.miss > 0, with_it, without)
        seen = np.where(rng.random(len(people)) < chance, 1.0, 0.0)
        drawn[name] = Outcome(seen, float(np.mean(with_it - without)), INTEGRATED)
    return drawn


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Reoperation and recovery as followed, and their truths beyond a single column."""

    columns: dict[str, Array]
    effects: dict[str, float]
    truths: dict[str, dict[str, float]]


def times(people: Patients, at: Assignment, dropout: Array, rng: np.random.Generator) -> Times:
    """Days to reoperation and to recovery, cut at the end of follow-up: the registry's closure or the dropout's day."""
    n = len(people)
    followed = np.minimum(float((CLOSED - FIRST_DAY).astype(int)) - at.day, dropout)
    again, risk, reoperation = _reoperation(people, at, followed, rng.exponential(size=n))
    well, share, recovery = _recovery(people, at, followed, rng.exponential(size=n))
    reoperated, horizon = again <= followed, float(parameters()["recovery"]["horizon"])
    recovered = well <= np.minimum(followed, horizon)
    columns = {
        "reoperated": reoperated.astype(np.float64),
        "reoperation_days": np.where(reoperated, np.maximum(np.ceil(again), 1.0), np.nan),
        "followup_days": followed,
        "recovered": recovered.astype(np.float64),
        "recovery_days": np.where(recovered, np.maximum(np.ceil(well), 1.0), np.nan),
    }
    return Times(columns, {"reoperated": risk, "recovered": share}, {"reoperation": reoperation, "recovery": recovery})


def _reoperation(
    people: Patients, at: Assignment, followed: Array, drawn: Array
) -> tuple[Array, float, dict[str, float]]:
    """Days to reoperation; the difference of the chance to be seen in follow-up; truths at two years."""
    found = parameters()["reoperation"]
    rate = found["per_year"] * np.exp(people.sum(found["per_sd"]))
    more = np.exp(found["log_hazard_miss"])
    days = 365.25 * (drawn / (rate * np.where(at.miss > 0, more, 1.0))) ** (1 / found["shape"])

    def risks(until: Array | float) -> tuple[float, float]:
        hazard = rate * (np.asarray(until) / 365.25) ** found["shape"]
        return float(np.mean(-np.expm1(-more * hazard))), float(np.mean(-np.expm1(-hazard)))

    seen, after = risks(followed), risks(730.0)
    truths = {"hazard_ratio": float(more), "risk_730_days_miss": after[0], "risk_730_days_open": after[1]}
    return days, seen[0] - seen[1], truths | {"risk_730_days_difference": after[0] - after[1]}


def _recovery(people: Patients, at: Assignment, followed: Array, drawn: Array) -> tuple[Array, float, dict[str, float]]:
    """Days to recovery; the difference of the share seen to recover; restricted means to the horizon, integrated."""
    found = parameters()["recovery"]
    shape, horizon = found["shape"], float(found["horizon"])
    open_scale = found["days"] * np.exp(people.sum(found["per_sd"]))
    scales = {"miss": open_scale * np.exp(found["log_time_miss"]), "open": open_scale}
    days = np.where(at.miss > 0, scales["miss"], scales["open"]) * drawn ** (1 / shape)
    until = np.minimum(followed, horizon)
    share = {way: float(np.mean(-np.expm1(-((until / scale) ** shape)))) for way, scale in scales.items()}
    mean = {way: float(np.mean(_restricted(scale, shape, horizon))) for way, scale in scales.items()}
    truths = {f"restricted_mean_{horizon:.0f}_days_{way}": value for way, value in mean.items()}
    truths[f"restricted_mean_{horizon:.0f}_days_difference"] = mean["miss"] - mean["open"]
    return days, share["miss"] - share["open"], truths


def _restricted(scale: Array, shape: float, horizon: float) -> Array:
    """Mean of the smaller of a Weibull time and the horizon, days."""
    at_end = (horizon / scale) ** shape
    found: Array = scale * gamma(1 + 1 / shape) * gammainc(1 + 1 / shape, at_end) + horizon * np.exp(-at_end)
    return found
