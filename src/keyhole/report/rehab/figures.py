"""Line drawings of exercises: a jointed stick figure, the things around it, and arrows, as small SVGs.

Lengths are px of the drawing, angles degrees anticlockwise from the right, heights above the floor. The limbs of the
far side are paler. Drawn by hand, as angles: nothing is traced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from keyhole.report.svg import element, short

Point = tuple[float, float]

WIDTH, HEIGHT, FLOOR = 190.0, 172.0, 158.0
TRUNK, NECK, HEAD = 46.0, 6.0, 10.0
UPPER, FORE = 23.0, 21.0
THIGH, SHANK, FOOT = 35.0, 34.0, 12.0

INK, PALE, THING, MOVE = "#1c1c1c", "#9aa0a6", "#8d7f63", "#004488"
STROKE = 5.0


@dataclass(frozen=True, slots=True)
class Body:
    """A person from the side: angles of trunk, legs (thigh, shank, foot) and arms (upper, fore), the far ones at will.

    `at` is where the hip is; its height None puts the lowest joint on the floor. `head` None: in line with the trunk.
    """

    at: tuple[float, float | None]
    trunk: float
    leg: tuple[float, float, float]
    arm: tuple[float, float]
    far_leg: tuple[float, float, float] | None = None
    far_arm: tuple[float, float] | None = None
    head: float | None = None


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture: a person, things as SVG made by the functions below, and arrows."""

    body: Body
    things: tuple[str, ...] = ()
    arrows: tuple[tuple[Point, Point, float], ...] = ()  # from, to, bow to the left of the way


@dataclass(frozen=True, slots=True)
class Figure:
    """The drawing of one exercise: one or two pictures, and what they show in words."""

    panels: tuple[Panel, ...]
    alt: str


