"""A published risk against own patients as a drawing: expected across, observed upward, with the bootstrap band."""

from __future__ import annotations

import math
from collections.abc import Callable

from keyhole.casefile import CalibrationEntry
from keyhole.report import svg

WIDTH, HEIGHT = 560, 520
LEFT, RIGHT, TOP, BOTTOM = 70.0, 540.0, 18.0, 418.0
OWN, INK, SOFT, RULE = "#004488", "#1c1c1c", "#4a4a4a", "#d4d4d4"
FONT = "Libertinus Serif"
TICKS = 5
_STEPS = (1.0, 2.0, 5.0, 10.0)
_Place = Callable[[float, float], tuple[float, float]]


def calibration_words(fit: CalibrationEntry, title: str) -> str:
    """What the drawing shows, for those who cannot see it."""
    groups = "; ".join(
        f"predicted {100 * one.predicted:.1f} %, observed {100 * one.observed:.1f} % "
        f"({100 * one.interval[0]:.1f} to {100 * one.interval[1]:.1f} %) in {one.patients} patients"
        for one in fit.bins
    )
    size = abs(fit.in_the_large.value or 0.0)
    way = "higher than" if (fit.in_the_large.value or 0.0) > 0 else "lower than"
    return f"{title}, predicted against observed: on average {100 * size:.1f} points {way} observed. {groups}"


def calibration_chart(fit: CalibrationEntry, title: str) -> str:
    """Groups of similar risk with their 95 % intervals, the recalibrated curve with its band, and the diagonal.

    Above the diagonal more happened than was predicted; both axes end at the same round percentage.
    """
    ends = [max(one.predicted, one.interval[1]) for one in fit.bins]
    ends += [max(one.predicted, one.interval[1]) for one in fit.curve]
    step = _step(max(ends))
    top = step * math.ceil(max(ends) / step - 1e-9)

    def place(predicted: float, observed: float) -> tuple[float, float]:
        x, y = (min(share / top, 1.0) for share in (predicted, observed))
        return LEFT + (RIGHT - LEFT) * x, BOTTOM - (BOTTOM - TOP) * y

    drawn = [_grid(step, top), _band(fit, place), _line([(0.0, 0.0), (top, top)], place, SOFT, "6 5")]
    drawn.append(_line([(one.predicted, one.expected) for one in fit.curve], place, OWN, ""))
    drawn += [_group(one.predicted, one.observed, one.interval, place) for one in fit.bins]
    drawn.append(_legend(bool(len(fit.curve) > 1)))
    return svg.drawing(WIDTH, HEIGHT, "".join(drawn), calibration_words(fit, title), FONT)


def _step(most: float) -> float:
    """Share between two ticks: 1, 2 or 5 times a power of ten, `TICKS` of which hold `most`; at most 20 %."""
    raw = max(most, 1e-4) / TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    return min(next(factor * power for factor in _STEPS if factor * power >= raw * (1 - 1e-9)), 1.0 / TICKS)


def _grid(step: float, top: float) -> str:
    drawn = ""
    for n in range(round(top / step) + 1):
        share = n * step / top
        x, y = LEFT + (RIGHT - LEFT) * share, BOTTOM - (BOTTOM - TOP) * share
        words = f"{100 * n * step:.3g}"
        drawn += svg.element("line", x1=LEFT, y1=y, x2=RIGHT, y2=y, stroke=RULE, stroke_width=1)
        drawn += svg.element("line", x1=x, y1=BOTTOM, x2=x, y2=BOTTOM + 5, stroke=SOFT, stroke_width=1)
        drawn += svg.text(words, LEFT - 10, y + 6, 17, fill=INK, text_anchor="end")
        drawn += svg.text(words, x, BOTTOM + 23, 17, fill=INK, text_anchor="middle")
    middle = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    turned = f"rotate(-90 18 {svg.short(middle[1])})"
    drawn += svg.text("predicted, %", middle[0], BOTTOM + 46, 17, fill=SOFT, text_anchor="middle")
    return drawn + svg.text("observed, %", 18, middle[1], 17, fill=SOFT, text_anchor="middle", transform=turned)


def _points(found: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in found)


def _band(fit: CalibrationEntry, place: _Place) -> str:
    if len(fit.curve) < 2:
        return ""
    upper = [place(one.predicted, one.interval[1]) for one in fit.curve]
    lower = [place(one.predicted, one.interval[0]) for one in reversed(fit.curve)]
    return svg.element("polygon", points=_points(upper + lower), fill=OWN, fill_opacity=0.14)


def _line(values: list[tuple[float, float]], place: _Place, colour: str, dashes: str) -> str:
    if len(values) < 2:
        return ""
    more: dict[str, str] = {"stroke_dasharray": dashes} if dashes else {}
    spots = _points([place(*one) for one in values])
    return svg.element("polyline", points=spots, fill="none", stroke=colour, stroke_width=2, **more)


def _group(predicted: float, observed: float, interval: tuple[float, float], place: _Place) -> str:
    x, y = place(predicted, observed)
    low, high = place(predicted, interval[0])[1], place(predicted, interval[1])[1]
    whisker = svg.element("line", x1=x, y1=low, x2=x, y2=high, stroke=INK, stroke_width=1.4)
    return whisker + svg.element("circle", cx=x, cy=y, r=5, fill=INK)


def _legend(has_curve: bool) -> str:
    first, second, x, far = BOTTOM + 74, BOTTOM + 98, LEFT, LEFT + 232
    dot = svg.element("circle", cx=x + 15, cy=first - 6, r=5, fill=INK)
    drawn = dot + svg.text("own patients, 95 %", x + 40, first, 16, fill=INK)
    more = {"stroke": SOFT, "stroke_dasharray": "6 5"}
    drawn += svg.element("line", x1=far, y1=first - 6, x2=far + 30, y2=first - 6, stroke_width=2, **more)
    drawn += svg.text("predicted = observed", far + 40, first, 16, fill=INK)
    if not has_curve:
        return drawn
    band = svg.element("rect", x=x, y=second - 14, width=30, height=16, fill=OWN, fill_opacity=0.14)
    line = svg.element("line", x1=x, y1=second - 6, x2=x + 30, y2=second - 6, stroke=OWN, stroke_width=2)
    return drawn + band + line + svg.text("recalibrated, with its 95 % bootstrap band", x + 40, second, 16, fill=INK)
