"""What to expect of one outcome after the planned and after the open operation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keyhole.casefile import ForecastOutcome, Quantity, Weighing
from keyhole.evidence import outcomes
from keyhole.forecast.added import notes_of
from keyhole.forecast.answers import Answer
from keyhole.forecast.cohort import AMOUNTS, Cohort, column_of
from keyhole.forecast.conformal import next_patient
from keyhole.forecast.effects import LOGARITHMIC, Array
from keyhole.forecast.entries import answer_entry, nobody_knows, quantity, rounded
from keyhole.forecast.pool import Figure, Interval
from keyhole.forecast.published import (
    Baseline,
    Effect,
    Literature,
    as_difference,
    baseline,
    effect,
    planned_alone,
    prior_difference,
    ratio_of_means,
)
from keyhole.forecast.shrink import (
    Count,
    Guess,
    Means,
    Prior,
    Risks,
    Sample,
    Share,
    Weights,
    shrunk_means,
    shrunk_risks,
)

SHARE = 0.9
"""Of single patients, in every range of one."""

WHOLE = 12**-0.5
"""Sd that whole days, minutes and points have at least, from rounding: patients alike still differ."""

OWN = "own patients"
NEXT = "the interval is of the mean, not of single patients; other hospitals may differ by more"
ABROAD = "an amount of one published hospital: those of another country differ by more than any operation does"
TOO_LARGE = "the pooled difference exceeds what the open operation takes here"
SMALL_BASE = f"{TOO_LARGE}: the ratio of means is used instead"
NO_BASE = "nobody published how often or how much it is after the open operation in a way that could be used"
APART = "the ratio is of a published synthesis, the open share of one other study"
NO_STUDY = "no study in the table compares it"
KEPT = "own patients move the numbers; the word is that of the published evidence"


@dataclass(frozen=True, slots=True)
class Spec:
    """An outcome of every forecast: its key, form, unit (UCUM) and the unit in words."""

    key: str
    kind: Literal["mean", "risk", "curve"]
    unit: str
    words: str


SPECS = (
    Spec("stay", "mean", "d", "days"),
    Spec("blood-loss", "mean", "mL", "mL"),
    Spec("operating-time", "mean", "min", "minutes"),
    Spec("radiation", "mean", "s", "seconds of X-rays"),
    Spec("infection", "risk", "1", "of 100 patients"),
    Spec("dural-tear", "risk", "1", "of 100 patients"),
    Spec("nerve-injury", "risk", "1", "of 100 patients"),
    Spec("reoperation", "risk", "1", "of 100 patients"),
    Spec("recurrence", "risk", "1", "of 100 patients"),
    Spec("leg-pain", "curve", "{points}", "points of 10"),
    Spec("back-pain", "curve", "{points}", "points of 10"),
    Spec("odi", "curve", "{points}", "points of 100"),
    Spec("return-to-work", "mean", "d", "days"),
    Spec("return-to-driving", "mean", "d", "days"),
)


def assembled(held: Literature, spec: Spec, parts: dict[str, object]) -> ForecastOutcome:
    """The entry of an outcome: what the table says of it, and the numbers in `parts`."""
    about = outcomes()[spec.key]
    said = held.of(spec.key)
    entries = tuple(answer_entry(one, held.rows) for one in said)
    caveats = list(parts.pop("caveats", ()))  # type: ignore[call-overload]
    if said and said[0].question.family != held.procedure.family:
        caveats.append(f"from studies that put several operations together ({said[0].title})")
    caveats.extend(notes_of(held, spec.key))
    return ForecastOutcome(
        key=spec.key,
        title=about.title,
        unit=spec.unit,
        unit_words=spec.words,
        kind=spec.kind,
        better=about.better,  # type: ignore[arg-type]
        matters=about.matters,
        word=entries[0].word if entries else "unknown",
        why=entries[0].why if entries else NO_STUDY,
        points_to=entries[0].points_to if entries else None,
        answers=entries,
        caveats=tuple(dict.fromkeys(caveats)),
        **parts,  # type: ignore[arg-type]
    )


def chosen(said: tuple[Answer, ...]) -> Effect | None:
    """The difference of the first answer that gives a number; answers come latest first."""
    return next((found for one in said if (found := effect(one)) is not None), None)


def sample(found: Array) -> Sample | None:
    """Own patients of an arm; None of fewer than two."""
    if len(found) < 2:
        return None
    return Sample(len(found), float(found.mean()), max(float(found.std(ddof=1)), WHOLE))


def mean_outcome(held: Literature, spec: Spec, cohort: Cohort | None) -> ForecastOutcome:
    """An amount: days, mL, minutes."""
    own = {arm: _own(cohort, held, column_of(spec.key), arm) for arm in ("miss", "open")}
    planned, open_ = sample(own["miss"]), sample(own["open"])
    found = chosen(held.of(spec.key))
    base = baseline(held, spec.key, is_risk=False, among=found.patients if found else frozenset())
    alone = planned_alone(held, spec.key) if base is None else None
    spread = _spread(base or alone, planned, open_)
    caveats = [] if base is None else [ABROAD, *base.notes, *_spreadless(base)]
    used = found
    if found is not None and base is not None and _exceeds(found, base, open_):
        ratio = ratio_of_means(held, spec.key)
        used = None if ratio is None else as_difference(ratio, _level(base, open_))
        caveats.append(SMALL_BASE if used else f"{TOO_LARGE}: the planned value is not known")
    prior = _prior(base, alone, used, spread, learning=planned is not None or open_ is not None)
    means = shrunk_means(prior, open_, planned)
    bounds = (0.0, AMOUNTS[spec.key][1]) if spec.key in AMOUNTS else (0.0, math.inf)
    sides = _sides(means, base, alone, used)
    parts = _numbers(spec, means, sides, bounds, found)
    parts["basis"] = _basis(found, used, means.weights)
    parts["weighing"] = weighing(_worth(base or alone), means.weights, planned, open_)
    parts["next_patient"] = next_patient(own["miss"], SHARE, bounds)
    parts["caveats"] = [*caveats, *([KEPT] if parts["weighing"] else ())]
    return assembled(held, spec, parts)


def _own(cohort: Cohort | None, held: Literature, column: str, arm: str) -> Array:
    return np.empty(0) if cohort is None else cohort.values(column, held.procedure.key, arm)


def _spreadless(base: Baseline) -> list[str]:
    return [] if base.sd is not None else [f"{base.row_name} prints no spread: no interval can be given"]


def _spread(base: Baseline | None, planned: Sample | None, open_: Sample | None) -> float | None:
    """Sd of single patients: published, else of own patients."""
    if base is not None and base.sd is not None:
        return base.sd
    own = [one for one in (planned, open_) if one is not None]
    if not own:
        return None
    return math.sqrt(sum((one.n - 1) * one.sd**2 for one in own) / sum(one.n - 1 for one in own))


def _level(base: Baseline, open_: Sample | None) -> float:
    if open_ is None:
        return base.value
    return (base.patients * base.value + open_.n * open_.mean) / (base.patients + open_.n)


def _exceeds(found: Effect, base: Baseline, open_: Sample | None) -> bool:
    """Whether the difference or its interval would take more than there is."""
    return found.measure == "md" and _level(base, open_) + min(found.estimate.value, found.interval[0]) <= 0


def _prior(
    base: Baseline | None, alone: Baseline | None, used: Effect | None, spread: float | None, *, learning: bool
) -> Prior:
    means = used is not None and used.measure == "md"
    return Prior(
        None if base is None else base.guess(spread, learning=learning),
        prior_difference(used, spread if learning else None) if used is not None and means else None,
        None if alone is None else alone.guess(spread, learning=learning),
        spread,
    )


_Middle = tuple[float, Interval | None]


@dataclass(frozen=True, slots=True)
class _Sides:
    """Value and interval of both arms, and whose they are."""

    planned: _Middle | None
    open: _Middle | None
    planned_from: str
    open_from: str


def _sides(means: Means, base: Baseline | None, alone: Baseline | None, used: Effect | None) -> _Sides:
    """Both arms; without a spread the published middles, with no interval."""
    planned: _Middle | None = None if means.planned is None else (means.planned.value, means.planned.interval)
    open_: _Middle | None = None if means.open is None else (means.open.value, means.open.interval)
    if open_ is None and base is not None:
        open_ = (base.value, None)
        if planned is None and used is not None and used.measure == "md":
            planned = (base.value + used.estimate.value, None)
    if planned is None and alone is not None:
        planned = (alone.value, None)
    weights = means.weights
    said = "" if base is None else base.words
    first = alone.words if alone is not None and (base is None or not planned) else said
    return _Sides(planned, open_, _mixed(first, weights.planned), _mixed(said, weights.open))


def _mixed(words: str, own: float) -> str:
    if own <= 0:
        return words
    return f"{OWN} ({100 * own:.0f} %)" + (f" and {words}" if words and own < 0.9995 else "")


def _numbers(spec: Spec, means: Means, sides: _Sides, bounds: Interval, found: Effect | None) -> dict[str, object]:
    notes = (NEXT,)
    open_ = _side(sides.open, spec.unit, sides.open_from, bounds, notes, NO_BASE)
    why = NO_STUDY if found is None else NO_BASE
    planned = _side(sides.planned, spec.unit, sides.planned_from, bounds, notes, why)
    return {
        "planned": planned,
        "open": open_,
        "difference": difference(spec.unit, means.difference, means.weights, found),
        "ratio": None,
        "baseline": sides.open_from or sides.planned_from,
    }


def _side(
    found: _Middle | None,
    unit: str,
    source: str,
    bounds: Interval,
    notes: tuple[str, ...],
    why: str,
) -> Quantity:
    if found is None:
        return nobody_knows(unit, why)
    value, interval = found
    low, high = bounds
    cut = None if interval is None else (min(max(interval[0], low), high), min(max(interval[1], low), high))
    caveats = notes if interval is not None else ("no spread is published: there is no interval",)
    return quantity(min(max(value, low), high), unit, source or "keyhole-evidence", cut, caveats)


def difference(unit: str, guess: Guess | None, weights: Weights, found: Effect | None) -> Quantity:
    """Planned minus open: as published, or after own patients of both arms."""
    if guess is not None and weights.difference > 0:
        source = f"{OWN} ({100 * weights.difference:.0f} %)" + (f" and {found.basis}" if found is not None else "")
        return quantity(guess.value, unit, source, guess.interval)
    if found is None or found.measure in LOGARITHMIC:
        return nobody_knows(unit, NO_STUDY)
    few = ("fewer than three studies: the word stays unknown",) if found.studies < 3 else ()
    return quantity(found.estimate.value, unit, f"{found.basis}; {found.citation}", found.interval, few)


def _basis(found: Effect | None, used: Effect | None, weights: Weights) -> str:
    said = "" if found is None else found.basis
    if used is not None and found is not None and used.basis != found.basis:
        said = f"{said}; applied: {used.basis}"
    return _mixed(said, weights.difference)


def weighing(
    prior: tuple[float, str] | None, weights: Weights, planned: Sample | Count | None, open_: Sample | Count | None
) -> Weighing | None:
    """How own patients weigh against the literature, which counts as so many patients for the reason in `prior`."""
    if planned is None and open_ is None:
        return None
    return Weighing(
        planned_patients=0 if planned is None else planned.n,
        open_patients=0 if open_ is None else open_.n,
        planned=rounded(weights.planned),
        open=rounded(weights.open),
        difference=rounded(weights.difference),
        prior_patients=0.0 if prior is None else rounded(prior[0]),
        prior="nothing is published to weigh against" if prior is None else prior[1],
        conflict=weights.conflict,
    )


def _worth(base: Baseline | None) -> tuple[float, str] | None:
    return None if base is None else (base.patients, base.why)


def risk_outcome(held: Literature, spec: Spec, cohort: Cohort | None) -> ForecastOutcome:
    """A chance: of 100 patients so many."""
    own = {arm: _own(cohort, held, column_of(spec.key), arm) for arm in ("miss", "open")}
    planned, open_ = (_counted(own[arm]) for arm in ("miss", "open"))
    found = chosen(held.of(spec.key))
    base = baseline(held, spec.key, is_risk=True, among=found.patients if found else frozenset())
    learning = planned is not None or open_ is not None
    ratio = None if found is None else found.next_clinic
    prior = None if base is None else Share(base.value, base.patients if learning else base.n or base.patients)
    risks = shrunk_risks(prior, ratio, open_, planned, is_odds=found is not None and found.measure == "or")
    parts = _shares(spec, risks, base, found)
    parts["weighing"] = weighing(_worth(base), risks.weights, planned, open_)
    parts["caveats"] = [
        *(base.notes if base else ()),
        *([APART] if found and base and not found.patients else ()),
        *([KEPT] if parts["weighing"] else ()),
    ]
    return assembled(held, spec, parts)


def _counted(found: Array) -> Count | None:
    return None if not len(found) else Count(int(found.sum()), len(found))


def _shares(spec: Spec, risks: Risks, base: Baseline | None, found: Effect | None) -> dict[str, object]:
    said = "" if base is None else base.words
    weights = risks.weights
    why = NO_STUDY if found is None else NO_BASE
    gap = nobody_knows(spec.unit, why)
    if risks.planned is not None and risks.open is not None and (found is not None or weights.difference > 0):
        gap = _gap(spec, risks.planned, risks.open, _ends(risks, found))
    ratio = None
    if risks.ratio is not None and found is not None:
        interval = _ends(risks, found) or found.interval
        logs = (math.exp(min(interval[0], 700.0)), math.exp(min(interval[1], 700.0)))
        source = _mixed(f"{found.basis}; {found.citation}", weights.difference)
        notes = ("an odds ratio",) if found.measure == "or" else ()
        ratio = quantity(math.exp(risks.ratio.value), "1", source, logs, notes)
    return {
        "planned": _share(risks.planned, spec.unit, _mixed(said, weights.planned), why),
        "open": _share(risks.open, spec.unit, _mixed(said, weights.open), NO_BASE),
        "difference": gap,
        "ratio": ratio,
        "baseline": _mixed(said, weights.open),
        "basis": _mixed("" if found is None else found.basis, weights.difference),
    }


def _share(found: Figure | None, unit: str, source: str, why: str) -> Quantity:
    if found is None:
        return nobody_knows(unit, why)
    return quantity(found.value, unit, source or "keyhole-evidence", found.interval, (NEXT,))


def _ends(risks: Risks, found: Effect | None) -> Interval | None:
    """Interval of the logarithm of the ratio: as published, or after own patients of both arms."""
    if found is not None and risks.weights.difference == 0:
        return found.interval
    return None if risks.ratio is None else risks.ratio.interval


def _gap(spec: Spec, planned: Figure, open_: Figure, ratio: Interval | None) -> Quantity:
    """Difference of the two shares; its interval is the ratio's at the expected open share."""
    value = planned.value - open_.value
    if ratio is None:
        low, high = planned.interval[0] - open_.interval[1], planned.interval[1] - open_.interval[0]
        return quantity(value, spec.unit, OWN, (low, high))
    low, high = (min(open_.value * math.exp(min(end, 700.0)), 1.0) - open_.value for end in ratio)
    note = "the interval is that of the ratio, at the expected open share"
    return quantity(value, spec.unit, "planned minus open", (min(low, value), max(high, value)), (note,))