def figure_svg(figure: Figure) -> str:
    """`figure` as an SVG, its pictures side by side, no higher than what they show."""
    width, height = figure_size(figure)
    inside = "".join(
        element("g", _panel(panel), transform=f"translate({short(WIDTH * n)} 0)")
        for n, panel in enumerate(figure.panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {short(HEIGHT - height)} {short(width)} {short(height)}" '
        f'width="{short(width)}" height="{short(height)}" role="img" aria-label="{figure.alt}">{inside}</svg>'
    )


def figure_size(figure: Figure) -> tuple[float, float]:
    """Width and height of the drawing of `figure`, px."""
    return WIDTH * len(figure.panels), HEIGHT - FLOOR + max(_top(panel) for panel in figure.panels)


def _top(panel: Panel) -> float:
    """Height of the highest thing in `panel`, with room to spare."""
    limbs = [point[1] for line_ in joints(panel.body).values() for point in line_]
    ends = [point[1] for start, stop, _ in panel.arrows for point in (start, stop)]
    return max(*limbs, *ends) + HEAD + 8.0


def joints(body: Body) -> dict[str, list[Point]]:
    """Every limb of `body` as a line of joints, from the trunk outwards; the trunk from hip to shoulder."""
    x, height = body.at
    if height is None:
        legs = [one for one in (body.leg, body.far_leg) if one is not None]
        height = -min(p[1] for one in legs for p in _chain((0.0, 0.0), one, (THIGH, SHANK, FOOT)))
    hip = (x, height)
    shoulder = _step(hip, body.trunk, TRUNK)
    made = {"trunk": [hip, shoulder], "head": [shoulder, _step(shoulder, _head(body), NECK + HEAD)]}
    made["leg"] = _chain(hip, body.leg, (THIGH, SHANK, FOOT))
    made["arm"] = _chain(shoulder, body.arm, (UPPER, FORE))
    if body.far_leg is not None:
        made["far_leg"] = _chain(hip, body.far_leg, (THIGH, SHANK, FOOT))
    if body.far_arm is not None:
        made["far_arm"] = _chain(shoulder, body.far_arm, (UPPER, FORE))
    return made


def _head(body: Body) -> float:
    return body.trunk if body.head is None else body.head


def _step(start: Point, angle: float, length: float) -> Point:
    return (start[0] + length * math.cos(math.radians(angle)), start[1] + length * math.sin(math.radians(angle)))


def _chain(start: Point, angles: tuple[float, ...], lengths: tuple[float, ...]) -> list[Point]:
    found = [start]
    for angle, length in zip(angles, lengths, strict=True):
        found.append(_step(found[-1], angle, length))
    return found


def _panel(panel: Panel) -> str:
    limbs = joints(panel.body)
    drawn = [_line([(8.0, -3.0), (WIDTH - 8.0, -3.0)], THING, 2.0), *panel.things]
    drawn += [_line(limbs[name], PALE, STROKE) for name in ("far_leg", "far_arm") if name in limbs]
    drawn += [_line(limbs[name], INK, STROKE) for name in ("trunk", "leg")]
    drawn.append(_circle(limbs["head"][1], HEAD, INK, "#fff"))
    drawn += [_line(limbs["arm"], INK, STROKE - 0.8), *(_arrow(*one) for one in panel.arrows)]
    return "".join(drawn)


def _svg(point: Point) -> str:
    return f"{short(point[0])} {short(FLOOR - point[1])}"


def _line(points: list[Point], colour: str, width: float) -> str:
    way = "M" + "L".join(_svg(point) for point in points)
    return element(
        "path", d=way, fill="none", stroke=colour, stroke_width=width, stroke_linecap="round", stroke_linejoin="round"
    )


def _circle(centre: Point, radius: float, stroke: str, fill: str) -> str:
    return element(
        "circle", cx=centre[0], cy=FLOOR - centre[1], r=radius, fill=fill, stroke=stroke, stroke_width=STROKE - 1.2
    )


def _arrow(start: Point, stop: Point, bow: float) -> str:
    """An arrow from `start` to `stop`, bowed by `bow` px to the left of its way."""
    along = (stop[0] - start[0], stop[1] - start[1])
    length = math.hypot(*along) or 1.0
    middle = ((start[0] + stop[0]) / 2 - along[1] / length * bow, (start[1] + stop[1]) / 2 + along[0] / length * bow)
    control = (2 * middle[0] - (start[0] + stop[0]) / 2, 2 * middle[1] - (start[1] + stop[1]) / 2)
    heading = math.degrees(math.atan2(stop[1] - control[1], stop[0] - control[0]))
    way = f"M{_svg(start)}Q{_svg(control)} {_svg(stop)}"
    barbs = [_step(stop, heading + turn, 8.0) for turn in (150.0, -150.0)]
    head = f"M{_svg(barbs[0])}L{_svg(stop)}L{_svg(barbs[1])}"
    return element(
        "path",
        d=way + head,
        fill="none",
        stroke=MOVE,
        stroke_width=3.0,
        stroke_linecap="round",
        stroke_linejoin="round",
    )


def line(*points: Point, width: float = 4.0) -> str:
    """A thing made of straight bars."""
    return _line(list(points), THING, width)


def bed(height: float, left: float = 10.0, right: float = WIDTH - 10.0) -> str:
    """A bed or bench seen from the side, its top at `height`."""
    legs = "".join(line((x, height), (x, -1.0), width=3.0) for x in (left + 6, right - 6))
    return legs + line((left, height), (right, height), width=6.0)


def chair(back: float, seat: float = 38.0, depth: float = 36.0) -> str:
    """A chair whose back stands at `back` and whose seat reaches to the right."""
    return (
        line((back, seat + 44.0), (back, -1.0))
        + line((back, seat), (back + depth, seat), width=5.0)
        + line((back + depth - 3, seat), (back + depth - 3, -1.0))
    )


def wall(x: float) -> str:
    """A wall seen from the side."""
    return line((x, -2.0), (x, 148.0), width=6.0)


def counter(left: float, height: float = 86.0) -> str:
    """A kitchen counter to the right of `left`."""
    return line((left, height), (WIDTH - 8, height), width=6.0) + line((left + 8, height), (left + 8, -1.0), width=3.0)


def box(centre: Point, size: float = 22.0) -> str:
    """A box to lift."""
    half = size / 2
    x, y = centre
    corners = [
        (x - half, y - half),
        (x + half, y - half),
        (x + half, y + half),
        (x - half, y + half),
        (x - half, y - half),
    ]
    way = "M" + "L".join(_svg(point) for point in corners) + "Z"
    return element("path", d=way, fill="#efe6d2", stroke=THING, stroke_width=3.0, stroke_linejoin="round")


def wheel(centre: Point, radius: float) -> str:
    """A wheel."""
    return _circle(centre, radius, THING, "none")
