"""The page of a plan in depth, as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files

from keyhole import __version__
from keyhole.anatomy.gate import NOT_CONFIRMED
from keyhole.anatomy.model import Anatomy
from keyhole.casefile import RESEARCH_USE, PlanRecord
from keyhole.report.compare import best, columns_of, title
from keyhole.report.content import GOALS, UNCONFIRMED, Records
from keyhole.report.page import environment
from keyhole.report.palette import GROUPS, approach_colours
from keyhole.report.planning.approach import Section, sections
from keyhole.report.planning.extras import budget, fusions, needed, operations, screws
from keyhole.report.planning.flight import Flight, flight
from keyhole.report.planning.front import Front, front
from keyhole.report.planning.harmed import crossed_table, harm_table
from keyhole.report.planning.implants import cages
from keyhole.report.planning.implants import screws as screw_pictures
from keyhole.report.planning.opened import open_pictures
from keyhole.report.planning.refused import Refusal, refusal
from keyhole.report.slices import Picture
from keyhole.report.tables import References, Table
from keyhole.report.views import axes_of
from keyhole.report.wording import Notes, parameters, runs

PLAN_PAGE = ("plan.html", "Planning in depth")
"""The page beside the report, and how it calls it."""


@dataclass(frozen=True, slots=True)
class Planning:
    """The page, in its order."""

    title: str
    case: str
    version: str
    research_use: str
    warnings: tuple[str, ...]
    front: Front | None
    needed: Table | None
    budget: Table | None
    harm: Table | None
    crossed: Table | None
    sections: tuple[Section, ...]
    opened: tuple[Picture, ...]
    cage_pictures: tuple[Picture, ...]
    screw_pictures: tuple[Picture, ...]
    fusions: tuple[Table, ...]
    screws: tuple[Table, ...]
    operations: tuple[Table, ...]
    notes: tuple[tuple[int, str, tuple[str, ...]], ...]
    made: tuple[tuple[str, str], ...]
    inputs: tuple[tuple[str, str], ...]
    references: tuple[tuple[int, str, str, str], ...]


def planning(records: Records, plan: PlanRecord, anatomy: Anatomy) -> Planning:
    """Everything the page says, from the case's records."""
    is_confirmed = records.case.confirmation is not None and anatomy.levels_confirmed
    notes, references = Notes(NOT_CONFIRMED if is_confirmed else None), References()
    notes.add(plan.caveats, "the plan")
    return Planning(
        title=f"{plan.level}: {GOALS[plan.goal]}, planned in depth",
        case=records.case.id,
        version=__version__,
        research_use=RESEARCH_USE,
        warnings=() if is_confirmed else (UNCONFIRMED,),
        front=front(plan),
        needed=needed(plan),
        budget=budget(plan, references),
        harm=harm_table(plan, notes, references),
        crossed=crossed_table(plan, notes, references),
        sections=sections(plan, flights(plan, anatomy), refusals(plan, anatomy), notes, references),
        opened=open_pictures(plan, anatomy),
        cage_pictures=cages(plan, anatomy),
        screw_pictures=screw_pictures(plan, anatomy),
        fusions=fusions(plan, notes, references),
        screws=screws(plan, notes),
        operations=operations(plan, notes),
        notes=notes.listed(),
        made=parameters(plan.provenance.parameters),
        inputs=tuple(sorted(plan.provenance.inputs.items())),
        references=references.listed(),
    )


def flights(plan: PlanRecord, anatomy: Anatomy) -> dict[str, Flight]:
    """The flight down the best corridor of each approach."""
    colours = approach_colours(tuple(c.approach for c in columns_of(plan)))
    axes = axes_of(anatomy, plan.level)
    return {c.approach: flight(anatomy, c, axes, colours[c.approach]) for c in best(plan)}


def refusals(plan: PlanRecord, anatomy: Anatomy) -> dict[str, tuple[Refusal, ...]]:
    """By approach, where its refused corridors are blocked."""
    made: dict[str, tuple[Refusal, ...]] = {}
    for entry in plan.rejected:
        drawn = refusal(anatomy, entry, plan.level)
        if drawn is not None:
            made[entry.approach] = (*made.get(entry.approach, ()), drawn)
    return made


def plan_page(records: Records, plan: PlanRecord, anatomy: Anatomy) -> bytes:
    """The page of `plan`, which belongs to `records`, as one HTML file that needs nothing else."""
    said = planning(records, plan, anatomy)
    names = tuple(section.name for section in said.sections)
    text = files("keyhole.report").joinpath("templates")
    html = (
        environment()
        .get_template("plan.html")
        .render(
            p=said,
            runs=runs,
            groups={group.name: group for group in GROUPS},
            colours=approach_colours(names),
            titles={name: title(name) for name in names},
            style=text.joinpath("style.css").read_text(encoding="utf-8"),
            script=text.joinpath("plan.js").read_text(encoding="utf-8"),
            data=_in_page(said.front.data if said.front is not None else {}),
        )
    )
    return html.lstrip().encode()


def _in_page(value: object) -> str:
    """`value` as JSON that cannot end the script element that holds it."""
    text = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=True)
    return text.replace("<", "\\u003c")
