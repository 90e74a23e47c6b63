"""Panel of the facet joints."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.assessment.flank.facet import facet_angle, facet_area, facet_tropism
from keyhole.assessment.flank.facet_joint import GAP, facet_joint
from keyhole.assessment.flank.foramen_panel import arch_keys, arch_notes
from keyhole.assessment.flank.frame import BOTH, Side, flank, without_arch
from keyhole.assessment.model import Finding, Measurement, unknown
from keyhole.assessment.study import Study, boundary_sd, cut


def facet_panel(study: Study) -> Iterator[Finding]:
    """Angle and area of the facet joints on both sides of every level, and the tropism."""
    for level in study.levels:
        notes = (*study.general, *arch_notes(study.anatomy, level))
        angles = []
        for side in BOTH:
            angle, area = _side(study, level, side)
            angles.append(angle)
            yield Finding(angle, caveats=notes)
            yield Finding(area, caveats=notes)
        yield Finding(facet_tropism(angles[0], angles[1]), caveats=notes)


def _side(study: Study, level: str, side: Side) -> tuple[Measurement, Measurement]:
    """Angle and area of one joint."""
    anatomy = study.anatomy
    why = without_arch(anatomy, level)
    at = None if why else flank(anatomy, level, side)
    joint = None if at is None else facet_joint(at)
    if at is not None and joint is not None and not at.sees(joint.middles):
        joint, why = None, f"{level}: the {side} facet joint is cut by the field of view; not measured"
    if at is None or joint is None:
        apart = f"{level}: the two arches are nowhere nearer than {GAP:.0f} mm on the {side}; no facet joint measured"
        text = why or (cut(*anatomy.pair(level)) if at is None else apart)
        return unknown("facet angle", level, "deg", text, side), unknown("facet joint area", level, "mm2", text, side)
    sd = boundary_sd(anatomy, *arch_keys(anatomy, level))
    return facet_angle(at, joint, sd), facet_area(at, joint, sd)
