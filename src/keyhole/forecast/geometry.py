"""The plan's own figures beside the open ones. None of them changes an expected outcome: no source ties it to one."""

from __future__ import annotations

from collections.abc import Callable

from keyhole.casefile import CandidateEntry, GeometryEntry, Quantity

UNTIED = "no source that was read ties this figure to an outcome: it changes none"


def geometry(planned: CandidateEntry, open_: CandidateEntry | None) -> tuple[GeometryEntry, ...]:
    """What the planned corridor and the open exposure cost on this patient."""
    return tuple(
        GeometryEntry(key=key, title=title, planned=found(planned), open=_absent() if open_ is None else found(open_))
        for key, title, found in _FIGURES
    )


def _absent() -> Quantity:
    return Quantity(value=None, unit="1", source="keyhole-plan", caveats=("the plan has no open comparator",))


def _burden(key: str) -> Callable[[CandidateEntry], Quantity]:
    zero = Quantity(value=0.0, unit="mL", source="keyhole-plan")
    return lambda one: one.burden.get(key, zero)


def _facet(one: CandidateEntry) -> Quantity:
    known = [q for q in one.facet_removed.values() if q.value is not None]
    if not known or len(known) < len(one.facet_removed):
        return Quantity(value=None, unit="%", source="keyhole-plan", caveats=("a facet joint is not labelled",))
    return max(known, key=lambda q: q.value or 0.0)


def _clearance(one: CandidateEntry) -> Quantity:
    known = [q for q in one.clearance.values() if q.value is not None]
    if not known:
        why = "clearance is not worked out for this exposure"
        return Quantity(value=None, unit="mm", source="keyhole-plan", caveats=(why,))
    return min(known, key=lambda q: q.value or 0.0)


def _breach(one: CandidateEntry) -> Quantity:
    if not one.breach_probability:
        why = "no chance of a breach is worked out for this exposure"
        return Quantity(value=None, unit="1", source="keyhole-plan", caveats=(why,))
    return Quantity(value=max(one.breach_probability.values()), unit="1", source="keyhole-plan")


_FIGURES: tuple[tuple[str, str, Callable[[CandidateEntry], Quantity]], ...] = (
    ("incision", "Cut in the skin", lambda one: one.incision),
    ("muscle", "Muscle in the way", _burden("muscle")),
    ("fat", "Fat in the way", _burden("fat")),
    ("bone", "Bone removed", _burden("bone")),
    ("facet", "Facet joint removed, the more affected side", _facet),
    ("clearance", "Smallest gap to a nerve, vessel or organ", _clearance),
    ("breach", "Largest chance of touching one", _breach),
    ("depth", "Depth", lambda one: one.depth),
    ("reach", "Share of the target in reach", lambda one: one.reach),
)
