"""From rows of a table to the studies of a pool; what cannot enter is named with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from keyhole.errors import InvalidInput
from keyhole.evidence import Arm, Question, Row, horizon, question
from keyhole.evidence.catalogue import last_day
from keyhole.forecast import effects
from keyhole.forecast.effects import LOGARITHMIC, MEASURES
from keyhole.forecast.pool import NORMAL, Study

CONVERTED = "means and SDs of one or more studies are estimated from medians and quartiles (wan2014)"
PUBLISHED = "one or more effects are as published (adjusted or not), not recomputed from arms"
UNEVEN = "a published interval is not symmetric about its effect; its width alone was used"
TIMES = "follow-up differs between the studies"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that does not enter a pool, and why."""

    place: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Chosen:
    """The studies of one question, ready to pool by `measure`, and the rows left out."""

    question: Question
    measure: str
    studies: tuple[Study, ...]
    left_out: tuple[LeftOut, ...]


class _CannotEnter(Exception):
    """Why a row has no effect on the measure's scale."""


def by_question(rows: Iterable[Row]) -> dict[tuple[str, str, str], tuple[Row, ...]]:
    """Rows that answer one question, by its key, in the table's order."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault(question(row).key, []).append(row)
    return {key: tuple(group) for key, group in groups.items()}


def choose(rows: Sequence[Row], measure: str, *, one_sd: bool = False) -> Chosen:
    """The studies that `rows`, all of one question, give on the scale of `measure`.

    Unverified rows, syntheses of other studies and rows without both arms never enter; of the same patients at
    several times the latest enters. `one_sd` pools the two arms' SD for mean differences.
    """
    if measure not in MEASURES:
        raise InvalidInput(f"measure must be {', '.join(MEASURES)}, got {measure!r}")
    if not rows:
        raise InvalidInput("nothing to pool: no row answers this question")
    entered: list[tuple[Row, Study]] = []
    left_out: list[LeftOut] = []
    for row in rows:
        try:
            entered.append((row, _study(row, measure, one_sd)))
        except _CannotEnter as reason:
            left_out.append(LeftOut(row.place, row.name, str(reason)))
    kept, repeated = _one_per_cohort(entered)
    common = (*((TIMES,) if len({horizon(row.timepoint) for row, _ in kept}) > 1 else ()), *_alike(kept))
    studies = tuple(replace(study, flags=(*study.flags, *common)) for study in _named_apart(kept))
    return Chosen(question(rows[0]), measure, studies, (*left_out, *repeated))


def _study(row: Row, measure: str, one_sd: bool) -> Study:
    _refuse(row)
    effect, variance, flags = _effect(row, measure, one_sd)
    counts = _counts(row) if _has_counts(row) else None
    return Study(row.name, effect, variance, row.design, row.patients, counts, flags, row.covariates)


def _refuse(row: Row) -> None:
    if row.status == "unverified":
        raise _CannotEnter("unverified rows never enter a pool")
    if row.is_synthesis:
        raise _CannotEnter("is itself a pool of studies, some of which may be here too")
    if question(row).horizon == "baseline":
        raise _CannotEnter("baseline is before the operation")
    if row.comparator.casefold() == "none":
        raise _CannotEnter("has no second arm")


def _effect(row: Row, measure: str, one_sd: bool) -> tuple[float, float, tuple[str, ...]]:
    """Effect and variance on the measure's scale, from the arms where they suffice, else as published."""
    if measure in {"or", "rr", "rd"} and _has_counts(row):
        return _of_counts(row, measure)
    if measure in {"md", "smd"}:
        miss, other = _moments(row.miss), _moments(row.open)
        if miss is not None and other is not None:
            return _of_means(row, measure, one_sd, miss, other)
    return _published(row, measure)


def _has_counts(row: Row) -> bool:
    return None not in (row.miss.events, row.miss.n, row.open.events, row.open.n)


def _counts(row: Row) -> tuple[int, int, int, int]:
    known = (row.miss.events, row.miss.n, row.open.events, row.open.n)
    x, n, x0, n0 = (int(value) for value in known if value is not None)
    return x, n, x0, n0


def _of_counts(row: Row, measure: str) -> tuple[float, float, tuple[str, ...]]:
    x, n, x0, n0 = _counts(row)
    if measure != "rd" and (x + x0 == 0 or (measure == "or" and x + x0 == n + n0)):
        raise _CannotEnter(f"no events in either arm say nothing of a ratio ({x} of {n} and {x0} of {n0})")
    ways: dict[str, Callable[..., tuple[effects.Array, effects.Array]]] = {
        "or": effects.log_odds_ratio,
        "rr": effects.log_risk_ratio,
        "rd": effects.risk_difference,
    }
    found, variance = ways[measure]([x], [n], [x0], [n0])
    empty = 0 in (x, n - x, x0, n0 - x0)
    return float(found[0]), float(variance[0]), ((f"empty cells: {effects.ZERO_CELLS}",) if empty else ())


@dataclass(frozen=True, slots=True)
class _Moments:
    n: int
    mean: float
    sd: float
    is_converted: bool


