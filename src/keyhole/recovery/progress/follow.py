"""Follow a patient: observations against the programme and the forecast, and what to do next."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date

from keyhole.casefile import ForecastRecord, RehabRecord
from keyhole.errors import InvalidInput
from keyhole.recovery.instruments import instruments
from keyhole.recovery.progress.advice import Seen, advise
from keyhole.recovery.progress.course import OUTCOMES, courses
from keyhole.recovery.progress.criteria import criteria_of, phase_of
from keyhole.recovery.progress.measured import diaries_of, functional_tests, steps_of
from keyhole.recovery.progress.model import Course, Observation, Progress
from keyhole.recovery.progress.observation import ANSWERS, PHASE, check_observation
from keyhole.recovery.progress.rules import Rules, shipped_rules
from keyhole.recovery.progress.series import Held, held


def follow(
    rehab: RehabRecord,
    forecast: ForecastRecord | None,
    observations: Iterable[Observation],
    today: date,
    *,
    start: date | None = None,
    rules: Rules | None = None,
) -> Progress:
    """How it goes on `today`, and the advice: call before hold before advance, always with reasons.

    The order of `observations` does not matter; nothing known never advances; a bad value does not age, a good one
    does.

    Parameters
    ----------
    start : day of the operation where the programme does not say it; another day than the programme's is refused.
    rules : a clinic's own; None: Keyhole's.
    """
    chosen = shipped_rules() if rules is None else rules
    day = _start(rehab, start)
    rows = tuple(observations)
    for one in rows:
        check_observation(one)
        if one.instrument == PHASE and one.value > len(rehab.phases):
            raise InvalidInput(f"{one.where or PHASE}: the programme has {len(rehab.phases)} phases, got {one.value:g}")
    found = held(rows, day, today)
    phase = phase_of(rehab, found)
    criteria = criteria_of(rehab, phase, found, chosen)
    drawn, steps = courses(found, forecast, chosen), steps_of(found, chosen)
    seen = Seen(rehab, found, chosen, phase, criteria, drawn, steps)
    return Progress(
        start=day,
        today=today,
        day=found.day,
        phase=phase,
        advice=advise(seen),
        criteria=criteria,
        courses=drawn,
        tests=functional_tests(found, chosen),
        steps=steps,
        diaries=diaries_of(found, chosen),
        observations=len(found.used),
        rules=(chosen.title, chosen.version, chosen.digest),
        caveats=_caveats(rehab, forecast, seen, drawn),
    )


def _start(rehab: RehabRecord, start: date | None) -> date:
    told = None if rehab.start is None else date.fromisoformat(rehab.start)
    if told is None and start is None:
        raise InvalidInput("rehab.json does not say the day of the operation: nothing can be dated from it")
    if told is not None and start is not None and told != start:
        raise InvalidInput(f"rehab.json says the operation was on {told}, but it is said to have been on {start}")
    return told if told is not None else start  # type: ignore[return-value]  # one of them is there


def _caveats(
    rehab: RehabRecord, forecast: ForecastRecord | None, seen: Seen, drawn: Sequence[Course]
) -> tuple[str, ...]:
    said = []
    if forecast is None:
        said.append("there is no forecast: the course is shown without the range of single patients")
    elif not any(one.band.low is not None for course in drawn for one in course.points if one.day > 0):
        said.append("the forecast has no range of single patients at the times that were observed")
    if rehab.signed_off is None:
        said.append("the programme's warning signs await the clinic's sign-off")
    said += [f"not used: {name}" for name in _unused(rehab, seen.found)]
    if any(one.before is None for one in drawn):
        said.append("without a value from before the operation a gain is not known")
    return tuple(said)


def _unused(rehab: RehabRecord, found: Held) -> list[str]:
    """Values that neither a criterion, a rule nor the course looks at, so that nothing is passed over in silence."""
    flags = {f"red-flag/{one.key}" for one in rehab.red_flags}
    criteria = {f"criterion/{one.key}" for phase in rehab.phases for one in phase.criteria}
    known = {key for keys in OUTCOMES.values() for key in keys}
    left = []
    for key in found.names():
        if key.startswith(ANSWERS):
            left += [f"{key}, which the programme does not have"] if key not in (*flags, *criteria) else []
        elif key in instruments() and key not in known and not _is_used(rehab, key):
            left.append(f"{key}, which no rule or criterion looks at")
    return left


def _is_used(rehab: RehabRecord, key: str) -> bool:
    tested = any(one.test == key for phase in rehab.phases for one in phase.criteria)
    return tested or instruments()[key].method == "test"
