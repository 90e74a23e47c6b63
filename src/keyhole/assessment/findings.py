"""All measures of a patient, gathered, graded and written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keyhole.anatomy.endplates import corner_sd
from keyhole.anatomy.model import Anatomy, Endplate, Vertebra
from keyhole.anatomy.reading import load
from keyhole.assessment.alignment import lordosis
from keyhole.assessment.canal import FREE, PLACE_SD, SAC, Doubt, canal_ap, canal_area, sac_area, verbiest
from keyhole.assessment.disc import disc_height, mid_plane
from keyhole.assessment.model import Measurement, entry
from keyhole.assessment.section import canal_plane
from keyhole.assessment.slip import meyerding, slip, slip_ratio
from keyhole.casefile import Case, FindingEntry, FindingsRecord, provenance
from keyhole.terms import Origin, belongs, in_key, split

FILES = ("case.json", "labels.json", "labels.nii.gz")
"""What assess reads of a case."""

UNCONFIRMED = "levels not confirmed: nobody has checked the names of the vertebrae"

Progress = Callable[[str, float], None]


def assess_case(case: Case, progress: Progress | None = None) -> FindingsRecord:
    """Measure `case` and put findings.json in it."""
    tell = progress or _silent
    tell("Reading the case", 0.0)
    anatomy = load(case, with_image=False)
    tell("Measuring", 0.6)
    found = assess(anatomy)
    record = FindingsRecord(
        schema="keyhole.findings/1",
        findings=found,
        levels=anatomy.level_state,
        caveats=anatomy.caveats,
        provenance=provenance(case.digest(*FILES)),
    )
    case.write(record)
    tell("Findings written", 1.0)
    return record


def _silent(_sentence: str, _share: float) -> None:
    """No one is watching."""


def assess(anatomy: Anatomy) -> tuple[FindingEntry, ...]:
    """Every measure of docs/measures.md at every lumbar level in view, level by level from cranial to caudal.

    What cannot be known here has value None and a caveat that says why.
    """
    found: list[FindingEntry] = []
    for level in anatomy.levels:
        if split(level)[1][0] in "LS":
            found.extend((*_bodies(anatomy, level), *_canal(anatomy, level)))
    found.append(_lumbar(anatomy))
    return tuple(found)


def _bodies(anatomy: Anatomy, level: str) -> list[FindingEntry]:
    """Disc height, slip and segmental lordosis of `level`."""
    upper, lower = anatomy.pair(level)
    notes = (*_general(anatomy), *_body_notes(anatomy, upper, lower))
    plates = _plates(upper, lower)
    if plates is None:
        why = _cut(upper, lower)
        units = {"disc height": "mm", "slip": "mm", "slip ratio": "%", "segmental lordosis": "deg"}
        return [entry(_unknown(name, level, unit, why), caveats=notes) for name, unit in units.items()]
    top, above, below = plates
    sd = corner_sd(anatomy.labels.grid, _sd(anatomy, *(_body_prefix(anatomy, v.name) for v in (upper, lower))))
    offset = slip(level, above, below, sd)
    ratio = slip_ratio(offset, below, sd)
    angle = lordosis("segmental lordosis", level, upper, (top, below))
    return [
        entry(disc_height(level, above, below), caveats=notes),
        entry(offset, caveats=notes),
        entry(ratio, meyerding(ratio, below), notes),
        entry(angle, caveats=notes),
    ]


def _plates(upper: Vertebra, lower: Vertebra) -> tuple[Endplate, Endplate, Endplate] | None:
    """Superior and inferior endplate of `upper`, superior of `lower`; None unless both vertebrae are whole."""
    if not (upper.complete and lower.complete):
        return None
    if upper.superior is None or upper.inferior is None or lower.superior is None:
        return None
    return upper.superior, upper.inferior, lower.superior


def _canal(anatomy: Anatomy, level: str) -> list[FindingEntry]:
    """Area and diameter of the free canal at `level`, and the sac's area where the sac was labelled."""
    upper, lower = anatomy.pair(level)
    notes = (*_general(anatomy), *_canal_notes(anatomy, level))
    plates = _plates(upper, lower)
    at = None
    if plates is not None:
        at = canal_plane(anatomy.canal_line, mid_plane(plates[1], plates[2]), (upper, lower))
    has_sac = _sac_was_labelled(anatomy)
    if plates is None or at is None:
        why = (
            _cut(upper, lower)
            if plates is None
            else f"{level}: the canal is not in view 10 mm to both sides of the disc"
        )
        units = {"canal area": "mm2", "canal AP diameter": "mm"} | ({"dural sac area": "mm2"} if has_sac else {})
        return [entry(_unknown(name, level, unit, why), caveats=notes) for name, unit in units.items()]
    sd = _sd(anatomy, *FREE, f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    place = float(np.sqrt(PLACE_SD**2 + (plates[1].sd ** 2 + plates[2].sd ** 2) / 4))
    doubt = Doubt(sd, float(anatomy.labels.grid.spacing.max()), place)
    diameter = canal_ap(level, anatomy.labels, at, doubt)
    found = [
        entry(canal_area(level, anatomy.labels, at, doubt), caveats=notes),
        entry(diameter, verbiest(diameter, is_bony=_is_bony(anatomy, level)), notes),
    ]
    if has_sac:
        of_sac = Doubt(_sd(anatomy, *SAC), doubt.voxel, place)
        found.append(entry(sac_area(level, anatomy.labels, at, of_sac), caveats=notes))
    return found


def _lumbar(anatomy: Anatomy) -> FindingEntry:
    """Lumbar lordosis from L1 to S1."""
    name, level, general = "lumbar lordosis", "L1/S1", _general(anatomy)
    missing = [v for v in ("L1", "S1") if v not in anatomy.vertebrae]
    if missing:
        return entry(
            _unknown(name, level, "deg", f"{' and '.join(missing)} not in view; not measured"), caveats=general
        )
    upper, lower = anatomy.vertebrae["L1"], anatomy.vertebrae["S1"]
    notes = (*general, *_body_notes(anatomy, upper, lower))
    plates = _plates(upper, lower)
    if plates is None:
        return entry(_unknown(name, level, "deg", _cut(upper, lower)), caveats=notes)
    return entry(lordosis(name, level, upper, (plates[0], plates[2])), caveats=notes)


def _unknown(name: str, level: str, unit: str, why: str) -> Measurement:
    return Measurement(name, level, None, None, unit, "keyhole", "docs/measures.md", (why,))


def _cut(*pair: Vertebra) -> str:
    names = " and ".join(vertebra.name for vertebra in pair if not vertebra.complete)
    return f"{names} cut by the field of view or not found whole; not measured"


def _general(anatomy: Anatomy) -> tuple[str, ...]:
    return () if anatomy.levels_confirmed else (UNCONFIRMED,)


def _body_prefix(anatomy: Anatomy, name: str) -> str:
    """The key of a body where it has one, else of the whole vertebra."""
    body = f"vertebra/{name}/body"
    return body if body in anatomy.structures else f"vertebra/{name}"


def _sd(anatomy: Anatomy, *prefixes: str) -> float:
    """The largest boundary sd, mm, of the structures at or below any of `prefixes`."""
    return max((one.sd for key, one in anatomy.structures.items() if belongs(key, *prefixes)), default=0.0)


def _body_notes(anatomy: Anatomy, *pair: Vertebra) -> tuple[str, ...]:
    """Caveats of two bodies and of the labels that they come from."""
    prefixes = [_body_prefix(anatomy, vertebra.name) for vertebra in pair]
    return (*(note for vertebra in pair for note in vertebra.caveats), *_origins(anatomy, prefixes))


def _canal_notes(anatomy: Anatomy, level: str) -> tuple[str, ...]:
    """What the free canal at `level` rests on."""
    flavum, herniation = f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation"
    notes = list(_origins(anatomy, [*FREE, flavum, herniation]))
    if not any(belongs(key, "canal/epidural") for key in anatomy.structures):
        notes.append("the epidural space is not labelled: the canal measured here is the dural sac alone")
    elif _is_bony(anatomy, level):
        notes.append("ligamentum flavum is not labelled: it is counted as free canal, so this is the bony canal")
    disc = anatomy.structures.get(f"disc/{in_key(level)}")
    if disc is not None and disc.origin is not Origin.LABELLED:
        notes.append("the disc is not labelled: a bulge or herniation into the canal would not be seen")
    return tuple(notes)


def _is_bony(anatomy: Anatomy, level: str) -> bool:
    """Whether nothing that narrows the bony canal at `level` is known."""
    soft = (f"canal/flavum/{in_key(level)}", f"disc/{in_key(level)}/herniation")
    return not any(belongs(key, *soft) for key in anatomy.structures)


def _origins(anatomy: Anatomy, prefixes: list[str]) -> tuple[str, ...]:
    """One sentence for each structure at or below `prefixes` that was not labelled, and the structures' own caveats."""
    notes: list[str] = []
    for key in sorted(anatomy.structures):
        one = anatomy.structures[key]
        if belongs(key, *prefixes):
            notes += [] if one.origin is Origin.LABELLED else [f"{key} is {one.origin}, not labelled: {one.source}"]
            notes += one.caveats
    return tuple(dict.fromkeys(notes))


def _sac_was_labelled(anatomy: Anatomy) -> bool:
    """Whether canal/dural_sac is the sac itself: labelled, and not a label of the cord that stands in for it."""
    sac = anatomy.structures.get("canal/dural_sac")
    return sac is not None and sac.origin is Origin.LABELLED and not any("cord" in note for note in sac.caveats)
