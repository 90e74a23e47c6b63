"""The corridors beside one another and beside the open operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from keyhole.casefile import CandidateEntry, PlanRecord, Quantity
from keyhole.plan.approaches import catalogue
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, approach, number, probability, quantity, structure, with_unit

DISPLACED = "displaced volume, not injury"
"""What a volume of muscle inside a tube is, and what it is not; stands wherever muscle is compared."""

_KINDS = ("cut", "dilated", "retracted", "removed")
_SUMS = ("muscle", "fat", "bone")


@dataclass(frozen=True, slots=True)
class Closest:
    """The structure with the least known clearance, and how many clearances of the corridor are not known."""

    key: str
    clearance: Quantity
    unknown: int


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


def closest(clearance: dict[str, Quantity]) -> Closest | None:
    """The entry of `clearance` with the least value; None where none is known."""
    known = [(found.value, key) for key, found in clearance.items() if found.value is not None]
    if not known:
        return None
    _, key = min(known)
    return Closest(key, clearance[key], len(clearance) - len(known))


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
        row("Closest structure", _closest_name),
        row("Its clearance, mm", lambda c: _closest_gap(c.clearance, notes, c)),
        row("Instrument: closest structure", lambda c: _closest_name(c, instrument=True)),
        row("Instrument: its clearance, mm", lambda c: _closest_gap(c.instrument_clearance, notes, c)),
        row("Highest breach probability", _breach),
        heading("Access"),
        row("Tube's outer diameter, mm", _diameter),
        row("Incision, mm", lambda c: quantity(c.incision, notes, _of(c, "incision"))),
        row("Depth, skin to dock, mm", lambda c: quantity(c.depth, notes, _of(c, "depth"))),
        heading("Tissue"),
        row(f"Muscle, mL ({DISPLACED})", lambda c: _burden(c, "muscle", notes)),
        row("Fat, mL", lambda c: _burden(c, "fat", notes)),
        row("Bone, mL", lambda c: _burden(c, "bone", notes)),
        *_facet_rows(shown, notes),
        heading("Effect"),
        row("Reach of the target, %", lambda c: quantity(c.reach, notes, _of(c, "reach"))),
        row("Canal area before, mm²", lambda c: _canal(c, notes, after=False)),
        row("Canal area after, mm²", lambda c: _canal(c, notes, after=True)),
    ]
    foot = (
        "Best corridor of each approach, in the order of the plan (reach, breach probability, burden), and the open "
        "operation for the same level and goal on the same anatomy. Clearance is a lower bound of the gap between the "
        "tube's wall and the structure. "
        f"Muscle is {DISPLACED}: a smaller tube displaces less by its size alone."
    )
    heads = (Column("Measure"), *(Column(title(c.approach), True) for c in shown))
    return Table("comparison", "Corridors and the open operation", heads, tuple(rows), foot)


def _of(candidate: CandidateEntry, what: str) -> str:
    return f"{what}, {title(candidate.approach).lower()}"


def _closest_name(candidate: CandidateEntry, instrument: bool = False) -> Text:
    found = closest(candidate.instrument_clearance if instrument else candidate.clearance)
    return Text(structure(found.key)) if found else Text("not given", known=False)


def _closest_gap(clearance: dict[str, Quantity], notes: Notes, candidate: CandidateEntry) -> Text:
    found = closest(clearance)
    if found is None:
        missing = tuple(caveat for entry in clearance.values() for caveat in entry.caveats)
        return Text(
            "not given" if not clearance else NOT_KNOWN, notes.add(missing, _of(candidate, "clearance")), known=False
        )
    extra = tuple(c for entry in clearance.values() if entry.value is None for c in entry.caveats)
    numbers = notes.add(extra, _of(candidate, "clearance not known for some structures"))
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


def _burden(candidate: CandidateEntry, key: str, notes: Notes) -> Text:
    found = candidate.burden.get(key)
    return (
        quantity(found, notes, _of(candidate, structure(key))) if found is not None else Text("not given", known=False)
    )


def _facet_rows(shown: tuple[CandidateEntry, ...], notes: Notes) -> list[Row]:
    keys = list(dict.fromkeys(key for candidate in shown for key in candidate.facet_removed))
    rows = []
    for key in keys:
        level, _, side = key.rpartition("/")
        cells = [
            quantity(candidate.facet_removed[key], notes, _of(candidate, "facet"))
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
    return quantity(area, notes, _of(candidate, "canal area"))


def clearances(plan: PlanRecord, notes: Notes) -> Table:
    """Every clearance with its breach probability, structures by their least gap; one column per approach."""
    shown = [candidate for candidate in columns_of(plan) if candidate.clearance]
    keys = {key for candidate in shown for key in candidate.clearance}

    def least(key: str) -> tuple[float, str]:
        values = [c.clearance[key].value for c in shown if key in c.clearance]
        return min((v for v in values if v is not None), default=float("inf")), key

    rows = [
        Row((Text(structure(key)), *(_gap_and_chance(candidate, key, notes) for candidate in shown)))
        for key in sorted(keys, key=least)
    ]
    heads = (Column("Structure"), *(Column(title(c.approach), True) for c in shown))
    foot = "Tube's wall to structure, mm; in brackets the probability that the executed tube touches it."
    return Table("clearances", "Clearance to every structure", heads, tuple(rows), foot)


def _gap_and_chance(candidate: CandidateEntry, key: str, notes: Notes) -> Text:
    found = candidate.clearance.get(key)
    if found is None:
        return Text("not given", known=False)
    shown = quantity(found, notes, structure(key))
    chance = candidate.breach_probability.get(key)
    return Text(shown.text + (f" ({probability(chance)})" if chance is not None else ""), shown.notes, shown.known)


def burdens(plan: PlanRecord, notes: Notes) -> Table:
    """Every tissue inside each tube, with what is done to it."""
    shown = columns_of(plan)
    keys = list(dict.fromkeys(key for candidate in shown for key in candidate.burden))
    keys.sort(key=lambda key: (_kind_rank(_kind(shown, key)), key not in _SUMS, key))
    rows: list[Row] = []
    last = ""
    for key in keys:
        kind = _kind(shown, key)
        if kind != last:
            rows.append(Row((Text(kind.capitalize() or "Other"),), "group"))
            last = kind
        name = f"All {key}" if key in _SUMS else structure(key)
        rows.append(Row((Text(name), *(_burden(candidate, key, notes) for candidate in shown))))
    heads = (Column("Tissue, mL"), *(Column(title(c.approach), True) for c in shown))
    foot = (
        f"Volume inside the tube, or inside the exposure of the open operation. Muscle and fat are {DISPLACED}; "
        "sums come first, their parts below."
    )
    return Table("burdens", "Burden by tissue", heads, tuple(rows), foot)


def _kind(shown: Iterable[CandidateEntry], key: str) -> str:
    kinds = dict.fromkeys(c.burden_kind[key] for c in shown if key in c.burden_kind)
    return " or ".join(kinds)


def _kind_rank(kind: str) -> int:
    first = kind.partition(" or ")[0]
    return _KINDS.index(first) if first in _KINDS else len(_KINDS)


def pareto(plan: PlanRecord, notes: Notes) -> Table:
    """The corridors that no other beats in every respect."""
    rows = []
    for index in plan.pareto:
        candidate = plan.candidates[index]
        facet = largest_facet(candidate)
        breach = worst_breach(candidate)
        rows.append(
            Row(
                (
                    Text(str(candidate.rank) if candidate.rank is not None else "–"),
                    Text(title(candidate.approach)),
                    _closest_name(candidate),
                    _closest_gap(candidate.clearance, notes, candidate),
                    Text(probability(breach[1])) if breach else Text("not given", known=False),
                    _burden(candidate, "muscle", notes),
                    _burden(candidate, "bone", notes),
                    quantity(facet, notes, _of(candidate, "facet")) if facet else Text("not given", known=False),
                    quantity(candidate.reach, notes, _of(candidate, "reach")),
                    quantity(candidate.incision, notes, _of(candidate, "incision")),
                )
            )
        )
    heads = ("Rank", "Approach", "Closest structure", "Clearance, mm", "Breach", "Muscle, mL", "Bone, mL")
    more = ("Facet, %", "Reach, %", "Incision, mm")
    columns = tuple(Column(head, head not in {"Rank", "Approach", "Closest structure"}) for head in (*heads, *more))
    foot = (
        "No corridor of the plan is at least as good in breach probability, burden, reach and facet removed, and "
        f"better in one. Muscle is {DISPLACED}. Breach: the highest of all structures. Facet: the one that loses most."
    )
    return Table("pareto", "Pareto front", columns, tuple(rows), foot)


def feasibility(plan: PlanRecord) -> Table:
    """How many corridors keep each margin, the numbers behind the curve."""
    margins = tuple(dict.fromkeys(margin for entry in plan.feasibility for margin in entry.margins))
    rows = []
    for entry in plan.feasibility:
        counts = dict(zip(entry.margins, entry.feasible, strict=True))
        cells = [Text(f"{counts[m]:,}") if m in counts else Text("not given", known=False) for m in margins]
        rows.append(Row((Text(title(entry.approach)), Text(f"{entry.searched:,}"), *cells)))
    heads = (
        Column("Approach"),
        Column("Searched", True),
        *(Column(with_unit(f"≥ {margin:g}", "mm"), True) for margin in margins),
    )
    return Table(
        "feasibility",
        "Corridors that keep a margin to every structure that must not be touched",
        heads,
        tuple(rows),
        "A count, not a verdict: anatomy often leaves less than 2 mm beside a nerve root.",
    )
