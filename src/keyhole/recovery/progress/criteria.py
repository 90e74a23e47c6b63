"""The phase that the patient is in, and which of its criteria are met."""

from __future__ import annotations

from keyhole.casefile import CriterionEntry, RehabRecord
from keyhole.recovery.instruments import instruments
from keyhole.recovery.progress.measured import STEPS
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
    """Every criterion of `phase`: met, not met or unknown. Stale values and none at all are unknown.

    What a person answers counts from the day on which the phase was recorded. Steps a day vary: the last three values
    must all reach what is asked, and fewer are unknown.
    """
    return tuple(_judged(one, phase, found, rules) for one in rehab.phases[phase.number - 1].criteria)


def _judged(one: CriterionEntry, phase: PhaseState, found: Held, rules: Rules) -> Criterion:
    key = f"criterion/{one.key}" if one.test is None else one.test
    if one.test is not None and (one.test not in instruments() or one.threshold is None or one.rule is None):
        return Criterion(one.key, one.text, "unknown", f"the programme names {one.test} without a value that tells")
    days = found.after(key)
    if one.test is None and phase.recorded is not None:
        days = tuple(day for day in days if day.date >= phase.recorded)
    wanted = rules.steps.least if one.test == STEPS else 1
    if len(days) < wanted:
        return Criterion(one.key, one.text, "unknown", _missing(one, key, len(days), wanted, phase))
    last = days[-wanted:]
    limit, age = rules.fresh_days(key), found.age(last[-1])
    said = ", ".join(f"{_said(one, day)} on {day.date}" for day in last)
    if age > limit:
        return Criterion(one.key, one.text, "unknown", f"{said}: {age} days old, more than {limit}")
    conflict = any(max(day.values) - min(day.values) > rules.tolerance(key) for day in last)
    more = "; values of one day contradict each other" if conflict else ""
    state: State = "met" if all(_is_met(one, day) for day in last) else "not met"
    return Criterion(one.key, one.text, state, f"{said}{_limit(one)}{more}", conflict)


def _missing(one: CriterionEntry, key: str, n: int, wanted: int, phase: PhaseState) -> str:
    if one.test is None:
        since = "" if phase.recorded is None else f" since the phase was recorded on {phase.recorded}"
        return f"nobody has answered{since}: record {key} as 1 or 0"
    return f"no value of {key} since the operation" if wanted == 1 else f"{n} values of {key}, {wanted} are needed"


def _is_met(one: CriterionEntry, day: Day) -> bool:
    """By the worst value of the day: for a limit from above the largest, from below the smallest."""
    if one.test is None or one.threshold is None:
        return min(day.values) == 1
    return max(day.values) <= one.threshold if one.rule == "at most" else min(day.values) >= one.threshold


def _said(one: CriterionEntry, day: Day) -> str:
    if one.test is None:
        return "yes" if min(day.values) == 1 else "no"
    worst = max(day.values) if one.rule == "at most" else min(day.values)
    return f"{instruments()[one.test].short} {worst:g}"


def _limit(one: CriterionEntry) -> str:
    return "" if one.threshold is None or one.rule is None else f", {one.rule} {one.threshold:g} asked"
