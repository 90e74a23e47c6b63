"""Panel of Kambin's triangle."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.anatomy.model import Anatomy
from keyhole.assessment.flank.foramen_panel import arch_keys, bone_sd, foramen_notes
from keyhole.assessment.flank.frame import BOTH, Flank, Side, flank, without_arch
from keyhole.assessment.flank.kambin import Errors, kambin_base, kambin_cannula, kambin_height, kambin_hypotenuse
from keyhole.assessment.flank.kambin_window import triangle, window
from keyhole.assessment.model import Finding, Measurement, unknown
from keyhole.assessment.study import Study, boundary_sd, cut, origin_notes
from keyhole.terms import Origin

SIDES_OF = ("Kambin base", "Kambin height", "Kambin hypotenuse")
CANNULAS = {"Kambin cannula with root": ("bone", "root"), "Kambin cannula with bone": ("bone",)}

MODELLED = "the {side} root of {name} is modelled, not seen: it may run {sd:.1f} mm (sd) elsewhere"
"""A root that nobody has seen."""


def kambin_panel(study: Study) -> Iterator[Finding]:
    """Base, height and hypotenuse of Kambin's triangle and the largest cannulas, on both sides of every level."""
    for level in study.levels:
        for side in BOTH:
            yield from _side(study, level, side)


def _side(study: Study, level: str, side: Side) -> Iterator[Finding]:
    anatomy = study.anatomy
    notes = (*study.general, *foramen_notes(anatomy, level))
    nerves = (*notes, *_root_notes(anatomy, level, side))
    why = without_arch(anatomy, level)
    at = None if why else flank(anatomy, level, side)
    if at is None:
        text = why or cut(*anatomy.pair(level))
        for name in (*SIDES_OF, *CANNULAS):
            yield Finding(unknown(name, level, "mm", text, side), caveats=notes)
        return
    errors = _errors(anatomy, at)
    for one in _sides(anatomy, at, errors):
        yield Finding(one, caveats=nerves)
    for one in _cannulas(at, errors):
        yield Finding(one, caveats=nerves if one.name.endswith("root") else notes)


def _sides(anatomy: Anatomy, at: Flank, errors: Errors) -> Iterator[Measurement]:
    """The triangle's three sides."""
    found = triangle(at, with_traversing=_traversing(anatomy, at) is not None)
    if isinstance(found, str):
        yield from (unknown(name, at.level, "mm", found, at.side) for name in SIDES_OF)
        return
    yield kambin_base(at, found, errors)
    yield kambin_height(at, found, errors)
    yield kambin_hypotenuse(at, found, errors)


def _cannulas(at: Flank, errors: Errors) -> Iterator[Measurement]:
    """The largest cannula past root and bone, and past bone alone."""
    found = window(at)
    for name, obstacles in CANNULAS.items():
        if isinstance(found, str):
            yield unknown(name, at.level, "mm", found, at.side)
        elif "root" in obstacles and not at.keys["root"]:
            text = f"{at.level}: no {at.side} root of {at.upper.name} is known; not measured"
            yield unknown(name, at.level, "mm", text, at.side)
        else:
            yield kambin_cannula(at, found, obstacles, errors)


def _errors(anatomy: Anatomy, at: Flank) -> Errors:
    """What the labels around the triangle leave open."""
    key = f"root/{at.upper.name}/{at.side}"
    known = anatomy.structures.get(key)
    return Errors(
        bone=boundary_sd(anatomy, *arch_keys(anatomy, at.level)),
        root=boundary_sd(anatomy, key),
        dura=boundary_sd(anatomy, "canal/dural_sac", *((seen,) if (seen := _traversing(anatomy, at)) else ())),
        plate=at.floor.sd,
        disc=bone_sd(anatomy, at.level),
        is_modelled=known is not None and known.origin is Origin.MODELLED,
    )


def _traversing(anatomy: Anatomy, at: Flank) -> str | None:
    """The key of the traversing root; None where nobody saw it."""
    key = f"root/{at.lower.name}/{at.side}"
    known = anatomy.structures.get(key)
    return key if known is not None and known.origin is not Origin.MODELLED else None


def _root_notes(anatomy: Anatomy, level: str, side: Side) -> tuple[str, ...]:
    """How the exiting root and the sac came to be known."""
    name = anatomy.pair(level)[0].name
    key = f"root/{name}/{side}"
    known = anatomy.structures.get(key)
    if known is None:
        return ()
    told = MODELLED.format(side=side, name=name, sd=known.sd)
    return (*((told,) if known.origin is Origin.MODELLED else ()), *origin_notes(anatomy, key, "canal/dural_sac"))
