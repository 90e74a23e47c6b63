"""Functional tests beside their norms, steps a day beside the own baseline, and the pain diary."""

from __future__ import annotations

from datetime import timedelta

import numpy as np

from keyhole.recovery.instruments import Instrument, Threshold, instrument, instruments
from keyhole.recovery.progress.course import trend_of
from keyhole.recovery.progress.model import Diary, FunctionalTest, Steps
from keyhole.recovery.progress.rules import Rules
from keyhole.recovery.progress.series import Day, Held, mean, worse_by

STEPS = "steps"
DIARY = ("nrs-back", "nrs-leg", "vas-back", "vas-leg")
DIARY_DAYS = 7
LEAST = 3
"""A week of a diary has a mean from so many days on [keyhole-choice]."""


def functional_tests(found: Held, rules: Rules) -> tuple[FunctionalTest, ...]:
    """The last value of each functional test that was done after the operation."""
    made = []
    for key, known in instruments().items():
        last = found.latest(key)
        if known.method != "test" or key == STEPS or last is None:
            continue
        earlier = found.before(key)
        standing, source = norm_of(known, last.worst)
        made.append(
            FunctionalTest(
                instrument=key,
                title=known.title,
                unit=known.unit,
                date=last.date,
                value=last.worst,
                change=-worse_by(key, last.worst, earlier[-1].worst) if earlier else None,
                standing=standing,
                source=source,
                fresh=found.age(last) <= rules.fresh_days(key),
            )
        )
    return tuple(made)


def norm_of(known: Instrument, value: float) -> tuple[str, str]:
    """Where `value` stands: the word of its band, or within or beyond a norm; with the source, or why nobody knows."""
    bands = sorted(known.of_kind("band"), key=lambda one: one.value)
    words: Threshold | None = next((one for one in bands if value <= one.value), None)
    if words is not None:
        return f"{words.words} ({words.at})", words.source
    norms = known.of_kind("norm")
    if not norms:
        return "no norm was read for it", ""
    norm = norms[0]
    inside = value <= norm.value if known.better == "lower" else value >= norm.value
    return f"{'within' if inside else 'beyond'} {norm.value:g}, {norm.at}", norm.source


def steps_of(found: Held, rules: Rules) -> Steps | None:
    """Steps a day over the last days against the own baseline and the published course; None without any."""
    rows = found.of(STEPS)
    if not rows:
        return None
    course = rules.steps
    recent = _window(found.after(STEPS), found, course.window)
    baseline = [one for one in found.before(STEPS) if one.date < found.start]
    enough, base = len(recent) >= course.least, len(baseline) >= course.least
    now, own = (mean(recent) if enough else None), (mean(baseline) if base else None)
    lacks = [] if enough else [f"{len(recent)} of the last {course.window} days have steps, {course.least} are needed"]
    lacks += [] if base else [f"{len(baseline)} days before the operation have steps, {course.least} are needed"]
    share = now / own if now is not None and own else None
    return Steps(
        recent=now,
        recent_days=len(recent),
        baseline=own,
        baseline_days=len(baseline),
        share=share,
        published_share=published_share(found.day, rules),
        published_day=min(found.day, int(course.days[-1])),
        why="; ".join(lacks),
        source=course.source,
        rows=_rows(found.after(STEPS), found),
    )


def published_share(day: int, rules: Rules) -> float | None:
    """Steps on `day` as published, of the own baseline; before the first published day None, after the last that."""
    course = rules.steps
    return None if day < course.days[0] else float(np.interp(day, course.days, course.shares))


def _window(days: tuple[Day, ...], found: Held, length: int) -> list[Day]:
    first = found.today - timedelta(days=length - 1)
    return [one for one in days if one.date >= first]


def diaries_of(found: Held, rules: Rules) -> tuple[Diary, ...]:
    """Pain of the last seven days, for each pain scale with a value in them."""
    made = []
    for key in DIARY:
        days = found.after(key)
        recent = _window(days, found, DIARY_DAYS)
        if not recent:
            continue
        older = [one for one in _window(days, found, 2 * DIARY_DAYS) if one not in recent]
        now, then = (mean(rows) if len(rows) >= LEAST else None for rows in (recent, older))
        worst = max(one.worst for one in recent)
        trend = trend_of(key, days, rules.matters.get(key))[0]
        if now is not None and then is not None and key in rules.matters:
            change, limit = now - then, rules.matters[key]
            trend = "worsening" if change >= limit else "improving" if change <= -limit else "steady"
        title = instrument(key).title
        made.append(Diary(key, title, len(recent), now, worst, then, trend, _rows(days, found)))
    return tuple(made)


def _rows(days: tuple[Day, ...], found: Held) -> tuple[tuple[int, float], ...]:
    return tuple(((one.date - found.start).days, one.worst) for one in days)
