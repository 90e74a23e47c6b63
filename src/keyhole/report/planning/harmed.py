"""Harm in tables: all procedures beside one another, and one procedure in full."""

from __future__ import annotations

from keyhole.casefile import CandidateEntry, CrossingEntry, HarmEntry, PlanRecord, Quantity
from keyhole.report.compare import DISPLACED, best, of, title
from keyhole.report.tables import Column, References, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, listed, number, probability, quantity, structure

DEEDS = {"dilated": "Dilated", "retracted": "Retracted", "cut": "Cut", "removed": "Removed"}
NONE = Text("–", known=False)

HEADS = (
    "Dilated or retracted, mL", "Cut, mL", "Removed, mL", "Muscle in it, mL", "In the muscle plane, %", "Skin, mm",
    "Skin, mm²", "Fascia, mm", "Fascia, mm²",
)  # fmt: skip


def harm_table(plan: PlanRecord, notes: Notes, references: References) -> Table | None:
    """Harm of the best corridor of each approach and of every open operation; None where the plan has none."""
    shown = [c for c in (*best(plan), *opens(plan)) if c.harm is not None]
    if not shown:
        return None
    rows = [Row((Text(title(c.approach)), *_harm_cells(c, c.harm, notes))) for c in shown if c.harm is not None]
    heads = (Column("Procedure"), *(Column(head, True) for head in HEADS))
    foot = (
        f"Volumes are {DISPLACED}: a smaller tube displaces less by its size alone, and that alone spares no muscle. "
        "In a randomised trial of tubular against conventional microdiscectomy creatine phosphokinase was alike and "
        f"the multifidus after a year smaller with the tube {references.cite('arts2011')}. Several tubes are counted "
        "as their union. Removed: what lies in the way in, and the bone taken beyond it for the goal. Openings of open "
        "operations are stated extents. The fascia lies where the first muscle is met."
    )
    return Table("harm", "Harm of every procedure", heads, tuple(rows), foot)


def _harm_cells(c: CandidateEntry, harm: HarmEntry, notes: Notes) -> tuple[Text, ...]:
    spread_out = harm.totals.get("retracted", harm.totals.get("dilated"))
    return (
        _amount(spread_out, notes, of(c, "dilated or retracted")),
        _amount(harm.totals.get("cut"), notes, of(c, "cut")),
        _removed(c, harm, notes),
        _amount(c.burden.get("muscle"), notes, of(c, "muscle")),
        quantity(harm.plane.share, notes, of(c, "muscle plane")) if harm.plane is not None else NONE,
        *(_opening(harm, layer, what, notes, c) for layer in ("skin", "fascia") for what in ("length", "area")),
    )


def _removed(c: CandidateEntry, harm: HarmEntry, notes: Notes) -> Text:
    """What lies in the way in, and the bone beyond it that is taken for the goal; an exposure holds both already."""
    found, step = harm.totals.get("removed"), c.decompression
    if found is None or found.value is None or not harm.bodies or step is None:
        return _amount(found, notes, of(c, "removed"))
    bone, inside = step.bone, step.in_tube
    if bone is None or bone.value is None or inside is None or inside.value is None:
        return _amount(found, notes, of(c, "removed"))
    value = found.value + max(bone.value - inside.value, 0.0)
    both = found.model_copy(update={"value": value, "sd": ((found.sd or 0.0) ** 2 + (bone.sd or 0.0) ** 2) ** 0.5})
    return quantity(both, notes, of(c, "removed"))


def crossed_table(plan: PlanRecord, notes: Notes, references: References) -> Table | None:
    """Modelled nerves and capsules: gap and chance for every procedure; None where none is near."""
    shown = [c for c in (*best(plan), *opens(plan)) if c.harm is not None]
    names = sorted({e.name for c in shown if c.harm is not None for e in c.harm.crossings}, key=_crossing_order)
    if not names:
        return None
    rows = [
        Row((Text(title(c.approach)), *(_crossing(c.harm, name, notes, c) for name in names)))
        for c in shown
        if c.harm is not None
    ]
    heads = (Column("Procedure"), *(Column(f"{name[:1].upper()}{name[1:]}", True) for name in names))
    foot = (
        f"Gap to the wall of the opening, mm ({_doubts(shown)}); in brackets the chance that it is crossed, and of a "
        "capsule the share inside. Modelled, not seen: the course "
        f"of the medial branches {references.cite('medial-branch-course')} and their spread "
        f"{references.cite('medial-branch-entrance')}, the capsule as what covers the joint in the labels. The chance "
        "counts the doubt of the model, not that of execution. A negative gap lies inside; open: laid bare, which is "
        "not yet cut. A dash: farther than 30 mm."
    )
    return Table("crossed", "Medial branches and facet capsules, modelled", heads, tuple(rows), foot)


