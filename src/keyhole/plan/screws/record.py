"""Screws as plan.json holds them, with the rods, incisions and collisions that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import (
    IncisionEntry,
    NearEntry,
    NoScrew,
    Quantity,
    RodEntry,
    ScrewEntry,
    ScrewsRecord,
)
from keyhole.casefile.screws import Grade
from keyhole.casefile.values import Triple
from keyhole.geometry import Points
from keyhole.plan.screws.collide import Contact, Solid, contacts
from keyhole.plan.screws.model import Screw, ScrewPlan
from keyhole.plan.screws.pelvis import S2AI
from keyhole.plan.screws.place import ENTRY
from keyhole.plan.screws.rod import Incision, Rod, incisions, rod
from keyhole.terms import SIDES

GENERIC = "sizes of screws, heads and rods are generic, of no maker"
EXPECTED = (
    "expected grades hold for the error budget; published robot-guided screws are 82 to 92 % grade A [robot-grades]"
)
RIGID = "heads lie on one side each; the bones lie as in the scan, supine and not yet realigned"


def triple(point: Points) -> Triple:
    """A point as it is written: mm to 1e-4."""
    x, y, z = (round(float(v), 4) for v in point)
    return x, y, z


def amount(value: float, unit: str = "mm", sd: float | None = None, *caveats: str, digits: int = 3) -> Quantity:
    """A quantity of this room."""
    return Quantity(
        value=round(value, digits), sd=None if sd is None else round(sd, digits), unit=unit, source="keyhole-screws",
        caveats=caveats,
    )  # fmt: skip


def unknown(unit: str, why: str) -> Quantity:
    """A quantity that could not be known, and why."""
    return Quantity(value=None, unit=unit, source="keyhole-screws", caveats=(why,))


def record(anatomy: Anatomy, plans: Sequence[ScrewPlan], trajectory: str) -> ScrewsRecord:
    """All of `plans` as plan.json holds them, with rods, incisions and what runs into what."""
    made = [p for p in plans if p.screw is not None]
    screws = [p.screw for p in made if p.screw is not None]
    up = next((v.up for v in anatomy.vertebrae.values()), np.array([0.0, 0.0, 1.0]))
    return ScrewsRecord(
        trajectory=trajectory,  # type: ignore[arg-type]  # checked
        screws=tuple(entry(p) for p in made),
        none=tuple(_none(p) for p in plans if p.screw is None),
        rods=tuple(rod_entry(r) for r in rods(anatomy, screws)),
        incisions=tuple(incision_entry(i) for side in SIDES for i in shared(made, side, up)),
        contacts=tuple(contact_entry(c) for c in contacts(solids(screws))),
        caveats=(
            *([GENERIC] if any(s.system.is_generic for s in screws) else []),
            *([EXPECTED, RIGID] if screws else []),
        ),
    )


def rods(anatomy: Anatomy, screws: Sequence[Screw]) -> list[Rod]:
    """The rod of each side that has two screws or more."""
    found = []
    for side in SIDES:
        chosen = [s for s in screws if s.side == side]
        if len(chosen) > 1:
            frames = [anatomy.vertebrae[n] for n in (standing(s) for s in chosen) if n in anatomy.vertebrae]
            found.append(rod(chosen, frames[0].left))
    return found


def standing(screw: Screw) -> str:
    """The vertebra that `screw` moves with: S1 for one into the ilium."""
    return "S1" if screw.vertebra == S2AI else screw.vertebra


def shared(plans: Sequence[ScrewPlan], side: str, up: Points) -> list[Incision]:
    """The openings of the skin on `side`."""
    wanted = [
        (p.screw.name, p.skin, p.screw.system.incision)
        for p in plans
        if p.side == side and p.screw is not None and p.skin is not None
    ]
    return incisions(wanted, up)


def solids(screws: Sequence[Screw]) -> list[Solid]:
    """Each screw's shaft and head as one solid."""
    return [Solid(s.name, (s.shaft, s.body), s.name) for s in screws]


