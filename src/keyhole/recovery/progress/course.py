"""The observed course of an outcome beside the forecast's range of single patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from keyhole.casefile import CurvePoint, ForecastOutcome, ForecastRecord
from keyhole.recovery.instruments import instrument
from keyhole.recovery.progress.model import Band, Better, Course, Point, Standing, Trend
from keyhole.recovery.progress.rules import Rules
from keyhole.recovery.progress.series import Day, Held, better, worse_by

MONTH = 30.4375
"""Days in a month, as in the forecast."""

NEAR = 1.25
"""A published time stands for times up to so many times sooner or later [keyhole-choice]."""

APART = 3.0
"""Between two published times, if the later is at most so many times the earlier, the range is drawn straight on
[keyhole-choice, as long as a published difference is held good in the forecast]."""

OUTCOMES: dict[str, tuple[str, ...]] = {
    "odi": ("odi",),
    "leg-pain": ("nrs-leg", "vas-leg"),
    "back-pain": ("nrs-back", "vas-back"),
}
"""Outcomes of the forecast that have a curve, and the instruments that measure them; the first gives the scale."""

TITLES = {"odi": "Disability", "leg-pain": "Leg pain", "back-pain": "Back pain"}

NO_FORECAST = "there is no forecast"
NO_CURVE = "the forecast has no range of single patients for this"
NOBODY = Band(None, None, None, "", NO_FORECAST)


def courses(found: Held, forecast: ForecastRecord | None, rules: Rules) -> tuple[Course, ...]:
    """Every outcome that was observed, as it went; one course for each instrument."""
    made = []
    for outcome, keys in OUTCOMES.items():
        expected = None
        if forecast is not None:
            expected = next((one for one in forecast.outcomes if one.key == outcome), None)
        share = None if forecast is None else forecast.range_share
        made += [_course(outcome, key, found, expected, rules, share) for key in keys if found.of(key)]
    return tuple(made)


def _course(
    outcome: str, key: str, found: Held, expected: ForecastOutcome | None, rules: Rules, share: float | None
) -> Course:
    known = instrument(key)
    scale = known.high / instrument(OUTCOMES[outcome][0]).high
    earlier = found.before(key)
    before = earlier[-1].worst if earlier else None
    matters = rules.matters.get(key)
    days = (*earlier[-1:], *found.after(key))
    points = tuple(_point(key, one, found, _scaled(band(expected, _months(found, one)), scale), before, matters)
                   for one in days)  # fmt: skip
    trend, why = trend_of(key, found.after(key), matters)
    mark = None
    if before is not None and matters is not None:
        mark = before - matters if known.better == "lower" else before + matters
    return Course(
        outcome=outcome,
        title=TITLES[outcome],
        unit=known.short,
        low=known.low,
        high=known.high,
        better=known.better,
        before=before,
        mark=mark,
        mark_source=rules.matters_source,
        points=points,
        ranges=tuple(tuple((day, _scaled(one, scale)) for day, one in run) for run in _runs(expected)),
        share=share,
        trend=trend,
        trend_why=why,
        note=NO_FORECAST if expected is None else expected.curve_note,
    )


def _months(found: Held, one: Day) -> float:
    return max((one.date - found.start).days, 0) / MONTH


def _point(key: str, one: Day, found: Held, expected: Band, before: float | None, matters: float | None) -> Point:
    day = (one.date - found.start).days
    gain = None if before is None or day <= 0 else -worse_by(key, one.worst, before)
    return Point(
        instrument=key,
        date=one.date,
        day=day,
        value=one.worst,
        band=expected,
        standing=standing(one.worst, expected, better(key)),
        gain=gain,
        matters=None if gain is None or matters is None else gain >= matters,
    )


def standing(value: float, expected: Band, way: Better) -> Standing:
    """Where `value` lies: inside the band, better or worse than all of it; unknown without a band."""
    if expected.low is None or expected.high is None:
        return "unknown"
    if expected.low <= value <= expected.high:
        return "inside"
    return "worse" if (value > expected.high) == (way == "lower") else "better"


def band(expected: ForecastOutcome | None, months: float) -> Band:
    """The range of single patients at `months`, of the planned operation where it is known, else of the open one.

    At a published time, or near one (`NEAR`), it is that time's; between two that are not too far apart (`APART`) it
    is drawn straight on; elsewhere nobody knows.
    """
    if expected is None:
        return NOBODY
    known = _known(expected)
    if not known:
        return replace(NOBODY, why=NO_CURVE)
    for at, found in known:
        if at == months:
            return found
    after = [one for one in known if one[0] > 0]
    earlier = max((one for one in after if one[0] < months), key=lambda one: one[0], default=None)
    later = min((one for one in after if one[0] > months), key=lambda one: one[0], default=None)
    if months > 0 and earlier is not None and later is not None and later[0] <= APART * earlier[0]:
        return _between(earlier, later, months)
    near = [one for one in (earlier, later) if one is not None and months > 0]
    near = [one for one in near if max(one[0], months) <= NEAR * min(one[0], months)]
    if near:
        at, found = min(near, key=lambda one: abs(one[0] - months))
        return replace(found, why=f"{found.why}, published for {at:g} months")
    return replace(NOBODY, why=f"nobody published where single patients are at {months:.1f} months")


def _runs(expected: ForecastOutcome | None) -> list[list[tuple[float, Band]]]:
    """The bands as they are to be drawn: runs of days that are joined straight on, as `band` reads them."""
    known = _known(expected)
    runs: list[list[tuple[float, Band]]] = [[one] for one in known if one[0] <= 0]
    last: list[tuple[float, Band]] = []
    for one in (one for one in known if one[0] > 0):
        if last and one[0] <= APART * last[-1][0]:
            last.append(one)
        else:
            last = [one]
            runs.append(last)
    return [[(at * MONTH, found) for at, found in _widened(run)] for run in runs]


def _widened(run: list[tuple[float, Band]]) -> list[tuple[float, Band]]:
    (first, low), (last, high) = run[0], run[-1]
    return run if first <= 0 else [(first / NEAR, low), *run, (last * NEAR, high)]


def _known(expected: ForecastOutcome | None) -> list[tuple[float, Band]]:
    """Every published time with a range, ascending, months."""
    rows = () if expected is None else expected.curve
    return sorted((one for one in map(_ranged, rows) if one is not None), key=lambda one: one[0])


def _ranged(one: CurvePoint) -> tuple[float, Band] | None:
    if one.planned_range is not None:
        return one.months, Band(*one.planned_range, one.planned.value, "planned", "the planned operation")
    if one.open_range is not None:
        why = "the open operation: for the planned one nobody knows"
        return one.months, Band(*one.open_range, one.open.value, "open", why)
    return None


def _between(first: tuple[float, Band], second: tuple[float, Band], months: float) -> Band:
    (a, one), (b, other) = first, second
    share = (months - a) / (b - a)

    def at(x: float | None, y: float | None) -> float | None:
        return None if x is None or y is None else x + share * (y - x)

    worse = one if one.arm == "open" else other
    why = f"{worse.why}, straight on between {a:g} and {b:g} months"
    return Band(at(one.low, other.low), at(one.high, other.high), at(one.middle, other.middle), worse.arm, why)


def _scaled(found: Band, scale: float) -> Band:
    def times(value: float | None) -> float | None:
        return None if value is None else round(value * scale, 6)

    return replace(found, low=times(found.low), high=times(found.high), middle=times(found.middle))


def trend_of(key: str, days: Sequence[Day], matters: float | None) -> tuple[Trend, str]:
    """Where the last two values after the operation point, and by how much; a small change is steady."""
    if len(days) < 2:
        return "unknown", "fewer than two values after the operation"
    if matters is None:
        return "unknown", "no smallest change that matters is known for it"
    first, last = days[-2], days[-1]
    change = worse_by(key, last.worst, first.worst)
    said = f"{first.worst:g} on {first.date}, {last.worst:g} on {last.date}"
    if not math.isfinite(change):
        return "unknown", said
    if change >= matters:
        return "worsening", said
    return ("improving", said) if change <= -matters else ("steady", f"{said}: less than {matters:g} points")
