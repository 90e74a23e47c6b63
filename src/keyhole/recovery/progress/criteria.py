"""The phase that the patient is in, and which of its criteria are met."""

from __future__ import annotations

from keyhole.casefile import CriterionEntry, RehabRecord
from keyhole.recovery.instruments import instruments
from keyhole.recovery.progress.model import Criterion, PhaseState, State
from keyhole.recovery.progress.observation import PHASE
from keyhole.recovery.progress.rules import Rules
from keyhole.recovery.progress.series import Day, Held


def phase_of(rehab: RehabRecord, found: Held) -> PhaseState:
    """The phase last recorded, the lower where one day has two; the first where none was."""
    rows = [one for one in found.of(PHASE) if one.date >= found.start]
    last = rows[-1] if rows else None
    number = 1 if last is None else min(int(min(last.values)), len(rehab.phases))
    now = rehab.phases[number - 1]
    later = rehab.phases[number] if number < len(rehab.phases) else None
    return PhaseState(
        number=number,
        count=len(rehab.phases),
        name=now.name,
        from_day=now.from_day,
        to_day=now.to_day,
        recorded=None if last is None else last.date,
        next_name=None if later is None else later.name,
        next_day=None if later is None else later.from_day,
    )


def criteria_of(rehab: RehabRecord, phase: PhaseState, found: Held, rules: Rules) -> tuple[Criterion, ...]:
    """Every criterion of `phase`: met, not met or unknown. Stale values and none at all are unknown."""
    return tuple(_judged(one, found, rules) for one in rehab.phases[phase.number - 1].criteria)


def _judged(one: CriterionEntry, found: Held, rules: Rules) -> Criterion:
    key = f"criterion/{one.key}" if one.test is None else one.test
    last = found.latest(key)
    if one.test is not None and (one.test not in instruments() or one.threshold is None or one.rule is None):
        return Criterion(one.key, one.text, "unknown", f"the programme names {one.test} without a value that tells")
    if last is None:
        how = f"record {key} as 1 or 0" if one.test is None else f"no value of {key} since the operation"
        return Criterion(one.key, one.text, "unknown", how)
    limit, age = rules.fresh_days(key), found.age(last)
    said = f"{_said(one, last)} on {last.date}"
    if age > limit:
        return Criterion(one.key, one.text, "unknown", f"{said}: {age} days old, more than {limit}")
    apart = max(last.values) - min(last.values)
    conflict = apart > rules.tolerance(key)
    values = f"; that day says {' and '.join(f'{value:g}' for value in sorted(set(last.values)))}" if conflict else ""
    return Criterion(one.key, one.text, _state(one, last), f"{said}{_limit(one)}{values}", conflict)


def _state(one: CriterionEntry, last: Day) -> State:
    """By the worst value of the day: for a limit from above the largest, from below the smallest."""
    if one.test is None:
        return "met" if min(last.values) == 1 else "not met"
    limit = float(one.threshold if one.threshold is not None else "nan")
    held = max(last.values) <= limit if one.rule == "at most" else min(last.values) >= limit
    return "met" if held else "not met"


def _said(one: CriterionEntry, last: Day) -> str:
    if one.test is None:
        return "yes" if min(last.values) == 1 else "no"
    worst = max(last.values) if one.rule == "at most" else min(last.values)
    return f"{instruments()[one.test].short} {worst:g}"


def _limit(one: CriterionEntry) -> str:
    return "" if one.threshold is None or one.rule is None else f", {one.rule} {one.threshold:g} asked"
