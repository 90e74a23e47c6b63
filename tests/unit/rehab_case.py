"""Small cases for the tests of the rehabilitation programme: case.json and plan.json alone."""

from __future__ import annotations

from pathlib import Path

from report_case import plan as made_up_plan
from report_case import quantity

from keyhole.casefile import Case, CaseRecord, ImageEntry, Patient, PlanRecord, Quantity, provenance, to_json

IMAGE = ImageEntry(name="ct", file="images/ct.nii.gz", modality="CT", source_file="ct.nii.gz", sha256="ab" * 32)


def case(folder: Path, *, age: float | None = 54, asa: int | None = 1, plan: PlanRecord | None = None, **more) -> Case:
    """A case with the made-up plan, or `plan`; `with_plan=False` leaves it out."""
    folder.mkdir(parents=True, exist_ok=True)
    patient = Patient(age=age, sex="F", asa=asa)
    record = CaseRecord(
        id=more.get("name", "made-up"), patient=patient, images=(IMAGE,), numbering="counted", provenance=provenance({})
    )
    folder.joinpath("case.json").write_bytes(to_json(record))
    made = Case(folder)
    if more.get("with_plan", True):
        made.write(plan or decompression())
    return made


def decompression(**changes) -> PlanRecord:
    """The made-up plan with its first candidate changed."""
    plan = made_up_plan({})
    first = plan.candidates[0].model_copy(update=changes)
    return plan.model_copy(update={"candidates": (first, *plan.candidates[1:])})


def lateral(psoas: Quantity) -> PlanRecord:
    """A fusion from the side through the psoas."""
    plan = made_up_plan({})
    first = plan.candidates[0]
    burden = first.burden | {"muscle/psoas": psoas}
    way = first.model_copy(update={"approach": "lateral-transpsoas", "burden": burden})
    return plan.model_copy(update={"goal": "fuse", "candidates": (way,), "pareto": (0,)})


def facet(share: float | None) -> dict[str, Quantity]:
    """A plan's share of one facet joint."""
    return {"L4/L5/left": quantity(share, "%", None, *(("not labelled",) if share is None else ()))}
