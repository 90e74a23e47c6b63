"""Made-up measures of every name at every level of an anatomy, with the lines and outlines they would be read from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.casefile import DrawingsRecord, DrawnEntry, DrawnShape, FindingEntry, FindingsRecord, provenance

MUSCLES = {"psoas": (38.0, -2.0, 15.0), "paraspinal": (30.0, 62.0, 20.0), "multifidus": (14.0, 66.0, 10.0)}
"""Where a muscle's middle lies, mm to the side and behind the body, and its radius."""


@dataclass(frozen=True)
class Shape:
    """A line of points (n, 3)."""

    points: np.ndarray
    is_closed: bool = False


@dataclass(frozen=True)
class Made:
    """A measure and the shapes that it was read from."""

    entry: FindingEntry
    shapes: tuple[Shape, ...] = ()


def records(anatomy: Anatomy, inputs: dict[str, str]) -> tuple[FindingsRecord, DrawingsRecord]:
    """findings.json and drawings.json of made-up measures."""
    found = list(every(anatomy))
    made = provenance(inputs)
    return (
        FindingsRecord(findings=tuple(one.entry for one in found), provenance=made),
        DrawingsRecord(drawings=tuple(entry_of(one) for one in found if one.shapes), provenance=made),
    )


def entry_of(one: Made) -> DrawnEntry:
    """Where `one` was measured, as it stands in drawings.json."""
    shapes = tuple(
        DrawnShape(points=tuple(map(tuple, shape.points.tolist())), is_closed=shape.is_closed) for shape in one.shapes
    )
    return DrawnEntry(name=one.entry.name, level=one.entry.level, side=one.entry.side, shapes=shapes)


def every(anatomy: Anatomy) -> Iterator[Made]:
    """All measures, cranial to caudal."""
    for n, level in enumerate(anatomy.levels):
        upper, lower = anatomy.pair(level)
        if lower.name[0] in "LS" and upper.inferior is not None and lower.superior is not None:
            yield from _level(level, upper, lower, n)
    for n, name in enumerate(anatomy.vertebrae):
        vertebra = anatomy.vertebrae[name]
        if name[0] == "L" and vertebra.inferior is not None:
            yield from _vertebra(vertebra, n)
    yield from _spans(anatomy)


def _one(name, level, value, sd, unit, *shapes, side=None, grade=None, source="keyhole"):
    chances = grade and dict(grade)
    made = FindingEntry(
        name=name,
        level=level,
        side=side,
        value=value,
        sd=sd,
        unit=unit,
        grade=chances and max(chances, key=chances.get),
        grade_probability=chances,
        source=source,
        method="made up for a test",
    )
    return Made(made, shapes)


def unknown(name, level, unit, why, side=None) -> Made:
    """A measure that could not be taken."""
    made = FindingEntry(
        name=name, level=level, side=side, value=None, sd=None, unit=unit, source="keyhole", method="", caveats=(why,)
    )
    return Made(made)


def line(*points) -> Shape:
    """An open line."""
    return Shape(np.array(points))


def ring(centre, a, b, wide, deep) -> Shape:
    """An ellipse about `centre` with half axes `wide` along `a` and `deep` along `b`."""
    turn = np.linspace(0, 2 * np.pi, 37)[:-1]
    return Shape(centre + np.cos(turn)[:, None] * a * wide + np.sin(turn)[:, None] * b * deep, True)


