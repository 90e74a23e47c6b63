"""The measures that a decompression changes, by the definitions of docs/measures.md, on the labels around a level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy
from keyhole.assessment.canal.heights import Boxes
from keyhole.assessment.canal.recess import bone_of, pedicle_heights, recess, recess_depth
from keyhole.assessment.flank.foramen import foramen_area
from keyhole.assessment.flank.foramen_panel import bone_sd
from keyhole.assessment.flank.foramen_section import narrowest
from keyhole.assessment.flank.frame import BOTH, Side, flank, pedicle_span, without_arch
from keyhole.assessment.model import Measurement, unknown
from keyhole.assessment.study import boundary_sd, cut
from keyhole.geometry import Points
from keyhole.plan.decompress.pars import pars_width
from keyhole.terms import belongs

MARGIN = 2.0
"""A removal this near to where something is measured, mm, may change it; on voxels over 1.3 mm `FELT` of their side."""

FELT = 1.5
"""How far a voxel is felt between the voxels' centres, in sides of a voxel [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Canal area on the disc-level plane, and by side depth of the recess, area of the foramen, width of the pars."""

    area: Measurement
    recess: Mapping[Side, Measurement]
    foramen: Mapping[Side, Measurement]
    pars: Mapping[Side, Measurement]


def measures(anatomy: Anatomy, level: str, area: Measurement) -> Measures:
    """Every measure of `anatomy` at `level`."""
    boxes, sd = label_boxes(anatomy.labels), _bone_sd(anatomy, level)
    return Measures(
        area,
        {side: recess_of(anatomy, boxes, level, side) for side in BOTH},
        {side: foramen_of(anatomy, level, side) for side in BOTH},
        {side: pars_width(anatomy, level, side, sd) for side in BOTH},
    )


@dataclass(frozen=True, slots=True)
class Reach:
    """Where the measures of one side are taken: `heights` of the recess above the lower vertebra's centre, mm.

    `inner` is how far lateral the foramen begins, mm in the flank's axes. None where there is nothing to measure.
    """

    heights: tuple[float, float] | None
    inner: float | None


def reaches(anatomy: Anatomy, level: str) -> dict[Side, Reach]:
    """Where the measures of both sides are taken."""
    boxes, lower = label_boxes(anatomy.labels), anatomy.pair(level)[1]
    found: dict[Side, Reach] = {}
    for side in BOTH:
        at = flank(anatomy, level, side)
        spans = [] if at is None else [pedicle_span(at, one) for one in (at.upper, at.lower)]
        held = [span.inner for span in spans if span is not None]
        found[side] = Reach(pedicle_heights(anatomy.labels, boxes, lower, side), max(held, default=None))
    return found


Held = tuple[Measurement, Measures, dict[Side, Reach]]


def again(anatomy: Anatomy, level: str, found: Held, taken: Points) -> Measures:
    """The measures after the voxels at `taken` (n, 3) LPS mm were given away; what lies away from them is as before.

    Parameters
    ----------
    found : the area afterwards, the measures before, and where they are taken.
    """
    area, before, where = found
    recess, foramen, pars = dict(before.recess), dict(before.foramen), dict(before.pars)
    upper, lower = anatomy.pair(level)
    boxes = label_boxes(anatomy.labels) if len(taken) else {}
    margin = max(MARGIN, FELT * float(anatomy.labels.grid.spacing.max()))
    for side in BOTH:
        beside = taken[(taken - lower.centre) @ lower.toward(side) > -margin]
        heights, inner = where[side].heights, where[side].inner
        up = (beside - lower.centre) @ lower.up
        if heights is not None and (np.abs(up[:, None] - np.array(heights)) <= 2 * margin).any():
            recess[side] = recess_of(anatomy, boxes, level, side)
        at = flank(anatomy, level, side)
        if inner is not None and at is not None and (at.local(beside)[:, 0] > inner - margin).any():
            foramen[side] = foramen_of(anatomy, level, side)
        if ((taken - upper.centre) @ upper.toward(side) > -margin).any():
            pars[side] = pars_width(anatomy, level, side, _bone_sd(anatomy, level))
    return Measures(area, recess, foramen, pars)


def _bone_sd(anatomy: Anatomy, level: str) -> float:
    return boundary_sd(anatomy, *(f"vertebra/{one.name}" for one in anatomy.pair(level)))


def recess_of(anatomy: Anatomy, boxes: Boxes, level: str, side: Side) -> Measurement:
    """Depth of the lateral recess as `assess` measures it."""
    upper, lower = pair = anatomy.pair(level)

    def not_measured(why: str) -> Measurement:
        return unknown("lateral recess depth", level, "mm", f"{why}; not measured", side)

    if not (upper.complete and lower.complete):
        return unknown("lateral recess depth", level, "mm", cut(*pair), side)
    process = f"vertebra/{lower.name}/facet/superior/{side}"
    if not any(belongs(key, process) for key in anatomy.structures):
        return not_measured(f"{level}: the articular processes are not labelled")
    heights = pedicle_heights(anatomy.labels, boxes, lower, side)
    bone = bone_of(anatomy.labels, boxes, pair)
    if heights is None or bone is None:
        return not_measured(f"{level}: the {side} pedicle of {lower.name} is not labelled")
    voxel = float(anatomy.labels.drawn_grid.spacing.max())
    doubt = boundary_sd(anatomy, f"vertebra/{lower.name}/body", process), voxel
    found = recess(bone, lower, side, heights, doubt)
    if isinstance(found, str):
        return not_measured(f"{level}: {found}")
    return recess_depth(level, side, found, doubt)


def foramen_of(anatomy: Anatomy, level: str, side: Side) -> Measurement:
    """Area of the foramen as `assess` measures it."""
    why = without_arch(anatomy, level)
    at = None if why else flank(anatomy, level, side)
    if at is None:
        return unknown("foramen area", level, "mm2", why or cut(*anatomy.pair(level)), side)
    found = narrowest(at)
    if isinstance(found, str):
        return unknown("foramen area", level, "mm2", found, side)
    return foramen_area(at, found, bone_sd(anatomy, level))
