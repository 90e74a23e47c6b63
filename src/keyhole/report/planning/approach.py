"""One section for each approach that was asked for: what it needs, what it finds, what it costs, or why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from keyhole.casefile import CandidateEntry, PlanRecord, Rejected
from keyhole.casefile.planning import ApproachEntry
from keyhole.plan.approaches import catalogue
from keyhole.report.compare import best, closest_gap, closest_name, of, title
from keyhole.report.content import Line
from keyhole.report.planning.flight import Flight
from keyhole.report.planning.harmed import muscles, tissues
from keyhole.report.planning.refused import Refusal
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import Notes, Text, in_words, listed, number, probability, quantity, structure, with_unit


@dataclass(frozen=True, slots=True)
class Section:
    """One approach: its verdict in a sentence, the flight down its best corridor, lines and tables."""

    name: str
    title: str
    full: str
    verdict: str
    is_feasible: bool
    flight: Flight | None
    lines: tuple[Line, ...]
    tables: tuple[Table, ...]
    needs: tuple[Line, ...]
    contraindications: tuple[tuple[str, str], ...]  # sentence, number of its source
    notes: tuple[int, ...]
    refusals: tuple[Refusal, ...] = ()  # where it is blocked, by side


def sections(
    plan: PlanRecord,
    flights: Mapping[str, Flight],
    refusals: Mapping[str, tuple[Refusal, ...]],
    notes: Notes,
    references: References,
) -> tuple[Section, ...]:
    """The approaches with a corridor in the plan's order, then the rejected ones; one side may be refused alone."""
    found = [_feasible(plan, c, flights.get(c.approach), notes, references) for c in best(plan)]
    done = {s.name for s in found}
    refused = dict.fromkeys(r.approach for r in plan.rejected)
    others = [_refused(plan, name, notes, references) for name in refused if name not in done]
    return tuple(replace(s, refusals=refusals.get(s.name, ())) for s in (*found, *others))


def _entry(plan: PlanRecord, name: str) -> ApproachEntry | None:
    return next((a for a in plan.approaches if a.name == name), None)


def _full(plan: PlanRecord, name: str) -> str:
    entry, known = _entry(plan, name), catalogue().get(name)
    return entry.title if entry is not None else known.title if known is not None else title(name)


def _feasible(
    plan: PlanRecord, candidate: CandidateEntry, drawn: Flight | None, notes: Notes, references: References
) -> Section:
    name = candidate.approach
    count = sum(c.approach == name for c in plan.candidates)
    ranks = sorted({rank for f in plan.fronts if f.approach == name for rank in f.ranks})
    on_front = f"; on its own front: rank {listed([str(r) for r in ranks])}" if ranks else ""
    verdict = f"Feasible, {candidate.side} side: rank {candidate.rank} of the plan ({count} reported{on_front})."
    needed = next(
        (n.sentence.replace(name, title(name), 1).rstrip(".") + "." for n in plan.needed if n.approach == name), ""
    )
    refused = [r for r in plan.rejected if r.approach == name]
    tables = (
        _effect(candidate, notes), _reaches(candidate, notes), muscles(candidate, notes, references),
        tissues(candidate, notes), *(_changes(r, notes) for r in refused),
    )  # fmt: skip
    return Section(
        name, title(name), _full(plan, name), " ".join(filter(None, (verdict, needed, _why(refused)))), True, drawn,
        _lines(candidate, notes), tuple(t for t in tables if t is not None), _needs(_entry(plan, name), references),
        _against(_entry(plan, name), references), notes.add(_own(candidate), title(name).lower()),
    )  # fmt: skip


def _own(candidate: CandidateEntry) -> tuple[str, ...]:
    harm = candidate.harm.caveats if candidate.harm is not None else ()
    simulated = candidate.decompression.caveats if candidate.decompression is not None else ()
    return tuple(dict.fromkeys((*candidate.caveats, *harm, *simulated)))


def _lines(c: CandidateEntry, notes: Notes) -> tuple[Line, ...]:
    """What a surgeon asks first."""
    lines = [
        Line("Tube, outer diameter", Text(f"{number(2 * c.radius, 'mm')} mm")),
        Line("Incision", _unit(quantity(c.incision, notes, of(c, "incision")), "mm")),
        Line("Skin to dock", _unit(quantity(c.depth, notes, of(c, "depth")), "mm")),
        Line("Tube's closest", closest_name(c, "tube")),
        Line("Its clearance", _unit(closest_gap(c, "tube", notes), "mm")),
        Line("Instrument's closest", closest_name(c, "instrument")),
        Line("Its clearance", _unit(closest_gap(c, "instrument", notes), "mm")),
    ]
    if c.doubt is not None:
        worst = f" (most: {structure(c.doubt.worst)})" if c.doubt.worst else ""
        lines.append(Line("Breach, all structures", Text(f"{probability(c.doubt.breach_total)}{worst}")))
        if c.doubt.dominant:
            lines.append(Line("Error that decides", Text(c.doubt.dominant)))
        if c.doubt.kept_clearance is not None:
            kept = quantity(c.doubt.kept_clearance, notes, of(c, "clearance kept in 95 %"))
            lines.append(Line("Kept in 95 % of executions", _unit(kept, "mm")))
        bear = quantity(c.doubt.needed_accuracy, notes, of(c, "needed accuracy"))
        lines.append(Line("Registration error it bears", _unit(bear, "mm")))
    for portal in c.portals:
        apart = quantity(portal.skin_distance, notes, of(c, "portals"))
        lines.append(Line(f"{portal.role.capitalize()} portal", Text(f"{apart.text} mm from the first at the skin")))
    return tuple(lines)