def _level(level: str, upper: Vertebra, lower: Vertebra, n: int) -> Iterator[Made]:
    up = (upper.up + lower.up) / 2
    back = (upper.posterior + lower.posterior) / 2
    left = upper.left
    middle = (upper.inferior.centre + lower.superior.centre) / 2
    canal = middle + 28 * back
    narrow = 20.0 * (level == "L4/L5")
    normal = {"normal": 1.0} if not narrow else {"absolute": 0.62, "relative": 0.31, "normal": 0.07}
    for place, where in (("", canal), (" at the facets", canal - 12 * up)):
        area, ap = ring(where, left, back, 11, 7), line(where - 7 * back, where + 7 * back)
        wide = line(where - 11 * left, where + 11 * left)
        stenosis = normal
        yield _one(f"canal area{place}", level, 190 - 3 * narrow - n, 9.0, "mm2", area)
        yield _one(f"canal AP diameter{place}", level, 14 - narrow / 5, 0.7, "mm", ap, grade=stenosis)
        yield _one(f"canal transverse diameter{place}", level, 22.0, 0.6, "mm", wide)
        yield _one(f"dural sac area{place}", level, 140 - 3 * narrow, 8.0, "mm2", ring(where, left, back, 8, 5))
    yield _one("least canal area", level, 180 - 3 * narrow, 9.0, "mm2", ring(canal - 3 * up, left, back, 10, 6))
    yield _one("canal compression ratio", level, 0.93 - narrow / 60, 0.04, "1")
    yield unknown("CSF signal ratio", level, "1", "the case has no T2 image")
    front, hind = upper.inferior.anterior, upper.inferior.posterior
    yield _one("disc height", level, 8.4 - n / 2, 0.5, "mm", line(upper.inferior.centre, lower.superior.centre))
    yield _one("anterior disc height", level, 11.0, 0.6, "mm", line(front, lower.superior.anterior))
    yield _one("posterior disc height", level, 5.2, 0.6, "mm", line(hind, lower.superior.posterior))
    yield _one("disc height index", level, 0.31, 0.02, "1")
    yield _one("disc wedge angle", level, 9.1, 1.2, "deg")
    yield _one("disc volume", level, 12.3, 0.6, "mL")
    yield unknown("disc signal ratio", level, "1", "the case has no T2 image")
    if narrow:
        zone = {"central": 0.2, "subarticular left": 0.71, "foraminal left": 0.09}
        at = middle + 20 * back + 5 * left
        yield _one("herniation depth", level, 6.1, 0.5, "mm", line(at, at + 6 * back))
        yield _one("herniation volume", level, 0.61, 0.05, "mL", ring(at + 3 * back, left, back, 6, 4))
        yield _one("herniation offset", level, 5.3, 0.8, "mm", grade=zone)
        yield _one("herniation migration", level, -2.1, 0.8, "mm")
    yield _one("slip", level, 0.4 + narrow / 5, 0.3, "mm", line(hind, hind + 4 * back))
    slip = {"none": 0.06, "I": 0.94} if narrow else {"none": 1.0, "I": 0.0}
    yield _one("slip ratio", level, 1.2 + narrow / 2, 1.0, "%", grade=slip)
    yield _one("lateral slip", level, -0.4, 0.5, "mm", line(middle, middle + left))
    plates = (
        line(upper.superior.anterior, upper.superior.posterior),
        line(lower.superior.anterior, lower.superior.posterior),
    )
    yield _one("segmental lordosis", level, 8.0 + 4 * n, 1.1, "deg", *plates)
    yield _one("facet tropism", level, 4.0, 2.0, "deg")
    for side, out in (("left", left), ("right", -left)):
        yield from _side(level, side, (middle, canal, up, back, out))


