"""Panel of the measures of one vertebra: heights, density and pedicles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Vertebra
from keyhole.assessment.model import Finding, Measurement, unknown
from keyhole.assessment.study import Study, body_notes, body_prefix, boundary_sd, cut, origin_notes
from keyhole.assessment.vertebra.density import UNIT, expected, fusion_density, low_density, vertebral_density
from keyhole.assessment.vertebra.density import density as density_of
from keyhole.assessment.vertebra.heights import (
    PLACES,
    Bone,
    Height,
    bone_of,
    genant,
    height_at,
    height_loss,
    vertebral_height,
)
from keyhole.assessment.vertebra.pedicle import NAMES, pedicle_measures
from keyhole.terms import are_neighbours, belongs

FUSION = "vertebral density for fusion"

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")

LOW_BEHIND = ("L5", "L6")
"""Vertebrae that are lower behind than in front by nature: no neighbour says what their posterior height was."""


def vertebra_panel(study: Study) -> Iterator[Finding]:
    """Heights, height loss, density and both pedicles of every lumbar vertebra in view."""
    lumbar = [one for one in study.vertebrae if one.name[0] == "L"]
    boxes = label_boxes(study.anatomy.labels)
    bones: dict[str, Bone] = {}
    for one in lumbar:
        sd = boundary_sd(study.anatomy, body_prefix(study.anatomy, one.name))
        found = bone_of(study.anatomy.labels, boxes, one, sd) if one.complete else None
        if found is not None:
            bones[one.name] = found
    heights = {name: _heights(bone) for name, bone in bones.items()}
    for one in lumbar:
        notes = (*study.general, *body_notes(study.anatomy, one))
        if one.name not in bones:
            yield from _none(one, notes)
            continue
        yield from _body(one.name, heights, notes)
        yield from _density(study, bones[one.name], notes)
        yield from _pedicles(study, bones[one.name])


def _heights(bone: Bone) -> dict[str, Height]:
    found = {place: height_at(bone, place) for place in PLACES}
    return {place: height for place, height in found.items() if height is not None}


def _none(vertebra: Vertebra, notes: tuple[str, ...]) -> Iterator[Finding]:
    """Every measure of a vertebra that is cut."""
    name, why = vertebra.name, cut(vertebra)
    units = {f"{place} vertebral height": "mm" for place in PLACES}
    units |= {"vertebral height loss": "%", "vertebral density": UNIT}
    if name == "L1":
        units[FUSION] = UNIT
    for title, unit in units.items():
        yield Finding(unknown(title, name, unit, why), caveats=notes)
    for side in SIDES:
        for title, unit in NAMES:
            yield Finding(unknown(title, name, unit, why, side), caveats=notes)


def _body(name: str, heights: dict[str, dict[str, Height]], notes: tuple[str, ...]) -> Iterator[Finding]:
    mine = heights[name]
    for place in PLACES:
        yield Finding(vertebral_height(name, place, mine.get(place)), caveats=notes)
    if len(mine) < len(PLACES):
        yield Finding(_lost(name), caveats=notes)
        return
    beside = [other for other in heights if are_neighbours(*sorted((name, other))) and other not in LOW_BEHIND]
    known = tuple(heights[other]["posterior"] for other in beside if "posterior" in heights[other])
    loss = height_loss(name, mine, () if name in LOW_BEHIND else known)
    alone = () if known or name in LOW_BEHIND else ("no neighbour is in view: a body crushed evenly would not show",)
    yield Finding(loss, genant(loss), (*alone, *notes))


def _lost(name: str) -> Measurement:
    why = f"not all three heights of {name} could be taken; not measured"
    return unknown("vertebral height loss", name, "%", why)


def _density(study: Study, bone: Bone, notes: tuple[str, ...]) -> Iterator[Finding]:
    image = study.image("CT")
    found = density_of(bone, image) if image is not None else "the case has no CT; not measured"
    value = vertebral_density(bone.name, found)
    yield Finding(value, low_density(value), (*_norm(study, bone.name), *notes))
    if bone.name == "L1":
        again = vertebral_density(bone.name, found, FUSION)
        yield Finding(again, fusion_density(again), notes)


def _norm(study: Study, name: str) -> tuple[str, ...]:
    """What L1 shows on average at the patient's age."""
    age = study.patient.age
    if name != "L1" or age is None:
        return ()
    return (f"L1 shows {expected(age):.0f} HU on average at {age:.0f} years, sd about 40 [jang2019]",)


def _pedicles(study: Study, bone: Bone) -> Iterator[Finding]:
    name = bone.vertebra.name
    if {key for key in study.anatomy.structures if belongs(key, f"vertebra/{name}")} == {f"vertebra/{name}/body"}:
        why = f"only the body of {name} is labelled, without its arch; not measured"
        for side in SIDES:
            yield from (Finding(unknown(what, name, unit, why, side), caveats=study.general) for what, unit in NAMES)
        return
    for side in SIDES:
        prefixes = (body_prefix(study.anatomy, bone.name), f"vertebra/{bone.name}/pedicle/{side}")
        notes = (*study.general, *bone.vertebra.caveats, *origin_notes(study.anatomy, *prefixes))
        for found in pedicle_measures(bone, side):
            yield Finding(found, caveats=notes)
