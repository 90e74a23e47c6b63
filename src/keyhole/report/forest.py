"""Forest plots: a square per study, a diamond for the pool, a bar for where the next study may lie."""

from __future__ import annotations

import math
from dataclasses import dataclass

from keyhole.evidence import Question, families
from keyhole.forecast import MEASURES, MODELS, Pool, Verdict
from keyhole.forecast.pool import Interval
from keyhole.report import svg

FONT = "Libertinus Serif"  # on paper, as the other charts
INK, FAINT, RULE, POOL = "#1c1c1c", "#5c5c5c", "#d4d4d4", "#0b5c8a"
WIDTH = 1000
LEFT, PLOT, RIGHT = 262, (282.0, 690.0), 710  # names end; the axis; the numbers begin
ROW, TOP = 30, 66
_MOST = 3.0  # the axis shows at most this many times the span of the pool beyond the studies' middles


@dataclass(frozen=True, slots=True)
class ForestPlot:
    """A drawing with its title, what it shows in words, and its size in px; apart from the charts of a plan."""

    title: str
    alt: str
    svg: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class _Axis:
    """The effect's axis: from `low` to `high` on the pool's scale, in px across."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Place of `value`, cut at the ends of the axis."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return PLOT[0] + share * (PLOT[1] - PLOT[0])


def forest(found: Pool, asked: Question, said: Verdict, *, hk: bool = True) -> ForestPlot:
    """The forest plot of a pool: squares by weight, lines of no difference and of the pool, both intervals.

    The diamond is Hartung-Knapp's interval with `hk` where the model has one, else the ordinary one; the other is
    written below it. Ratios are drawn on a logarithmic axis. An interval that leaves the axis ends in an arrow.
    """
    axis = _axis(found)
    shown = found.hk if hk and found.hk is not None else found.interval
    rows = found.k + 2 + (found.prediction is not None)
    bottom = TOP + ROW * rows
    drawn = [_head(asked), _ground(found, axis, bottom)]
    drawn += [_study(found, n, axis, TOP + ROW * n + ROW / 2) for n in range(found.k)]
    y = TOP + ROW * found.k + ROW / 2 + 8
    drawn.append(_diamond(found, shown, axis, y))
    if found.prediction is not None:
        drawn.append(_next(found, found.prediction, axis, y + ROW))
    drawn.append(_scale(found, asked, axis, bottom))
    foot = _foot(found, said, shown)
    height = bottom + 84 + 24 * len(foot)
    for n, (words, is_said) in enumerate(foot):
        look: dict[str, str] = {"fill": INK, "font_weight": "600"} if is_said else {"fill": FAINT}
        drawn.append(svg.text(words, 20, bottom + 80 + 24 * n, 15 if is_said else 14, **look))
    title = f"{asked.outcome.title}, {families().get(asked.family, asked.family)}"
    alt = _alt(found, title, shown, said)
    return ForestPlot(title, alt, svg.drawing(WIDTH, height, "".join(drawn), alt, FONT), WIDTH, int(height))


def _axis(found: Pool) -> _Axis:
    """An axis that holds every middle, the pool and no difference, and the intervals as far as they stay in view."""
    core = [0.0, *found.interval, *(study.effect for study in found.studies)]
    low, high = min(core), max(core)
    span = max(high - low, 1e-9 * max(abs(low), abs(high)), 1e-12)
    ends = [end for study in found.studies for end in study.interval] + [*(found.hk or ()), *(found.prediction or ())]
    low = max(min([low, *ends]), low - _MOST * span / 2)
    high = min(max([high, *ends]), high + _MOST * span / 2)
    margin = 0.04 * (high - low)
    return _Axis(low - margin, high + margin)


def _head(asked: Question) -> str:
    better = asked.outcome.better
    sides = {"lower": ("MISS better", "MISS worse"), "higher": ("MISS worse", "MISS better")}.get(better, ("", ""))
    first = svg.text("Study", 20, 24, 15, fill=INK, font_weight=600)
    second = svg.text("Effect [95 %]", RIGHT, 24, 15, fill=INK, font_weight=600)
    third = svg.text("Weight", WIDTH - 20, 24, 15, fill=INK, font_weight=600, text_anchor="end")
    left = svg.text(sides[0], PLOT[0], 50, 14, fill=FAINT)
    right = svg.text(sides[1], PLOT[1], 50, 14, fill=FAINT, text_anchor="end")
    return first + second + third + (left + right if better else "")


def _ground(found: Pool, axis: _Axis, bottom: float) -> str:
    none, pooled = axis.x(0.0), axis.x(found.estimate)
    dashed = svg.element(
        "line", x1=pooled, y1=TOP - 8, x2=pooled, y2=bottom, stroke=POOL, stroke_width=1, stroke_dasharray="3 4"
    )
    rule = _line(20, TOP + ROW * found.k, WIDTH - 20, TOP + ROW * found.k, RULE, 1)
    return rule + dashed + _line(none, TOP - 8, none, bottom, INK, 1.2)


def _study(found: Pool, n: int, axis: _Axis, y: float) -> str:
    study, weight = found.studies[n], found.weights[n]
    half = 3 + 7 * math.sqrt(weight / max(found.weights))
    x = axis.x(study.effect)
    box = svg.element("rect", x=x - half, y=y - half, width=2 * half, height=2 * half, fill=INK, fill_opacity=0.72)
    name = svg.text(_cut(study.name), 20, y + 5, 14, fill=INK)
    return (
        name + _whisker(study.interval, axis, y, INK) + box + _numbers(found, study.effect, study.interval, y, weight)
    )


def _diamond(found: Pool, interval: Interval, axis: _Axis, y: float) -> str:
    low, middle, high = axis.x(interval[0]), axis.x(found.estimate), axis.x(interval[1])
    corners = f"{svg.short(low)},{svg.short(y)} {svg.short(middle)},{svg.short(y - 9)} "
    corners += f"{svg.short(high)},{svg.short(y)} {svg.short(middle)},{svg.short(y + 9)}"
    shape = svg.element("polygon", points=corners, fill=POOL)
    ends = _arrows(interval, axis, y, POOL)
    name = svg.text(f"Pooled, k = {found.k}", 20, y + 5, 15, fill=POOL, font_weight=600)
    return name + shape + ends + _numbers(found, found.estimate, interval, y, None)


def _next(found: Pool, interval: Interval, axis: _Axis, y: float) -> str:
    low, high = axis.x(interval[0]), axis.x(interval[1])
    bar = svg.element("rect", x=low, y=y - 4, width=max(high - low, 0.8), height=8, fill=POOL, fill_opacity=0.35)
    name = svg.text("The next study may lie in", 20, y + 5, 14, fill=FAINT)
    words = svg.text(_interval_text(found, interval), RIGHT, y + 5, 14, fill=FAINT)
    return name + bar + _arrows(interval, axis, y, POOL) + words


def _whisker(interval: Interval, axis: _Axis, y: float, colour: str) -> str:
    return _line(axis.x(interval[0]), y, axis.x(interval[1]), y, colour, 1.4) + _arrows(interval, axis, y, colour)


def _arrows(interval: Interval, axis: _Axis, y: float, colour: str) -> str:
    """An arrow head at each end of the axis that the interval leaves."""
    drawn = ""
    for value, at, way in ((interval[0], PLOT[0], -1), (interval[1], PLOT[1], 1)):
        if axis.low <= value <= axis.high:
            continue
        points = " ".join(
            f"{svg.short(x)},{svg.short(v)}"
            for x, v in ((at + 7 * way, y), (at - 1 * way, y - 5), (at - 1 * way, y + 5))
        )
        drawn += svg.element("polygon", points=points, fill=colour)
    return drawn


def _numbers(found: Pool, effect: float, interval: Interval, y: float, weight: float | None) -> str:
    bold: dict[str, str | float] = {"font_weight": 600} if weight is None else {}
    words = f"{_number(found, effect)} {_interval_text(found, interval)}"
    drawn = svg.text(words, RIGHT, y + 5, 14, fill=INK if weight is not None else POOL, **bold)
    if weight is not None:
        drawn += svg.text(f"{weight:.1f} %", WIDTH - 20, y + 5, 14, fill=INK, text_anchor="end")
    return drawn


def _scale(found: Pool, asked: Question, axis: _Axis, bottom: float) -> str:
    unit = "" if found.is_logarithmic or found.measure in {"smd", "rd"} else f", {asked.outcome.unit}"
    words = MEASURES[found.measure]
    title = f"{words[0].upper()}{words[1:]}{unit}"
    drawn = svg.text(title, (PLOT[0] + PLOT[1]) / 2, bottom + 44, 15, text_anchor="middle", fill=INK)
    drawn += _line(PLOT[0], bottom, PLOT[1], bottom, FAINT, 1.2)
    for at, words in _ticks(found, axis):
        x = axis.x(at)
        drawn += _line(x, bottom, x, bottom + 5, FAINT, 1)
        drawn += svg.text(words, x, bottom + 21, 14, text_anchor="middle", fill=FAINT)
    return drawn


def _ticks(found: Pool, axis: _Axis) -> list[tuple[float, str]]:
    if found.is_logarithmic:
        steps = _ratios(axis)
        return [(math.log(value), f"{value:g}") for value in steps]
    raw = (axis.high - axis.low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw)
    first, last = math.ceil(axis.low / step), math.floor(axis.high / step)
    return [(n * step, f"{n * step:.10g}".replace("-", "−")) for n in range(first, last + 1)]


def _ratios(axis: _Axis) -> list[float]:
    """Ratios for the axis: 1 and its like at decades, with 2 and 5 between where there is room."""
    decades = (axis.high - axis.low) / math.log(10)
    factors = (1, 2, 5) if decades <= 2 else (1,)
    first, last = math.floor(axis.low / math.log(10)), math.ceil(axis.high / math.log(10))
    every = max(1, math.ceil(decades / 7))
    values = [f * 10.0**n for n in range(first, last + 1) if n % every == 0 for f in factors]
    return [value for value in values if axis.low <= math.log(value) <= axis.high]


def _foot(found: Pool, said: Verdict, shown: Interval) -> list[tuple[str, bool]]:
    """Lines below the plot: heterogeneity, the other interval, and (true) the word with its reason."""
    spread = "" if found.k < 2 else f"I² {found.i2:.1f} %, τ² {found.tau2:.3g}, Q {found.q:.1f} (p {found.q_p:.2g}); "
    lines = [(f"{spread}{MODELS[found.model]}", False)]
    if found.hk is not None:
        name, interval = ("ordinary", found.interval) if shown is found.hk else ("Hartung-Knapp", found.hk)
        own = "Hartung-Knapp" if shown is found.hk else "ordinary"
        lines.append((f"diamond {own}, the {name} interval is {_interval_text(found, interval)}", False))
    return [*lines, (f"{said.word[0].upper()}{said.word[1:]}: {said.why}", True)]


def _alt(found: Pool, title: str, interval: Interval, said: Verdict) -> str:
    studies = "; ".join(
        f"{s.name} {_number(found, s.effect)} {_interval_text(found, s.interval)}" for s in found.studies
    )
    pooled = f"pooled {_number(found, found.estimate)} {_interval_text(found, interval)}"
    return f"{title}, {MEASURES[found.measure]}: {studies}; {pooled}; {said.word}, {said.why}"


def _interval_text(found: Pool, interval: Interval) -> str:
    return f"[{_number(found, interval[0])}, {_number(found, interval[1])}]"


def _number(found: Pool, value: float) -> str:
    """Three figures with a true minus sign; ratios beyond a million as that."""
    if found.is_logarithmic and value > math.log(1e6):
        return "> 10⁶"
    plain = found.shown(value)
    if found.is_logarithmic and plain < 0.001:
        return "< 0.001"
    if plain != 0 and abs(plain) < 0.005:
        return f"{plain:.1g}".replace("-", "−")
    digits = 2 if abs(plain) < 10 else 1 if abs(plain) < 1000 else 0
    return f"{plain:.{digits}f}".replace("-", "−")


def _cut(name: str) -> str:
    return name if len(name) <= 32 else name[:31].rstrip() + "…"


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return svg.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)
