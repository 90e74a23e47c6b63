"""Panel of the foramina."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.foramen import foramen_area, foramen_height, foramen_width
from keyhole.assessment.foramen_frame import Flank, Side, flank, without_arch
from keyhole.assessment.foramen_section import narrowest
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes
from keyhole.terms import SIDES, Origin, in_key

UNITS = {"foramen height": "mm", "foramen width": "mm", "foramen area": "mm2"}

NO_DISC = "the disc is not labelled: a bulge or herniation into the foramen would not be seen"


def foramen_panel(study: Study) -> Iterator[Finding]:
    """Height, width and area of the foramina on both sides of every level."""
    for level in study.levels:
        why = without_arch(study.anatomy, level) or _cut(study.anatomy, level)
        for side in SIDES:
            yield from _side(study, level, side, why)


def _cut(anatomy: Anatomy, level: str) -> str | None:
    upper, lower = anatomy.pair(level)
    return None if upper.complete and lower.complete else cut(upper, lower)


def _side(study: Study, level: str, side: Side, why: str | None) -> Iterator[Finding]:
    notes = (*study.general, *foramen_notes(study.anatomy, level))
    at: Flank | None = None if why else flank(study.anatomy, level, side)
    found = narrowest(at) if at is not None else why or cut(*study.anatomy.pair(level))
    if isinstance(found, str) or at is None:
        for name, unit in UNITS.items():
            yield Finding(unknown(name, level, unit, str(found), side), caveats=notes)
        return
    sd = bone_sd(study.anatomy, level)
    for measure in (foramen_height, foramen_width, foramen_area):
        yield Finding(measure(at, found, sd), caveats=notes)


def bone_sd(anatomy: Anatomy, level: str) -> float:
    """Boundary sd, mm, of what bounds a foramen of `level`."""
    upper, lower = anatomy.pair(level)
    return boundary_sd(anatomy, *_keys(upper.name, lower.name), f"disc/{in_key(level)}")


def foramen_notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What the bone and the disc around the foramina of `level` rest on."""
    upper, lower = anatomy.pair(level)
    notes = [*upper.caveats, *lower.caveats]
    notes += origin_notes(anatomy, f"vertebra/{upper.name}/body", f"vertebra/{lower.name}/body")
    disc = anatomy.structures.get(f"disc/{in_key(level)}")
    if disc is None or disc.origin is not Origin.LABELLED:
        notes.append(NO_DISC)
    return tuple(dict.fromkeys(notes))


def _keys(upper: str, lower: str) -> tuple[str, ...]:
    sacrum = ("sacrum",) if lower == "S1" else ()
    return f"vertebra/{upper}", f"vertebra/{lower}", *sacrum
