"""The error budget, cage, screws and whole operations of a plan, in tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from keyhole.casefile import PlanRecord, Quantity
from keyhole.casefile.realign import FusionEntry
from keyhole.casefile.screws import IncisionEntry, OperationRecord, ScrewEntry
from keyhole.report.compare import DISPLACED, title
from keyhole.report.planning.harmed import NONE, crossing_text
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import Notes, Text, in_words, listed, number, quantity, structure, unit


def budget(plan: PlanRecord, references: References) -> Table | None:
    """The terms of the error of execution, each with its source."""
    if plan.budget is None:
        return None
    found, first = plan.budget, plan.budget.registration
    said = f"{first.rms:g} mm RMS" if first.rms is not None else first.method
    rows = [_term("registration", said, first.kind, first.note, references.cite(first.source))]
    for term in found.terms:
        sd = " / ".join(f"{v:g}" for v in term.sd)
        angle = f"; {term.angle:g}°" if term.angle else ""
        rows.append(_term(term.term, f"{sd} mm{angle}", term.kind, term.note, references.cite(term.source)))
    names = ("Term", "Sd: lateral / posterior / up", "Kind", "Note", "Source")
    heads = tuple(Column(name, name.startswith("Sd")) for name in names)
    labels = f"Labels count {found.label_scale:g} times their own sd."
    return Table(
        "budget",
        "Error budget",
        heads,
        tuple(rows),
        f"From {found.file}; a clinic's own file takes its place. {labels}",
    )


def _term(name: str, sd: str, kind: str, note: str, source: str) -> Row:
    return Row((Text(name.capitalize()), Text(sd), Text(kind), Text(note or "–"), Text(source)))


def needed(plan: PlanRecord) -> Table | None:
    """How accurate navigation must be, by approach."""
    if not plan.needed:
        return None
    rows = [
        Row((Text(title(n.approach)), Text(str(n.rank)), Text(n.sentence.replace(n.approach, title(n.approach), 1))))
        for n in plan.needed
    ]
    heads = (Column("Approach"), Column("Rank", True), Column("What navigation must keep"))
    foot = "The largest RMS registration error at the tip with which all breach probabilities together stay at 5 %."
    return Table("needed", "How accurate navigation must be", heads, tuple(rows), foot)


def fusions(plan: PlanRecord, notes: Notes, references: References) -> tuple[Table, ...]:
    """Cage, passage, contact and effects of each fusion of the plan."""
    if plan.fusion is None:
        return ()
    notes.add(plan.fusion.caveats, "fusion")
    return tuple(t for entry in plan.fusion.entries for t in _fusion(entry, notes, references))


def _fusion(entry: FusionEntry, notes: Notes, references: References) -> list[Table]:
    name = title(entry.approach) if entry.approach else "no corridor found"
    where, cage = f"{entry.level}, {name}", entry.cage
    marks = notes.add(entry.caveats, where)
    edge = "" if cage.fits else "; its footprint comes too near the edge"
    size = f"{cage.name}: {cage.height:g} mm high, {cage.angle:g}°, {cage.length:g} × {cage.width:g} mm{edge}"
    facts = [Row((Text("Cage"), Text(size, marks)))]
    for c in entry.contact:
        head = Text(f"Face, {c.face}: touching / over the edge / on the rim, %")
        facts.append(Row((head, _three(c.touching, c.overhang, c.rim, notes, where))))
    for r in entry.risks:
        published = tuple((p.text, p.source) for p in r.published)
        head = Text(f"{r.name[:1].upper()}{r.name[1:]}, {unit(r.value.unit)}")
        facts.append(Row((head, _with_published(r.value, published, notes, references, where=where))))
    if entry.passage is not None:
        facts.insert(1, Row((Text("Room in the tube beyond the cage, mm"), quantity(entry.passage.room, notes, where))))
        facts.insert(2, Row((Text("Tilt of the way in, °"), quantity(entry.passage.tilt, notes, where))))
    key = entry.approach or "none"
    first = Table(f"cage-{key}", f"Cage, {where}", (Column("Cage and bone"), Column("Value")), tuple(facts))
    rows = []
    for change in entry.changes:
        side = f" {change.side}" if change.side else ""
        head = Text(f"{change.name[:1].upper()}{change.name[1:]} {change.level}{side}, {unit(change.before.unit)}")
        said = "; ".join(f"{p.text} {references.cite(p.source)}" for p in change.published) or "–"
        pair = (quantity(q, notes, where) for q in (change.before, change.after))
        rows.append(Row((head, *pair, Text(said))))
    heads = (Column("Measure"), Column("Before", True), Column("After", True), Column("Published"))
    foot = "Bones move rigidly and the scan was taken lying down: a prediction of geometry, not of a standing spine."
    return [first, Table(f"fusion-{key}", f"Before and after, {where}", heads, tuple(rows), foot)]


def _three(one: Quantity, two: Quantity, three: Quantity, notes: Notes, where: str) -> Text:
    found = [quantity(q, notes, where) for q in (one, two, three)]
    return Text(" / ".join(t.text for t in found), tuple(sorted({n for t in found for n in t.notes})))


def _with_published(
    value: Quantity, published: tuple[tuple[str, str], ...], notes: Notes, references: References, *, where: str
) -> Text:
    found = quantity(value, notes, where)
    said = "; ".join(f"{text} {references.cite(source)}" for text, source in published)
    return Text(f"{found.text}{f' (published: {said})' if said else ''}", found.notes, found.known)


def screws(plan: PlanRecord, notes: Notes) -> tuple[Table, ...]:
    """Every screw, what joins them, and where there is none."""
    found = plan.screws
    if found is None:
        return ()
    notes.add(found.caveats, "screws")
    rows = [_screw(s, notes) for s in found.screws]
    names = ("Screw", "System", "Size, mm", "Clearance, mm", "Grades A / B / C or worse, %", "Medial, °", "HU", "Facet")
    heads = tuple(Column(name, n > 1) for n, name in enumerate(names))
    foot = (
        "Grades after Gertzbein and Robbins as expected under the error budget; on the plan's own labels a clearance "
        "above 0 is grade A. Facet: grade of violation of the joint above."
    )
    tables = [Table("screws", f"Screws, {found.trajectory} trajectory", heads, tuple(rows), foot)]
    if found.none:
        none = tuple(Row((Text(f"{n.vertebra} {n.side}"), Text(in_words(n.reason)))) for n in found.none)
        tables.append(Table("no-screws", "No screw", (Column("Place"), Column("Reason")), none))
    tables += _iliac(plan, notes)
    rods = []
    for r in found.rods:
        fits = Text("yes" if r.fits else "no", notes.add(r.caveats, f"rod, {r.side}"))
        size = (quantity(r.length, notes, "rod"), quantity(r.bend, notes, "rod"))
        rods.append(Row((Text(f"Rod, {r.side}: {listed(r.vertebrae)}"), *size, fits)))
    if rods:
        of_rods = ("Rod", "Length, mm", "Radius of its bend, mm", "Fits all heads")
        tables.append(Table("rods", "Rods", tuple(Column(n, "mm" in n) for n in of_rods), tuple(rods)))
    return (*tables, *_incisions("screws", found.incisions, notes))


def _iliac(plan: PlanRecord, notes: Notes) -> list[Table]:
    """What screws through sacrum and ilium run through and come near."""
    rows = []
    for s in plan.screws.screws if plan.screws is not None else ():
        if s.corridor is None:
            continue
        where = f"screw {s.vertebra} {s.side}"
        walls = Text(listed([f"{name} {number(gap.value or 0.0, 'mm')}" for name, gap in s.walls.items()]))
        near = [f"{structure(key)} {number(gap.value or 0.0, 'mm')}" for key, gap in s.near.items()]
        parts = (quantity(s.crossed[part], notes, where) for part in ("sacrum", "joint", "ilium"))
        rows.append(Row((
            Text(f"{s.vertebra} {s.side}"), *parts, quantity(s.corridor, notes, where), walls,
            Text(listed(near)) if near else Text("nothing labelled within 20 mm"),
        )))  # fmt: skip
    names = ("Screw", "In the sacrum, mm", "In the joint, mm", "In the ilium, mm", "Ilium admits, mm")
    heads = (
        *(Column(n, "mm" in n) for n in names),
        Column("Gap to the wall, mm"),
        Column("Beyond the bone, mm"),
    )
    foot = (
        "Across the sacroiliac joint: what lies between both bones' labels is bridged and told as joint. What the "
        "ilium admits is the widest cylinder about the axis. Notch: toward the greater sciatic notch."
    )
    return [Table("s2ai", "Screws through sacrum and ilium", heads, tuple(rows), foot)] if rows else []


def _screw(s: ScrewEntry, notes: Notes) -> Row:
    where = f"screw {s.vertebra} {s.side}"
    worse = 100 * sum(v for k, v in s.grades.items() if k in "CDE")
    grades = f"{100 * s.grades.get('A', 0):.0f} / {100 * s.grades.get('B', 0):.0f} / {worse:.0f}"
    size = f"{number(s.diameter.value or 0.0, 'mm')} × {number(s.length.value or 0.0, 'mm')}"
    facet = Text("not known", known=False) if s.facet_grade is None else Text(str(s.facet_grade))
    facet = Text("none there") if s.corridor is not None else facet
    system = s.system + (", generic" if s.is_generic and s.system != "generic" else "")
    return Row((
        Text(f"{s.vertebra} {s.side}", notes.add(s.caveats, where)), Text(system), Text(size),
        quantity(s.clearance, notes, where), Text(grades), quantity(s.medial, notes, where),
        quantity(s.density, notes, where), facet,
    ))  # fmt: skip


def _incisions(
    name: str, found: tuple[IncisionEntry, ...], notes: Notes, of_what: str = "the screws"
) -> tuple[Table, ...]:
    if not found:
        return ()
    rows = [Row((Text(listed(i.through)), quantity(i.length, notes, "incision"))) for i in found]
    heads = (Column("Through it"), Column("Length, mm", True))
    return (Table(f"incisions-{name}", f"Incisions of {of_what}", heads, tuple(rows)),)


def operations(plan: PlanRecord, notes: Notes) -> tuple[Table, ...]:
    """Whole operations beside one another: harm counted once, incisions, what touches what."""
    shown = plan.operations
    if not shown:
        return ()
    rows = [
        _across(
            "Parts", shown, lambda o: Text(_read(o, "; ".join(p.name for p in o.parts)), notes.add(_said(o), o.name))
        ),
        _across("All together, mL", shown, lambda o: quantity(o.together, notes, o.name)),
        _across("The parts one by one would add up to, mL", shown, lambda o: quantity(o.apart, notes, o.name)),
        Row((Text(f"Volume, mL ({DISPLACED})"),), "group"),
        *_amounts(shown, notes, lambda o: {deed.capitalize(): q for deed, q in o.harm.totals.items()}),
        Row((Text("Muscle, mL"),), "group"),
        *_amounts(shown, notes, lambda o: {m.name.capitalize(): m.volume for m in o.harm.muscles}),
        Row((Text("Openings"),), "group"),
        _across("All incisions together, mm", shown, lambda o: quantity(o.incision, notes, o.name)),
        *_amounts(shown, notes, lambda o: {f"{e.layer.capitalize()}, area, mm²": e.area for e in o.harm.openings}),
        Row((Text("Crossed, modelled: gap to the wall, mm, and chance that it is crossed"),), "group"),
        *_crossed(shown, notes),
        Row((Text("Collisions"),), "group"),
        _across("Between parts", shown, lambda o: Text(_read(o, "; ".join(_hits(o))) or "none")),
        _across("Bones", shown, lambda o: Text(o.bones)),
    ]
    heads = (Column("Operation"), *(Column(_read(o, o.name)) for o in shown))
    foot = f"What parts share is counted once. Volumes are {DISPLACED}. Screws and sleeves have a harm too."
    table = Table("operations", "Whole operations", heads, tuple(rows), foot)
    return (
        table,
        *(t for o in shown for t in _incisions(o.name.replace(" ", "-"), o.incisions, notes, _read(o, o.name))),
    )


def _read(o: OperationRecord, words: str) -> str:
    """`words` with the approach named as it is read."""
    return words.replace(o.approach, title(o.approach)) if o.approach else words


def _said(o: OperationRecord) -> tuple[str, ...]:
    return (*o.caveats, *o.harm.caveats)


def _across(label: str, shown: Sequence[OperationRecord], cell: Callable[[OperationRecord], Text]) -> Row:
    return Row((Text(label), *(cell(o) for o in shown)))


def _amounts(
    shown: Sequence[OperationRecord], notes: Notes, amounts: Callable[[OperationRecord], dict[str, Quantity]]
) -> list[Row]:
    """One row for each amount that any of the operations has."""
    found = [amounts(o) for o in shown]
    rows = []
    for key in dict.fromkeys(key for one in found for key in one):
        cells = [quantity(one[key], notes, o.name) if key in one else NONE for one, o in zip(found, shown, strict=True)]
        rows.append(Row((Text(key), *cells)))
    return rows


def _crossed(shown: Sequence[OperationRecord], notes: Notes) -> list[Row]:
    found = [{e.name: e for e in o.harm.crossings} for o in shown]
    rows = []
    for name in sorted({name for one in found for name in one}):
        cells = [
            crossing_text(one[name], notes, o.name) if name in one else NONE
            for one, o in zip(found, shown, strict=True)
        ]
        rows.append(Row((Text(name[:1].upper() + name[1:]), *cells)))
    return rows


def _hits(o: OperationRecord) -> list[str]:
    return [f"{c.first} and {c.second}, {number(c.gap.value or 0.0, 'mm')} mm" for c in o.contacts if c.is_collision]
