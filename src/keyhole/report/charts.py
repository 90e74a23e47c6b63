"""Charts as SVG: bars against the open operation, feasibility against the margin, the Pareto front."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

import numpy as np

from keyhole.casefile import CandidateEntry, PlanRecord, Quantity
from keyhole.report import svg
from keyhole.report.compare import DISPLACED, closest, columns_of, largest_facet, title, worst_breach
from keyhole.report.palette import approach_colours
from keyhole.report.wording import number, probability, structure

INK, FAINT, RULE = "#1c1c1c", "#5c5c5c", "#d4d4d4"
WIDTH = 1000
FONT = "Libertinus Serif"  # on paper; the page's style sheet replaces it


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its value, the ends of its interval, and the text beside it; a value of None is written, not drawn."""

    value: float | None
    low: float | None
    high: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One measure over all procedures."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing with its title, what it shows in words, and its size in px."""

    name: str
    title: str
    alt: str
    svg: str
    width: int
    height: int


def _bar(found: Quantity | None, extra: str = "") -> Bar:
    if found is None:
        return Bar(None, None, None, "not given")
    if found.value is None:
        return Bar(None, None, None, "not known")
    low, high = found.interval or (None, None)
    if found.sd:
        low, high = found.value - found.sd, found.value + found.sd
    return Bar(found.value, low, high, number(found.value, found.unit) + extra)


def _clearance_bar(candidate: CandidateEntry) -> Bar:
    found = closest(candidate)
    return _bar(found.clearance, f"  {structure(found.key)}") if found else Bar(None, None, None, "not given")


def _breach_bar(candidate: CandidateEntry) -> Bar:
    found = worst_breach(candidate)
    if found is None:
        return Bar(None, None, None, "not given")
    return Bar(100 * found[1], None, None, f"{probability(found[1])}  {structure(found[0])}")


def comparison_chart(plan: PlanRecord) -> Chart:
    """Small multiples: one panel per measure, one bar per procedure, the open operation in grey."""
    shown = columns_of(plan)
    panels = (
        Panel(f"Muscle, mL ({DISPLACED})", tuple(_bar(c.burden.get("muscle")) for c in shown)),
        Panel("Bone removed, mL", tuple(_bar(c.burden.get("bone")) for c in shown)),
        Panel("Facet removed, % (largest share)", tuple(_bar(largest_facet(c)) for c in shown)),
        Panel("Incision, mm", tuple(_bar(c.incision) for c in shown)),
        Panel("Smallest clearance, mm", tuple(_clearance_bar(c) for c in shown)),
        Panel("Highest breach probability, %", tuple(_breach_bar(c) for c in shown)),
    )
    names = tuple(title(c.approach) for c in shown)
    colours = approach_colours(tuple(c.approach for c in shown))
    ink = tuple(colours[c.approach] for c in shown)
    content, height = _small_multiples(panels, names, ink)
    said = "; ".join(
        f"{p.title}: " + ", ".join(f"{n} {b.text}" for n, b in zip(names, p.bars, strict=True)) for p in panels
    )
    return Chart(
        "comparison",
        "Corridors against the open operation",
        said,
        svg.drawing(WIDTH, height, content, said, FONT),
        WIDTH,
        height,
    )


def _small_multiples(panels: tuple[Panel, ...], names: tuple[str, ...], ink: tuple[str, ...]) -> tuple[str, int]:
    across, label_width, gap, row = 2, 212, 28, 26
    panel_width = (WIDTH - label_width - gap * across) / across
    block = 34 + row * len(names) + 22
    drawn: list[str] = []
    for n, panel in enumerate(panels):
        column, line = n % across, n // across
        x, y = label_width + column * (panel_width + gap) + gap / 2 - 4, line * block + 18
        if column == 0:
            drawn.extend(
                svg.text(name, label_width - 4, y + 32 + row * k, 15, text_anchor="end", fill=INK)
                for k, name in enumerate(names)
            )
        drawn.append(_panel(panel, x, y, panel_width, row, ink))
    return "".join(drawn), int(block * math.ceil(len(panels) / across))


