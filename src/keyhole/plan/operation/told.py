"""Whole operations of a plan, as plan.json holds them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry, OperationRecord, PartEntry, PlanRecord, ScrewEntry
from keyhole.casefile.realign import FusionEntry
from keyhole.geometry import LabelMap, Points
from keyhole.plan.approaches import catalogue
from keyhole.plan.harm import harm, volumes
from keyhole.plan.harm.midline import exposure
from keyhole.plan.operation.parts import Operation, Part, collisions, open_operation, small_operation
from keyhole.plan.screws.model import Screw
from keyhole.plan.screws.record import amount, contact_entry, incision_entry, rod_entry, rods, standing
from keyhole.plan.screws.rod import Incision, incisions
from keyhole.plan.screws.sizes import system
from keyhole.plan.site import Site, around, body_code, site
from keyhole.terms import SIDES

CAGE = "the cage is not counted: it stands where the disc was cleared; clearing the disc is not counted either"
SLEEVES = "sleeves are generic; muscle between the heads, where the rod is pushed through, is not counted"
OPENED = "screws are counted in bone alone: what lies behind it is laid open already"
ORDER = "in order: the corridor's tube does its work and comes out, then the screws"
ROOM = 20.0
"""How far the looked-at part of the scan reaches beyond each place where the skin is opened, mm [keyhole-choice]."""

UNMOVED = "volumes are counted on the bones as scanned; what runs into what is checked after realignment"


def with_operations(made: PlanRecord, anatomy: Anatomy) -> PlanRecord:
    """The plan `made` with its corridor, cage and screws as whole operations, small and open."""
    return made.model_copy(update={"operations": operations(made, anatomy)})


def operations(made: PlanRecord, anatomy: Anatomy) -> tuple[OperationRecord, ...]:
    """The small operation through the best corridor with what the plan implants, and the open one with the same.

    Empty where the plan implants nothing.
    """
    if made.screws is None or not (made.screws.screws or made.fusion):
        return ()
    screws = [(screw_of(e), None if e.skin is None else np.array(e.skin)) for e in made.screws.screws]
    found: list[OperationRecord] = []
    best = _best(made)
    doors = [] if best is None else [best.entry, *(portal.entry for portal in best.portals)]
    here = both_flanks(anatomy, made.level, made.side, [*doors, *(p for _, p in screws if p is not None)])
    fused = _fused(made, None if best is None else best.approach)
    if screws or best:
        corridors = () if best is None else (best,)
        whole = small_operation(corridors, screws=screws, cage=None if fused is None else fused.cage)
        found.append(_record(here, anatomy, whole, (best, fused, screws)))
    name = "open-tlif" if made.goal == "fuse" else "open-midline"
    if (here.body == 2).any():
        opened = exposure(here, catalogue()[name])
        if opened.mask.any():
            cage = None if fused is None else fused.cage
            whole = open_operation(name, opened, screws=[s for s, _ in screws], cage=cage)
            found.append(_record(here, anatomy, whole, (None, fused, screws)))
    return tuple(found)


def both_flanks(anatomy: Anatomy, level: str, side: str, doors: Sequence[ArrayLike] = ()) -> Site:
    """The site of a level as far on the other side as on the operated one: screws come from both.

    Parameters
    ----------
    doors : places on the skin, (3,) LPS mm: the site reaches `ROOM` mm beyond each, so that no tube is cut off.
    """
    here = site(anatomy, level, side)
    ends = np.array(here.bounds)
    if doors:
        local = here.frame.local(np.array(doors, dtype=np.float64))
        ends = np.stack([np.minimum(ends[:, 0], local.min(0) - ROOM), np.maximum(ends[:, 1], local.max(0) + ROOM)], 1)
    wide = float(np.abs(ends[0]).max())
    reach = ((-wide, wide), (float(ends[1, 0]), float(ends[1, 1])), (float(ends[2, 0]), float(ends[2, 1])))
    corners = here.frame.patient(np.array(list(itertools.product(*reach))))
    crop = anatomy.labels.crop(around(anatomy.labels, corners))
    present = {int(n) for n in np.flatnonzero(np.bincount(crop.array.ravel()))}
    names = {n: key for n, key in crop.structures.items() if n in present}
    labels = LabelMap(crop.array, crop.patient_from_index, names)
    return replace(here, labels=labels, body=body_code(labels)[0], bounds=reach)


def _best(made: PlanRecord) -> CandidateEntry | None:
    """The best corridor of an approach that brings in what the goal implants."""
    if made.goal != "fuse":
        return None
    named = {e.approach for e in made.fusion.entries} if made.fusion is not None else set()
    return next((c for c in made.candidates if c.approach in named), None)


def _fused(made: PlanRecord, approach: str | None) -> FusionEntry | None:
    entries = () if made.fusion is None else made.fusion.entries
    return next((e for e in entries if e.approach == approach), entries[0] if entries else None)


def screw_of(entry: ScrewEntry) -> Screw:
    """The screw that an entry of plan.json describes."""
    return Screw(
        entry.vertebra, entry.side, entry.trajectory, np.array(entry.entry), np.array(entry.tip), entry.radius,
        system(entry.system),
    )  # fmt: skip


def realigned(screw: Screw, fused: FusionEntry | None) -> Screw:
    """`screw` where its vertebra is after realignment."""
    motions = {} if fused is None else {m.vertebra: np.array(m.matrix) for m in fused.motions}
    if standing(screw) not in motions:
        return screw
    matrix = motions[standing(screw)]
    entry, tip = (matrix[:3, :3] @ p + matrix[:3, 3] for p in (screw.entry, screw.tip))
    return replace(screw, entry=entry, tip=tip)


def _record(
    here: Site,
    anatomy: Anatomy,
    whole: Operation,
    used: tuple[CandidateEntry | None, FusionEntry | None, Sequence[tuple[Screw, Points | None]]],
) -> OperationRecord:
    """One operation as plan.json holds it."""
    corridor, fused, screws = used
    is_open = whole.opened is not None
    counted = harm(here, whole.harming)
    own = {p.name: sum(volumes(here.labels, p.tubes).values()) for p in whole.parts if p.tubes}
    together = sum(t.volume.value or 0.0 for t in counted.tissues)
    opened = 0.0 if whole.opened is None else _opened(whole, here)
    apart = sum(v for p, v in own.items() if _kind(whole, p) != "cage") + opened
    cuts = [] if is_open else _cuts(here, corridor, screws)
    length = whole.opened.incision if whole.opened is not None else sum(c.length for c in cuts)
    standing = [realigned(s, fused) for s, _ in screws]
    return OperationRecord(
        name=whole.name, kind="open" if is_open else "small", approach=None if corridor is None else corridor.approach,
        parts=(*_parts(whole, own), *([_laid_open(opened)] if is_open else [])), harm=counted,
        together=amount(together, "mL"), apart=amount(apart, "mL"),
        incisions=tuple(incision_entry(c) for c in cuts), incision=amount(length, "mm", digits=1),
        bones="as scanned" if fused is None or not fused.motions else "realigned",
        rods=tuple(rod_entry(r) for r in rods(anatomy, standing)),
        contacts=tuple(contact_entry(c) for c in collisions(_after(whole, standing))), caveats=_said(whole, fused),
    )  # fmt: skip


def _kind(whole: Operation, name: str) -> str:
    return next(p.kind for p in whole.parts if p.name == name)


def _after(whole: Operation, standing: Sequence[Screw]) -> Operation:
    """`whole` with every screw, and its sleeve, where its bone is in the end."""
    moved: Mapping[str, Screw] = {s.name: s for s in standing}
    parts = [
        replace(p, tubes=(moved[p.name].shaft, moved[p.name].body)) if p.kind == "screw" else p for p in whole.parts
    ]
    return replace(whole, parts=tuple(parts))


def _opened(whole: Operation, here: Site) -> float:
    """Volume of what is laid open, mL."""
    assert whole.opened is not None
    labelled = whole.opened.site.labels.array[whole.opened.mask] != 0
    return float(labelled.sum()) * here.labels.grid.voxel_volume / 1000


def _parts(whole: Operation, own: Mapping[str, float]) -> tuple[PartEntry, ...]:
    return tuple(
        PartEntry(name=p.name, kind=p.kind, volume=amount(own.get(p.name, _box(p)), "mL"))  # type: ignore[arg-type]  # checked
        for p in whole.parts
    )


def _box(part: Part) -> float:
    return float(sum(8 * np.prod(b.half) for b in part.blocks)) / 1000


def _laid_open(volume: float) -> PartEntry:
    return PartEntry(name="exposure", kind="open", volume=amount(volume, "mL"))


def _cuts(here: Site, corridor: CandidateEntry | None, screws: Sequence[tuple[Screw, Points | None]]) -> list[Incision]:
    """The openings of the skin: those on one side are shared where that is shorter."""
    found = []
    for side in SIDES:
        wanted = [(s.name, p, s.system.incision) for s, p in screws if s.side == side and p is not None]
        if corridor is not None and corridor.side == side and corridor.incision.value:
            wanted.append((corridor.approach, np.array(corridor.entry), corridor.incision.value))
        found += incisions(wanted, here.frame.up)
    return found


def _in_the_way(whole: Operation) -> list[str]:
    """What would run into what if the screws came first."""
    now = {(c.first, c.second) for c in collisions(whole)}
    at_once = replace(whole, parts=tuple(replace(p, order=0) for p in whole.parts))
    return [
        f"if the screws came first, {c.first} would run {-c.gap:.1f} mm into {c.second}"
        for c in collisions(at_once)
        if c.is_collision and (c.first, c.second) not in now
    ]


def _said(whole: Operation, fused: FusionEntry | None) -> tuple[str, ...]:
    kinds = {p.kind for p in whole.parts}
    said = [CAGE] if "cage" in kinds else []
    said += [SLEEVES] if "sleeve" in kinds else []
    said += [OPENED] if whole.opened is not None and "screw" in kinds else []
    said += [UNMOVED] if fused is not None and fused.motions else []
    said += [ORDER, *_in_the_way(whole)] if kinds & {"tube", "portal"} and "screw" in kinds else []
    if "screw" in kinds and "sleeve" not in kinds and whole.opened is None:
        said.append("no skin is labelled: the way of the screws through muscle is not counted")
    return tuple(said)