def _side(level, side, frame) -> Iterator[Made]:
    middle, canal, up, back, out = frame
    recess, hole = canal + 9 * out, middle + 21 * out + 22 * back
    yield _one("lateral recess depth", level, 4.4, 0.5, "mm", line(recess - 3 * back, recess + 2 * back), side=side)
    yield _one("lateral recess angle", level, 38.0, 4.0, "deg", side=side)
    yield _one("foramen height", level, 17.0, 0.8, "mm", line(hole + 10 * up, hole - 8 * up), side=side)
    yield _one("foramen width", level, 8.0, 0.6, "mm", line(hole - 4 * back, hole + 4 * back), side=side)
    yield _one("foramen area", level, 101.0, 8.0, "mm2", ring(hole, back, up, 5, 9), side=side)
    base = line(hole - 8 * up - 6 * back, hole - 8 * up + 6 * back)
    yield _one("Kambin base", level, 12.0, 0.8, "mm", base, side=side)
    yield _one("Kambin height", level, 13.0, 0.8, "mm", line(hole - 8 * up, hole + 5 * up), side=side)
    yield _one("Kambin hypotenuse", level, 17.7, 0.8, "mm", side=side)
    if side == "left":
        yield _one("Kambin cannula with root", level, 6.2, 0.7, "mm", ring(hole - 3 * up, back, up, 3, 3), side=side)
    else:
        yield unknown("Kambin cannula with root", level, "mm", f"{level}: the root is not modelled here", side)
    yield _one("Kambin cannula with bone", level, 7.9, 0.7, "mm", side=side)
    joint = canal + 14 * out + 8 * back
    yield _one("facet angle", level, 41.0, 2.0, "deg", line(joint - 6 * back, joint + 6 * back + 6 * out), side=side)
    yield _one("facet joint area", level, 160.0, 15.0, "mm2", side=side)
    for name, (aside, behind, radius) in MUSCLES.items():
        outline = ring(middle + aside * out + behind * back, out, back, radius, radius * 0.9)
        yield _one(f"{name} area", level, 2.8 * radius**2, 40.0, "mm2", outline, side=side)
        yield _one(f"{name} volume", level, 0.06 * radius**2, 1.0, "mL", side=side)
        yield _one(f"{name} fat share", level, 18.0, 3.0, "%", side=side)


def _vertebra(vertebra: Vertebra, n: int) -> Iterator[Made]:
    name, top, low = vertebra.name, vertebra.superior, vertebra.inferior
    for where, ends in (
        ("anterior", (top.anterior, low.anterior)),
        ("middle", (top.centre, low.centre)),
        ("posterior", (top.posterior, low.posterior)),
    ):
        yield _one(f"{where} vertebral height", name, 27.0 + n / 3, 0.5, "mm", line(*ends))
    yield _one("vertebral height loss", name, 3.0, 2.0, "%")
    density = {"low": 0.1, "indeterminate": 0.7, "normal": 0.2}
    round_it = ring(vertebra.centre, vertebra.left, vertebra.up, 8, 5)
    yield _one("vertebral density", name, 141.0 - 4 * n, 12.0, "[hnsf'U]", round_it, grade=density)
    for side, out in (("left", vertebra.left), ("right", -vertebra.left)):
        at = vertebra.centre + 16 * out + 22 * vertebra.posterior + 6 * vertebra.up
        yield _one("pedicle width", name, 9.0 + n, 0.5, "mm", line(at - 4 * out, at + 5 * out), side=side)
        yield _one("pedicle height", name, 15.0, 0.5, "mm", line(at - 7 * vertebra.up, at + 7 * vertebra.up), side=side)
        axis = line(at + 12 * vertebra.posterior + 3 * out, at - 30 * vertebra.posterior - 6 * out)
        yield _one("pedicle transverse angle", name, 12.0 + 2 * n, 1.5, "deg", axis, side=side)
        yield _one("pedicle sagittal angle", name, -3.0, 1.5, "deg", side=side)
    where = vertebra.centre + 28 * vertebra.posterior + 6 * vertebra.up
    yield _one(
        "canal area at the pedicles", name, 230.0, 9.0, "mm2", ring(where, vertebra.left, vertebra.posterior, 12, 8)
    )


def _spans(anatomy: Anatomy) -> Iterator[Made]:
    first = anatomy.vertebrae[next(name for name in anatomy.vertebrae if name[0] == "L")]
    last = anatomy.vertebrae["S1"]
    span = f"{first.name}/S1"
    plates = [line(one.superior.anterior, one.superior.posterior) for one in (first, last)]
    yield _one("lumbar lordosis", span, 47.2, 2.5, "deg", *plates)
    side = [line(one.superior.left, one.superior.right) for one in (first, anatomy.vertebrae["L4"])]
    yield _one("coronal Cobb angle", f"{first.name}/L4", 6.4, 1.5, "deg", *side)
    yield _one("pelvic incidence", "S1", 52.0, 3.0, "deg")
    yield _one("sacral slope, supine", "S1", 38.0, 2.0, "deg", plates[1])
    yield unknown("pelvic tilt, supine", "S1", "deg", "the right femoral head is not in view")
    yield _one("ideal lumbar lordosis", span, 51.6, 5.0, "deg")
