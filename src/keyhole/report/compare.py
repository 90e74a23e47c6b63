"""The best corridors beside one another and beside the open operation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from keyhole.casefile import CandidateEntry, PlanRecord, Quantity
from keyhole.plan.approaches import catalogue
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, approach, number, probability, quantity, structure

DISPLACED = "displaced volume, not injury"
"""What a volume of muscle inside a tube is, and what it is not; stands wherever muscle is compared."""


@dataclass(frozen=True, slots=True)
class Closest:
    """The structure with the least known clearance; `to` is the part it is nearest to, "tube" or "instrument"."""

    key: str
    clearance: Quantity
    to: str


def title(name: str) -> str:
    """An approach's name as it is read: the short part of its title in the catalogue."""
    found = catalogue().get(name)
    return found.title.partition(" (")[0] if found is not None else approach(name)


def best(plan: PlanRecord) -> tuple[CandidateEntry, ...]:
    """The best corridor of each approach, in the plan's own order."""
    ordered = sorted(enumerate(plan.candidates), key=lambda item: (item[1].rank or len(plan.candidates) + 1, item[0]))
    chosen: dict[str, CandidateEntry] = {}
    for _, candidate in ordered:
        chosen.setdefault(candidate.approach, candidate)
    return tuple(chosen.values())


def closest(candidate: CandidateEntry, to: str | None = None) -> Closest | None:
    """The structure nearest to the "tube" or to the "instrument", to either for None; None where nothing is known."""
    parts = {"tube": candidate.clearance, "instrument": candidate.instrument_clearance}
    known = [
        (found.value, part == "instrument", key)
        for part, clearance in parts.items()
        if to in (None, part)
        for key, found in clearance.items()
        if found.value is not None
    ]
    if not known:
        return None
    _, is_instrument, key = min(known)
    part = "instrument" if is_instrument else "tube"
    return Closest(key, parts[part][key], part)


def worst_breach(candidate: CandidateEntry) -> tuple[str, float] | None:
    """The structure most likely to be touched, and how likely; None where nothing is given."""
    if not candidate.breach_probability:
        return None
    chance, key = max((p, key) for key, p in candidate.breach_probability.items())
    return key, chance


def largest_facet(candidate: CandidateEntry) -> Quantity | None:
    """The facet that loses the most; None where no share is known."""
    known = [found for found in candidate.facet_removed.values() if found.value is not None]
    return max(known, key=lambda found: found.value or 0.0) if known else None


def columns_of(plan: PlanRecord) -> tuple[CandidateEntry, ...]:
    """What is compared: the best of each approach, then the open operation."""
    return (*best(plan), *((plan.open,) if plan.open is not None else ()))


_Cell = Callable[[CandidateEntry], Text]


def comparison(plan: PlanRecord, notes: Notes) -> Table:
    """The main table: one column per procedure, the open operation last."""
    shown = columns_of(plan)

    def row(label: str, cell: _Cell) -> Row:
        return Row((Text(label), *(cell(candidate) for candidate in shown)))

    def heading(label: str) -> Row:
        return Row((Text(label),), "group")

    rows = [
        heading("Safety"),
        row("Tube: closest structure", lambda c: closest_name(c, "tube")),
        row("Tube: clearance to it, mm", lambda c: closest_gap(c, "tube", notes)),
        row("Instrument: closest structure", lambda c: closest_name(c, "instrument")),
        row("Instrument: clearance to it, mm", lambda c: closest_gap(c, "instrument", notes)),
        row("Highest breach probability", _breach),
        heading("Access"),
        row("Tube's outer diameter, mm", _diameter),
        row("Incision, mm", lambda c: quantity(c.incision, notes, of(c, "incision"))),
        row("Depth, skin to dock, mm", lambda c: quantity(c.depth, notes, of(c, "depth"))),
        heading("Tissue"),
        row(f"Muscle, mL ({DISPLACED})", lambda c: burden(c, "muscle", notes)),
        row("Fat, mL", lambda c: burden(c, "fat", notes)),
        row("Bone, mL", lambda c: burden(c, "bone", notes)),
        *_facet_rows(shown, notes),
        heading("Effect"),
        row("Reach of the target, %", lambda c: quantity(c.reach, notes, of(c, "reach"))),
        row("Canal area before, mm²", lambda c: _canal(c, notes, after=False)),
        row("Canal area after, mm²", lambda c: _canal(c, notes, after=True)),
    ]
    foot = (
        "Best corridor of each approach, in the order of the plan (reach, breach probability, burden), and the open "
        "operation for the same level and goal on the same anatomy. Clearance is a lower bound of the gap between the "
        "wall and the structure; bone that the approach may cut is not among the structures. "
        f"Muscle is {DISPLACED}: a smaller tube displaces less by its size alone."
    )
    heads = (Column("Measure"), *(Column(title(c.approach), True) for c in shown))
    return Table("comparison", "Corridors and the open operation", heads, tuple(rows), foot)


def of(candidate: CandidateEntry, what: str) -> str:
    """What a note concerns: a quantity of an approach."""
    return f"{what}, {title(candidate.approach).lower()}"


def closest_name(candidate: CandidateEntry, to: str | None) -> Text:
    """The name of the structure nearest to the tube, the instrument, or either (None)."""
    found = closest(candidate, to)
    return Text(structure(found.key)) if found else Text("not given", known=False)


def closest_gap(candidate: CandidateEntry, to: str | None, notes: Notes) -> Text:
    """The least clearance of the tube, the instrument, or either (None), mm; structures not known carry their notes."""
    parts = {"tube": candidate.clearance, "instrument": candidate.instrument_clearance}
    entries = [found for part, clearance in parts.items() if to in (None, part) for found in clearance.values()]
    missing = tuple(caveat for entry in entries if entry.value is None for caveat in entry.caveats)
    numbers = notes.add(missing, of(candidate, "clearance"))
    found = closest(candidate, to)
    if found is None:
        return Text(NOT_KNOWN if entries else "not given", numbers, known=False)
    shown = quantity(found.clearance, notes, structure(found.key))
    return Text(shown.text, tuple(sorted({*shown.notes, *numbers})))


def _breach(candidate: CandidateEntry) -> Text:
    found = worst_breach(candidate)
    if found is None:
        return Text("not given", known=False)
    return Text(f"{probability(found[1])} ({structure(found[0])})")


def _diameter(candidate: CandidateEntry) -> Text:
    if candidate.approach.startswith("open"):
        return Text("no tube", known=False)
    return Text(number(2 * candidate.radius, "mm"))


def burden(candidate: CandidateEntry, key: str, notes: Notes) -> Text:
    """The volume of one tissue, mL."""
    found = candidate.burden.get(key)
    return (
        quantity(found, notes, of(candidate, structure(key))) if found is not None else Text("not given", known=False)
    )


def _facet_rows(shown: tuple[CandidateEntry, ...], notes: Notes) -> list[Row]:
    keys = list(dict.fromkeys(key for candidate in shown for key in candidate.facet_removed))
    rows = []
    for key in keys:
        level, _, side = key.rpartition("/")
        cells = [
            quantity(candidate.facet_removed[key], notes, of(candidate, "facet"))
            if key in candidate.facet_removed
            else Text("not given", known=False)
            for candidate in shown
        ]
        rows.append(Row((Text(f"Facet removed, {level} {side}, %"), *cells)))
    return rows


def _canal(candidate: CandidateEntry, notes: Notes, after: bool) -> Text:
    found = candidate.decompression
    if found is None:
        return Text("not simulated", known=False)
    area = found.canal_area_after if after else found.canal_area_before
    return quantity(area, notes, of(candidate, "canal area"))
