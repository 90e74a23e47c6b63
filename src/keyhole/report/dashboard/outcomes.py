"""Scores at every visit, small openings beside open operations: as they are, not compared."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

import numpy as np

from keyhole.recovery.instruments import Instrument, instruments
from keyhole.registry.schedule import VISITS
from keyhole.report.dashboard.counts import Share, share
from keyhole.report.dashboard.data import MISS, OPEN, VISIT_KEYS, Data, Floats, Mask

ARMS = ((MISS, "small openings"), (OPEN, "open operations"))
_TITLES = {"leg": "Leg pain", "back": "Back pain"}
_ORDER = ("odi", "nrs-leg", "vas-leg", "leg", "nrs-back", "vas-back", "back")


@dataclass(frozen=True, slots=True)
class Point:
    """One arm at one visit: how many operated, how many with a score, and where the scores lie (None: too few)."""

    visit: str
    operated: int
    n: int
    mean: float | None
    interval: tuple[float, float] | None
    median: float | None
    quartiles: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Absent:
    """First scores of those with and without an answer at a year: whether the missing were another kind of patient."""

    visit: str
    answered: int
    answered_mean: float
    missing: int
    missing_mean: float


@dataclass(frozen=True, slots=True)
class Reached:
    """One published threshold: of those with the scores it needs, how many reach it at a year."""

    kind: str
    per: str
    value: float
    at: str
    source: str
    small: Share
    open: Share


@dataclass(frozen=True, slots=True)
class Outcome:
    """One instrument over time; `top` and `bottom` of the scale, `better` its good direction."""

    key: str
    title: str
    unit: str
    better: str
    bottom: float
    top: float
    arms: tuple[tuple[str, tuple[Point, ...]], ...]
    absent: Absent | None
    reached: tuple[Reached, ...]


def outcomes(data: Data, today: date) -> tuple[Outcome, ...]:
    """Every instrument with scores that can be averaged, disability and pain first."""
    keys = sorted(data.answers, key=lambda key: (_ORDER.index(key) if key in _ORDER else len(_ORDER), key))
    return tuple(found for key in keys if (found := _outcome(data, key, today)) is not None)


def _outcome(data: Data, key: str, today: date) -> Outcome | None:
    known = instruments().get(key)
    if known is not None and (not known.is_quantity or known.method == "grade"):
        return None
    value = data.answers[key].value
    if not np.isfinite(value).any():
        return None
    arms = tuple((words, tuple(_points(value, data, arm))) for arm, words in ARMS)
    low, high = (
        (known.low, known.high) if known and known.method != "test" else (min(0.0, np.nanmin(value)), np.nanmax(value))
    )
    if known is not None and known.method == "index":
        low = min(0.0, float(np.nanmin(value)))
    return Outcome(
        key=key,
        title=known.title if known else _TITLES.get(key, key),
        unit=("" if known.unit.startswith("{") or known.unit == "1" else known.unit) if known else "",
        better=known.better if known else "lower",
        bottom=float(low),
        top=float(high),
        arms=arms,
        absent=_absent(data, value, VISIT_KEYS.index("12m"), today),
        reached=() if known is None else tuple(_reached(data, value, known)),
    )


def _points(value: Floats, data: Data, arm: int) -> list[Point]:
    mine: Mask = data.arm == arm
    operated = int((mine & data.operated).sum())
    return [_point(visit, operated, value[mine, n]) for n, visit in enumerate(VISIT_KEYS)]


def _point(visit: str, operated: int, column: Floats) -> Point:
    scores = column[np.isfinite(column)]
    n = len(scores)
    if not n:
        return Point(visit, operated, 0, None, None, None, None)
    low, middle, high = (float(q) for q in np.percentile(scores, (25, 50, 75)))
    mean = float(scores.mean())
    return Point(visit, operated, n, mean, _interval(scores, mean), middle, (low, high))


def _interval(scores: Floats, mean: float) -> tuple[float, float] | None:
    """95 % interval of the mean by Student's t; None for a single score."""
    n = len(scores)
    if n < 2:
        return None
    from scipy.special import stdtrit  # noqa: PLC0415 - slow to import

    half = float(stdtrit(n - 1, 0.975)) * float(scores.std(ddof=1)) / math.sqrt(n)
    return mean - half, mean + half


def _absent(data: Data, value: Floats, n: int, today: date) -> Absent | None:
    """First scores of those with a score at visit `n`, and of those without one although its window has closed."""
    closed = data.surgery + np.timedelta64(VISITS[n].last, "D") < np.datetime64(today, "D")
    first = closed & np.isfinite(value[:, 0]) & np.isnat(data.died)
    has, lacks = first & np.isfinite(value[:, n]), first & ~np.isfinite(value[:, n])
    if not (has.any() and lacks.any()):
        return None
    return Absent(
        VISIT_KEYS[n], int(has.sum()), float(value[has, 0].mean()), int(lacks.sum()), float(value[lacks, 0].mean())
    )


def _reached(data: Data, value: Floats, known: Instrument) -> Iterator[Reached]:
    """Thresholds of change and of a state at 12 months, as `change` of the instruments reads them."""
    first, last = value[:, 0], value[:, VISIT_KEYS.index("12m")]
    gain = first - last if known.better == "lower" else last - first
    with np.errstate(divide="ignore", invalid="ignore"):
        percent = np.where((first != 0) & (known.low >= 0), 100.0 * gain / first, np.nan)
    good = last if known.better == "higher" else -last
    for t in known.thresholds:
        if t.kind not in {"mcid", "success", "pass"}:
            continue
        limit = t.value if t.per != "value" or known.better == "higher" else -t.value
        amount = {"points": gain, "percent": percent, "value": good}[t.per]
        among, reaches = np.isfinite(amount), amount >= limit - 1e-9 * abs(limit)
        small, opened = (_share(reaches, among & (data.arm == arm)) for arm in (MISS, OPEN))
        yield Reached(t.kind, t.per, t.value, t.at, t.source, small, opened)


def _share(hit: Mask, among: Mask) -> Share:
    return share(int((hit & among).sum()), int(among.sum()))
