"""Scores over the months after the operation, as a chart: both ways, and where single patients lie."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keyhole.casefile import CurvePoint
from keyhole.report import svg

WIDTH, HEIGHT = 560, 310
LEFT, RIGHT, TOP, BOTTOM = 54.0, 544.0, 40.0, 246.0
PLANNED, OPEN, INK, SOFT, RULE = "#004488", "#8c2d04", "#1c1c1c", "#4a4a4a", "#d4d4d4"
FONT = "Libertinus Serif"
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Said:
    """The words of a chart: both lines, the axis, what it shows."""

    planned: str
    open: str
    axis: str
    alt: str


def course_chart(points: Sequence[CurvePoint], top: float, said: Said, *, band: bool = False) -> str:
    """Lines through the known points of both ways; `band` shades the range of single patients.

    The planned way is solid with discs, the open one dashed with squares: told apart without colour too.

    Parameters
    ----------
    top : the worst score of the scale; its best is 0.
    """
    last = max(point.months for point in points) or 1.0

    def place(months: float, value: float) -> tuple[float, float]:
        share = min(max(value / top, 0.0), 1.0)
        return LEFT + (RIGHT - LEFT) * months / last, BOTTOM - (BOTTOM - TOP) * share

    planned = [(p.months, p.planned.value) for p in points]
    opened = [(p.months, p.open.value) for p in points]
    drawn = [_grid(points, top, said, place)]
    if band:
        drawn += [_band(points, "open", OPEN, place), _band(points, "planned", PLANNED, place)]
    drawn += [_line(opened, OPEN, place, "7 5"), _line(planned, PLANNED, place, "")]
    drawn += [_squares(opened, place), _discs(planned, place), _legend(said)]
    return svg.drawing(WIDTH, HEIGHT, "".join(drawn), said.alt, FONT)


def _grid(points: Sequence[CurvePoint], top: float, said: Said, place: Place) -> str:
    drawn = []
    for n in range(6):
        y = place(0, top * n / 5)[1]
        drawn.append(svg.element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=RULE, stroke_width=1))
        drawn.append(svg.text(f"{top * n / 5:g}", LEFT - 10, y + 6, 19, fill=INK, text_anchor="end"))
    for point in points:
        x = place(point.months, 0)[0]
        drawn.append(svg.element("line", x1=x, y1=BOTTOM, x2=x, y2=BOTTOM + 5, stroke=SOFT, stroke_width=1))
        drawn.append(svg.text(f"{point.months:g}", x, BOTTOM + 25, 19, fill=INK, text_anchor="middle"))
    drawn.append(svg.text(said.axis, (LEFT + RIGHT) / 2, BOTTOM + 52, 19, fill=SOFT, text_anchor="middle"))
    return "".join(drawn)


def _line(values: list[tuple[float, float | None]], colour: str, place: Place, dashes: str) -> str:
    """Between neighbours that are both known: a gap stays a gap."""
    data = ""
    for (first, a), (second, b) in itertools.pairwise(values):
        if a is not None and b is not None:
            (x1, y1), (x2, y2) = place(first, a), place(second, b)
            data += f"M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}"
    if not data:
        return ""
    more: dict[str, str] = {"stroke_dasharray": dashes} if dashes else {}
    return svg.element("path", d=data, fill="none", stroke=colour, stroke_width=2.6, **more)


def _discs(values: list[tuple[float, float | None]], place: Place) -> str:
    spots = [place(months, value) for months, value in values if value is not None]
    return "".join(svg.element("circle", cx=x, cy=y, r=5.5, fill=PLANNED) for x, y in spots)


def _squares(values: list[tuple[float, float | None]], place: Place) -> str:
    spots = [place(months, value) for months, value in values if value is not None]
    return "".join(svg.element("rect", x=x - 5.5, y=y - 5.5, width=11, height=11, fill=OPEN) for x, y in spots)


def _band(points: Sequence[CurvePoint], arm: str, colour: str, place: Place) -> str:
    """The range of single patients, between neighbours that both have one."""
    drawn = ""
    for first, second in itertools.pairwise(points):
        a, b = (getattr(point, f"{arm}_range") for point in (first, second))
        if a is None or b is None:
            continue
        ends = [(first.months, a[1]), (second.months, b[1]), (second.months, b[0]), (first.months, a[0])]
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*end) for end in ends))
        drawn += svg.element("polygon", points=corners, fill=colour, fill_opacity=0.1)
    return drawn


def _legend(said: Said) -> str:
    disc = svg.element("circle", cx=LEFT + 8, cy=14, r=5.5, fill=PLANNED)
    square = svg.element("rect", x=LEFT + 238, y=8.5, width=11, height=11, fill=OPEN)
    return (
        disc
        + svg.text(said.planned, LEFT + 22, 21, 19, fill=INK)
        + square
        + svg.text(said.open, LEFT + 258, 21, 19, fill=INK)
    )
