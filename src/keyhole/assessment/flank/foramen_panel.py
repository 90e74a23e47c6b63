"""Panel of the foramina."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.flank.foramen import foramen_area, foramen_height, foramen_width
from keyhole.assessment.flank.foramen_section import narrowest
from keyhole.assessment.flank.frame import BOTH, Flank, Side, flank, without_arch
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes
from keyhole.terms import Origin, in_key

UNITS = {"foramen height": "mm", "foramen width": "mm", "foramen area": "mm2"}

DERIVED = 1.0
"""Sd, mm, that a derived disc adds to its outline: on phantoms it bulged by 0.5 to 1.5 mm at its corners
[keyhole-choice]."""

NO_DISC = "the disc is not labelled: a bulge or herniation into the foramen would not be seen"


def foramen_panel(study: Study) -> Iterator[Finding]:
    """Height, width and area of the foramina on both sides of every level."""
    for level in study.levels:
        why = without_arch(study.anatomy, level) or _cut(study.anatomy, level)
        for side in BOTH:
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
    """Boundary sd, mm, of what bounds a foramen of `level`; larger where the disc's outline is only derived."""
    known = boundary_sd(anatomy, *arch_keys(anatomy, level), f"disc/{in_key(level)}")
    return known if disc_is_labelled(anatomy, level) else float(np.hypot(known, DERIVED))


def foramen_notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What bone and disc around the foramina of `level` rest on."""
    return (*arch_notes(anatomy, level), *(() if disc_is_labelled(anatomy, level) else (NO_DISC,)))


def disc_is_labelled(anatomy: Anatomy, level: str) -> bool:
    """Whether the disc's own outline was seen, not derived from the bodies."""
    disc = anatomy.structures.get(f"disc/{in_key(level)}")
    return disc is not None and disc.origin is Origin.LABELLED


def arch_notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What the vertebrae of `level` rest on: one sentence for each whose parts were derived, not labelled."""
    pair = anatomy.pair(level)
    notes = [note for vertebra in pair for note in vertebra.caveats]
    for vertebra in pair:
        notes += origin_notes(anatomy, f"vertebra/{vertebra.name}/body")
    return tuple(dict.fromkeys(notes))


def arch_keys(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """The keys at or below which the bone of `level` is."""
    upper, lower = anatomy.pair(level)
    sacrum = ("sacrum",) if lower.name == "S1" else ()
    return f"vertebra/{upper.name}", f"vertebra/{lower.name}", *sacrum
