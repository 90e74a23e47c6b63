"""One outcome over the visits: mean with its interval, the middle half of the patients, both arms."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from keyhole.registry.schedule import VISITS
from keyhole.report import svg
from keyhole.report.dashboard.outcomes import Outcome, Point

WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 56.0, 540.0, 44.0, 262.0
SMALL, OPENED, INK, SOFT, RULE = "#004488", "#8c2d04", "#1c1c1c", "#4a4a4a", "#d4d4d4"
FONT = "sans-serif"
_LABELS = {"baseline": "before", "6w": "6 wk", "3m": "3 mo", "6m": "6 mo", "12m": "12 mo", "24m": "24 mo"}
Place = Callable[[int, float], tuple[float, float]]


def outcome_chart(outcome: Outcome) -> str:
    """Lines of means with 95 % whiskers over bands of the middle half; visits at even steps.

    Small openings are solid with discs, open operations dashed with squares: told apart without colour too.
    """
    low, high, step = _scale(outcome)
    gap = (RIGHT - LEFT - 40) / (len(VISITS) - 1)

    def place(n: int, value: float) -> tuple[float, float]:
        return LEFT + 20 + gap * n, BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low)

    (_, small), (_, opened) = outcome.arms
    drawn = [_grid(low, high, step, place)]
    drawn += [_band(opened, OPENED, place, 7.0), _band(small, SMALL, place, -7.0)]
    drawn += [_arm(opened, OPENED, place, 7.0), _arm(small, SMALL, place, -7.0)]
    return svg.drawing(WIDTH, HEIGHT, "".join([*drawn, _legend()]), _alt(outcome), FONT)


def _scale(outcome: Outcome) -> tuple[float, float, float]:
    """Lower end, upper end and step of the axis: the scale's own ends, or round ones around what is drawn."""
    drawn = [value for _, points in outcome.arms for p in points for value in _values(p)]
    low, high = outcome.bottom, max([*drawn, outcome.bottom + 1e-9])
    if outcome.top <= 100 and high > 0.7 * outcome.top:
        high = outcome.top
    raw = (high - low) / 5
    ten = 10.0 ** math.floor(math.log10(raw))
    step = next(m * ten for m in (1, 2, 2.5, 5, 10) if m * ten >= raw * (1 - 1e-9))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step, step


def _values(point: Point) -> list[float]:
    ends = [*(point.quartiles or ()), *(point.interval or ())]
    return [*ends, *([] if point.mean is None else [point.mean])]


def _grid(low: float, high: float, step: float, place: Place) -> str:
    drawn = []
    for n in range(round((high - low) / step) + 1):
        value = low + n * step
        y = place(0, value)[1]
        drawn.append(svg.element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=RULE, stroke_width=1))
        drawn.append(svg.text(f"{value:.6g}", LEFT - 8, y + 6, 17, fill=INK, text_anchor="end"))
    for n, visit in enumerate(VISITS):
        x = place(n, low)[0]
        drawn.append(svg.text(_LABELS[visit.key], x, BOTTOM + 24, 17, fill=INK, text_anchor="middle"))
    words = "mean, 95 % interval; shaded: the middle half of the patients"
    drawn.append(svg.text(words, (LEFT + RIGHT) / 2, BOTTOM + 54, 16, fill=SOFT, text_anchor="middle"))
    return "".join(drawn)


def _band(points: Sequence[Point], colour: str, place: Place, shift: float) -> str:
    """The middle half, from each visit with scores to the next that has any."""
    drawn = ""
    for (n, a), (m, b) in itertools.pairwise((n, p) for n, p in enumerate(points) if p.quartiles is not None):
        if a.quartiles is None or b.quartiles is None:
            continue
        ends = [(n, a.quartiles[1]), (m, b.quartiles[1]), (m, b.quartiles[0]), (n, a.quartiles[0])]
        corners = " ".join(f"{x + shift:.1f},{y:.1f}" for x, y in (place(*end) for end in ends))
        drawn += svg.element("polygon", points=corners, fill=colour, fill_opacity=0.1)
    return drawn


def _arm(points: Sequence[Point], colour: str, place: Place, shift: float) -> str:
    spots = [None if p.mean is None else np.add(place(n, p.mean), (shift, 0.0)) for n, p in enumerate(points)]
    data = "".join(
        f"M{a[0]:.1f} {a[1]:.1f}L{b[0]:.1f} {b[1]:.1f}"
        for a, b in itertools.pairwise(spot for spot in spots if spot is not None)
    )
    more: dict[str, str] = {"stroke_dasharray": "7 5"} if colour == OPENED else {}
    drawn = svg.element("path", d=data, fill="none", stroke=colour, stroke_width=2.4, **more) if data else ""
    for n, (point, spot) in enumerate(zip(points, spots, strict=True)):
        if spot is None:
            continue
        if point.interval is not None:
            (x, y1), (_, y2) = (place(n, end) for end in point.interval)
            drawn += svg.element("line", x1=x + shift, y1=y1, x2=x + shift, y2=y2, stroke=colour, stroke_width=2)
        drawn += _mark(float(spot[0]), float(spot[1]), colour)
    return drawn


def _mark(x: float, y: float, colour: str) -> str:
    if colour == SMALL:
        return svg.element("circle", cx=x, cy=y, r=5, fill=colour)
    return svg.element("rect", x=x - 5, y=y - 5, width=10, height=10, fill=colour)


def _legend() -> str:
    return (
        _mark(LEFT + 8, 16, SMALL)
        + svg.text("small openings", LEFT + 22, 22, 17, fill=INK)
        + _mark(LEFT + 218, 16, OPENED)
        + svg.text("open operations", LEFT + 232, 22, 17, fill=INK)
    )


def _alt(outcome: Outcome) -> str:
    told = []
    for words, points in outcome.arms:
        known = [(p.visit, p.mean) for p in points if p.mean is not None]
        if known:
            (first, a), (last, b) = known[0], known[-1]
            told.append(f"{words} mean {a:.3g} at {first}, {b:.3g} at {last}")
    return f"{outcome.title} over time: {'; '.join(told) or 'no scores'}"
