"""Time to reoperation and to recovery: Kaplan-Meier curves, restricted means, and pseudo-values to adjust them.

Everything rests on the product-limit estimate of each arm. Its influence function gives the variance (Greenwood's) and
for every patient a pseudo-value, whose mean is the arm's restricted mean or risk: put into the doubly robust estimate
as the outcome, pseudo-values adjust for who was operated on which way [ambrogi2022].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from keyhole.comparison.columns import arms
from keyhole.comparison.model import Comparison, Interval, Settings
from keyhole.comparison.table import Array, Mask, Table, numbers, taken, with_columns
from keyhole.errors import InvalidInput

CLOCKS = {
    "reoperation": ("reoperated", "reoperation_days"),
    "recovery": ("recovered", "recovery_days"),
}
"""Event and day columns of each clock; who has no event is followed to `followup_days`."""

FOLLOWED = "followup_days"
HORIZON = {"reoperation": 730.0, "recovery": 365.0}
"""Days to which each clock is read unless asked otherwise: the visits at 24 and 12 months."""

_NORMAL = 1.959963984540054
DEATHS = (
    "deaths are not known to this table: a patient who died counts as followed no further, as if the event could still "
    "have come, so that the chance of it is overstated where death is not rare"
)


@dataclass(frozen=True, slots=True, eq=False)
class Times:
    """Days and events of both arms on one clock, and how many rows could not be used."""

    clock: str
    days: Array
    event: Mask
    treated: Mask
    rows: Mask  # of the table
    left_out: int
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Share of one arm without the event yet, at each day on which it changes.

    days, share, low, high : (k,) steps; 1 before the first; intervals are Greenwood's on the log-log scale.
    at_risk, events : (k,) patients at risk just before, and events on each day.
    last : the longest follow-up, beyond which nothing is known; inf where the last patient had the event.
    """

    days: Array
    share: Array
    low: Array
    high: Array
    at_risk: Array
    events: Array
    n: int
    last: float


@dataclass(frozen=True, slots=True, eq=False)
class Survival:
    """Both arms of one clock (arm 0, arm 1), the log-rank test, and the median day of the event (nan: not reached)."""

    clock: str
    horizon: float
    curves: tuple[Curve, Curve]
    log_rank_p: float
    medians: tuple[float, float]
    left_out: int
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restricted:
    """A quantity of both arms (arm 0, arm 1) up to a horizon and its difference, arm 1 minus arm 0.

    what : "restricted mean" in days, or "risk" as a share. adjusted : the doubly robust estimate of the same
    difference from pseudo-values, None where it was not asked for.
    """

    clock: str
    what: str
    horizon: float
    means: tuple[float, float]
    difference: float
    se: float
    interval: Interval
    adjusted: Comparison | None
    caveats: tuple[str, ...]


def times_of(table: Table, clock: str, treatment: str = "miss") -> Times:
    """Days and events of the clock; a negative day is refused with its row, unknown ones are left out and counted."""
    if clock not in CLOCKS:
        raise InvalidInput(f"a clock must be one of {', '.join(CLOCKS)}, got {clock!r}")
    event_column, day_column = CLOCKS[clock]
    values, known_arm = arms(table, treatment)
    event, day, followed = (numbers(table, name) for name in (event_column, day_column, FOLLOWED))
    for name, held in ((day_column, day), (FOLLOWED, followed)):
        wrong = np.flatnonzero(held < 0)
        if wrong.size:
            at = int(wrong[0])
            raise InvalidInput(f"{table.name}, row {at + 1}: {name} must be 0 days or more, found {held[at]:g}")
    odd = np.unique(event[~np.isnan(event) & (event != 0) & (event != 1)])
    if odd.size:
        raise InvalidInput(f"{table.name}: {event_column} must be 0 or 1, found {odd[0]:g}")
    days = np.where(event == 1, day, followed)
    rows = known_arm & ~np.isnan(event) & ~np.isnan(days)
    treated = values[rows] == 1
    if not treated.any() or treated.all():
        raise InvalidInput(f"{table.name}: {clock}: days are known in one arm only, two are needed")
    return Times(
        clock,
        days[rows],
        event[rows] == 1,
        treated,
        rows,
        int((~rows).sum()),
        _caveats(clock, event, day, followed, rows),
    )


