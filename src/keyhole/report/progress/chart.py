"""The observed course over the forecast's range of single patients, and values day by day."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from keyhole.recovery.progress import Course, Point
from keyhole.recovery.progress.model import Band
from keyhole.registry.schedule import visit_of, visits
from keyhole.report import svg

WIDTH, HEIGHT = 560, 352
LEFT, RIGHT, TOP, BOTTOM = 50.0, 536.0, 52.0, 284.0
START = LEFT + 52.0
"""Day 0 of the time's axis; left of it stands the value from before the operation."""

INK, SOFT, RULE = "#1c1c1c", "#4a4a4a", "#d4d4d4"
BANDS = {"planned": "#004488", "open": "#8c6d31", "": "#777777"}
WORSE, FONT, SIZE = "#b3261e", "Libertinus Serif", 18
MARK = "#117733"
STEPS_PER_RANGE = 8
MANY = 8
"""So many points of a course are told one by one."""
Place = Callable[[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Axes:
    """The scale of one course: to which day, and from `low` to `high`."""

    last: float
    low: float
    high: float

    def place(self, day: float, value: float) -> tuple[float, float]:
        """Where a day and value stand; early days get more room (square root), before the operation has its own."""
        share = math.sqrt(min(max(day, 0.0), self.last) / self.last)
        x = LEFT + 22 if day <= 0 else START + (RIGHT - START) * share
        return x, BOTTOM - (BOTTOM - TOP) * (value - self.low) / (self.high - self.low)


def course_svg(course: Course, today: int) -> str:
    """The course of one outcome: the range as a band, the values as they were, visits and the gain that is noticed."""
    after = [one.day for one in course.points if one.day > 0]
    coming = [one.target for one in visits().values() if one.target > max([*after, today, 1])]
    axes = _Axes(float(max([*after, today, *coming[:1]])), course.low, course.high)
    drawn = [_grid(axes), _ranges(course, axes), _levels(course, axes), _today(today, axes), _line(course.points, axes)]
    told = shown(course.points)
    drawn += [_dot(one, axes) for one in course.points if one not in told]
    drawn += [_point(one, axes) for one in told]
    return svg.drawing(WIDTH, HEIGHT, "".join(drawn), _alt(course), FONT)


def shown(points: Sequence[Point]) -> tuple[Point, ...]:
    """The points that are told one by one: all of a few; of many the one nearest to each visit, and the last."""
    if len(points) <= MANY:
        return tuple(points)
    kept = {len(points) - 1}
    for key, visit in visits().items():
        of = [n for n, one in enumerate(points) if visit_of(one.day) == key]
        kept |= {min(of, key=lambda n: abs(points[n].day - visit.target))} if of else set()
    return tuple(points[n] for n in sorted(kept))


def _dot(one: Point, axes: _Axes) -> str:
    x, y = axes.place(one.day, one.value)
    return svg.element("circle", cx=x, cy=y, r=2.6, fill=WORSE if one.standing == "worse" else INK)


def _grid(axes: _Axes) -> str:
    drawn = []
    for n in range(6):
        value = axes.low + (axes.high - axes.low) * n / 5
        y = axes.place(1, value)[1]
        drawn.append(_rule(LEFT, y, RIGHT, y, RULE))
        drawn.append(svg.text(f"{value:g}", LEFT - 8, y + 6, SIZE, fill=INK, text_anchor="end"))
    drawn.append(svg.text("before", LEFT + 22, BOTTOM + 24, SIZE, fill=INK, text_anchor="middle"))
    drawn.append(_rule(START, TOP, START, BOTTOM, SOFT, "2 4"))
    for one in visits().values():
        if 0 < one.target <= axes.last:
            x = axes.place(one.target, axes.low)[0]
            drawn.append(_rule(x, BOTTOM, x, BOTTOM + 6, SOFT))
            name = f"{one.key[:-1]} {one.key[-1]}"
            drawn.append(svg.text(name, x, BOTTOM + 24, SIZE, fill=INK, text_anchor="middle"))
    said = "weeks (w) and months (m) after the operation"
    drawn.append(svg.text(said, (START + RIGHT) / 2, BOTTOM + 52, SIZE, fill=SOFT, text_anchor="middle"))
    return "".join(drawn)


def _rule(x1: float, y1: float, x2: float, y2: float, colour: str, dashes: str = "", width: float = 1) -> str:
    more: dict[str, str] = {"stroke_dasharray": dashes} if dashes else {}
    return svg.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width, **more)


def _ranges(course: Course, axes: _Axes) -> str:
    drawn = []
    for run in course.ranges:
        if len(run) == 1:
            drawn.append(_bar(run[0][1], axes))
        for (a, one), (b, other) in itertools.pairwise(run):
            if a < axes.last:
                drawn.append(_piece((a, one), (b, other), axes))
    return "".join(drawn)


def _bar(found: Band, axes: _Axes) -> str:
    """The range before the operation, beside the time's axis."""
    if found.low is None or found.high is None:
        return ""
    (x, top), bottom = axes.place(0, found.high), axes.place(0, found.low)[1]
    return svg.element("rect", x=x - 16, y=top, width=32, height=bottom - top, fill=BANDS[found.arm], fill_opacity=0.16)


def _piece(first: tuple[float, Band], second: tuple[float, Band], axes: _Axes) -> str:
    """The band between two days; straight in time, so bent on this axis."""
    (a, one), (b, other) = first, second
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return ""
    arm = "open" if "open" in (one.arm, other.arm) else one.arm
    stop = min(b, axes.last)
    days = [a + (stop - a) * n / STEPS_PER_RANGE for n in range(STEPS_PER_RANGE + 1)]
    shares = [(day - a) / (b - a) for day in days]
    upper = [axes.place(day, one.high + s * (other.high - one.high)) for day, s in zip(days, shares, strict=True)]
    lower = [axes.place(day, one.low + s * (other.low - one.low)) for day, s in zip(days, shares, strict=True)]
    corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (*upper, *reversed(lower)))
    drawn = svg.element("polygon", points=corners, fill=BANDS[arm], fill_opacity=0.16)
    if one.middle is not None and other.middle is not None:
        middle = [
            axes.place(d, one.middle + s * (other.middle - one.middle)) for d, s in zip(days, shares, strict=True)
        ]
        data = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in middle)
        drawn += svg.element("path", d=data, fill="none", stroke=BANDS[arm], stroke_width=1.6, stroke_dasharray="6 4")
    return drawn


