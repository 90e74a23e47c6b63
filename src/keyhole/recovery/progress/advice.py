"""From observations and rules to one advice with every reason: call before hold before advance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from keyhole.casefile import RehabRecord
from keyhole.recovery.instruments import instrument
from keyhole.recovery.progress.model import (
    ORDER,
    Advice,
    Course,
    Criterion,
    PhaseState,
    Reason,
    Steps,
)
from keyhole.recovery.progress.observation import ANSWERS, PHASE, RED_FLAGS, SEEN
from keyhole.recovery.progress.rules import Rule, Rules
from keyhole.recovery.progress.series import Day, Held, better, least_bad, nth_best, worse_by


@dataclass(frozen=True, slots=True)
class Seen:
    """All that a rule may look at."""

    rehab: RehabRecord
    found: Held
    rules: Rules
    phase: PhaseState
    criteria: tuple[Criterion, ...]
    courses: tuple[Course, ...]
    steps: Steps | None


def advise(seen: Seen) -> Advice:
    """The most urgent of all rules that fire; "ready" fires only where no other does, and something always does."""
    reasons = []
    for rule in seen.rules.rules:
        if rule.kind != "ready":
            found = _KINDS[rule.kind](seen, rule)
            reasons += [Reason(rule.name, rule.advice, rule.says, said, rule.source, rule.beside) for said in found]
    if not reasons:
        ready = next(rule for rule in seen.rules.rules if rule.kind == "ready")
        met = f"{len(seen.criteria)} of {len(seen.criteria)} criteria met on day {seen.found.day}"
        reasons = [Reason(ready.name, ready.advice, ready.says, met, ready.source)]
    reasons.sort(key=lambda one: ORDER.index(one.advice))
    return Advice(reasons[0].advice, tuple(reasons))


def _red_flag(seen: Seen, rule: Rule) -> list[str]:
    """A yes calls, also where it is dated after today, until the clinic has seen it on that day or later."""
    rows = [*seen.found.used, *seen.found.later]
    texts = {one.key: f"{one.text.rstrip('.')} ({_ACT[one.act]})" for one in seen.rehab.red_flags}
    looked = _looked(seen.found)
    said = []
    for one in sorted(rows, key=lambda row: (row.date, row.instrument)):
        is_flag = one.instrument == RED_FLAGS or one.instrument.startswith("red-flag/")
        name = one.instrument.removeprefix("red-flag/")
        if is_flag and one.value > 0 and not _was_seen(looked, name, one.date) and one.date >= seen.found.start:
            words = f"{one.value:g} of them" if name == RED_FLAGS else texts.get(name, name)
            said.append(f"{words}, {one.date}")
    return said


def _looked(found: Held) -> dict[str, date]:
    """The last day on which the clinic had seen a warning sign, or all of them."""
    return {
        one.instrument: one.date
        for one in found.used  # in order of time: the last wins
        if one.instrument.split("/")[0] == SEEN and one.value == 1
    }


_ACT = {"now": "emergency department now", "today": "call the same day"}


def _was_seen(looked: dict[str, date], name: str, day: date) -> bool:
    return any(key in looked and looked[key] >= day for key in (SEEN, f"{SEEN}/{name}"))


def _level(seen: Seen, rule: Rule) -> list[str]:
    said = []
    for key in _in_time(seen, rule):
        last = _recent(seen, key, rule.days)
        if rule.at is not None and last and worse_by(key, least_bad(key, last), rule.at) >= 0:
            said.append(f"{_values(key, last)}; limit {rule.at:g} or worse")
    return said


def _worsened(seen: Seen, rule: Rule) -> list[str]:
    said = []
    for key in _in_time(seen, rule):
        last = _recent(seen, key, rule.days)
        if not last:
            continue
        earlier = [one for one in seen.found.after(key) if one.date < last[0].date]
        best = nth_best(key, earlier, rule.days)
        value = least_bad(key, last)
        if best is None or (rule.at is not None and worse_by(key, value, rule.at) < 0):
            continue
        if _is_worse(key, value, best, rule):
            more = f"{rule.by:g} points" if rule.by is not None else f"{100 * (rule.share or 0):.0f} %"
            said.append(f"{_values(key, last)}; the best before was {best:g}; limit {more} worse")
    return said


def _is_worse(key: str, value: float, best: float, rule: Rule) -> bool:
    if rule.by is not None:
        return worse_by(key, value, best) >= rule.by
    share = rule.share or 0.0
    if better(key) == "higher":
        return value < (1 - share) * best
    return value > (1 + share) * best


def _gain(seen: Seen, rule: Rule) -> list[str]:
    said = []
    for key in _in_time(seen, rule):
        last, earlier = _recent(seen, key, 1), seen.found.before(key)
        before = nth_best(key, earlier, 1)
        if not last or before is None or rule.below is None:
            continue
        gain = -worse_by(key, last[0].worst, before)
        known = instrument(key)
        room = abs(before - (known.low if known.better == "lower" else known.high))
        if room >= rule.below > gain:
            said.append(f"{_values(key, last)}; {before:g} before the operation; limit a gain of {rule.below:g} points")
    return said


def _band(seen: Seen, rule: Rule) -> list[str]:
    said = []
    for course in seen.courses:
        points = [one for one in course.points if one.day > 0 and one.standing != "unknown"][-rule.visits :]
        fits = _applies(seen, rule) and len(points) == rule.visits
        if fits and all(one.standing == "worse" for one in points):
            rows = ", ".join(
                f"{one.value:g} on {one.date} (range {one.band.low:.1f} to {one.band.high:.1f})" for one in points
            )
            said.append(f"{course.title}: {rows}; {points[-1].band.why}")
    return said


def _steps(seen: Seen, rule: Rule) -> list[str]:
    steps = seen.steps
    if steps is None or steps.share is None or steps.published_share is None or not _applies(seen, rule):
        return []
    if steps.share >= (rule.part or 0.0) * steps.published_share:
        return []
    return [
        f"{steps.recent:.0f} a day, {100 * steps.share:.0f} % of the own {steps.baseline:.0f}; published for day "
        f"{steps.published_day}: {100 * steps.published_share:.0f} %"
    ]


def _overdue(seen: Seen, rule: Rule) -> list[str]:
    over = seen.found.day - seen.phase.to_day
    recorded = seen.phase.recorded is not None
    ready = seen.criteria and all(one.state == "met" for one in seen.criteria)
    if not recorded or seen.phase.next_name is None or ready or over < rule.days:
        return []
    return [f"{seen.phase.name} ended on day {seen.phase.to_day}, today is day {seen.found.day}"]


def _needed(seen: Seen, rule: Rule) -> list[str]:
    found, rules = seen.found, seen.rules
    if any(found.is_fresh(key, rules.fresh_days(key)) for key in rule.instruments):
        return []
    flags = [f"red-flag/{one.key}" for one in seen.rehab.red_flags]
    if RED_FLAGS in rule.instruments and all(found.is_fresh(key, rules.fresh_days(key)) for key in flags):
        return []
    names = " or ".join(rule.instruments)
    lasts = [last for key in rule.instruments if (last := found.latest(key)) is not None]
    when = f"the last is of {max(one.date for one in lasts)}" if lasts else "there is none since the operation"
    return [f"no fresh value of {names}: {when}"]


def _event(seen: Seen, rule: Rule) -> list[str]:
    said = []
    for key in _in_time(seen, rule):
        last = next((one for one in reversed(seen.found.after(key)) if one.worst > 0), None)
        if last is not None and (rule.within is None or seen.found.age(last) <= rule.within):
            said.append(f"{key.removeprefix('event/')} on {last.date}")
    return said


def _conflict(seen: Seen, rule: Rule) -> list[str]:
    """Values of one day further apart than answers differ, as long as that day still counts as fresh."""
    said = []
    for key in seen.found.names():
        for one in seen.found.of(key)[-1:] if key == PHASE else seen.found.after(key):
            fresh = key == PHASE or seen.found.age(one) <= seen.rules.fresh_days(key)
            if fresh and max(one.values) - min(one.values) > seen.rules.tolerance(key):
                values = " and ".join(f"{value:g}" for value in sorted(set(one.values)))
                said.append(f"{key} on {one.date}: {values}")
    return said


def _before_operation(seen: Seen, rule: Rule) -> list[str]:
    return [f"it is planned for {seen.found.start}"] if seen.found.day < 0 else []


def _after_today(seen: Seen, rule: Rule) -> list[str]:
    rows = seen.found.later
    return [f"{len(rows)} of them, the last of {rows[-1].date}; today is {seen.found.today}"] if rows else []


def _phase_unknown(seen: Seen, rule: Rule) -> list[str]:
    if seen.phase.recorded is not None or seen.found.day - seen.phase.to_day < rule.days:
        return []
    return [f"{seen.phase.name} ended on day {seen.phase.to_day}; record `{PHASE}` with its number"]


def _unsigned(seen: Seen, rule: Rule) -> list[str]:
    return [f"{seen.rehab.protocol.name}"] if seen.rehab.signed_off is None else []


def _too_early(seen: Seen, rule: Rule) -> list[str]:
    at = seen.phase.next_day
    if at is None or seen.found.day >= at:
        return []
    return [f"{seen.phase.next_name} from day {at}, today is day {seen.found.day}"]


def _last_phase(seen: Seen, rule: Rule) -> list[str]:
    return [seen.phase.name] if seen.phase.next_name is None else []


def _not_met(seen: Seen, rule: Rule) -> list[str]:
    return [_about(one) for one in seen.criteria if one.state == "not met"]


def _unknown(seen: Seen, rule: Rule) -> list[str]:
    if not seen.criteria and seen.phase.next_name is not None:
        return ["the phase has no criterion: nothing can be met"]
    return [_about(one) for one in seen.criteria if one.state == "unknown"]


def _about(one: Criterion) -> str:
    return f"{one.text.rstrip('.')}: {one.why}"


def _applies(seen: Seen, rule: Rule) -> bool:
    """Whether the rule is of this time after the operation."""
    day = seen.found.day
    return (rule.from_day is None or day >= rule.from_day) and (rule.to_day is None or day <= rule.to_day)


def _in_time(seen: Seen, rule: Rule) -> Sequence[str]:
    return rule.instruments if _applies(seen, rule) else ()


def _recent(seen: Seen, key: str, n: int) -> list[Day]:
    """The last `n` days with a value, however old: a bad value does not age. Empty where there are fewer."""
    days = list(seen.found.after(key))[-n:]
    return days if len(days) == n else []


def _values(key: str, days: Sequence[Day]) -> str:
    name = instrument(key).short if not key.startswith(ANSWERS) else key
    return f"{name} " + ", ".join(f"{one.worst:g} on {one.date}" for one in days)


_KINDS: dict[str, Callable[[Seen, Rule], list[str]]] = {
    "red-flag": _red_flag,
    "level": _level,
    "worsened": _worsened,
    "gain": _gain,
    "band": _band,
    "steps": _steps,
    "overdue": _overdue,
    "needed": _needed,
    "event": _event,
    "conflict": _conflict,
    "before-operation": _before_operation,
    "after-today": _after_today,
    "phase-unknown": _phase_unknown,
    "unsigned": _unsigned,
    "too-early": _too_early,
    "last-phase": _last_phase,
    "not-met": _not_met,
    "unknown": _unknown,
}
