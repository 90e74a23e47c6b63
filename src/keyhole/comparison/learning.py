"""Each surgeon's small openings in their order: risk-adjusted CUSUM, with a limit whose false alarms are simulated.

For an event, the score of an operation is the log likelihood ratio of odds multiplied by `ODDS` against the odds that
the patient's own risk gives [steiner2000]; for a measure, its standardised residual (of the logarithm where all values
are above 0, since longer operations also vary more) less half the shift looked for.
The chart adds scores, never falls below 0 and begins anew after an alarm. The limit is the one that a surgeon who is
like the average crosses in 5 % of simulated series of the same patients.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keyhole.comparison.adjust import FOR_CHANCES, chances, completed_designs, expected
from keyhole.comparison.table import Array, Index, Mask, Table, numbers, texts
from keyhole.errors import InvalidInput

ODDS = 2.0
"""The chart looks for odds of an event twice as high: Keyhole's own choice."""
SHIFT = 0.5
"""For a measure it looks for a mean this many sd higher: Keyhole's own choice."""
FALSE_ALARMS = 0.05
"""Share of series of an average surgeon that cross the limit by chance: Keyhole's own choice."""
SERIES = 2000
"""Simulated series per chart; the share of false alarms is then known to about half a percentage point."""
FEWEST = 10
"""Operations below which no chart is made: Keyhole's own choice."""
_AT_ONCE = 2_000_000  # simulated operations held at a time
EARLY = 20
"""Operations counted as a surgeon's first in this table."""


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """One surgeon's operations in order.

    observed, expected : events, or the (geometric, where relative) mean. score : (n,) the CUSUM after each.
    excess : (n,) events beyond those expected so far (or sd above expectation).
    alarms : places (from 1) at which the limit was crossed. limit : the limit; false_alarms : share of simulated series
    of an average surgeon that cross it; found : share of those that cross it when the odds (or the mean) are as bad as
    looked for from the first operation on.
    """

    surgeon: str
    n: int
    observed: float
    expected: float
    score: Array
    excess: Array
    alarms: tuple[int, ...]
    limit: float
    false_alarms: float
    found: float


@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """Charts of all surgeons with enough operations.

    early : mean excess per operation among each surgeon's first minus all later ones, (difference, low, high): events
    per operation, units of the measure, or its share (0.1: a tenth more) where `is_relative`; nan without later ones.
    too_few : surgeons without a chart.
    some_false : chance that at least one of the charts crosses its limit though all surgeons are average.
    """

    outcome: str
    is_event: bool
    is_relative: bool
    charts: tuple[Chart, ...]
    too_few: tuple[tuple[str, int], ...]
    early: tuple[float, float, float]
    some_false: float
    what: str
    caveats: tuple[str, ...]


