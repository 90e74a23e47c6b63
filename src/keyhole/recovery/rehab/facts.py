"""What a programme is built on: figures of the case, from its files or from the surgeon."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from keyhole.anatomy import gate
from keyhole.casefile import CandidateEntry, Case, CaseRecord, FactEntry, LabelsRecord, PlanRecord, Quantity
from keyhole.errors import InvalidInput, WrongCase
from keyhole.evidence import procedures
from keyhole.forecast import current_forecast, operation_of
from keyhole.terms import split

NOT_KNOWN = "not known"


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The operation, the levels, and the figures that a protocol may be fitted to; None is not known."""

    procedure: str
    levels: tuple[str, ...]
    approach: str
    figures: Mapping[str, float | None]
    told: tuple[FactEntry, ...]
    caveats: tuple[str, ...]


def facts(case: Case, settings: Mapping[str, str], by: str) -> Facts:
    """The facts of `case`; `settings` of the surgeon `by` (procedure, approach, levels, age, asa) go before its files.

    A case without a plan is refused unless procedure and levels are set.
    """
    plan = case.read(PlanRecord) if case.has(PlanRecord) else None
    if plan is None and not {"procedure", "levels"} <= settings.keys():
        raise WrongCase(
            f"{case.path} has no plan.json, so nobody knows which operation the programme is for: run `keyhole plan`, "
            "or say it with --set procedure=NAME --set levels=L4/L5"
        )
    candidate, notes = _candidate(plan, case, settings)
    procedure, why = _procedure(case, plan, settings, candidate)
    levels = _levels(plan, settings)
    people, told = _person(case.read(CaseRecord), settings, by)
    figures = people | {"levels": float(len(levels))} | _figures(candidate)
    source = "plan.json" if plan is not None else by
    entries = (
        FactEntry(key="procedure", title="Operation", value=procedures()[procedure].title, origin=why),
        FactEntry(key="levels", title="Levels", value=", ".join(levels), origin=by if "levels" in settings else source),
        *told,
        *_told(candidate, figures),
    )
    approach = settings.get("approach", "") if candidate is None else candidate.approach
    return Facts(procedure, levels, approach, figures, entries, (*notes, *_gate(case, plan)))


def _gate(case: Case, plan: PlanRecord | None) -> tuple[str, ...]:
    """What every result says of the names of the levels: by the labels, else by the plan, else that nobody checked."""
    if case.has(LabelsRecord):
        return gate.caveats(gate.state(case.read(CaseRecord), case.read(LabelsRecord)))
    if plan is not None and plan.levels is not None:
        return gate.caveats(plan.levels)
    return ("levels not confirmed",)


def _candidate(
    plan: PlanRecord | None, case: Case, settings: Mapping[str, str]
) -> tuple[CandidateEntry | None, tuple[str, ...]]:
    """The corridor or open operation that the programme is for, and what must be said of it."""
    if plan is None:
        return None, ("there is no plan: what the way in does to muscles and joints is not known",)
    every = [*plan.candidates, *([plan.open] if plan.open else []), *plan.comparators]
    asked = settings.get("approach")
    forecast = current_forecast(case)
    stale = case.path.joinpath("forecast.json").is_file() and forecast is None
    notes = ("forecast.json is of an earlier plan and was not used; run `keyhole forecast` again",) if stale else ()
    wanted = asked or (forecast.procedure.approach if forecast is not None else None)
    found = [one for one in every if wanted in (None, one.approach)]
    if not found and asked:
        known = ", ".join(dict.fromkeys(one.approach for one in every)) or "none"
        raise InvalidInput(f"the plan for {plan.level} holds no approach {asked!r}; it holds {known}")
    if not found:
        return None, (*notes, f"the plan for {plan.level} holds no operation: what the way in does is not known")
    first = min(found, key=lambda one: one.rank if one.rank is not None else len(every) + 1)
    opened = (f"no small opening is feasible in the plan: the programme is for {first.approach}",)
    return first, (*notes, *(opened if first.rank is None and not asked else ()))


def _procedure(
    case: Case, plan: PlanRecord | None, settings: Mapping[str, str], candidate: CandidateEntry | None
) -> tuple[str, str]:
    asked = settings.get("procedure")
    if asked is not None:
        if asked not in procedures():
            raise InvalidInput(f"no operation is called {asked!r}; known are {', '.join(procedures())}")
        return asked, "as set"
    if plan is None or candidate is None:
        raise WrongCase(
            f"{case.path}: the plan holds no operation, so nobody knows what the programme is for; "
            "say it with --set procedure=NAME"
        )
    found, why = _meant(case, plan, candidate)
    if "approach" not in settings or procedures()[found].has(candidate.approach):
        return found, why
    of_it = _of_approach(plan.goal, candidate.approach)
    return (of_it[0], f"{candidate.approach}, as set") if of_it else (found, why)


