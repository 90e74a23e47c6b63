"""Tables behind the comparison: every clearance, every tissue, the Pareto front, feasibility against margin."""

from __future__ import annotations

from collections.abc import Iterable

from keyhole.casefile import CandidateEntry, PlanRecord, Quantity
from keyhole.plan.approaches import catalogue
from keyhole.plan.clearance import NEAR
from keyhole.report.compare import (
    DISPLACED,
    burden,
    closest_gap,
    closest_name,
    columns_of,
    largest_facet,
    of,
    title,
    worst_breach,
)
from keyhole.report.tables import Column, Row, Table
from keyhole.report.wording import NOT_KNOWN, Notes, Text, number, probability, quantity, structure, with_unit
from keyhole.terms import Tissue, belongs, tissue

_SUMS = ("muscle", "fat", "bone")

NEARBY = 15.0
"""Bones farther than this from every tube and instrument are left out of the table of clearances, mm."""


def clearances(plan: PlanRecord, notes: Notes) -> Table:
    """Gap of tube and instrument with the breach probability, by the least gap; one column per approach."""
    shown = [candidate for candidate in columns_of(plan) if candidate.clearance or candidate.instrument_clearance]
    keys = {key for candidate in shown for key in (*candidate.clearance, *candidate.instrument_clearance)}
    gaps = {key: _least(key, shown) for key in keys}
    listed = [key for key in sorted(keys, key=lambda key: (gaps[key], key)) if _is_listed(key, gaps[key])]
    rows = []
    for key in listed:
        cells = [_gaps_and_chance(candidate, key, plan, notes) for candidate in shown]
        rows.append(Row((Text(structure(key)), Text(_largest_sd(key, shown)), *cells)))
    heads = (Column("Structure"), Column("sd, mm", True), *(Column(title(c.approach), True) for c in shown))
    left_out = len(keys) - len(listed)
    foot = (
        "Gap of the tube's wall / of the instrument, mm; in brackets the probability that either touches it. "
        f"A dash: farther than {NEAR:.0f} mm. May be cut: bone that this approach is allowed to remove."
        + (
            f" {left_out} bones farther than {NEARBY:.0f} mm from every corridor stand in plan.json."
            if left_out
            else ""
        )
    )
    return Table("clearances", "Clearance to every structure", heads, tuple(rows), foot)


def _is_listed(key: str, least: float) -> bool:
    return not least > NEARBY or tissue(key) not in {Tissue.BONE}


def _entries(key: str, shown: Iterable[CandidateEntry]) -> list[Quantity]:
    both = [(c.clearance.get(key), c.instrument_clearance.get(key)) for c in shown]
    return [found for pair in both for found in pair if found is not None]


def _least(key: str, shown: Iterable[CandidateEntry]) -> float:
    """The least gap to `key`, mm; -inf where one is not known, so that it comes first."""
    values = [found.value for found in _entries(key, shown)]
    return min(float("-inf") if value is None else value for value in values)


def _largest_sd(key: str, shown: Iterable[CandidateEntry]) -> str:
    spreads = [found.sd for found in _entries(key, shown) if found.sd is not None]
    return number(max(spreads), "mm") if spreads else "–"


def _gaps_and_chance(candidate: CandidateEntry, key: str, plan: PlanRecord, notes: Notes) -> Text:
    pair = (candidate.clearance.get(key), candidate.instrument_clearance.get(key))
    if pair == (None, None):
        return Text("may be cut" if _may_cut(candidate, key, plan) else "–", known=False)
    numbers = [notes.add(found.caveats, structure(key)) for found in pair if found is not None]
    words = " / ".join(_gap(found) for found in pair)
    chance = candidate.breach_probability.get(key)
    marks = tuple(sorted({n for group in numbers for n in group}))
    known = all(found is None or found.value is not None for found in pair)
    return Text(words + (f" ({probability(chance)})" if chance is not None else ""), marks, known)


def _gap(found: Quantity | None) -> str:
    if found is None:
        return "–"
    return NOT_KNOWN if found.value is None else number(found.value, "mm")


def _may_cut(candidate: CandidateEntry, key: str, plan: PlanRecord) -> bool:
    known = catalogue().get(candidate.approach)
    return known is not None and belongs(key, *known.soft_bone(plan.level, candidate.side))


_TISSUES = ("muscle", "fat", "bone", "disc", "flavum", "skin")


def burdens(plan: PlanRecord, notes: Notes) -> Table:
    """Every tissue inside each tube, with what is done to it; sums first, their parts indented below."""
    shown = columns_of(plan)
    keys = sorted({key for candidate in shown for key in candidate.burden})
    keys = [key for key in keys if not _repeats(key, keys, shown)]
    rows: list[Row] = []
    for kind in (*_TISSUES, *sorted({_tissue_of(key) for key in keys} - set(_TISSUES))):
        inside = [key for key in keys if _tissue_of(key) == kind]
        for n, key in enumerate(sorted(inside, key=lambda key: (key not in _SUMS, key))):
            name = f"All {key}" if key in _SUMS else structure(key)
            cells = (_burden_done(candidate, key, notes, n == 0) for candidate in shown)
            rows.append(Row((Text(name), *cells), "part" if n else ""))
    heads = (Column("Tissue, mL"), *(Column(title(c.approach), True) for c in shown))
    foot = (
        f"Volume inside the tube, or inside the exposure of the open operation. Muscle and fat are {DISPLACED}. "
        "A dash: the plan lists none for this procedure."
    )
    return Table("burdens", "Burden by tissue", heads, tuple(rows), foot)


def _tissue_of(key: str) -> str:
    return key if key in _SUMS else tissue(key).value


def _repeats(key: str, keys: list[str], shown: Iterable[CandidateEntry]) -> bool:
    """Whether `key` only repeats its one part: "vertebra/L4" beside nothing but "vertebra/L4/spinous"."""
    deeper = [other for other in keys if other.startswith(key + "/")]
    if not deeper:
        return False
    return any(all(c.burden.get(key) == c.burden.get(other) for c in shown) for other in deeper)


def _burden_done(candidate: CandidateEntry, key: str, notes: Notes, says_kind: bool) -> Text:
    found = candidate.burden.get(key)
    if found is None:
        return Text("–", known=False)
    shown = quantity(found, notes, of(candidate, structure(key)))
    kind = candidate.burden_kind.get(key, "") if says_kind and shown.known else ""
    return Text(f"{kind} {shown.text}".strip(), shown.notes, shown.known)


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
                    closest_name(candidate, None),
                    closest_gap(candidate, None, notes),
                    Text(probability(breach[1])) if breach else Text("not given", known=False),
                    burden(candidate, "muscle", notes),
                    burden(candidate, "bone", notes),
                    quantity(facet, notes, of(candidate, "facet")) if facet else Text("not given", known=False),
                    quantity(candidate.reach, notes, of(candidate, "reach")),
                    quantity(candidate.incision, notes, of(candidate, "incision")),
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