def _caveats(clock: str, event: Array, day: Array, followed: Array, rows: Mask) -> tuple[str, ...]:
    found = [DEATHS]
    undated = int(((event == 1) & np.isnan(day)).sum())
    if undated:
        found.append(f"{clock}: {undated} happened on a day that was not written down; they are left out, not guessed")
    elif not rows.all():
        found.append(f"{clock}: {int((~rows).sum())} of {len(rows)} rows lack the event, the day or the arm")
    late = int(((event == 1) & (day > followed)).sum())
    if late:
        found.append(f"{clock}: {late} happened after the last day of follow-up that the table gives; the day is kept")
    return tuple(found)


def curve(days: Array, event: Mask, level: float = 0.95) -> Curve:
    """The product-limit estimate: share without the event after each day on which one happened."""
    order = np.argsort(days, kind="stable")
    at, where = np.unique(days[order], return_index=True)
    count: Array = np.add.reduceat(event[order].astype(np.float64), where)
    risk: Array = len(days) - where.astype(np.float64)
    seen = count > 0
    at, count, risk = at[seen], count[seen], risk[seen]
    share: Array = np.cumprod(1.0 - count / risk, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(count / (risk * (risk - count)))
        spread = stats.norm.ppf(0.5 + level / 2) * np.sqrt(greenwood) / np.abs(np.log(share))
        low, high = np.power(share, np.exp(spread)), np.power(share, np.exp(-spread))
    gone = share <= 0.0
    low, high = np.where(gone, 0.0, low), np.where(gone, np.nan, high)
    return Curve(at, share, low, high, risk, count, len(days), _reach(days, event))


def kaplan_meier(table: Table, clock: str, treatment: str = "miss", *, horizon: float | None = None) -> Survival:
    """Both arms' curves on the clock, the log-rank test of their equality, and the medians; nothing is adjusted."""
    found = times_of(table, clock, treatment)
    arms_of = tuple(curve(found.days[arm], found.event[arm]) for arm in (~found.treated, found.treated))
    asked = HORIZON[clock] if horizon is None else horizon
    return Survival(
        clock,
        asked,
        (arms_of[0], arms_of[1]),
        log_rank(found),
        (median(arms_of[0]), median(arms_of[1])),
        found.left_out,
        found.caveats,
    )


def median(found: Curve) -> float:
    """First day on which at most half have no event yet; nan where follow-up never comes so far."""
    below = np.flatnonzero(found.share <= 0.5)
    return float(found.days[below[0]]) if below.size else math.nan


def share_at(found: Curve, day: float) -> float:
    """Share without the event after `day`; nan beyond the last follow-up."""
    if day > found.last:
        return math.nan
    place = int(np.searchsorted(found.days, day, "right"))
    return float(found.share[place - 1]) if place else 1.0


def at_risk(found: Times, arm: int, days: Sequence[float]) -> tuple[int, ...]:
    """Patients of an arm still followed without the event at each of `days`."""
    held = found.days[found.treated == bool(arm)]
    return tuple(int((held >= day).sum()) for day in days)


def log_rank(found: Times) -> float:
    """P value of the log-rank test that both arms have one curve; nan where nothing happened."""
    order = np.argsort(found.days, kind="stable")
    _, where = np.unique(found.days[order], return_index=True)
    happened, treated = found.event[order], found.treated[order]
    deaths = np.add.reduceat(happened.astype(np.float64), where)
    own = np.add.reduceat((happened & treated).astype(np.float64), where)
    risk = len(order) - where.astype(np.float64)
    own_risk = treated.sum() - np.concatenate([[0], np.cumsum(treated)])[where].astype(np.float64)
    share = own_risk / risk
    variance = deaths * share * (1 - share) * (risk - deaths) / np.maximum(risk - 1, 1)
    if not variance.sum() > 0:
        return math.nan
    score = float((own - deaths * share).sum())
    return float(stats.chi2.sf(score**2 / variance.sum(), 1))


def restricted_mean(
    table: Table,
    clock: str = "recovery",
    treatment: str = "miss",
    *,
    horizon: float | None = None,
    adjust: tuple[Sequence[str] | None, Settings] | None = None,
) -> Restricted:
    """Mean days to the event up to the horizon (area under the curve) and its difference, with interval.

    Parameters
    ----------
    horizon : days; brought down to what both arms were followed for, with a caveat.
    adjust : covariates (None for all known before the operation) and settings of a doubly robust estimate besides.
    """
    return _restricted(table, times_of(table, clock, treatment), "restricted mean", treatment, horizon, adjust)


def risk(
    table: Table,
    clock: str = "reoperation",
    treatment: str = "miss",
    *,
    horizon: float | None = None,
    adjust: tuple[Sequence[str] | None, Settings] | None = None,
) -> Restricted:
    """Chance of the event by the horizon (one minus the curve) and its difference, with interval, as above."""
    return _restricted(table, times_of(table, clock, treatment), "risk", treatment, horizon, adjust)


def _restricted(
    table: Table,
    found: Times,
    what: str,
    treatment: str,
    horizon: float | None,
    adjust: tuple[Sequence[str] | None, Settings] | None,
) -> Restricted:
    asked = HORIZON[found.clock] if horizon is None else horizon
    if not asked > 0:
        raise InvalidInput(f"the horizon must be more than 0 days, got {asked:g}")
    reach = min(_reach(found.days[arm], found.event[arm]) for arm in (found.treated, ~found.treated))
    used, caveats = min(asked, reach), list(found.caveats)
    if used < asked:
        caveats.append(f"{found.clock}: one arm was followed to day {used:g} only, so that is the horizon")
    values = pseudo_values(found, what, used)
    sides = [values[arm] for arm in (~found.treated, found.treated)]
    means = tuple(float(side.mean()) for side in sides)
    se = math.sqrt(sum(float(side.var()) / len(side) for side in sides))
    difference = means[1] - means[0]
    adjusted = None
    if adjust is not None:
        adjusted = _adjusted(table, found, values, what, treatment, adjust)
    ends = (difference - _NORMAL * se, difference + _NORMAL * se)
    return Restricted(
        found.clock, what, used, (means[0], means[1]), difference, se, ends, adjusted, tuple(dict.fromkeys(caveats))
    )


def _reach(days: Array, event: Mask) -> float:
    """The day to which an arm's curve is known: for good where the last patient of all had the event."""
    last = float(days.max())
    return math.inf if event[days == last].all() else last


def pseudo_values(found: Times, what: str, horizon: float) -> Array:
    """Each patient's own contribution to the arm's restricted mean ("restricted mean") or risk ("risk") at `horizon`.

    The arm's estimate plus the patient's influence on it (infinitesimal jackknife): their mean is the estimate, their
    variance over n Greenwood's. Where nobody is lost before the horizon they are the patients' own days or events.
    """
    values = np.empty(len(found.days))
    for arm in (~found.treated, found.treated):
        values[arm] = _pseudo(found.days[arm], found.event[arm], what, horizon)
    return values


def _pseudo(days: Array, event: Mask, what: str, horizon: float) -> Array:
    steps = curve(days, event)
    within = steps.days <= horizon
    at, share, count, risk = (v[within] for v in (steps.days, steps.share, steps.events, steps.at_risk))
    edges = np.concatenate([at, [horizon]])
    after = np.concatenate([np.cumsum((share * np.diff(edges))[::-1])[::-1], [0.0]])[:-1]  # area from each step on
    if what == "risk":
        end = share[-1] if share.size else 1.0
        value, weight = 1.0 - end, np.full(len(at), -end)
    else:
        value, weight = (float(at[0]) + float(after[0]) if at.size else horizon), after
    with np.errstate(divide="ignore", invalid="ignore"):
        per_event = np.where(risk > count, weight * len(days) / (risk - count), 0.0)
    compensated = np.concatenate([[0.0], np.cumsum(per_event * count / risk)])
    place = np.searchsorted(at, days, "right")
    jump = np.where(event & (days <= horizon) & (place > 0), np.append(per_event, 0.0)[np.maximum(place - 1, 0)], 0.0)
    values: Array = value - jump + compensated[place]
    return values


def _adjusted(
    table: Table,
    found: Times,
    values: Array,
    what: str,
    treatment: str,
    adjust: tuple[Sequence[str] | None, Settings],
) -> Comparison:
    from keyhole.comparison.compare import estimate  # noqa: PLC0415  # the estimate calls nothing here

    name = f"{found.clock} {what}"
    held = with_columns(taken(table, found.rows), {name: values})
    covariates, settings = adjust
    return estimate(held, name, treatment, covariates, settings=settings)
