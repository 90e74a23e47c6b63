"""Panel of the pelvis: incidence, slope and tilt, and the lordosis that goes with them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keyhole.anatomy.endplates import corner_sd
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.alignment.pelvis import (
    Head,
    femoral_head,
    ideal_lordosis,
    pelvic_incidence,
    pelvic_tilt,
    sacral_slope,
)
from keyhole.assessment.model import Finding, Measurement, unknown
from keyhole.assessment.study import Study, body_notes, body_prefix, boundary_sd, cut, origin_notes
from keyhole.geometry import unit
from keyhole.terms import SIDES

HEADWARD = np.array([0.0, 0.0, 1.0])
"""LPS: along the table towards the patient's head, for a patient scanned on the back."""

SUPINE = ("HFS", "FFS")
"""DICOM patient positions of someone who lies on the back."""

NAMES = ("pelvic incidence", "sacral slope, supine", "pelvic tilt, supine")


def pelvis_panel(study: Study) -> Iterator[Finding]:
    """Pelvic incidence, sacral slope and pelvic tilt at S1, and the ideal lordosis for the incidence and age."""
    sacral = study.anatomy.vertebrae.get("S1")
    if sacral is None or not sacral.complete or sacral.superior is None:
        why = "S1 not in view; not measured" if sacral is None else cut(sacral)
        for name in NAMES:
            yield Finding(unknown(name, "S1", "deg", why), caveats=study.general)
        yield _ideal(study, None, why)
        return
    yield from _measured(study, sacral, sacral.superior)


def _measured(study: Study, sacral: Vertebra, plate: Endplate) -> Iterator[Finding]:
    anatomy = study.anatomy
    sd = corner_sd(anatomy.labels.drawn_grid, boundary_sd(anatomy, body_prefix(anatomy, "S1")))
    heads, why = _heads(study)
    notes = (*study.general, *body_notes(anatomy, sacral), *origin_notes(anatomy, "femur"))
    incidence = None if heads is None else pelvic_incidence(plate, heads, sd)
    yield Finding(incidence or unknown(NAMES[0], "S1", "deg", why), caveats=notes)
    lying = _lying(study)
    across = sacral.left if heads is None else unit(heads[0].centre - heads[1].centre)
    slope = sacral_slope(plate, across, HEADWARD) if not lying else unknown(NAMES[1], "S1", "deg", lying)
    yield Finding(slope, caveats=notes)
    if lying or heads is None:
        yield Finding(unknown(NAMES[2], "S1", "deg", lying or why), caveats=notes)
    else:
        yield Finding(pelvic_tilt(plate, heads, HEADWARD, sd), caveats=notes)
    yield _ideal(study, incidence, why)


def _heads(study: Study) -> tuple[tuple[Head, Head] | None, str]:
    """Both femoral heads, left first, or why there are not two."""
    found = [femoral_head(study.anatomy, side, boundary_sd(study.anatomy, f"femur/{side}")) for side in SIDES]
    left, right = found
    if isinstance(left, Head) and isinstance(right, Head):
        return (left, right), ""
    return None, "; ".join(dict.fromkeys(one for one in found if isinstance(one, str)))


def _lying(study: Study) -> str:
    """Why the table's long axis says nothing of this patient; empty where it does."""
    if study.position is None:
        return "how the patient lay on the table is not known (no single DICOM patient position); not measured"
    if study.position not in SUPINE:
        return f"the patient did not lie on the back (DICOM patient position {study.position}); not measured"
    return ""


def _ideal(study: Study, incidence: Measurement | None, why: str) -> Finding:
    """The ideal lordosis, where incidence and age are known."""
    age = study.patient.age
    if incidence is None or incidence.value is None or age is None:
        reason = why if incidence is None else "the patient's age is not known; not measured"
        return Finding(unknown("ideal lumbar lordosis", "L1/S1", "deg", reason), caveats=study.general)
    return Finding(ideal_lordosis(incidence, age), caveats=study.general)
