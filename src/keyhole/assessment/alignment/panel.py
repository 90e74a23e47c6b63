"""Panel of the measures between two bodies: disc height, slips, lordosis and the curve seen from the front."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keyhole.anatomy.endplates import SEEN, corner_sd
from keyhole.anatomy.model import Endplate, Vertebra
from keyhole.assessment.alignment.angles import CHANCE, Whole, cobb, coronal_wedge, front, lordosis, scoliosis
from keyhole.assessment.alignment.slip import lateral_slip, meyerding, slip, slip_ratio
from keyhole.assessment.disc.heights import disc_height
from keyhole.assessment.model import Finding, Measurement, unknown
from keyhole.assessment.study import Study, body_notes, body_prefix, boundary_sd, cut, plates
from keyhole.geometry import Grid
from keyhole.terms import are_neighbours

UNITS = {
    "disc height": "mm",
    "slip": "mm",
    "slip ratio": "%",
    "lateral slip": "mm",
    "segmental lordosis": "deg",
    "coronal disc wedge": "deg",
}


def body_panel(study: Study) -> Iterator[Finding]:
    """Disc height, slips, segmental lordosis and coronal wedge of every level; lumbar lordosis and Cobb angle."""
    for level in study.levels:
        yield from _level(study, level)
    yield _lumbar(study)
    yield _cobb(study)


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
    sd = corner_sd(
        anatomy.labels.drawn_grid, boundary_sd(anatomy, *(body_prefix(anatomy, v.name) for v in (upper, lower)))
    )
    offset = slip(level, above, below, sd)
    ratio = slip_ratio(offset, below, sd)
    yield Finding(disc_height(level, above, below), caveats=notes)
    yield Finding(offset, caveats=notes)
    yield Finding(ratio, meyerding(ratio, below), notes)
    yield Finding(_lateral(study, level, (upper, lower), (above, below)), caveats=notes)
    yield Finding(lordosis("segmental lordosis", level, upper, (top, below)), caveats=notes)
    yield Finding(coronal_wedge(level, above, below, front((upper, lower))), caveats=notes)


def _lateral(
    study: Study, level: str, pair: tuple[Vertebra, Vertebra], facing: tuple[Endplate, Endplate]
) -> Measurement:
    """The slip to the side, where the sides of both bodies are in view: those of sagittal series often are not."""
    anatomy = study.anatomy
    lost = [one.name for one, plate in zip(pair, facing, strict=True) if not sides_in_view(anatomy.labels.grid, plate)]
    if lost:
        why = f"the sides of {' and '.join(lost)} are cut by the field of view; not measured"
        return unknown("lateral slip", level, "mm", why)
    sd = corner_sd(anatomy.labels.drawn_grid, boundary_sd(anatomy, *(body_prefix(anatomy, v.name) for v in pair)))
    return lateral_slip(level, *facing, sd)


def sides_in_view(grid: Grid, plate: Endplate) -> bool:
    """Whether the scan goes on `SEEN` mm beyond both side corners of an endplate."""
    out = SEEN * (plate.left - plate.right) / plate.width
    return bool(grid.contains(np.stack([plate.left + out, plate.right - out])).all())


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


def _cobb(study: Study) -> Finding:
    """The coronal Cobb angle of the longest row of whole lumbar vertebrae without a gap."""
    lumbar = [one for one in study.vertebrae if one.name != "S1"]
    row = _longest(lumbar)[: max(CHANCE)]
    name = "coronal Cobb angle"
    if len(row) < min(CHANCE):
        seen = ", ".join(one.vertebra.name for one in row) or "none"
        why = f"a curve needs two whole lumbar vertebrae in a row, in view: {seen}; not measured"
        return Finding(unknown(name, "L1/L5", "deg", why), caveats=study.general)
    notes = (*study.general, *body_notes(study.anatomy, *(one.vertebra for one in row)))
    names = [one.vertebra.name for one in row]
    left_out = [one.name for one in lumbar if one.name not in names]
    short = (f"{', '.join(left_out)} not whole: a curve that reaches further would be larger",) if left_out else ()
    found = cobb(f"{names[0]}/{names[-1]}", row)
    return Finding(found, scoliosis(found), (*short, *notes))


def _longest(lumbar: list[Vertebra]) -> list[Whole]:
    """The longest run of whole vertebrae that follow each other."""
    runs: list[list[Whole]] = [[]]
    for one in lumbar:
        if not one.complete or one.superior is None or one.inferior is None:
            runs.append([])
            continue
        if runs[-1] and not are_neighbours(runs[-1][-1].vertebra.name, one.name):
            runs.append([])
        runs[-1].append(Whole(one, one.superior, one.inferior))
    return max(runs, key=len)
