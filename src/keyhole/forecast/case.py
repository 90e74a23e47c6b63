"""The forecast of a case: forecast.json."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import cache, lru_cache
from importlib.resources import files

from keyhole.casefile import (
    CandidateEntry,
    Case,
    CaseRecord,
    CohortEntry,
    FindingsRecord,
    ForecastOutcome,
    ForecastRecord,
    LabelsRecord,
    PlanRecord,
    ProcedureEntry,
    provenance,
)
from keyhole.errors import InvalidInput, WrongCase
from keyhole.evidence import AddedTable, procedure, procedures, source
from keyhole.forecast.added import BESIDE, TWICE, added_entries, bears_on
from keyhole.forecast.cohort import Cohort
from keyhole.forecast.course import curve_outcome
from keyhole.forecast.expect import SHARE, SPECS, mean_outcome, risk_outcome
from keyhole.forecast.geometry import UNTIED, geometry
from keyhole.forecast.patient import fields_of, risks
from keyhole.forecast.published import Literature, literature
from keyhole.forecast.risk import Value
from keyhole.terms import in_key

_WAYS = {"mean": mean_outcome, "risk": risk_outcome, "curve": curve_outcome}

CAVEATS = (
    "the table of published results is no systematic search, mostly read from abstracts, and not graded for bias",
    "what a group may expect is not what this patient will have",
)
AS_ASKED = "as asked"
"""Why an operation that was named is the one."""

NEVER_USED = "no study in the table used this technique: the figures are of other small openings for the same operation"
ALL_TECHNIQUES = "small openings of every technique for this operation are pooled, not this technique alone"


def forecast(
    plan: PlanRecord,
    patient: Mapping[str, Value],
    *,
    operation: str,
    why: str = AS_ASKED,
    approach: str | None = None,
    cohort: Cohort | None = None,
    added: tuple[AddedTable, ...] = (),
) -> ForecastRecord:
    """What to expect of the best corridor of `plan` and of the open operation.

    Parameters
    ----------
    patient : fields of the risk scores; a field that is left out is unknown.
    operation : a key of `keyhole.evidence.procedures`; it must serve the goal of the plan.
    approach : of the plan's corridors the best of this approach; None takes the first of all.
    cohort : own patients; None leaves the literature.
    added : tables of results that stand beside Keyhole's own.
    """
    planned = _candidate(plan, approach)
    asked = procedure(operation)
    if asked.goal != plan.goal:
        raise InvalidInput(f"a {operation} does not serve the goal {plan.goal} of the plan at {plan.level}")
    open_ = "" if plan.open is None else plan.open.approach
    held = literature(operation, planned.approach, added)
    expected = _outcomes(operation, planned.approach, cohort, added)
    return ForecastRecord(
        schema="keyhole.forecast/1",
        level=plan.level,
        side=plan.side,
        goal=plan.goal,
        procedure=_procedure_entry(held, why, open_),
        range_share=SHARE,
        outcomes=expected,
        geometry=geometry(planned, plan.open),
        risks=risks(patient, cohort),
        patient={key: value for key, value in patient.items() if value is not None},
        cohort=None if cohort is None else _cohort_entry(cohort, operation),
        added=added_entries(held, tuple(one.key for one in expected)),
        levels=plan.levels,
        caveats=(*_caveats(held, open_), *_twice(held, cohort)),
        provenance=provenance({"studies.csv": _evidence_digest()}, operation=operation, approach=planned.approach),
    )


def _candidate(plan: PlanRecord, approach: str | None) -> CandidateEntry:
    found = [one for one in plan.candidates if approach in (None, one.approach)]
    if not found:
        which = "small opening" if approach is None else approach
        raise WrongCase(f"the plan for {plan.level} {plan.side} has no {which} that is feasible: nothing to forecast")
    return min(found, key=lambda one: one.rank or len(plan.candidates) + 1)


@lru_cache(maxsize=64)
def _outcomes(
    operation: str, approach: str, cohort: Cohort | None, added: tuple[AddedTable, ...] = ()
) -> tuple[ForecastOutcome, ...]:
    """Every outcome; it depends on the operation, the cohort and the table, not on the patient."""
    held = literature(operation, approach, added)
    return tuple(_WAYS[spec.kind](held, spec, cohort) for spec in SPECS)


def _procedure_entry(held: Literature, why: str, open_: str) -> ProcedureEntry:
    said = source(held.technique.source)
    return ProcedureEntry(
        key=held.procedure.key,
        title=held.procedure.title,
        approach=held.technique.approach,
        approach_title=held.technique.title,
        comparator=held.procedure.comparator,
        open_approach=open_,
        published_as=held.technique.published_as,
        why=why,
        citation=said.text,
        address=said.address,
    )


def _cohort_entry(cohort: Cohort, operation: str) -> CohortEntry:
    own = cohort.of(operation)
    planned, open_ = (int((own & (cohort.arm == arm)).sum()) for arm in (0, 1))
    caveats = ["own patients were not drawn by lot: those who got the small opening may differ from the others"]
    if not any(cohort.procedure):
        caveats.append("the file does not say which operation each had: all of them count for this one")
    return CohortEntry(
        file=cohort.name,
        sha256=cohort.digest,
        patients=cohort.n,
        planned=planned,
        open=open_,
        left_out=cohort.n - planned - open_,
        caveats=tuple(caveats),
    )


def _caveats(held: Literature, open_: str) -> tuple[str, ...]:
    said = [*CAVEATS, ALL_TECHNIQUES if held.technique.published_as else NEVER_USED]
    said += [note for note in (held.procedure.note, held.technique.note) if note]
    if open_ not in ("", held.procedure.open):
        said.append(f"the plan's open figures are of its {open_}, those of the studies of {held.procedure.comparator}")
    return (*said, *((BESIDE,) if held.added else ()), f"geometry: {UNTIED}")


def _twice(held: Literature, cohort: Cohort | None) -> tuple[str, ...]:
    measured = any(row.status == "measured" and bears_on(held, row) for table in held.added for row in table.rows)
    return (TWICE,) if measured and cohort is not None else ()


@cache
def _evidence_digest() -> str:
    return hashlib.sha256(files("keyhole.evidence").joinpath("studies.csv").read_bytes()).hexdigest()


def operation_of(case: Case, plan: PlanRecord, approach: str | None = None) -> tuple[str, str]:
    """The operation that a plan means, and why: a herniation is removed, a narrow canal is opened.

    Of several fusions the one that the best corridor (of `approach`) belongs to.
    """
    able = [one for one in procedures().values() if one.goal == plan.goal]
    if not able:
        raise InvalidInput(f"nothing published is known for the goal {plan.goal}: no forecast is made")
    if plan.goal != "decompress":
        way = _candidate(plan, approach).approach
        return next((one for one in able if one.has(way)), able[0]).key, f"the goal of the plan is {plan.goal}"
    why = _herniation(case, plan.level)
    if why:
        return next(one.key for one in able if one.when == "herniation"), why
    why = f"no herniation is labelled or measured at {plan.level}: the canal is opened"
    return next(one.key for one in able if one.when == "stenosis"), why


def _herniation(case: Case, level: str) -> str:
    """What speaks for a herniation at `level`; empty where nothing does."""
    if case.has(LabelsRecord):
        key = f"disc/{in_key(level)}/herniation"
        if any(entry.key == key for entry in case.read(LabelsRecord).structures.values()):
            return f"a herniation is labelled at {level}"
    if not case.has(FindingsRecord):
        return ""
    for one in case.read(FindingsRecord).indicated:
        found = [reason for reason in one.reasons if "herniation" in reason and not reason.startswith("against")]
        if one.level == level and found:
            return f"{level}: {found[0]}"
    return ""


def current_forecast(case: Case) -> ForecastRecord | None:
    """The forecast of `case`; None where there is none, or one of an earlier plan."""
    if not case.has(ForecastRecord):
        return None
    found = case.read(ForecastRecord)
    now = case.digest("plan.json").get("plan.json")
    return found if found.provenance.inputs.get("plan.json") == now else None


def forecast_case(
    case: Case,
    cohort: Cohort | None = None,
    *,
    patient: Mapping[str, Value] | None = None,
    operation: str | None = None,
    approach: str | None = None,
    added: tuple[AddedTable, ...] = (),
) -> ForecastRecord:
    """`forecast` for the plan of `case`; writes forecast.json, whole or not at all.

    Parameters
    ----------
    patient : more fields of the risk scores than case.json holds.
    operation : a key of `keyhole.evidence.procedures`; None: what the goal and the findings mean.
    added : tables of results that stand beside Keyhole's own.
    """
    plan, record = case.read(PlanRecord), case.read(CaseRecord)
    _candidate(plan, approach)
    found, why = (operation, AS_ASKED) if operation is not None else operation_of(case, plan, approach)
    made = forecast(
        plan, fields_of(record.patient, patient),
        operation=found, why=why, approach=approach, cohort=cohort, added=added,
    )  # fmt: skip
    inputs = made.provenance.inputs | case.digest("case.json", "plan.json", "findings.json", "labels.json")
    for one in (*((cohort,) if cohort is not None else ()), *added):
        if one.name in inputs:
            raise InvalidInput(f"two inputs of the forecast are called {one.name}: provenance tells them by name")
        inputs[one.name] = one.digest
    made = made.model_copy(update={"provenance": provenance(inputs, **made.provenance.parameters)})
    case.write(made)
    return made
