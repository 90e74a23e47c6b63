"""Scores over two years: leg pain, back pain and disability, as far as anybody published them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from keyhole.casefile import CurvePoint, ForecastOutcome, Quantity
from keyhole.evidence import CourseRows, Row
from keyhole.evidence.catalogue import last_day
from keyhole.forecast.answers import Answer
from keyhole.forecast.cohort import SCORES, Cohort, column_of
from keyhole.forecast.conformal import next_patient
from keyhole.forecast.effects import Array
from keyhole.forecast.entries import ends, nobody_knows, quantity
from keyhole.forecast.expect import (
    KEPT,
    NEXT,
    NO_BASE,
    NO_STUDY,
    OWN,
    SHARE,
    Spec,
    assembled,
    chosen,
    difference,
    sample,
    weighing,
)
from keyhole.forecast.pool import Interval
from keyhole.forecast.published import Effect, Literature, effect, prior_difference
from keyhole.forecast.shrink import LEAST_PATIENTS, Guess, Means, Prior, Weights, shrunk_means

MONTH = 30.4375
LAST = 24.0
"""Months that a forecast looks ahead."""

WORTH = f"one published course: it counts as {LEAST_PATIENTS:.0f} own patients (Keyhole's choice)"
NO_SPREAD = "spread or number of patients are not printed: there is no interval of the mean"
FARTHEST = 3.0
"""A difference is used at times up to so many times sooner or later than it was measured [keyhole-choice]."""

NOT_THEN = "no study gives the difference at this time"
BEFORE = "before the operation there is no difference"
GROUP = "the mean of a published group, not of this patient: the own score before the operation is not in it"


@dataclass(frozen=True, slots=True)
class _Known:
    """What is published at one time: a mean and, where it is printed, the sd of single patients."""

    mean: float
    sd: float | None
    n: int | None


@dataclass(frozen=True, slots=True)
class _Time:
    """One time of a course: published and own, and what was made of them."""

    months: float
    published: _Known | None
    own_open: Array
    own_planned: Array
    used: Effect | None
    means: Means


def curve_outcome(held: Literature, spec: Spec, cohort: Cohort | None) -> ForecastOutcome:
    """A score from before the operation to two years after; the last point gives the figures of both arms."""
    rows = next((c for c in held.procedure.courses if c.outcome == spec.key), None)
    published, note = _published(held, rows)
    said = held.of(spec.key)
    own = () if cohort is None else cohort.score_months.get(spec.key, ())
    times = [_time(held, spec, cohort, month, published.get(month), said) for month in sorted({*published, *own})]
    points = tuple(_point(spec, one, note) for one in times)
    last = _last(times)
    found = chosen(said)
    parts = _figures(spec, last, points, times, found, note)
    parts["curve"], parts["curve_note"] = points, _noted(note, times)
    if last is not None:
        worth = None if last.published is None else (LEAST_PATIENTS, WORTH)
        parts["weighing"] = weighing(worth, last.means.weights, sample(last.own_planned), sample(last.own_open))
    parts["caveats"] = [*([GROUP] if published else ()), *([KEPT] if parts.get("weighing") else ()), *_later(last)]
    return assembled(held, spec, parts)


def _published(held: Literature, wanted: CourseRows | None) -> tuple[dict[float, _Known], str]:
    """Means by month of the rows that tell a course, and whose they are."""
    found: dict[float, _Known] = {}
    if wanted is None:
        return found, ""
    name = design = note = ""
    for row in held.rows:
        if (row.procedure, row.comparator, row.outcome) != (wanted.procedure, wanted.comparator, wanted.named):
            continue
        arm = row.miss if wanted.is_shared else row.open
        month = _month(row)
        if month is None or arm.mean is None or row.status == "unverified" or (name and row.name != name):
            continue
        name, design, note = row.name, row.design, row.note or note
        found[month] = _Known(wanted.factor * arm.mean, None if arm.sd is None else wanted.factor * arm.sd, arm.n)
    whose = "one group for both operations, techniques mixed" if wanted.is_shared else "its open arm"
    more = f" ({note})" if note else ""
    return found, f"{name}, {design}: {whose}{more}" if name else ""


def _month(row: Row) -> float | None:
    if row.timepoint.casefold() == "baseline":
        return 0.0
    days = last_day(row.timepoint)
    return None if days is None else round(days / MONTH, 1)


def _horizon(months: float) -> str:
    days = months * MONTH
    return "baseline" if months == 0 else "early" if days <= 92 else "middle" if days < 360 else "late"


def _time(
    held: Literature, spec: Spec, cohort: Cohort | None, month: float, known: _Known | None, said: tuple[Answer, ...]
) -> _Time:
    column = f"{column_of(spec.key)}_{month:g}"
    key = held.procedure.key
    open_, planned = (np.empty(0) if cohort is None else cohort.values(column, key, arm) for arm in ("open", "miss"))
    then = [one for one in said if one.question.horizon == _horizon(month)]
    used = effect(then[0]) if then and month > 0 else None
    if used is not None and used.days is not None and not used.days / FARTHEST <= month * MONTH <= used.days * FARTHEST:
        used = None
    spread = _spread(known, open_, planned)
    prior = Prior(
        _guess(known, spread, learning=bool(len(open_) or len(planned))),
        prior_difference(used, spread) if used is not None and used.measure == "md" else None,
        None,
        spread,
    )
    return _Time(month, known, open_, planned, used, shrunk_means(prior, sample(open_), sample(planned)))


def _guess(known: _Known | None, spread: float | None, *, learning: bool) -> Guess | None:
    """The published mean; without own patients only where its number of patients is printed."""
    if known is None or spread is None:
        return None
    n = LEAST_PATIENTS if learning else known.n
    return None if n is None else Guess(known.mean, spread**2 / n)


def _spread(known: _Known | None, open_: Array, planned: Array) -> float | None:
    if known is not None and known.sd is not None:
        return known.sd
    own = [one for one in (sample(open_), sample(planned)) if one is not None]
    return None if not own else math.sqrt(sum(one.sd**2 for one in own) / len(own))


def _point(spec: Spec, one: _Time, note: str) -> CurvePoint:
    bounds = SCORES[spec.key]
    open_, planned = _arms(spec, one, note)
    sd = None if one.published is None else one.published.sd
    return CurvePoint(
        months=one.months,
        planned=planned,
        open=open_,
        planned_range=_range(planned, sd, one.own_planned, bounds),
        open_range=_range(open_, sd, one.own_open, bounds),
    )


def _arms(spec: Spec, one: _Time, note: str) -> tuple[Quantity, Quantity]:
    bounds, source = SCORES[spec.key], _source(note, one.means.weights.open)
    open_ = _quantity(spec, one.means.open, one.published, source, bounds)
    if one.months == 0 and one.means.weights.planned == 0:
        return open_, open_
    if one.means.planned is not None:
        found = one.means.planned
        return open_, _quantity(spec, found, None, _source(note, one.means.weights.planned), bounds)
    if one.used is not None and one.published is not None and one.used.measure == "md":
        value = _cut(one.published.mean + one.used.estimate.value, bounds)
        return open_, quantity(value, spec.unit, source, None, (NO_SPREAD,))
    return open_, nobody_knows(spec.unit, NOT_THEN)


def _source(note: str, own: float) -> str:
    if own <= 0:
        return note or "keyhole-evidence"
    return f"{OWN} ({100 * own:.0f} %)" + (f" and {note}" if note and own < 0.9995 else "")


def _quantity(spec: Spec, found: Guess | None, known: _Known | None, source: str, bounds: Interval) -> Quantity:
    if found is not None:
        low, high = found.interval
        interval = (_cut(low, bounds), _cut(high, bounds))
        return quantity(_cut(found.value, bounds), spec.unit, source, interval, (NEXT,))
    if known is not None:
        return quantity(known.mean, spec.unit, source, None, (NO_SPREAD,))
    return nobody_knows(spec.unit, NO_BASE)


def _cut(value: float, bounds: Interval) -> float:
    return min(max(value, bounds[0]), bounds[1])


def _range(middle: Quantity, sd: float | None, own: Array, bounds: Interval) -> Interval | None:
    """Where a single patient may be: own patients where they suffice, else the published spread, taken as normal."""
    if middle.value is None:
        return None
    found = next_patient(own, SHARE, bounds)
    if found is not None:
        return ends(found)
    if sd is None:
        return None
    half = float(ndtri((1 + SHARE) / 2)) * sd
    return ends((_cut(middle.value - half, bounds), _cut(middle.value + half, bounds)))


def _last(times: list[_Time]) -> _Time | None:
    """The time that the figures of both arms are taken from: the latest to two years, else the first after."""
    after = [one for one in times if one.months > 0]
    within = [one for one in after if one.months <= LAST]
    return within[-1] if within else after[0] if after else None


def _figures(
    spec: Spec, last: _Time | None, points: tuple[CurvePoint, ...], times: list[_Time], found: Effect | None, note: str
) -> dict[str, object]:
    why = NO_STUDY if found is None else NO_BASE
    if last is None:
        unknown = nobody_knows(spec.unit, why)
        means = (unknown, nobody_knows(spec.unit, NO_BASE), difference(spec.unit, None, Weights(), found))
        base = ""
    else:
        point = points[times.index(last)]
        used = last.used if last.used is not None else found
        means = (point.planned, point.open, difference(spec.unit, last.means.difference, last.means.weights, used))
        base = f"{_source(note, last.means.weights.open)}, at {last.months:g} months"
    return {
        "planned": means[0],
        "open": means[1],
        "difference": means[2],
        "ratio": None,
        "baseline": base,
        "basis": "" if found is None else found.basis,
    }


def _noted(note: str, times: list[_Time]) -> str:
    own = any(one.means.weights.open > 0 or one.means.weights.planned > 0 for one in times)
    if not times:
        return "nobody published how it goes on"
    return f"{OWN} and {note}" if own and note else OWN if own else note


def _later(last: _Time | None) -> list[str]:
    if last is None or last.months <= LAST:
        return []
    return [f"the only figures after the operation are from {last.months:g} months"]
