"""What the labels, and the image, say for and against the names of the vertebrae."""

from __future__ import annotations

from collections.abc import Sequence

from keyhole.anatomy.ribs import joined_ribs
from keyhole.anatomy.row import Row, gap_between, row_of
from keyhole.anatomy.shapes import crests, shapes
from keyhole.casefile import EvidenceEntry
from keyhole.geometry import LabelMap
from keyhole.terms import counted_anew, lineage_of, rank

NEXT_TO = 15.0
"""Largest gap, mm, of the lowest lumbar vertebra to the sacrum below it: a disc's height [keyhole-choice]."""


def evidence(labels: LabelMap, rib: str | None = None, row: Row | None = None) -> tuple[EvidenceEntry, ...]:
    """What speaks for or against the names of the lumbar vertebrae.

    Sacrum below the lowest, ribs at the last thoracic, the count between both, pelvis, and shapes that jump. Every
    entry that speaks against the names says what it would mean. Nothing of it is a verdict: a person decides.

    Parameters
    ----------
    rib : the lowest vertebra beside which the image shows a rib, as `rib_in_image` finds it; None: not known.
    row : the vertebrae of `labels` in their row, where they are known already.
    """
    row = row or row_of(labels)
    if row is None:
        return ()
    bearing, seen = _bearing(row)
    shown = rib if rib in row.names else None
    found = [*_sacrum(row), *_ribs(row, bearing, seen), *_count(row, bearing or shown), *crests(row), *shapes(row)]
    made = [entry.model_copy(update={"method": "labels"}) for entry in found]
    if shown is None:
        return tuple(made)
    kept = [entry for entry in made if not (entry.kind == "ribs" and entry.supports is None)]
    ribs = [entry.model_copy(update={"method": "image", "vertebra": shown}) for entry in _shown(row, shown)]
    return (*kept[:1], *ribs, *kept[1:])


def _shown(row: Row, rib: str) -> list[EvidenceEntry]:
    """What the image says of the ribs."""
    text, last = f"the image shows the lowest rib beside {rib}", row.last_thoracic
    if rib == last:
        return [EvidenceEntry(kind="ribs", finding=text, supports=True)]
    means = f"if {rib} is T12, {_shifted(row, rib)}; T13, a lumbar rib or a T12 without ribs are the other ways"
    return [EvidenceEntry(kind="ribs", finding=text, supports=False, means=means)]


def merged(own: Sequence[EvidenceEntry], computed: Sequence[EvidenceEntry]) -> tuple[EvidenceEntry, ...]:
    """`own` entries of a method and the `computed` ones; what says nothing gives way to what says something."""
    told = {entry.kind for entry in own if entry.supports is not None}
    kept = [entry for entry in computed if not (entry.supports is None and entry.kind in told and not entry.means)]
    return tuple(dict.fromkeys((*own, *kept)))


def against(entries: Sequence[EvidenceEntry]) -> tuple[str, ...]:
    """The findings among `entries` that speak against the names, each with what it would mean."""
    return tuple(f"{e.finding}{f': {e.means}' if e.means else ''}" for e in entries if e.supports is False)


def _anew(row: Row, lowest: str, last_thoracic: str = "T12") -> str:
    """What the lowest two levels would be called if the row were counted otherwise."""
    try:
        names = counted_anew(row.names, lowest, last_thoracic)
    except ValueError:
        return ""
    upper, lower = (row.names[-2], row.names[-1]) if len(row.names) > 1 else ("", row.names[-1])
    level = f"{upper}/{lower}" if upper else lower
    new = f"{names[upper]}/{names[lower]}" if upper else names[lower]
    return f"what is called {level} here would be {new}"


# --- sacrum, ribs, count