def _panel(panel: Panel, x: float, y: float, width: float, row: int, ink: tuple[str, ...]) -> str:
    ends = [end for bar in panel.bars for end in (bar.value, bar.low, bar.high) if end is not None]
    least, most = min([0.0, *ends]), max([0.0, *ends]) or 1.0
    scale = width * (0.8 if max(len(bar.text) for bar in panel.bars) < 10 else 0.52) / (most - least)
    zero = x - least * scale
    drawn = [svg.text(panel.title, x, y, 15, fill=INK, font_weight=600)]
    top, bottom = y + 14, y + 14 + row * len(panel.bars)
    drawn.append(_line(zero, top, zero, bottom, FAINT, 1))
    for k, (bar, colour) in enumerate(zip(panel.bars, ink, strict=True)):
        drawn.append(_bar_drawn(bar, zero, scale, top + row * k, row, colour))
    return "".join(drawn)


def _bar_drawn(bar: Bar, zero: float, scale: float, top: float, row: int, colour: str) -> str:
    middle = top + row / 2
    if bar.value is None:
        return svg.text(bar.text, zero + 8, middle + 5, 14, fill=FAINT, font_style="italic")
    length = bar.value * scale
    box = svg.element(
        "rect", x=min(zero, zero + length), y=top + 5, width=max(abs(length), 0.8), height=row - 10, fill=colour
    )
    end = max(zero + length, zero)
    whisker = ""
    if bar.low is not None and bar.high is not None and bar.high > bar.low:
        low, high = zero + bar.low * scale, zero + bar.high * scale
        end = max(end, high)
        whisker = _line(low, middle, high, middle, INK, 1.2) + "".join(
            _line(at, middle - 4, at, middle + 4, INK, 1.2) for at in (low, high)
        )
    return box + whisker + svg.text(bar.text, end + 8, middle + 5, 14, fill=INK)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float) -> str:
    return svg.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width)


