"""Panel of the measures between two bodies: disc height, slip and lordosis."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.anatomy.endplates import corner_sd
from keyhole.assessment.alignment import lordosis
from keyhole.assessment.disc import disc_height
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.slip import meyerding, slip, slip_ratio
from keyhole.assessment.study import Study, body_notes, body_prefix, boundary_sd, cut, plates

UNITS = {"disc height": "mm", "slip": "mm", "slip ratio": "%", "segmental lordosis": "deg"}


def body_panel(study: Study) -> Iterator[Finding]:
    """Disc height, slip and segmental lordosis of every level, and lumbar lordosis."""
    for level in study.levels:
        yield from _level(study, level)
    yield _lumbar(study)


def _level(study: Study, level: str) -> Iterator[Finding]:
    anatomy = study.anatomy
    upper, lower = anatomy.pair(level)
    notes = (*study.general, *body_notes(anatomy, upper, lower))
    found = plates(upper, lower)
    if found is None:
        for name, unit in UNITS.items():
            yield Finding(unknown(name, level, unit, cut(upper, lower)), caveats=notes)
        return
    top, above, below = found
    sd = corner_sd(anatomy.labels.grid, boundary_sd(anatomy, *(body_prefix(anatomy, v.name) for v in (upper, lower))))
    offset = slip(level, above, below, sd)
    ratio = slip_ratio(offset, below, sd)
    yield Finding(disc_height(level, above, below), caveats=notes)
    yield Finding(offset, caveats=notes)
    yield Finding(ratio, meyerding(ratio, below), notes)
    yield Finding(lordosis("segmental lordosis", level, upper, (top, below)), caveats=notes)


def _lumbar(study: Study) -> Finding:
    """Lumbar lordosis from L1 to S1."""
    name, level, known = "lumbar lordosis", "L1/S1", study.anatomy.vertebrae
    missing = [v for v in ("L1", "S1") if v not in known]
    if missing:
        why = f"{' and '.join(missing)} not in view; not measured"
        return Finding(unknown(name, level, "deg", why), caveats=study.general)
    upper, lower = known["L1"], known["S1"]
    notes = (*study.general, *body_notes(study.anatomy, upper, lower))
    found = plates(upper, lower)
    if found is None:
        return Finding(unknown(name, level, "deg", cut(upper, lower)), caveats=notes)
    return Finding(lordosis(name, level, upper, (found[0], found[2])), caveats=notes)