def _levels(course: Course, axes: _Axes) -> str:
    """The smallest gain that patients notice, from the own value before."""
    if course.mark is None or not course.low <= course.mark <= course.high:
        return ""
    y = axes.place(1, course.mark)[1]
    return _rule(START, y, RIGHT, y, MARK, "10 4", 1.8)


def _today(today: int, axes: _Axes) -> str:
    if not 0 < today <= axes.last:
        return ""
    x = axes.place(today, axes.low)[0]
    anchor = "end" if x > RIGHT - 40 else "middle"
    return _rule(x, TOP, x, BOTTOM, SOFT, "3 3") + svg.text(
        "today", x, TOP - 8, SIZE - 2, fill=SOFT, text_anchor=anchor
    )


def _line(points: Sequence[Point], axes: _Axes) -> str:
    places = [axes.place(one.day, one.value) for one in points]
    if len(places) < 2:
        return ""
    data = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    return svg.element("path", d=data, fill="none", stroke=INK, stroke_width=2.2)


def _point(one: Point, axes: _Axes) -> str:
    """A disc inside the range, a triangle (down: worse, up: better) outside, a ring where nobody knows."""
    x, y = axes.place(one.day, one.value)
    shapes = {
        "inside": svg.element("circle", cx=x, cy=y, r=6, fill=INK),
        "unknown": svg.element("circle", cx=x, cy=y, r=5.5, fill="#ffffff", stroke=INK, stroke_width=2.2),
        "worse": _triangle(x, y, 9, WORSE),
        "better": _triangle(x, y, -9, BANDS["planned"]),
    }
    above = y - 14 if y > TOP + 24 else y + 28
    return shapes[one.standing] + svg.text(
        f"{one.value:g}", x, above, SIZE, fill=INK, text_anchor="middle", font_weight=650
    )


def _triangle(x: float, y: float, size: float, colour: str) -> str:
    corners = (
        f"{x:.1f},{y + size:.1f} {x - abs(size):.1f},{y - size * 0.7:.1f} {x + abs(size):.1f},{y - size * 0.7:.1f}"
    )
    return svg.element("polygon", points=corners, fill=colour)


def _alt(course: Course) -> str:
    rows = "; ".join(
        f"{'before the operation' if one.day <= 0 else f'day {one.day}'}: {one.value:g}, "
        + ("range not known" if one.standing == "unknown" else f"{one.standing} the range" if one.standing == "inside"
           else f"{one.standing} than the range")
        for one in shown(course.points)
    )  # fmt: skip
    return f"{course.title}, {course.unit}. {rows}. Trend: {course.trend}."


def daily_svg(
    rows: Sequence[tuple[int, float]], title: str, today: int, expected: Sequence[tuple[float, float]]
) -> str:
    """A stroke for each day with a value up to today, the last six weeks at most; `expected` is a dashed line."""
    first = max(1, today - 41)
    shown = [(day, value) for day, value in rows if first <= day <= today]
    top = max([value for _, value in (*shown, *expected)] or [1.0])
    nice = 10.0 if top <= 10 else 100.0 if top <= 100 else 1000 * math.ceil(top / 1000)
    last = max(today, first + 6)

    def place(day: float, value: float) -> tuple[float, float]:
        x = LEFT + 24 + (RIGHT - LEFT - 36) * (day - first) / (last - first)
        return x, 150 - 118 * value / nice

    drawn = [_rule(LEFT + 12, place(first, v)[1], RIGHT, place(first, v)[1], RULE) for v in (0.0, nice / 2, nice)]
    drawn += [
        svg.text(f"{v:g}", LEFT + 4, place(first, v)[1] + 6, SIZE, fill=INK, text_anchor="end")
        for v in (0.0, nice / 2, nice)
    ]
    for day, value in shown:
        (x, y), base = place(day, value), place(day, 0)[1]
        drawn.append(_rule(x, base, x, min(y, base - 1.5), INK, width=6))
    line = [place(day, value) for day, value in expected if first <= day <= last]
    if len(line) > 1:
        data = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in line)
        drawn.append(
            svg.element("path", d=data, fill="none", stroke=BANDS["open"], stroke_width=2, stroke_dasharray="6 4")
        )
    for day in sorted({first, (first + last) // 2, last}):
        drawn.append(
            svg.text(f"day {day}", place(day, 0)[0], 176, SIZE, fill=INK, text_anchor="middle" if day < last else "end")
        )
    said = f"{title}, by day after the operation: " + ", ".join(f"day {day} {value:g}" for day, value in shown)
    return svg.drawing(WIDTH, 186, "".join(drawn), said, FONT)
