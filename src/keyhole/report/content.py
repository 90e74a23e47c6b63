"""Everything the report says, gathered once for the page and for the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from keyhole import __version__
from keyhole.anatomy.gate import NOT_CONFIRMED
from keyhole.anatomy.model import Anatomy
from keyhole.assessment.norms.indicated import NOTHING
from keyhole.casefile import (
    RESEARCH_USE,
    CandidateEntry,
    CaseRecord,
    DrawingsRecord,
    FindingsRecord,
    LabelsRecord,
    PlanRecord,
    Provenance,
    QualityItem,
)
from keyhole.plan.approaches import catalogue
from keyhole.report.board import Board, boards, norms_table
from keyhole.report.charts import Chart, comparison_chart, feasibility_chart, pareto_chart
from keyhole.report.compare import (
    best,
    closest,
    closest_gap,
    closest_name,
    comparison,
    title,
    worst_breach,
)
from keyhole.report.detail import burdens, clearances, feasibility, pareto
from keyhole.report.indicated import Target, targets
from keyhole.report.measures import asked_table, methods_table
from keyhole.report.norm import published
from keyhole.report.painted import NEAR, Gallery
from keyhole.report.roster import SHOWN_SLIP
from keyhole.report.slices import Picture
from keyhole.report.standing import confirmed, evidence_table, made_before, quality_table, warnings
from keyhole.report.structures import structures
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import (
    Notes,
    Text,
    in_words,
    listed,
    number,
    parameters,
    probability,
    quantity,
    spread,
    structure,
    with_unit,
)

GOALS = {"decompress": "decompression", "fuse": "fusion", "screws": "pedicle screws"}
NO_PLAN = "No plan has been made yet: this report holds the findings only. To search corridors, run: keyhole plan."
UNCONFIRMED = (
    "Levels not confirmed: nobody has confirmed that the vertebrae carry the right names. "
    "A wrong level is the field's worst silent error; check the numbering before reading on, then run: keyhole confirm."
)


@dataclass(frozen=True, slots=True)
class Records:
    """What the case folder holds; findings and plan are None where their stage has not run."""

    case: CaseRecord
    labels: LabelsRecord
    findings: FindingsRecord | None
    plan: PlanRecord | None
    quality: Mapping[str, tuple[QualityItem, ...]] = field(default_factory=dict)
    drawings: DrawingsRecord | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Every picture of the report: slices by approach, the 3D view for paper, the numbered spine, the measures."""

    corridors: Mapping[str, tuple[Picture, ...]] = field(default_factory=dict)
    stills: tuple[Picture, ...] = ()
    spine: tuple[Picture, ...] = ()
    overview: tuple[Picture, ...] = ()
    galleries: tuple[Gallery, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """A term and what is said of it."""

    term: str
    said: Text


@dataclass(frozen=True, slots=True)
class Corridor:
    """The best corridor of one approach: name, colour, a line of numbers, and its pictures."""

    name: str
    title: str
    rank: str
    summary: str
    lines: tuple[Line, ...]
    pictures: tuple[Picture, ...]
    notes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one file of the case came from."""

    file: str
    version: str
    inputs: tuple[tuple[str, str], ...]
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """The report, in words, tables, charts and pictures; `level` is "" without a plan."""

    title: str
    patient: str
    case: str
    research_use: str
    version: str
    warnings: tuple[str, ...]
    answer: str
    asked: tuple[Line, ...]
    levels: tuple[Line, ...]
    spine: tuple[Picture, ...]
    evidence: Table | None
    quality: Table | None
    indicated: tuple[Target, ...] | None
    overview: tuple[Picture, ...]
    boards: tuple[Board, ...]
    galleries: tuple[Gallery, ...]
    painted_within: str
    shown_slip: str
    nothing_indicated: str
    asked_findings: Table | None
    methods: Table | None
    norms: Table | None
    comparison: Table | None
    comparison_chart: Chart | None
    stills: tuple[Picture, ...]
    corridors: tuple[Corridor, ...]
    clearances: Table | None
    burdens: Table | None
    feasibility: Table | None
    feasibility_chart: Chart | None
    pareto: Table | None
    pareto_chart: Chart | None
    rejected: Table | None
    structures: Table
    notes: tuple[tuple[int, str, tuple[str, ...]], ...]
    stages: tuple[Stage, ...]
    references: tuple[tuple[int, str, str, str], ...]


def content(
    records: Records,
    anatomy: Anatomy,
    drawn: Drawn,
    digests: dict[str, str],
) -> Content:
    """The whole report from the case's records.

    `digests` are the SHA-256 of the files read.
    """
    is_confirmed = records.case.confirmation is not None and anatomy.levels_confirmed
    notes, references = Notes(NOT_CONFIRMED if is_confirmed else None), References()
    _general(records, anatomy, notes)
    plan = records.plan
    found = records.findings.findings if records.findings is not None else ()
    asked = _asked(plan) if plan is not None else ()
    wanted = targets(records.findings, notes, references) if records.findings is not None else None
    flagged, norms = frozenset(target.level for target in wanted or ()), published(records.case.patient)
    sheet = boards(found, norms, flagged, notes, references)
    in_full = asked_table(found, plan.level if plan is not None else None, notes, references)
    _cite_plan(plan, references)
    return Content(
        title=_title(plan),
        patient=_patient(records.case),
        case=records.case.id,
        research_use=RESEARCH_USE,
        version=__version__,
        warnings=_warnings(records, anatomy),
        answer=_answer(plan),
        asked=asked,
        levels=_levels(records, anatomy),
        spine=drawn.spine,
        evidence=evidence_table(records.labels.evidence),
        quality=quality_table(records.quality),
        indicated=wanted,
        overview=drawn.overview,
        boards=sheet,
        galleries=drawn.galleries,
        painted_within=f"{NEAR:g}",
        shown_slip=f"{SHOWN_SLIP:g}",
        nothing_indicated=f"{NOTHING[:1].upper()}{NOTHING[1:]}.",
        asked_findings=in_full,
        methods=methods_table(found, references),
        norms=norms_table(found, norms, references),
        comparison=comparison(plan, notes) if plan is not None else None,
        comparison_chart=comparison_chart(plan) if plan is not None else None,
        stills=drawn.stills,
        corridors=tuple(_corridor(c, drawn.corridors, notes) for c in best(plan)) if plan is not None else (),
        clearances=clearances(plan, notes) if plan is not None else None,
        burdens=burdens(plan, notes) if plan is not None else None,
        feasibility=feasibility(plan) if plan is not None and plan.feasibility else None,
        feasibility_chart=feasibility_chart(plan) if plan is not None and plan.feasibility else None,
        pareto=pareto(plan, notes) if plan is not None and plan.pareto else None,
        pareto_chart=pareto_chart(plan) if plan is not None else None,
        rejected=_rejected(plan) if plan is not None and plan.rejected else None,
        structures=structures(records.labels, notes, references),
        notes=notes.listed(),
        stages=_stages(records, digests),
        references=references.listed(),
    )


def _general(records: Records, anatomy: Anatomy, notes: Notes) -> None:
    """Number the caveats of whole files first, so that they open the list of notes."""
    notes.add(records.case.caveats, "the case")
    notes.add(records.labels.caveats, "the label map")
    notes.add(anatomy.caveats, "the anatomy")
    for name in anatomy.vertebrae:
        notes.add(anatomy.vertebrae[name].caveats, name)
    if records.findings is not None:
        notes.add(records.findings.caveats, "the findings")
    if records.plan is not None:
        notes.add(records.plan.caveats, "the plan")
        for candidate in records.plan.candidates:
            notes.add(candidate.caveats, title(candidate.approach).lower())
            _every_quantity(candidate, notes)
        if records.plan.open is not None:
            notes.add(records.plan.open.caveats, title(records.plan.open.approach).lower())
            _every_quantity(records.plan.open, notes)


def _every_quantity(candidate: CandidateEntry, notes: Notes) -> None:
    """Number the caveats of every quantity, shown in a table or not: none may be lost."""
    groups = (candidate.clearance, candidate.instrument_clearance, candidate.burden, candidate.facet_removed)
    for group in groups:
        for key, found in group.items():
            notes.add(found.caveats, structure(key) if "/" in key and not key.startswith("L") else key)
    for name in ("incision", "depth", "reach"):
        notes.add(getattr(candidate, name).caveats, name)
    if candidate.decompression is not None:
        for area in (candidate.decompression.canal_area_before, candidate.decompression.canal_area_after):
            notes.add(area.caveats, "canal area")


def _title(plan: PlanRecord | None) -> str:
    return f"{plan.level} {plan.side}: corridors for {GOALS[plan.goal]}" if plan is not None else "Findings"


def _patient(case: CaseRecord) -> str:
    known = case.patient
    parts = [
        f"{known.age:g} years" if known.age is not None else "age not known",
        {"F": "female", "M": "male"}.get(known.sex or "", "sex not known"),
        f"{known.height_cm:g} cm" if known.height_cm is not None else "",
        f"{known.weight_kg:g} kg" if known.weight_kg is not None else "",
        f"ASA {known.asa}" if known.asa is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _warnings(records: Records, anatomy: Anatomy) -> tuple[str, ...]:
    said = []
    if records.case.confirmation is None or not anatomy.levels_confirmed:
        said.append(UNCONFIRMED)
    said += warnings(records.labels, records.quality)
    if records.plan is None:
        said.append(NO_PLAN)
    if records.findings is None:
        said.append("No findings have been measured yet. To add them, run: keyhole assess.")
    if anatomy.image is None:
        said.append("The case holds no image of the labels: slices are drawn from the labels alone.")
    return tuple(said)


def _answer(plan: PlanRecord | None) -> str:
    """The result in a few sentences."""
    if plan is None:
        return ""
    searched = f"{plan.searched:,} corridors were searched"
    chosen = best(plan)
    if not chosen:
        return f"{searched}; none is feasible. The reasons stand below, by approach."
    said = [f"{searched}; {len(chosen)} of {_approaches_tried(plan)} approaches have a feasible one."]
    said.append(_first(chosen[0]))
    if plan.rejected:
        said.append(f"Rejected: {listed([title(entry.approach).lower() for entry in plan.rejected])}; reasons below.")
    return " ".join(said)


def _first(candidate: CandidateEntry) -> str:
    """The first corridor of the plan in a sentence."""
    keeps = []
    for part in ("tube", "instrument"):
        found = closest(candidate, part)
        if found is not None and found.clearance.value is not None:
            gap = spread(found.clearance.value, found.clearance.sd, found.clearance.interval, "mm")
            keeps.append(f"its {part} keeps {gap} mm to the closest structure, {structure(found.key)}")
    lead = f"First in the plan's order is {title(candidate.approach).lower()}"
    breach = worst_breach(candidate)
    risk = f" The highest breach probability is {probability(breach[1])} ({structure(breach[0])})." if breach else ""
    return f"{lead}: {'; '.join(keeps)}.{risk}" if keeps else f"{lead}.{risk}"


def _approaches_tried(plan: PlanRecord) -> int:
    return len({c.approach for c in plan.candidates} | {entry.approach for entry in plan.rejected})


def _asked(plan: PlanRecord) -> tuple[Line, ...]:
    tried = dict.fromkeys([*(c.approach for c in best(plan)), *(entry.approach for entry in plan.rejected)])
    given = dict(parameters(plan.provenance.parameters))
    error = next((f"{text} mm" for name, text in given.items() if "registration" in name and text[:1].isdigit()), None)
    return (
        Line("Level and side", Text(f"{plan.level}, {plan.side}")),
        Line("Goal", Text(GOALS[plan.goal])),
        Line("Approaches", Text("; ".join(title(name) for name in tried) or "none")),
        Line(
            "Comparator",
            Text(title(plan.open.approach) if plan.open is not None else "none", known=plan.open is not None),
        ),
        Line("Registration error", Text(error or "not given", known=error is not None)),
        Line("Corridors searched", Text(f"{plan.searched:,}")),
    )


def _levels(records: Records, anatomy: Anatomy) -> tuple[Line, ...]:
    names = [name + ("" if anatomy.vertebrae[name].complete else " (cut by the scan)") for name in anatomy.vertebrae]
    lines = [
        Line("Vertebrae in view", Text(", ".join(names) or "none")),
        Line("Numbered by", Text(records.case.numbering)),
        Line("Confirmed", confirmed(records.case)),
        Line("Images", Text("; ".join(f"{i.name} ({i.modality})" for i in records.case.images) or "none")),
    ]
    earlier = made_before(records.findings, records.plan) if anatomy.levels_confirmed else ""
    if earlier:
        lines.insert(3, Line("Made before", Text(earlier)))
    if records.case.complaint:
        lines.insert(0, Line("Complaint", Text(records.case.complaint)))
    return tuple(lines)


def _corridor(candidate: CandidateEntry, pictures: Mapping[str, tuple[Picture, ...]], notes: Notes) -> Corridor:
    breach = worst_breach(candidate)
    entry, dock, target = candidate.entry, candidate.dock, candidate.target
    lines = (
        Line("Tube's closest", closest_name(candidate, "tube")),
        Line("Its clearance", _with_unit(closest_gap(candidate, "tube", notes), "mm")),
        Line("Tube, outer diameter", Text(f"{number(2 * candidate.radius, 'mm')} mm")),
        Line("Instrument's closest", closest_name(candidate, "instrument")),
        Line("Its clearance", _with_unit(closest_gap(candidate, "instrument", notes), "mm")),
        Line("Incision", _with_unit(quantity(candidate.incision, notes, "incision"), "mm")),
        Line("Breach probability", _breach_text(breach)),
        Line("Reach", _with_unit(quantity(candidate.reach, notes, "reach"), "%")),
        Line("Skin to dock", _with_unit(quantity(candidate.depth, notes, "depth"), "mm")),
        Line("Entry, LPS mm", Text(", ".join(number(float(x), "mm") for x in entry))),
        Line("Dock, LPS mm", Text(", ".join(number(float(x), "mm") for x in dock))),
        Line("Target, LPS mm", Text(", ".join(number(float(x), "mm") for x in target))),
    )
    return Corridor(
        name=candidate.approach,
        title=title(candidate.approach),
        rank=f"rank {candidate.rank}" if candidate.rank is not None else "",
        summary=summary(candidate),
        lines=lines,
        pictures=pictures.get(candidate.approach, ()),
        notes=notes.add(candidate.caveats, title(candidate.approach).lower()),
    )


def summary(candidate: CandidateEntry) -> str:
    """The approach of `candidate` in full, and its side."""
    full = catalogue()[candidate.approach].title if candidate.approach in catalogue() else title(candidate.approach)
    return f"{full}, {candidate.side} side"


def _breach_text(breach: tuple[str, float] | None) -> Text:
    return Text(f"{probability(breach[1])} ({structure(breach[0])})") if breach else Text("not given", known=False)


def _with_unit(found: Text, ucum: str) -> Text:
    return Text(with_unit(found.text, ucum), found.notes) if found.known else found


def _rejected(plan: PlanRecord) -> Table:
    rows = tuple(Row((Text(title(entry.approach)), Text(in_words(entry.reason)))) for entry in plan.rejected)
    return Table("rejected", "Approaches without a feasible corridor", (Column("Approach"), Column("Reason")), rows)


def _cite_plan(plan: PlanRecord | None, references: References) -> None:
    """Cite what the plan's numbers and its catalogue of approaches rest on."""
    if plan is None:
        return
    entries = [*plan.candidates, *([plan.open] if plan.open is not None else [])]
    for entry in entries:
        quantities = [*entry.clearance.values(), *entry.burden.values(), *entry.facet_removed.values()]
        for found in (*quantities, entry.incision, entry.depth, entry.reach):
            references.cite(found.source)
    for name in dict.fromkeys([*(entry.approach for entry in entries), *(r.approach for r in plan.rejected)]):
        if name in catalogue():
            for key in dict.fromkeys((catalogue()[name].sources or {}).values()):
                references.cite(key)


def _stages(records: Records, digests: dict[str, str]) -> tuple[Stage, ...]:
    found: list[tuple[str, Provenance]] = [
        ("case.json", records.case.provenance),
        ("labels.json", records.labels.provenance),
    ]
    if records.findings is not None:
        found.append(("findings.json", records.findings.provenance))
    if records.drawings is not None:
        found.append(("drawings.json", records.drawings.provenance))
    if records.plan is not None:
        found.append(("plan.json", records.plan.provenance))
    stages = [
        Stage(file, made.keyhole, tuple(sorted(made.inputs.items())), parameters(made.parameters))
        for file, made in found
    ]
    return (*stages, Stage("report", __version__, tuple(sorted(digests.items())), ()))