@dataclass(frozen=True, slots=True)
class _Plot:
    """A plotting area in px and the ranges of its axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 92
    right: float = 690
    top: float = 16
    bottom: float = 330

    def across(self, value: float) -> float:
        return self.left + (value - self.x[0]) / (self.x[1] - self.x[0]) * (self.right - self.left)

    def down(self, value: float) -> float:
        return self.bottom - (value - self.y[0]) / (self.y[1] - self.y[0]) * (self.bottom - self.top)


def _axes(plot: _Plot, x_ticks: dict[float, str], y_ticks: dict[float, str], x_title: str, y_title: str) -> str:
    drawn = []
    for at, words in y_ticks.items():
        y = plot.down(at)
        drawn.append(_line(plot.left, y, plot.right, y, RULE, 1))
        drawn.append(svg.text(words, plot.left - 10, y + 5, 14, text_anchor="end", fill=FAINT))
    for at, words in x_ticks.items():
        x = plot.across(at)
        drawn.append(_line(x, plot.bottom, x, plot.bottom + 5, FAINT, 1))
        drawn.append(svg.text(words, x, plot.bottom + 21, 14, text_anchor="middle", fill=FAINT))
    drawn.append(_line(plot.left, plot.bottom, plot.right, plot.bottom, FAINT, 1.2))
    middle = (plot.top + plot.bottom) / 2
    drawn.append(svg.text(x_title, (plot.left + plot.right) / 2, plot.bottom + 44, 15, text_anchor="middle", fill=INK))
    turn = f"rotate(-90 18 {svg.short(middle)})"
    drawn.append(svg.text(y_title, 18, middle, 15, text_anchor="middle", fill=INK, transform=turn))
    return "".join(drawn)


def _height(count: int) -> float:
    """Place of a count on the chart: its logarithm, with 0 a step below 1."""
    return math.log10(count) if count > 0 else -0.7


def feasibility_chart(plan: PlanRecord) -> Chart:
    """Corridors that keep a margin, against that margin; logarithmic, with a place of its own for none."""
    entries = [entry for entry in plan.feasibility if entry.margins]
    names = tuple(dict.fromkeys([*(c.approach for c in columns_of(plan)), *(e.approach for e in entries)]))
    colours = approach_colours(names)
    most = max((max(entry.feasible, default=1) for entry in entries), default=1)
    top = max(1, math.ceil(math.log10(max(most, 1)) + 0.05))
    margins = sorted({margin for entry in entries for margin in entry.margins}) or [0.0]
    plot = _Plot((margins[0], max(margins[-1], margins[0] + 1)), (-0.7, float(top)))
    ticks = {-0.7: "none"} | {float(n): f"{10**n:,}" for n in range(top + 1)}
    x_ticks = {m: f"{m:g}" for m in margins if len(margins) <= 12 or float(m).is_integer()}
    drawn = [_axes(plot, x_ticks, ticks, "Margin kept to every structure that must not be touched, mm", "Corridors")]
    labels = []
    for entry in entries:
        points = [(plot.across(m), plot.down(_height(n))) for m, n in zip(entry.margins, entry.feasible, strict=True)]
        colour = colours[entry.approach]
        line = np.array(points)
        drawn.append(svg.element("path", d=svg.path([line]), fill="none", stroke=colour, stroke_width=2.2))
        drawn.extend(svg.element("circle", cx=x, cy=y, r=3.2, fill=colour) for x, y in points)
        labels.append((points[-1][1], title(entry.approach), colour))
    drawn.extend(_line_labels(labels, plot))
    said = "; ".join(
        f"{title(e.approach)}: " + ", ".join(f"{n:,} at {m:g} mm" for m, n in zip(e.margins, e.feasible, strict=True))
        for e in entries
    )
    whole = svg.drawing(WIDTH, 390, "".join(drawn), said, FONT)
    return Chart("feasibility", "Feasible corridors against the margin", said, whole, WIDTH, 390)


def _line_labels(labels: list[tuple[float, str, str]], plot: _Plot) -> list[str]:
    """Names at the ends of the lines, moved apart where they would overlap."""
    drawn, last = [], plot.bottom + 24
    for y, words, colour in sorted(labels, reverse=True):
        at = min(y + 5, last - 20)
        last = at
        drawn.append(svg.text(words, plot.right + 14, at, 14, fill=colour, font_weight=600))
    return drawn


def pareto_chart(plan: PlanRecord) -> Chart | None:
    """Smallest clearance against muscle displaced, a point per corridor; None without two known points."""
    points = []
    for index, candidate in enumerate(plan.candidates):
        gap, muscle = closest(candidate), candidate.burden.get("muscle")
        if gap is not None and gap.clearance.value is not None and muscle is not None and muscle.value is not None:
            points.append((muscle.value, gap.clearance.value, candidate, index in plan.pareto))
    if len(points) < 2:
        return None
    xs, ys = [p[0] for p in points], [p[1] for p in points]
    x_ticks, y_ticks = ticks(0.0, max(xs)), ticks(min(0.0, *ys), max(ys))
    plot = _Plot((x_ticks[0], x_ticks[-1]), (y_ticks[0], y_ticks[-1]))
    x_title, y_title = f"Muscle, mL ({DISPLACED})", "Smallest clearance, mm"
    drawn = [_axes(plot, {t: f"{t:g}" for t in x_ticks}, {t: f"{t:g}" for t in y_ticks}, x_title, y_title)]
    names = tuple(c.approach for c in columns_of(plan) if c is not plan.open)
    colours = approach_colours(names)
    for x, y, candidate, front in points:
        colour = colours[candidate.approach]
        at = {"cx": plot.across(x), "cy": plot.down(y), "r": 6.0}
        words = escape(f"Rank {candidate.rank}, {title(candidate.approach)}: {x:.2f} mL, {y:.1f} mm")
        fill = {"fill": colour, "fill_opacity": 0.9} if front else {"fill": "#ffffff", "stroke": colour}
        drawn.append(svg.element("circle", f"<title>{words}</title>", **at, **fill))
    for n, name in enumerate(names):
        y = plot.top + 22 + 24 * n
        drawn.append(svg.element("circle", cx=plot.right + 24, cy=y - 5, r=6, fill=colours[name]))
        drawn.append(svg.text(title(name), plot.right + 38, y, 14, fill=INK))
    drawn.append(
        svg.text("filled: on the Pareto front", plot.right + 16, plot.top + 34 + 24 * len(names), 14, fill=FAINT)
    )
    said = f"{len(points)} corridors, {len(plan.pareto)} of them on the Pareto front; the numbers are in the table."
    whole = svg.drawing(WIDTH, 390, "".join(drawn), said, FONT)
    return Chart("pareto", "Clearance against muscle displaced", said, whole, WIDTH, 390)


def ticks(low: float, high: float) -> list[float]:
    """Four to eight round values that span `low` to `high`."""
    width = max(high - low, 1e-6)
    step = 10 ** math.floor(math.log10(width / 4))
    step *= next(m for m in (1, 2, 5, 10) if width / (step * m) <= 7)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * n, 10) for n in range(first, max(last, first + 1) + 1)]