def _moments(arm: Arm) -> _Moments | None:
    """n, mean and SD of an arm, from quartiles where need be; None where it does not say."""
    if arm.n is None or arm.n < 2:
        return None
    if arm.mean is not None and arm.sd is not None:
        return _Moments(arm.n, arm.mean, arm.sd, is_converted=False)
    if arm.median is None or arm.q1 is None or arm.q3 is None:
        return None
    if not arm.q3 > arm.q1:
        raise _CannotEnter(f"both quartiles are {arm.q1:g}: no SD can be estimated")
    mean, sd = effects.from_quartiles(arm.n, arm.q1, arm.median, arm.q3)
    return _Moments(arm.n, mean, sd, is_converted=True)


def _of_means(
    row: Row, measure: str, one_sd: bool, miss: _Moments, other: _Moments
) -> tuple[float, float, tuple[str, ...]]:
    factor = _factor(row)
    if measure == "smd":
        way, scale = effects.standardised_mean_difference, math.copysign(1.0, factor)
    else:
        way = effects.mean_difference_of_one_sd if one_sd else effects.mean_difference
        scale = factor
    found, variance = way([miss.n], [miss.mean], [miss.sd], [other.n], [other.mean], [other.sd])
    flags = (CONVERTED,) if miss.is_converted or other.is_converted else ()
    return scale * float(found[0]), scale**2 * float(variance[0]), flags


def _factor(row: Row) -> float:
    asked = question(row)
    if math.isnan(asked.factor):
        raise _CannotEnter(f"unit {row.unit!r} cannot be brought to {asked.outcome.unit}")
    return asked.factor


def _published(row: Row, measure: str) -> tuple[float, float, tuple[str, ...]]:
    if row.effect is None or row.low is None or row.high is None:
        raise _CannotEnter(_lacking(row, measure))
    if row.scale != measure:
        raise _CannotEnter(f"its effect is not {_article(measure)} (unit {row.unit!r})")
    if row.turned is None:
        raise _CannotEnter(f"unit {row.unit!r} leaves the sign open: fill the column turned")
    if not row.high > row.low:
        raise _CannotEnter("its interval has no width")
    ends = (row.low, row.effect, row.high)
    low, effect, high = (math.log(end) for end in ends) if measure in LOGARITHMIC else ends
    sign = (-1.0 if row.turned else 1.0) * (1.0 if measure in LOGARITHMIC else _factor(row))
    variance = ((high - low) / (2 * NORMAL)) ** 2 * sign**2
    uneven = abs(effect - (low + high) / 2) > 0.1 * (high - low) / 2
    return sign * effect, variance, (PUBLISHED, UNEVEN) if uneven else (PUBLISHED,)


def _article(measure: str) -> str:
    return f"an {MEASURES[measure]}" if measure == "or" else f"a {MEASURES[measure]}"


def _lacking(row: Row, measure: str) -> str:
    if measure in {"md", "smd"}:
        if row.miss.mean is not None and row.open.mean is not None:
            return "gives means without SD" if row.miss.n and row.open.n else "gives means without n or SD"
        return "gives neither means with SD in both arms nor an effect with its interval"
    if row.miss.pct is not None:
        return "gives percentages without counts"
    return "gives neither events and n in both arms nor an effect with its interval"


def _one_per_cohort(entered: list[tuple[Row, Study]]) -> tuple[list[tuple[Row, Study]], tuple[LeftOut, ...]]:
    """Of the same patients the latest follow-up; two results of one time are refused."""
    kept: list[tuple[Row, Study]] = []
    left_out = []
    for cohort in dict.fromkeys(study.cohort for _, study in entered):
        group = [pair for pair in entered if pair[1].cohort == cohort]
        latest = max(_day(row) for row, _ in group)
        last = [pair for pair in group if _day(pair[0]) == latest]
        if len(last) > 1:
            places = " and ".join(row.place for row, _ in last)
            raise InvalidInput(
                f"{places} are the same patients ({cohort}) at the same time; one cohort is never pooled twice: "
                "name them apart in the column cohort, or leave one out"
            )
        kept.extend(last)
        for row, _ in group:
            if row is not last[0][0]:
                reason = f"same patients as {last[0][0].place}, which is later"
                left_out.append(LeftOut(row.place, row.name, reason))
    return kept, tuple(left_out)


def _alike(kept: list[tuple[Row, Study]]) -> tuple[str, ...]:
    """A flag for each set of studies that could be the same patients: same procedures, same numbers in both arms."""
    sizes: dict[tuple[object, ...], list[str]] = {}
    for row, study in kept:
        if row.miss.n is not None and row.open.n is not None and not row.cohort:
            sizes.setdefault((row.procedure, row.comparator, row.miss.n, row.open.n), []).append(study.name)
    return tuple(
        f"{' and '.join(names)} have {size[2]} and {size[3]} patients each: if they are the same, name the cohort"
        for size, names in sizes.items()
        if len(names) > 1
    )


def _day(row: Row) -> float:
    day = last_day(row.timepoint)
    return -1.0 if day is None else day


def _named_apart(kept: list[tuple[Row, Study]]) -> tuple[Study, ...]:
    """The studies, names that two of them share made longer by the place in the table."""
    names = [study.name for _, study in kept]
    return tuple(
        replace(study, name=f"{study.name} ({row.place.rsplit(', ', 1)[-1]})") if names.count(study.name) > 1 else study
        for row, study in kept
    )
