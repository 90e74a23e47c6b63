"""Panel of the muscles beside the spine: section, volume and share of fat, per level and side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Vertebra
from keyhole.assessment.model import Finding, Measurement, Shape, unknown
from keyhole.assessment.muscle.fat import ON_CT, ON_MR, Reference, fat_share, multifidus_grade, reference
from keyhole.assessment.muscle.size import KEYS, End, Muscle, Slab, disc_plane, middle_of, muscle, section, volume
from keyhole.assessment.study import Study, body_notes, boundary_sd, cut, origin_notes
from keyhole.geometry import Points, Volume

Side = Literal["left", "right"]

SIDES: tuple[Side, Side] = ("left", "right")

UNITS = {"area": "mm2", "volume": "mL", "fat share": "%"}

ILIACUS = (
    "no label tells the iliacus from the psoas: some tools draw both as one, which makes area and volume far too "
    "large where the iliac wings begin"
)

METHODS = {
    "area": "section of the label by the disc's mid-plane, across the disc's axis [muscle-level]",
    "volume": "label between the mid-planes of both bodies (at L5/S1 down to S1's endplate)",
    "fat share": "two-part mixture of lean muscle and fat within 5 mm of the disc's mid-plane, 1.5 mm inside the label",
}


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """The image that fat is read from, with its references, or why there is none."""

    image: Volume | None
    known: Reference | str
    caveat: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Where:
    """One level: the disc's plane, the slab of the level, the patient's left, and what has to be said."""

    level: str
    disc: End
    slab: Slab | None
    left: Points
    notes: tuple[str, ...]


def muscle_panel(study: Study) -> Iterator[Finding]:
    """Section, volume and share of fat of psoas, paraspinal muscles and multifidus at every level and side."""
    boxes = label_boxes(study.anatomy.labels)
    labels = study.anatomy.labels
    keys = {(name, side): key.format(side=side) for name, key in KEYS.items() for side in SIDES}
    found = {
        which: one
        for which, key in keys.items()
        if (one := muscle(labels, boxes, key, boundary_sd(study.anatomy, key))) is not None
    }
    picture = _picture(study, list(found.values()))
    for level in study.levels:
        upper, lower = study.anatomy.pair(level)
        at = _where(study, level, upper, lower)
        for (name, side), key in keys.items():
            if at is None:
                yield from _none((name, side), level, cut(upper, lower), study.general)
            elif (name, side) not in found:
                yield from _none((name, side), level, f"the {side} {name} is not labelled; not measured", study.general)
            else:
                doubt = (ILIACUS,) if name == "psoas" and not labels.labels_of("muscle/iliacus") else ()
                notes = (*doubt, *at.notes, *origin_notes(study.anatomy, key))
                yield from _measures(found[name, side], (name, side), at, picture, notes)


def _where(study: Study, level: str, upper: Vertebra, lower: Vertebra) -> Where | None:
    """Where the muscles are measured at `level`; None where the disc's plane is not known."""
    disc = disc_plane(upper, lower) if upper.complete and lower.complete else None
    if disc is None:
        return None
    ends = middle_of(upper), middle_of(lower)
    slab = Slab(ends[0], ends[1]) if ends[0] is not None and ends[1] is not None else None
    notes = (*study.general, *body_notes(study.anatomy, upper, lower))
    return Where(level, disc, slab, (upper.left + lower.left) / 2, notes)


def _picture(study: Study, muscles: list[Muscle]) -> Picture:
    """CT before T2: attenuation has a scale of its own."""
    if not muscles:
        return Picture(None, "no muscle is labelled")
    for kind, caveat in (("CT", ON_CT), ("T2", ON_MR)):
        image = study.image(kind)
        if image is not None:
            known = reference(image, study.anatomy.labels, muscles, hounsfield=kind == "CT")
            return Picture(image, known, caveat)
    return Picture(None, "the case has neither CT nor a T2 image")


def _none(which: tuple[str, Side], level: str, why: str, notes: tuple[str, ...]) -> Iterator[Finding]:
    name, side = which
    for quantity, unit in UNITS.items():
        yield Finding(unknown(f"{name} {quantity}", level, unit, why, side), caveats=notes)


def _measures(
    one: Muscle, which: tuple[str, Side], at: Where, picture: Picture, notes: tuple[str, ...]
) -> Iterator[Finding]:
    """Area, volume and share of fat of one muscle at one level."""
    area = section(one, at.disc, at.left)
    if isinstance(area, str):
        yield Finding(_missing(which, at.level, "area", area), caveats=notes)
    else:
        outline = (Shape(area.outline, is_closed=True),)
        yield Finding(_taken(which, at.level, "area", (area.area, area.sd), outline), caveats=notes)
    size = volume(one, at.slab) if at.slab is not None else "a body of the level is cut"
    if isinstance(size, str):
        yield Finding(_missing(which, at.level, "volume", size), caveats=notes)
    else:
        yield Finding(_taken(which, at.level, "volume", size), caveats=notes)
    yield _fat(one, which, at, picture, notes)


def _fat(one: Muscle, which: tuple[str, Side], at: Where, picture: Picture, notes: tuple[str, ...]) -> Finding:
    if picture.image is None or isinstance(picture.known, str):
        return Finding(_missing(which, at.level, "fat share", str(picture.known)), caveats=notes)
    found = fat_share(one, at.disc.plane, picture.image, picture.known)
    if isinstance(found, str):
        return Finding(_missing(which, at.level, "fat share", found), caveats=notes)
    taken = _taken(which, at.level, "fat share", (found.value, found.sd))
    grade = multifidus_grade(taken) if which[0] == "multifidus" else None
    return Finding(taken, grade, (picture.caveat, *notes))


def _taken(
    which: tuple[str, Side], level: str, quantity: str, value: tuple[float, float], shapes: tuple[Shape, ...] = ()
) -> Measurement:
    name, side = which
    source = "muscle-level" if quantity == "area" else ("fat-hu" if quantity == "fat share" else "keyhole")
    title = f"{name} {quantity}"
    return Measurement(title, level, *value, UNITS[quantity], source, METHODS[quantity], (), side, shapes)


def _missing(which: tuple[str, Side], level: str, quantity: str, why: str) -> Measurement:
    name, side = which
    return unknown(f"{name} {quantity}", level, UNITS[quantity], f"{side} {name}: {why}; not measured", side)