def _unit(found: Text, ucum: str) -> Text:
    return Text(with_unit(found.text, ucum), found.notes) if found.known else found


def _effect(c: CandidateEntry, notes: Notes) -> Table | None:
    """Measures before and after the simulated removal, and what it takes."""
    found = c.decompression
    if found is None:
        return None
    pairs = [(m.name + (f", {m.side}" if m.side else ""), m.before, m.after) for m in found.measures]
    pairs = pairs or [("canal area", found.canal_area_before, found.canal_area_after)]
    rows = []
    for name, before, after in pairs:
        head = Text(f"{name[:1].upper()}{name[1:]}, {with_unit('', before.unit).strip()}")
        rows.append(Row((head, quantity(before, notes, of(c, name)), quantity(after, notes, of(c, name)))))
    if found.bone is not None:
        rows.append(Row((Text("Bone removed, mL"), Text("0"), quantity(found.bone, notes, of(c, "bone removed")))))
    for key, share in found.facet_removed.items():
        level, _, side = key.rpartition("/")
        head = Text(f"Facet removed, {level} {side}, %")
        rows.append(Row((head, Text("0"), quantity(share, notes, of(c, "facet")))))
    goal = found.goal
    foot = "" if goal is None else f"Simulated; goal: {goal.words}, {'reached' if goal.reached else 'not reached'}."
    if found.is_least is not None:
        foot += (
            " Of all sets of places of the tool none takes less."
            if found.is_least
            else " The least that a search found; a little less may do."
        )
    if found.left:
        foot += f" Out of reach: {listed([structure(entry.key) for entry in found.left])}."
    heads = (Column("Measure"), Column("Before", True), Column("After", True))
    return Table(f"effect-{c.approach}", "Decompression, before and after", heads, tuple(rows), foot)


def _reaches(c: CandidateEntry, notes: Notes) -> Table | None:
    if not c.reaches:
        return None
    rows = [Row((Text(k.capitalize()), quantity(q, notes, of(c, f"reach of {k}")))) for k, q in c.reaches.items()]
    heads = (Column("Target"), Column("%", True))
    return Table(f"reach-{c.approach}", "What the instrument reaches", heads, tuple(rows))


def _needs(entry: ApproachEntry | None, references: References) -> tuple[Line, ...]:
    """Instruments with their figures, implants, and what it may cut."""
    if entry is None:
        return ()
    lines = []
    for tool in entry.instruments:
        figures = [f"outer {tool.outer:g} mm"]
        figures += [f"working {tool.working:g} mm"] if tool.working is not None else []
        figures += [f"optics {tool.optics:g}°"] if tool.optics is not None else []
        figures += [f"bend {tool.bend:g}°"] if tool.bend is not None else []
        figures += [tool.maker or "generic"]
        lines.append(Line(tool.title, Text(f"{', '.join(figures)} {references.cite(tool.source)}")))
    if entry.implants:
        lines.append(Line("Implants", Text(listed(entry.implants))))
    if entry.may_cut:
        lines.append(Line("May cut", Text("; ".join(structure(key) for key in entry.may_cut))))
    return tuple(lines)


def _against(entry: ApproachEntry | None, references: References) -> tuple[tuple[str, str], ...]:
    return tuple((r.text, references.cite(r.source)) for r in (entry.contraindications if entry is not None else ()))


def _refused(plan: PlanRecord, name: str, notes: Notes, references: References) -> Section:
    entries = [r for r in plan.rejected if r.approach == name]
    verdict = _why(entries)
    tables = tuple(t for t in (_changes(r, notes) for r in entries) if t is not None)
    entry = _entry(plan, name)
    return Section(
        name, title(name), _full(plan, name), verdict, False, None, (), tables, _needs(entry, references),
        _against(entry, references), (),
    )  # fmt: skip


def _why(refused: Sequence[Rejected]) -> str:
    """The reasons of the sides without a corridor."""
    said = []
    for r in refused:
        said.append(f"Not feasible{f' from the {r.side}' if r.side else ''}: {in_words(r.reason).rstrip('.')}.")
    return " ".join(said)


def _changes(refused: Rejected, notes: Notes) -> Table | None:
    """What was tried to open a rejected approach."""
    if not refused.changes:
        return None
    rows = [
        Row(
            (
                Text(c.change.capitalize()),
                Text("yes" if c.opens else "no"),
                Text(in_words(c.finding)),
                Text(f"{c.searched:,}"),
            )
        )
        for c in refused.changes
    ]
    missing = ""
    if refused.missing is not None:
        short = quantity(refused.missing, notes, f"room missing, {title(refused.approach).lower()}")
        of_what = f" beside {structure(refused.structure)}" if refused.structure else ""
        missing = f"Missing{of_what}: {with_unit(short.text, refused.missing.unit)}."
    heads = (Column("Change"), Column("Opens it"), Column("Finding"), Column("Searched", True))
    side = f"-{refused.side}" if refused.side else ""
    return Table(f"changes-{refused.approach}{side}", "What would open it", heads, tuple(rows), missing)