def cusum(
    table: Table,
    outcome: str = "complication",
    treatment: str = "miss",
    covariates: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Learning:
    """Risk-adjusted CUSUM of every surgeon's operations of arm 1, by date: an event (0/1), or a measure (high is bad).

    What is expected of each patient comes from a model on all surgeons' operations of arm 1, so that the standard is
    their average and no outer one.
    """
    among = numbers(table, treatment) == 1
    found = completed_designs(table, outcome, treatment, covariates, among=among, imputations=FOR_CHANCES, seed=seed)
    if np.ptp(found.y) == 0:
        raise InvalidInput(f"{table.name}: {outcome} is {found.y[0]:g} in every operation of {treatment} = 1")
    is_event = bool(np.isin(found.y, (0.0, 1.0)).all())
    is_relative = not is_event and bool((found.y > 0).all())
    if is_relative:
        found = replace(found, y=np.log(found.y))
    means = chances(found) if is_event else expected(found)
    surgeon, order, skipped = _ordered(table, found.rows)
    spread = 1.0 if is_event else float(np.std(found.y - means))
    charts, too_few = [], []
    rng = np.random.default_rng(seed)
    pool = (found.y - means) / spread
    for name in sorted(set(surgeon.tolist()) - {""}):
        mine = order[surgeon[order] == name]
        if len(mine) < FEWEST:
            too_few.append((name, len(mine)))
            continue
        charts.append(_chart(name, found.y[mine], means[mine], spread, pool if not is_event else None, rng))
    if not charts:
        raise InvalidInput(f"{table.name}: no surgeon has {FEWEST} dated operations of {treatment} = 1: no chart")
    if is_relative:
        charts = [replace(one, observed=math.exp(one.observed), expected=math.exp(one.expected)) for one in charts]
    return Learning(
        outcome,
        is_event,
        is_relative,
        tuple(charts),
        tuple(too_few),
        _early(found.y - means, surgeon, order, is_relative=is_relative),
        float(1 - np.prod([1 - chart.false_alarms for chart in charts])),
        _what(is_event),
        _caveats(charts, too_few, skipped, int(among.sum()) - len(found.y), outcome),
    )


def _what(is_event: bool) -> str:
    looked = f"odds {ODDS:g} times" if is_event else f"a mean {SHIFT:g} sd above"
    return (
        f"looks for {looked} what is expected of each patient; the limit is crossed by {100 * FALSE_ALARMS:g} % of "
        f"{SERIES:,} simulated series of an average surgeon with the same patients"
    )


def _ordered(table: Table, rows: Mask) -> tuple[NDArray[np.object_], Index, int]:
    """Surgeons of the rows, rows in the order of their dates (rows without one left out), and how many those are."""
    surgeon, date = texts(table, "surgeon")[rows], texts(table, "surgery_date")[rows]
    dated = np.flatnonzero([bool(day) and bool(name) for day, name in zip(date, surgeon, strict=True)])
    order: Index = dated[np.argsort(date[dated].astype(str), kind="stable")]
    return surgeon, order, int(rows.sum()) - len(dated)


def scores(y: Array, p: Array) -> Array:
    """Steiner's score of each operation: log likelihood of `ODDS` times the odds over that of the patient's own."""
    weight: Array = y * math.log(ODDS) - np.log1p((ODDS - 1) * p)
    return weight


def _chart(name: str, y: Array, means: Array, spread: float, pool: Array | None, rng: np.random.Generator) -> Chart:
    if pool is None:
        own = scores(y, means)
        bad = ODDS * means / (1 + (ODDS - 1) * means)
        usual = _peaks(lambda many: scores(_drawn(means, many, rng), means), len(y))
        worse = _peaks(lambda many: scores(_drawn(bad, many, rng), means), len(y))
    else:
        held = pool
        own = (y - means) / spread - SHIFT / 2
        usual = _peaks(lambda many: rng.choice(held, (many, len(y))) - SHIFT / 2, len(y))
        worse = _peaks(lambda many: rng.choice(held, (many, len(y))) + SHIFT / 2, len(y))
    limit = float(np.quantile(usual, 1 - FALSE_ALARMS, method="higher"))
    path, alarms = _path(own, limit)
    return Chart(
        name,
        len(y),
        float(y.sum()) if pool is None else float(y.mean()),
        float(means.sum()) if pool is None else float(means.mean()),
        path,
        np.cumsum((y - means) / spread),
        alarms,
        limit,
        float(np.mean(usual > limit)),
        float(np.mean(worse > limit)),
    )


def _drawn(p: Array, many: int, rng: np.random.Generator) -> Array:
    return (rng.random((many, len(p))) < p).astype(np.float64)


def _peaks(draw: Callable[[int], Array], n: int) -> Array:
    """Highest points of `SERIES` simulated series of `n` operations, drawn in blocks that fit into memory."""
    block = max(1, min(SERIES, _AT_ONCE // max(n, 1)))
    counts = [block] * (SERIES // block) + ([SERIES % block] if SERIES % block else [])
    return np.concatenate([_highest(draw(many)) for many in counts])


def _highest(weights: Array) -> Array:
    """Highest point of each series' CUSUM: the running sum less its lowest point so far."""
    total = np.cumsum(weights, axis=1)
    lowest = np.minimum(np.minimum.accumulate(total, axis=1), 0.0)
    before = np.concatenate([np.zeros((len(total), 1)), lowest[:, :-1]], axis=1)
    highest: Array = np.max(np.maximum(total - before, 0.0), axis=1)
    return highest


def _path(weights: Array, limit: float) -> tuple[Array, tuple[int, ...]]:
    """The chart, which begins anew after each alarm."""
    path, alarms, level = np.empty(len(weights)), [], 0.0
    for k, weight in enumerate(weights.tolist()):
        level = max(0.0, level + weight)
        path[k] = level
        if level > limit:
            alarms.append(k + 1)
            level = 0.0
    return path, tuple(alarms)


def _early(
    excess: Array, surgeon: NDArray[np.object_], order: Index, *, is_relative: bool
) -> tuple[float, float, float]:
    """Mean excess of each surgeon's first operations in the table minus that of later ones, with its interval."""
    seen: dict[str, int] = {}
    first = np.zeros(len(order), dtype=np.bool_)
    for k, name in enumerate(surgeon[order].tolist()):
        seen[name] = seen.get(name, 0) + 1
        first[k] = seen[name] <= EARLY
    held = excess[order]
    if min(int(first.sum()), int((~first).sum())) < 2:
        return math.nan, math.nan, math.nan
    difference = float(held[first].mean() - held[~first].mean())
    se = math.sqrt(float(held[first].var(ddof=1)) / first.sum() + float(held[~first].var(ddof=1)) / (~first).sum())
    low, high = difference - 1.96 * se, difference + 1.96 * se
    if is_relative:
        return math.expm1(difference), math.expm1(low), math.expm1(high)
    return difference, low, high


def _caveats(
    charts: Sequence[Chart], too_few: Sequence[tuple[str, int]], undated: int, without: int, outcome: str
) -> tuple[str, ...]:
    said = [
        "operations before the first of this table are not known: a surgeon's first here need not be the first ever",
        "the standard is the average of these surgeons, adjusted for what the table holds about the patients",
    ]
    if too_few:
        said.append(f"{len(too_few)} surgeons have fewer than {FEWEST} operations with {outcome} known: no chart")
    if undated:
        said.append(f"{undated} operations name no surgeon or no date and are in no chart")
    if without:
        said.append(f"{without} operations lack {outcome}: a chart with gaps can hide a run of bad results")
    weak = [chart for chart in charts if chart.found < 0.5]
    if weak:
        said.append(f"{len(weak)} of {len(charts)} charts would more likely miss than find what they look for")
    return tuple(said)