def entry(plan: ScrewPlan) -> ScrewEntry:
    """One screw as plan.json holds it."""
    screw = plan.screw
    assert screw is not None
    hu = (
        amount(plan.hu[0], "[hnsf'U]", plan.hu[1], "mean and sd of the voxels inside the shaft", digits=1)
        if plan.hu is not None
        else unknown("[hnsf'U]", "no CT holds all of the screw")
    )
    above = "no facet joint lies above it" if plan.vertebra == S2AI else "no facet joint is labelled above it"
    share = unknown("%", above) if np.isnan(plan.facet_share) else amount(plan.facet_share, "%", digits=2)
    return ScrewEntry(
        vertebra=plan.vertebra, side=plan.side, trajectory=plan.trajectory, system=screw.system.name,  # type: ignore[arg-type]  # checked
        is_generic=screw.system.is_generic, entry=triple(screw.entry), tip=triple(screw.tip), radius=screw.radius,
        diameter=amount(2 * screw.radius), length=amount(screw.length), entry_allowance=ENTRY,
        clearance=amount(plan.clearance, "mm", None, "a lower bound; the wall beside the entry is left out"),
        walls={name: amount(gap) for name, gap in plan.walls.items()}, grades=_shares(plan.grades),
        thinner={f"{d:g}": _shares(found) for d, found in plan.thinner.items()},
        medial=amount(plan.medial, "deg", digits=2), cranial=amount(plan.cranial, "deg", digits=2), density=hu,
        facet_grade=plan.facet, facet_share=share, head=triple(screw.head), head_radius=screw.system.head_radius,
        skin=None if plan.skin is None else triple(plan.skin), caveats=plan.caveats, **_pelvic(plan),
    )  # fmt: skip


class _Pelvic(TypedDict, total=False):
    crossed: dict[str, Quantity]
    corridor: Quantity | None
    near: dict[str, Quantity]


def _pelvic(plan: ScrewPlan) -> _Pelvic:
    """What is said of a screw into the ilium alone."""
    if plan.vertebra != S2AI:
        return {}
    return {
        "crossed": {name: amount(length) for name, length in plan.crossed.items()},
        "corridor": unknown("mm", "its axis does not reach the ilium")
        if np.isnan(plan.corridor)
        else amount(plan.corridor, "mm", None, "a lower bound; the ilium is looked at to 6 mm from the screw"),
        "near": {key: amount(gap) for key, gap in plan.near.items()},
    }


def _shares(grades: Mapping[str, float]) -> dict[Grade, float]:
    return {name: round(share, 4) for name, share in grades.items()}  # type: ignore[misc]  # its keys are the grades


def _none(plan: ScrewPlan) -> NoScrew:
    return NoScrew(
        vertebra=plan.vertebra, side=plan.side, trajectory=plan.trajectory, reason=plan.reason  # type: ignore[arg-type]  # checked
    )  # fmt: skip


def rod_entry(found: Rod) -> RodEntry:
    """One rod as plan.json holds it."""
    names = found.vertebrae
    straight = "straight: two heads lie on every rod" if len(names) == 2 else "straight"
    said = [] if found.fits else ["a head would have to swing farther than it can: the rod does not fit all heads"]
    return RodEntry(
        side=found.side, vertebrae=names, radius=2.75,  # type: ignore[arg-type]  # a checked side
        points=tuple(triple(p) for p in found.points[::5]),
        residual={n: amount(r) for n, r in zip(names, found.residual, strict=True)},
        lean={n: amount(d, "deg", digits=1) for n, d in zip(names, found.lean, strict=True)},
        bend=amount(found.bend, "mm", digits=1) if np.isfinite(found.bend) else unknown("mm", straight),
        length=amount(found.length, digits=1), fits=found.fits, caveats=tuple(said),
    )  # fmt: skip


def incision_entry(found: Incision) -> IncisionEntry:
    """One opening of the skin as plan.json holds it."""
    return IncisionEntry(
        through=found.through, ends=(triple(found.ends[0]), triple(found.ends[1])),
        length=amount(found.length, "mm", None, "along a straight line; generic size of one opening", digits=1),
    )  # fmt: skip


def contact_entry(found: Contact) -> NearEntry:
    """Two near solids as plan.json holds them."""
    return NearEntry(
        first=found.first, second=found.second, gap=amount(found.gap), is_collision=found.is_collision
    )  # fmt: skip
