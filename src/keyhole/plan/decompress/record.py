"""A removal as plan.json holds it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from keyhole.assessment.canal.grades import CANAL_CUTOFF
from keyhole.assessment.flank.frame import Side
from keyhole.assessment.model import Measurement
from keyhole.casefile import BeforeAfter, Decompression, GoalEntry, LeftEntry, PlanesEntry, Quantity
from keyhole.casefile.values import Triple
from keyhole.geometry import Points
from keyhole.plan.decompress.bites import BITE, FILL, FLAVUM, is_bone
from keyhole.plan.decompress.canal import apart
from keyhole.plan.decompress.removal import Removal
from keyhole.plan.decompress.spreads import BONE
from keyhole.terms import belongs

SOURCE = "keyhole-plan"

MODELLED = (
    f"simulated in bites of {BITE:g} mm by straight tools: a surgeon takes more, for sight and by the size of the tools"
)


def decompression(found: Removal | None, level: str) -> Decompression:
    """The record of a removal; values None with a caveat where the canal was not seen."""
    if found is None:
        why = (f"the canal is not labelled at {level}: its area is not known",)
        empty = Quantity(value=None, unit="mm2", source=SOURCE, caveats=why)
        return Decompression(canal_area_before=empty, canal_area_after=empty)
    bone = sum(v for key, v in found.volumes.items() if is_bone(key))
    doubt = found.spreads
    return Decompression(
        canal_area_before=_measured(found.before.area),
        canal_area_after=_measured(found.after.area, *_said(found)),
        goal=_goal(found),
        measures=tuple(_pairs(found)),
        removed={key: _amount(v, doubt.volumes.get(key, v), "mL") for key, v in sorted(found.volumes.items())},
        bone=_amount(bone, doubt.volumes.get(BONE, 0.0), "mL"),
        in_tube=_amount(found.by_tube, None, "mL"),
        facet_removed={key: _amount(v, doubt.facet.get(key, v), "%") for key, v in found.facet.items()},
        left=tuple(LeftEntry(key=one.key, volume=_amount(one.volume, None, "mL", *one.reasons)) for one in found.left),
        planes=_planes(found),
        voxels=runs(found),
        fill=FILL,
        is_least=found.taken.exact,
        caveats=_caveats(found),
    )


def runs(found: Removal) -> str:
    """The voxels taken, as runs "first:length" of the flat index into the whole label map (`Decompression.voxels`)."""
    whole, part = found.canal.whole, found.labels.grid
    start = np.rint(whole.index(part.centres(np.zeros((1, 3))))[0]).astype(np.int64)
    flat = np.sort(np.ravel_multi_index(tuple((np.argwhere(found.mask) + start).T), whole.shape))
    breaks = np.flatnonzero(np.diff(flat) > 1) + 1
    first, stop = np.concatenate([[0], breaks]), np.concatenate([breaks, [len(flat)]])
    return " ".join(f"{flat[a]}:{b - a}" for a, b in zip(first, stop, strict=True) if b > a)


def _planes(found: Removal) -> PlanesEntry:
    at = found.canal.at
    return PlanesEntry(
        point=_triple(at.plane.point), normal=_triple(at.plane.normal, 6), left=_triple(at.left, 6),
        back=_triple(at.back, 6), apart=apart(found.canal),
    )  # fmt: skip


def _triple(point: Points, digits: int = 4) -> Triple:
    x, y, z = (round(float(value), digits) + 0.0 for value in point)
    return x, y, z


def _caveats(found: Removal) -> tuple[str, ...]:
    """What has to be known of any simulated removal, and of this one."""
    said = [MODELLED]
    if not any(belongs(key, FLAVUM) for key in found.labels.keys) and not any(
        belongs(key, FLAVUM) for key in found.volumes
    ):
        said.append("no flavum is labelled: what lies between bone and canal is not counted among what is removed")
    if found.goal.kind != "root" and (found.before.area.value or 0.0) >= CANAL_CUTOFF:
        said.append(
            f"the canal is not narrow before: {found.before.area.value:.0f} mm2, where {CANAL_CUTOFF:.0f} mm2 at the "
            "facets of L4/L5 told patients from controls [lim2017]; the goal may ask for more than anyone needs"
        )
    if any(belongs(key, "disc") for key in found.volumes):
        said.append("the fragment is drawn out whole as far as the instruments reach, by the cheapest way to it")
    return tuple(said)


def _goal(found: Removal) -> GoalEntry:
    goal = found.goal
    return GoalEntry(
        kind=goal.kind, amount=goal.amount, length=goal.length, root=goal.root, words=goal.words, reached=found.reached
    )


def _said(found: Removal) -> tuple[str, ...]:
    """What is taken and whether the goal is reached, in words."""
    taken = ", ".join(f"{k} {v:.2f} mL" for k, v in sorted(found.removed.items()) if v >= 0.005) or "nothing"
    share = ", ".join(f"{k} {v:.0f} %" for k, v in found.facet.items() if v >= 0.5) or "none of the facets"
    said = [f"simulated removal within the reach: {taken}; facet: {share}"]
    if not found.reached:
        wanted = "" if found.wanted is None else f" ({found.wanted:.0f} mm2)"
        said.append(f"short of the goal, {found.goal.words}{wanted}")
    return tuple(said)


def _pairs(found: Removal) -> Iterator[BeforeAfter]:
    """Every measure before and after."""
    before, after = found.before, found.after
    pairs: tuple[tuple[str, Mapping[Side, Measurement], Mapping[Side, Measurement]], ...] = (
        ("lateral recess depth", before.recess, after.recess),
        ("foramen area", before.foramen, after.foramen),
        ("pars width", before.pars, after.pars),
    )
    yield BeforeAfter(name="least canal area", before=_area(found.least[0]), after=_area(found.least[1]))
    for name, first, second in pairs:
        for side in second:
            yield BeforeAfter(name=name, side=side, before=_measured(first[side]), after=_measured(second[side]))


def _area(value: float) -> Quantity:
    return Quantity(value=round(value, 2), unit="mm2", source=SOURCE)


def _measured(found: Measurement, *caveats: str) -> Quantity:
    if found.value is None:
        return Quantity(value=None, unit=found.unit, source=SOURCE, caveats=(*found.caveats, *caveats))
    sd = None if found.sd is None else round(found.sd, 2)
    return Quantity(value=round(found.value, 2), sd=sd, unit=found.unit, source=SOURCE, caveats=caveats)


def _amount(value: float, sd: float | None, unit: str, *caveats: str) -> Quantity:
    return Quantity(
        value=round(value, 4), sd=None if sd is None else round(sd, 4), unit=unit, source=SOURCE, caveats=caveats
    )
