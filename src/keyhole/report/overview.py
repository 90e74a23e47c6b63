"""The whole lumbar spine on two pictures: names, endplates, angles, slips, and the levels that are indicated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keyhole.anatomy.model import Anatomy, Endplate
from keyhole.anatomy.row import seen_in
from keyhole.casefile import FindingEntry
from keyhole.geometry import Points, unit
from keyhole.report import svg
from keyhole.report.callout import Callout, arranged
from keyhole.report.callout import drawn as callouts_drawn
from keyhole.report.indicated import Target
from keyhole.report.levels import Sheet, sheets, spine_axes, tail_of
from keyhole.report.roster import SHOWN_SLIP
from keyhole.report.slices import Picture, marks, unseen, words
from keyhole.report.views import quick_greys
from keyhole.report.wording import number, with_unit
from keyhole.terms import rank

ANGLE, SLIP, FLAG, PLATE = "#6cc1f0", "#ff9d5c", "#ffd92f", "#ffffff"
_LONGER = 26.0  # mm by which the lines of an angle run on beyond the endplate
_RING = 13.0  # px


def overview(anatomy: Anatomy, findings: Sequence[FindingEntry], targets: Sequence[Target]) -> tuple[Picture, ...]:
    """A sagittal and a coronal picture that follow the lumbar spine; none where it is not in view."""
    seen = [one for one in seen_in(anatomy.labels) if rank(one.name) >= rank("T12")]
    if not seen or not anatomy.vertebrae:
        return ()
    sagittal, coronal = sheets(seen, spine_axes(seen), tail_of(anatomy.labels))
    return (
        _picture(anatomy, sagittal, findings, targets, is_sagittal=True),
        _picture(anatomy, coronal, findings, targets, is_sagittal=False),
    )


def _picture(
    anatomy: Anatomy, sheet: Sheet, findings: Sequence[FindingEntry], targets: Sequence[Target], *, is_sagittal: bool
) -> Picture:
    image = svg.data_uri(svg.png(quick_greys(sheet, anatomy)), "image/png")
    lines, said = _measured(anatomy, sheet, findings, is_sagittal=is_sagittal)
    rings, flags = _flags(anatomy, sheet, targets, is_sagittal=is_sagittal)
    layers = [
        unseen(sheet),
        svg.element("image", href=image, x=0, y=0, width=sheet.width, height=sheet.height),
        *_plates(anatomy, sheet, is_sagittal=is_sagittal),
        *lines,
        *rings,
        *_names(anatomy, sheet),
        *callouts_drawn(arranged([*said, *flags], sheet.width, sheet.height)),
        *marks(sheet),
    ]
    title = "Sagittal overview" if is_sagittal else "Coronal overview"
    told = "; ".join(one.words for one in (*flags, *said)) or "no angle, no slip and no level to mark"
    names = ", ".join(_in_view(anatomy))
    alt = f"{title} of the lumbar spine with the endplates of {names}, and: {told}."
    whole = svg.drawing(sheet.width, sheet.height, "".join(layers), alt)
    name = "overview-sagittal" if is_sagittal else "overview-coronal"
    return Picture(name, title, "", alt, whole, sheet.width, sheet.height, ())


def _in_view(anatomy: Anatomy) -> list[str]:
    return sorted((name for name in anatomy.vertebrae if rank(name) >= rank("T12")), key=rank)


def _ends(plate: Endplate, is_sagittal: bool) -> Points:
    return np.stack([plate.anterior, plate.posterior] if is_sagittal else [plate.left, plate.right])


def _plates(anatomy: Anatomy, sheet: Sheet, *, is_sagittal: bool) -> list[str]:
    """Every endplate that was found, as a thin line."""
    vertebrae = [anatomy.vertebrae[name] for name in _in_view(anatomy)]
    plates = [plate for one in vertebrae for plate in (one.superior, one.inferior) if plate is not None]
    lines = svg.path([sheet.place(_ends(plate, is_sagittal)) for plate in plates])
    common = {"d": lines, "fill": "none", "stroke_linecap": "round"}
    return [
        svg.element("path", stroke="#000000", stroke_opacity=0.6, stroke_width=3.2, **common),
        svg.element("path", stroke=PLATE, stroke_width=1.3, **common),
    ]


def _names(anatomy: Anatomy, sheet: Sheet) -> list[str]:
    placed = [(name, sheet.place(anatomy.vertebrae[name].centre)) for name in _in_view(anatomy)]
    return [words(name, float(x), float(y) + 6, "middle", 18) for name, (x, y) in placed if 20 < y < sheet.height - 20]


def _measured(
    anatomy: Anatomy, sheet: Sheet, findings: Sequence[FindingEntry], *, is_sagittal: bool
) -> tuple[list[str], list[Callout]]:
    """The lines of the angles and slips, and what is written of them."""
    lines: list[str] = []
    said: list[Callout] = []
    for found in findings:
        if found.value is None or found.level is None:
            continue
        if found.name == ("lumbar lordosis" if is_sagittal else "coronal Cobb angle"):
            lines += _angle(anatomy, sheet, found.level, said, _said(found), is_sagittal=is_sagittal)
        elif found.name == ("slip" if is_sagittal else "lateral slip") and abs(found.value) >= SHOWN_SLIP:
            lines += _slip(anatomy, sheet, found.level, said, _said(found))
    return lines, said


def _said(found: FindingEntry) -> str:
    """A measure in words: "L1/S1 lordosis 47°"."""
    name = {"lumbar lordosis": "lordosis", "coronal Cobb angle": "Cobb"}.get(found.name, found.name)
    value = with_unit(number(found.value or 0.0, found.unit), found.unit)
    return f"{found.level} {name} {value}"


def _angle(
    anatomy: Anatomy, sheet: Sheet, level: str, said: list[Callout], text: str, *, is_sagittal: bool
) -> list[str]:
    """The two endplates of an angle, drawn on beyond their ends."""
    upper, _, lower = level.partition("/")
    first, last = anatomy.vertebrae.get(upper), anatomy.vertebrae.get(lower)
    if first is None or last is None:
        return []
    under = last.superior if is_sagittal or last.inferior is None else last.inferior
    drawn = []
    for plate in (first.superior, under):
        if plate is None:
            return []
        ends = _ends(plate, is_sagittal)
        way = unit(ends[1] - ends[0])
        longer = np.stack([ends[0] - _LONGER * way * is_sagittal, ends[1] + _LONGER * way])
        flat = sheet.place(longer)
        drawn += _line(flat, ANGLE, 1.8)
        if plate is first.superior:
            said.append(Callout(text, float(flat[1, 0]), float(flat[1, 1]), ANGLE))
    return drawn


def _slip(anatomy: Anatomy, sheet: Sheet, level: str, said: list[Callout], text: str) -> list[str]:
    """The step between the two bodies' posterior corners."""
    if any(name not in anatomy.vertebrae for name in level.split("/")):
        return []
    upper, lower = anatomy.pair(level)
    if upper.inferior is None or lower.superior is None:
        return []
    flat = sheet.place(np.stack([upper.inferior.posterior, lower.superior.posterior]))
    said.append(Callout(text, float(flat[0, 0]), float(flat[0, 1]), SLIP))
    return [*_line(flat, SLIP, 2.6), *(svg.element("circle", cx=x, cy=y, r=3, fill=SLIP) for x, y in flat)]