def _doubts(shown: list[CandidateEntry]) -> str:
    """The sd of the modelled places, in words."""
    kinds: dict[str, float] = {}
    for candidate in shown:
        for entry in candidate.harm.crossings if candidate.harm is not None else ():
            kinds[entry.kind] = max(kinds.get(entry.kind, 0.0), entry.gap.sd or 0.0)
    return ", ".join(f"{kind} ± {sd:.1f}" for kind, sd in sorted(kinds.items(), reverse=True))


def opens(plan: PlanRecord) -> tuple[CandidateEntry, ...]:
    """The open operations of the plan."""
    return (*((plan.open,) if plan.open is not None else ()), *plan.comparators)


def _crossing_order(name: str) -> tuple[bool, str]:
    return name.startswith("facet"), name


def _amount(found: Quantity | None, notes: Notes, where: str) -> Text:
    return quantity(found, notes, where) if found is not None else NONE


def _opening(harm: HarmEntry, layer: str, what: str, notes: Notes, candidate: CandidateEntry) -> Text:
    found = next((o for o in harm.openings if o.layer == layer), None)
    if found is None:
        return NONE
    return quantity(found.length if what == "length" else found.area, notes, of(candidate, f"{layer} opening"))


def _crossing(harm: HarmEntry, name: str, notes: Notes, candidate: CandidateEntry) -> Text:
    found = next((e for e in harm.crossings if e.name == name), None)
    return crossing_text(found, notes, of(candidate, name)) if found is not None else NONE


def crossing_text(found: CrossingEntry, notes: Notes, where: str) -> Text:
    """Gap, chance and share of a modelled structure."""
    marks = notes.add(found.gap.caveats, where)
    if found.gap.value is None:
        return Text(NOT_KNOWN, marks, known=False)
    share = found.share.value if found.share is not None else None
    said = [probability(found.probability)] if found.probability is not None else []
    said += [f"{share:.0f} % of it"] if share is not None and share >= 0.5 else []
    return Text(
        f"{number(found.gap.value, 'mm')} ({'; '.join(said)})" if said else number(found.gap.value, "mm"), marks
    )


def muscles(candidate: CandidateEntry, notes: Notes, references: References) -> Table | None:
    """Volume by muscle of one procedure, and where it runs among them."""
    harm = candidate.harm
    if harm is None or not harm.muscles:
        return None
    rows = [Row((Text(m.name.capitalize()), quantity(m.volume, notes, of(candidate, m.name)))) for m in harm.muscles]
    said = ""
    if harm.plane is not None:
        where = quantity(harm.plane.lateral, notes, of(candidate, "entry into muscle"))
        others = [f"{q.value:.0f} mm {references.cite(q.source)}" for q in harm.plane.published if q.value is not None]
        share = harm.plane.share.value
        seen = "whether it follows the plane between multifidus and longissimus is not known: no label parts them"
        if share is not None:
            seen = f"{share:.0f} % of its way in them follows the plane between multifidus and longissimus"
        said = (
            f"It enters these muscles {where.text} mm from the midline; {seen}. "
            f"That plane lay {listed(others)} from the midline in cadavers."
        )
    heads = (Column("Muscle"), Column("mL", True))
    return Table(f"muscles-{candidate.approach}", f"Muscle: {DISPLACED}", heads, tuple(rows), said)


def tissues(candidate: CandidateEntry, notes: Notes) -> Table | None:
    """Every structure that one procedure dilates, retracts, cuts or removes."""
    if candidate.harm is None:
        return None
    rows = [
        Row((Text(structure(t.key)), Text(t.does), quantity(t.volume, notes, of(candidate, structure(t.key)))))
        for t in sorted(candidate.harm.tissues, key=lambda t: (list(DEEDS).index(t.does), -(t.volume.value or 0.0)))
    ]
    heads = (Column("Structure"), Column("What is done"), Column("mL", True))
    return Table(f"tissues-{candidate.approach}", "Every tissue", heads, tuple(rows))