def _meant(case: Case, plan: PlanRecord, candidate: CandidateEntry) -> tuple[str, str]:
    """The operation of the forecast, else what the plan and the findings mean, else what an open operation is of."""
    forecast = current_forecast(case)
    if forecast is not None:
        return forecast.procedure.key, forecast.procedure.why
    if plan.candidates:
        return operation_of(case, plan)
    able = _of_approach(plan.goal, candidate.approach)
    if not able:
        raise InvalidInput(
            f"no operation is known for {candidate.approach} with the goal {plan.goal}; "
            "say it with --set procedure=NAME"
        )
    return able[0], f"the plan has only {candidate.approach}"


def _of_approach(goal: str, approach: str) -> list[str]:
    """The operations with `goal` that `approach` is a technique of, or the open operation beside."""
    return [
        key for key, one in procedures().items() if one.goal == goal and (one.has(approach) or one.open == approach)
    ]


def _levels(plan: PlanRecord | None, settings: Mapping[str, str]) -> tuple[str, ...]:
    if "levels" in settings:
        asked = settings["levels"].replace(";", ",").split(",")
        return tuple(dict.fromkeys("/".join(split(one.strip())) for one in asked))
    return () if plan is None else (plan.level,)


_PERSON = {"age": ("Age", " years", 0.0, 120.0), "asa": ("ASA class", "", 1.0, 5.0)}


def _person(
    record: CaseRecord, settings: Mapping[str, str], by: str
) -> tuple[dict[str, float | None], tuple[FactEntry, ...]]:
    figures: dict[str, float | None] = {}
    told = []
    for key, (title, unit, low, high) in _PERSON.items():
        held = getattr(record.patient, key)
        value = _number(key, settings[key], low, high) if key in settings else held
        figures[key] = None if value is None else float(value)
        said = NOT_KNOWN if value is None else f"{value:g}{unit}"
        told.append(FactEntry(key=key, title=title, value=said, origin=by if key in settings else "case.json"))
    return figures, tuple(told)


def _number(key: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidInput(f"{key} must be a number from {low:g} to {high:g}, got {text!r}")
    return value


def _figures(candidate: CandidateEntry | None) -> dict[str, float | None]:
    """What the operation does, in the fields a protocol may be fitted to."""
    if candidate is None:
        return dict.fromkeys(("facet", "muscle_stripped", "psoas", "goal_missed"))
    harm = candidate.harm
    held = None if harm is None else [t for t in harm.tissues if t.tissue == "muscle" and t.does == "retracted"]
    way_in = [v for key, v in candidate.burden.items() if "psoas" in key]
    return {
        "facet": _most(candidate),
        "muscle_stripped": None if held is None else _sum([one.volume for one in held]),
        "psoas": _sum(way_in),
        "goal_missed": _missed(candidate),
    }


def _most(candidate: CandidateEntry) -> float | None:
    """% of the joint that loses most, by the way in or by the decompression through it; None if one is not known."""
    simulated = {} if candidate.decompression is None else candidate.decompression.facet_removed
    every = [*candidate.facet_removed.values(), *simulated.values()]
    values = [one.value for one in every]
    if not values or any(value is None for value in values):
        return None
    return max(value for value in values if value is not None)


def _missed(candidate: CandidateEntry) -> float | None:
    done = candidate.decompression
    return None if done is None or done.goal is None else float(not done.goal.reached)


def _sum(found: list[Quantity]) -> float | None:
    values = [one.value for one in found]
    return None if any(value is None for value in values) else sum(value for value in values if value is not None)


DISPLACED = "volume displaced, not injury"
LEAST = 0.05
"""mL of a muscle below which it is not named."""


def _told(candidate: CandidateEntry | None, figures: Mapping[str, float | None]) -> tuple[FactEntry, ...]:
    """What the plan says of this operation, for the therapist."""
    if candidate is None:
        return (FactEntry(key="approach", title="Approach", value=NOT_KNOWN, origin="no plan"),)
    told = [FactEntry(key="approach", title="Approach", value=candidate.approach, origin="plan.json")]
    if candidate.harm is None:
        told.append(FactEntry(key="muscle", title="Muscle", value=NOT_KNOWN, origin="plan.json"))
    else:
        for one in candidate.harm.muscles:
            if one.volume.value is None or one.volume.value >= LEAST:
                said = _amount(one.volume)
                told.append(
                    FactEntry(key="muscle", title=f"Muscle: {one.name}", value=said, origin="plan.json", note=DISPLACED)
                )
    told.append(_percent("facet", "Facet joint that loses most", figures["facet"]))
    reached = {None: "not simulated", 0.0: "reached", 1.0: "not reached"}[figures["goal_missed"]]
    told.append(FactEntry(key="goal", title="Goal of the simulated removal", value=reached, origin="plan.json"))
    return tuple(told)


def _amount(found: Quantity) -> str:
    if found.value is None:
        return NOT_KNOWN
    return f"{found.value:.1f} {found.unit}" + (f" ± {found.sd:.1f}" if found.sd else "")


def _percent(key: str, title: str, value: float | None) -> FactEntry:
    said = NOT_KNOWN if value is None else f"{value:.0f} %"
    return FactEntry(key=key, title=title, value=said, origin="plan.json")