def _sacrum(row: Row) -> list[EvidenceEntry]:
    lowest = row.lowest
    if not len(row.sacrum):
        text = f"no sacrum is labelled: {lowest.name} is the lowest lumbar vertebra in view, perhaps not the lowest"
        return [EvidenceEntry(kind="sacrum", finding=text, supports=None)]
    gap = max(0.0, gap_between(lowest.body, row.sacrum) - row.step / 2)
    if gap > NEXT_TO:
        text = f"{gap:.0f} mm lie between {lowest.name}, the lowest labelled lumbar vertebra, and the sacrum"
        means = "a vertebra in between has no label, or the sacrum's label begins too low"
        return [EvidenceEntry(kind="sacrum", finding=text, supports=False, means=means)]
    text = f"the sacrum begins {gap:.0f} mm below the body of {lowest.name}"
    if lowest.name == "L5":
        return [EvidenceEntry(kind="sacrum", finding=text, supports=True)]
    means = (
        f"either the patient has {lowest.name[1:]} lumbar vertebrae or every name is off by one; "
        f"with five lumbar vertebrae {_anew(row, 'L5')}"
    )
    return [EvidenceEntry(kind="sacrum", finding=text, supports=False, means=means)]


def _bearing(row: Row) -> tuple[str | None, bool]:
    """The lowest vertebra that bears a rib, and whether any rib is labelled."""
    joined = joined_ribs(row)
    seen = any(key.startswith("rib/") for key in row.boxes)
    return (max(joined.values(), key=rank) if joined else None), seen


def _ribs(row: Row, bearing: str | None, seen: bool) -> list[EvidenceEntry]:
    last = row.last_thoracic
    if bearing is None:
        what = "no labelled rib joins a vertebra in view" if seen else "no ribs are labelled"
        text = f"{what}: nothing says from above which vertebra is L1"
        return [EvidenceEntry(kind="ribs", finding=text, supports=None)]
    text = f"the lowest labelled rib joins {bearing}"
    if bearing == last:
        return [EvidenceEntry(kind="ribs", finding=text, supports=True)]
    if rank(bearing) > rank(last):
        means = f"a thirteenth rib, so T13, or a lumbar rib, or every name off by one: then {_shifted(row, bearing)}"
        return [EvidenceEntry(kind="ribs", finding=text, supports=False, means=means)]
    between = next((one for one in row.bones if one.name == last), None)
    if between is None or between.cut:
        more = f"{last} is not whole in view, so its ribs may not be either"
        return [EvidenceEntry(kind="ribs", finding=f"{text}; {more}", supports=None)]
    means = f"{last} has rudimentary ribs or none, or every name is off by one: then {_shifted(row, bearing)}"
    return [EvidenceEntry(kind="ribs", finding=f"{text}, and none joins {last}", supports=False, means=means)]


def _shifted(row: Row, bearing: str) -> str:
    """What the lowest levels would be called if `bearing` were T12."""
    full = lineage_of(row.names)
    below = len(full) - 1 - full.index(bearing)
    return _anew(row, f"L{below}") if 1 <= below <= 6 else "the count is not five"


def _count(row: Row, bearing: str | None) -> list[EvidenceEntry]:
    """Vertebrae without ribs above the sacrum."""
    if bearing is None or not len(row.sacrum) or gap_between(row.lowest.body, row.sacrum) > NEXT_TO + row.step:
        text = "the vertebrae between the ribs and the sacrum cannot be counted: not both ends are in view"
        return [EvidenceEntry(kind="count", finding=text, supports=None)]
    full = lineage_of(row.names)
    between = full[full.index(bearing) + 1 :]
    missing = [name for name in between if name not in row.names]
    if missing:
        text = f"between the ribs and the sacrum {', '.join(missing)} has no label"
        return [EvidenceEntry(kind="count", finding=text, supports=False, means="the count rests on the names alone")]
    text = f"{len(between)} vertebrae without ribs lie between {bearing} and the sacrum"
    if len(between) == 5:
        if bearing == row.last_thoracic:
            return [EvidenceEntry(kind="count", finding=text, supports=True)]
        means = f"if {bearing} is T12, {_shifted(row, bearing)}"
        return [EvidenceEntry(kind="count", finding=text, supports=False, means=means)]
    why = {
        4: "T13 or lumbar ribs above, or a fifth lumbar vertebra taken up by the sacrum (sacralised L5)",
        6: "L6, a lumbarised S1, or a T12 without ribs",
    }.get(len(between), "labels missing or names wrong")
    means = f"{why}; counted from the ribs {_shifted(row, bearing)}"
    return [EvidenceEntry(kind="count", finding=text, supports=False, means=means)]
