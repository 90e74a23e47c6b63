"""Panel of the canal's measures at every level."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.canal import FREE, PLACE_SD, SAC, Doubt, canal_ap, canal_area, sac_area, verbiest
from keyhole.assessment.disc import mid_plane
from keyhole.assessment.model import Finding, unknown
from keyhole.assessment.section import canal_plane
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes, plates
from keyhole.terms import Origin, belongs, in_key


def canal_panel(study: Study) -> Iterator[Finding]:
    """Area and diameter of the free canal at every level, and the sac's area where the sac was labelled."""
    for level in study.levels:
        yield from _level(study, level)


def _level(study: Study, level: str) -> Iterator[Finding]:
    anatomy = study.anatomy
    upper, lower = anatomy.pair(level)
    notes = (*study.general, *_notes(anatomy, level))
    found = plates(upper, lower)
    at = None
    if found is not None:
        at = canal_plane(anatomy.canal_line, mid_plane(found[1], found[2]), (upper, lower))
    has_sac = sac_was_labelled(anatomy)
    if found is None or at is None:
        out_of_view = f"{level}: the canal is not in view 10 mm to both sides of the disc"
        why = cut(upper, lower) if found is None else out_of_view
        units = {"canal area": "mm2", "canal AP diameter": "mm"} | ({"dural sac area": "mm2"} if has_sac else {})
        for name, unit in units.items():
            yield Finding(unknown(name, level, unit, why), caveats=notes)
        return
    sd = boundary_sd(anatomy, *FREE, f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    place = float(np.sqrt(PLACE_SD**2 + (found[1].sd ** 2 + found[2].sd ** 2) / 4))
    doubt = Doubt(sd, float(anatomy.labels.grid.spacing.max()), place)
    diameter = canal_ap(level, anatomy.labels, at, doubt)
    yield Finding(canal_area(level, anatomy.labels, at, doubt), caveats=notes)
    yield Finding(diameter, verbiest(diameter, is_bony=is_bony(anatomy, level)), notes)
    if has_sac:
        of_sac = Doubt(boundary_sd(anatomy, *SAC), doubt.voxel, place)
        yield Finding(sac_area(level, anatomy.labels, at, of_sac), caveats=notes)


def _notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What the free canal at `level` rests on."""
    flavum, herniation = f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation"
    notes = list(origin_notes(anatomy, *FREE, flavum, herniation))
    if not any(belongs(key, "canal/epidural") for key in anatomy.structures):
        notes.append("the epidural space is not labelled: the canal measured here is the dural sac alone")
    elif is_bony(anatomy, level):
        notes.append("ligamentum flavum is not labelled: it is counted as free canal, so this is the bony canal")
    disc = anatomy.structures.get(f"disc/{in_key(level)}")
    if disc is not None and disc.origin is not Origin.LABELLED:
        notes.append("the disc is not labelled: a bulge or herniation into the canal would not be seen")
    return tuple(notes)


def is_bony(anatomy: Anatomy, level: str) -> bool:
    """Whether nothing that narrows the bony canal at `level` is known."""
    soft = (f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    return not any(belongs(key, *soft) for key in anatomy.structures)


def sac_was_labelled(anatomy: Anatomy) -> bool:
    """Whether canal/dural_sac is the sac itself: labelled, and not a label of the cord that stands in for it."""
    sac = anatomy.structures.get("canal/dural_sac")
    return sac is not None and sac.origin is Origin.LABELLED and not any("cord" in note for note in sac.caveats)