def _line(flat: Points, colour: str, width: float) -> list[str]:
    common = {"d": svg.path([flat]), "fill": "none", "stroke_linecap": "round"}
    return [
        svg.element("path", stroke="#000000", stroke_opacity=0.6, stroke_width=width + 2, **common),
        svg.element("path", stroke=colour, stroke_width=width, **common),
    ]


def _flags(
    anatomy: Anatomy, sheet: Sheet, targets: Sequence[Target], *, is_sagittal: bool
) -> tuple[list[str], list[Callout]]:
    """A ring at every level that is indicated, on its side, with its place in the list."""
    rings: list[str] = []
    said: list[Callout] = []
    for n, target in enumerate(targets, start=1):
        if any(name not in anatomy.vertebrae for name in target.level.split("/")) or "/" not in target.level:
            continue
        upper, lower = anatomy.pair(target.level)
        aside = {"left": 18.0, "right": -18.0}.get(target.side, 0.0)
        at = (upper.centre + lower.centre) / 2 + aside * upper.left + (12 * upper.posterior if is_sagittal else 0.0)
        x, y = (float(v) for v in sheet.place(at))
        rings += [
            svg.element("circle", cx=x, cy=y, r=_RING, fill="none", stroke="#000000", stroke_width=4.4),
            svg.element("circle", cx=x, cy=y, r=_RING, fill="none", stroke=FLAG, stroke_width=2.4),
        ]
        edge = x + _RING * (1 if x >= sheet.width / 2 else -1)
        said.append(Callout(f"{n}. {target.level} {target.side}".rstrip(), edge, y, FLAG))
    return rings, said
