"""The measures that a decompression changes, by the definitions of docs/measures.md, on the labels around a level."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy
from keyhole.assessment.canal.heights import Boxes
from keyhole.assessment.canal.recess import bone_of, pedicle_heights, recess, recess_depth
from keyhole.assessment.canal.section import CanalPlane, lumen, section
from keyhole.assessment.canal.size import FREE
from keyhole.assessment.flank.foramen import foramen_area
from keyhole.assessment.flank.foramen_panel import bone_sd
from keyhole.assessment.flank.foramen_section import narrowest
from keyhole.assessment.flank.frame import BOTH, Side, flank, without_arch
from keyhole.assessment.model import Measurement, unknown
from keyhole.assessment.study import boundary_sd, cut
from keyhole.plan.decompress.pars import pars_width
from keyhole.terms import belongs

STEP = 1.0
"""Distance of the planes among which the least area is looked for, mm [keyhole-choice]."""

PARTS = ("recess", "foramen", "pars")


@dataclass(frozen=True, slots=True, eq=False)
class Measures:
    """Area on the disc-level plane, the least within a stretch about it (mm²; None: unseen), and by side the rest."""

    area: Measurement
    least: float | None
    recess: Mapping[Side, Measurement]
    foramen: Mapping[Side, Measurement]
    pars: Mapping[Side, Measurement]


def measures(
    anatomy: Anatomy, level: str, area: Measurement, stretch: tuple[CanalPlane, float], *, keep: Measures | None = None,
    sides: tuple[Side, ...] = BOTH,
) -> Measures:  # fmt: skip
    """Every measure of `anatomy` at `level`; `keep` lends those of the sides not in `sides`."""
    found: dict[str, dict[Side, Measurement]] = {part: {} for part in PARTS}
    boxes = label_boxes(anatomy.labels)
    for side in BOTH:
        if keep is not None and side not in sides:
            found["recess"][side] = keep.recess[side]
            found["foramen"][side] = keep.foramen[side]
            found["pars"][side] = keep.pars[side]
            continue
        found["recess"][side] = _recess(anatomy, boxes, level, side)
        found["foramen"][side] = _foramen(anatomy, level, side)
        found["pars"][side] = pars_width(anatomy, level, side, _bone_sd(anatomy, level))
    return Measures(area, least_area(anatomy, *stretch), found["recess"], found["foramen"], found["pars"])


def least_area(anatomy: Anatomy, at: CanalPlane, length: float) -> float | None:
    """Least area of the free canal, mm², over the planes within `length` mm of `at`; None where one is unseen."""
    of = lumen(anatomy.labels, at.plane.point[None], FREE)
    if of is None:
        return None
    cuts = [section(of, at, float(shift), 2 * 0.25) for shift in np.arange(-length, length + STEP / 2, STEP)]
    return None if any(one is None for one in cuts) else min(one.area for one in cuts if one is not None)


def _bone_sd(anatomy: Anatomy, level: str) -> float:
    return boundary_sd(anatomy, *(f"vertebra/{one.name}" for one in anatomy.pair(level)))


def _recess(anatomy: Anatomy, boxes: Boxes, level: str, side: Side) -> Measurement:
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


def _foramen(anatomy: Anatomy, level: str, side: Side) -> Measurement:
    """Area of the foramen as `assess` measures it."""
    why = without_arch(anatomy, level)
    at = None if why else flank(anatomy, level, side)
    if at is None:
        return unknown("foramen area", level, "mm2", why or cut(*anatomy.pair(level)), side)
    found = narrowest(at)
    if isinstance(found, str):
        return unknown("foramen area", level, "mm2", found, side)
    return foramen_area(at, found, bone_sd(anatomy, level))
