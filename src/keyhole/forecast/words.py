"""Better, worse, no clear difference, unknown: what an estimate allows to say, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from keyhole.evidence import Outcome
from keyhole.forecast.pool import Interval, Pool

FEWEST = 3
"""Studies below which no difference is called one."""
Word = Literal["better", "no clear difference", "worse", "unknown"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """A word about MISS against open, and the reason in one clause; `points_to` where too few studies point there."""

    word: Word
    why: str
    points_to: Word | None = None


def verdict(found: Pool | None, outcome: Outcome) -> Verdict:
    """The word that a pool allows: both of its intervals must agree, and at least three studies."""
    if found is None:
        return Verdict("unknown", "no study can be pooled")
    intervals = [found.interval] if found.hk is None else [found.interval, found.hk]
    return judged(intervals, found.k, outcome, measure=found.measure)


def judged(intervals: Sequence[Interval], k: int | None, outcome: Outcome, *, measure: str = "md") -> Verdict:
    """The word that 95 % `intervals` of `k` studies allow, on the pool's scale where 0 is no difference.

    In this order: some interval holds no difference; the middle is smaller than what matters to patients; direction
    unknown; fewer than three studies; else better or worse. k of None is a number that the source does not give.
    Below three studies the first interval alone is asked: Hartung-Knapp's of two has one degree of freedom and holds
    everything, so that two studies that agree on a harm would pass for no difference.
    """
    if not intervals:
        return Verdict("unknown", "no interval is known")
    asked = intervals[:1] if k is None or k < FEWEST else intervals
    low, high = min(low for low, _ in asked), max(high for _, high in asked)
    if low <= 0 <= high:
        return Verdict("no clear difference", f"an interval holds no difference ({_counted(k)})")
    middle = abs(intervals[0][0] + intervals[0][1]) / 2
    if measure == "md" and outcome.matters is not None and middle < outcome.matters:
        return Verdict("no clear difference", f"smaller than {outcome.matters:g} {outcome.unit}, which would matter")
    if not outcome.better:
        return Verdict("unknown", "which direction is better is not known for this outcome")
    word: Word = "better" if (high < 0) == (outcome.better == "lower") else "worse"
    if k is None or k < FEWEST:
        why = f"points to {word}, but {_counted(k)}: fewer than {FEWEST} never make a difference"
        return Verdict("unknown", why, word)
    return Verdict(word, f"every interval excludes no difference ({_counted(k)})")


def _counted(k: int | None) -> str:
    return "the number of studies is not given" if k is None else f"{k} {'study' if k == 1 else 'studies'}"
