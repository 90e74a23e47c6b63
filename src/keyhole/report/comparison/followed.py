"""Drawings over time, between centres and per surgeon."""

from __future__ import annotations

import math
from html import escape

import numpy as np

from keyhole.comparison.centres import CentreEffects
from keyhole.comparison.funnel import Funnel
from keyhole.comparison.learning import Chart, Learning
from keyhole.comparison.model import Comparison
from keyhole.comparison.survival import Curve, Survival, Times, at_risk
from keyhole.comparison.table import Array
from keyhole.report import svg
from keyhole.report.comparison.compared import sides
from keyhole.report.comparison.plot import (
    ALARM,
    FAINT,
    FONT,
    INK,
    MISS,
    OPEN,
    WIDTH,
    Drawing,
    Frame,
    Row,
    axes,
    forest,
    key,
    line,
    marks_of,
)
from keyhole.report.comparison.words import between, named, scaled, signed, titled

_EVENT = {"reoperation": "Reoperated", "recovery": "Recovered"}


def curves(held: Survival, times: Times, arms: tuple[str, str]) -> Drawing:
    """Share of both arms with the event, 95 % bands, and the numbers still at risk below."""
    top = _top(held)
    frame = Frame((0, held.horizon), (0, top), bottom=260)
    marks, unit = _marks(held.horizon)
    days = list(marks)
    upward = {at: f"{100 * at:g} %" for at in marks_of(0, top) if at <= top * 1.001}
    ground = axes(frame, marks, upward, (f"{unit} since the operation", _EVENT[held.clock]))
    drawn = [ground]
    for n, colour in ((0, OPEN), (1, MISS)):
        drawn.append(_curve(held.curves[n], frame, colour, held.horizon))
    drawn.append(_numbers(times, days, frame, arms))
    said = "; ".join(_said(held, n, arms[n]) for n in (1, 0))
    title = f"Share of patients {_EVENT[held.clock].lower()}"
    foot = "Not adjusted. Bands: 95 % intervals of each curve by itself."
    return Drawing(held.clock, title, said, svg.drawing(WIDTH, 372, "".join(drawn), said, FONT), foot)


def _top(held: Survival) -> float:
    high = max((1 - float(_low(c, held.horizon)) for c in held.curves), default=1.0)
    return min(1.0, max(0.05, math.ceil(high * 1.05 * 20) / 20))


def _low(held: Curve, horizon: float) -> float:
    inside = held.days <= horizon
    ends = held.low[inside]
    return float(np.nanmin(ends)) if ends.size and np.isfinite(ends).any() else 1.0


def _marks(horizon: float) -> tuple[dict[float, str], str]:
    """Places on the axis of time in days, with their words, and the unit of the words."""
    if horizon < 150:
        step = 7.0 if horizon <= 45 else 30.0
        return {float(day): f"{day:g}" for day in np.arange(0, horizon + 1, step)}, "Days"
    month = 365 / 12
    step = next((s for s in (1, 3, 6, 12, 24) if horizon / (s * month) <= 6.01), 60)
    count = int(horizon / (step * month) + 0.01)
    return {step * month * n: f"{step * n:g}" for n in range(count + 1)}, "Months"


def _curve(held: Curve, frame: Frame, colour: str, horizon: float) -> str:
    inside = held.days <= horizon
    days, share = held.days[inside], 1 - held.share[inside]
    high, low = 1 - held.low[inside], 1 - held.high[inside]
    end = min(horizon, held.last)
    band = _steps(days, np.nan_to_num(low, nan=1.0), end, frame)
    back = _steps(days, np.nan_to_num(high, nan=1.0), end, frame)[::-1]
    drawn = svg.element("path", d=svg.path([np.concatenate([band, back])], closed=True), fill=colour, fill_opacity=0.16)
    return drawn + svg.element(
        "path", d=svg.path([_steps(days, share, end, frame)]), fill="none", stroke=colour, stroke_width=2.2
    )


def _steps(days: Array, values: Array, end: float, frame: Frame) -> Array:
    """Corners of a step curve that begins at 0 and goes on to `end`; steps of the same pixel are one."""
    x = [frame.across(0)]
    y = [frame.down(0)]
    for day, value in zip(days.tolist(), values.tolist(), strict=True):
        at, height = frame.across(day), frame.down(value)
        if at - x[-1] < 0.7 and len(x) > 2:
            y[-1] = height
            continue
        x += [at, at]
        y += [y[-1], height]
    return np.column_stack([[*x, frame.across(end)], [*y, y[-1]]])


def _numbers(times: Times, days: list[float], frame: Frame, arms: tuple[str, str]) -> str:
    drawn = svg.text("At risk", frame.left, frame.bottom + 62, 13, fill=FAINT)
    for row, (arm, colour) in enumerate(((1, MISS), (0, OPEN))):
        y = frame.bottom + 82 + 18 * row
        drawn += svg.element("rect", x=6, y=y - 10, width=11, height=11, fill=colour)
        for place, count in zip(days, at_risk(times, arm, days), strict=True):
            anchor = "start" if place == 0 else "end" if frame.across(place) > frame.right - 12 else "middle"
            x = frame.left - 24 if place == 0 else frame.across(place)
            drawn += svg.text(f"{count:,}", x, y, 13, text_anchor=anchor, fill=INK)
    return drawn + key([(titled(arms[1]), MISS), (titled(arms[0]), OPEN)], frame.left + 80, frame.bottom + 62)


def _said(held: Survival, n: int, name: str) -> str:
    found = held.curves[n]
    happened = int(found.events.sum())
    return f"{name}: {happened} of {found.n} patients"


def centre_forest(found: Comparison, held: CentreEffects) -> Drawing:
    """The adjusted difference of each centre, drawn towards the mean, and of all centres."""
    scale, unit = scaled(found)
    rows = [
        Row(
            "All centres",
            held.value * scale,
            held.interval[0] * scale,
            held.interval[1] * scale,
            _figures(held.value, held.interval, held.se, scale),
            is_main=True,
        )
    ]
    for one in sorted(held.centres, key=lambda c: -sum(c.n_arms))[:30]:
        ends = (one.interval[0] * scale, one.interval[1] * scale)
        label = f"{one.centre} ({one.n_arms[1]} / {one.n_arms[0]})"
        rows.append(Row(label, one.value * scale, ends[0], ends[1], _figures(one.value, one.interval, held.se, scale)))
    left = len(held.centres) - 30
    foot = f"In brackets patients with {found.arms[1]} / {found.arms[0]}; small centres are drawn towards the mean."
    if left > 0:
        foot += f" The {left} smallest centres are in further.json."
    picture = forest(rows, f"{titled(found.arms[1])} minus {found.arms[0]}, {unit}", sides(found))
    return Drawing("centres", f"Difference in {named(found.outcome)} by centre", "", picture, foot)


def _figures(value: float, interval: tuple[float, float], se: float, scale: float) -> str:
    return f"{signed(value * scale, se * scale)} {between((interval[0] * scale, interval[1] * scale), se * scale)}"


def charts(held: Learning) -> list[Drawing]:
    """A small chart per surgeon: the CUSUM, its limit, its alarms."""
    return [_chart(one, held) for one in held.charts]


def _chart(one: Chart, held: Learning) -> Drawing:
    width, height = 270, 168
    top = max(float(one.score.max(initial=0.0)), one.limit) * 1.12
    frame = Frame((0, max(one.n, 1)), (0, top), left=34, right=width - 8, top=26, bottom=height - 32)
    count = np.arange(1, one.n + 1)
    keep = np.unique(np.linspace(0, one.n - 1, min(one.n, 400)).astype(int)) if one.n else np.array([], dtype=int)
    points = np.array([[frame.across(int(count[k])), frame.down(float(one.score[k]))] for k in keep])
    start = np.array([[frame.across(0), frame.down(0)]])
    colour = ALARM if one.alarms else MISS
    drawn = [line(frame.left, frame.down(one.limit), frame.right, frame.down(one.limit), INK, 1.1, "5 4")]
    drawn.append(svg.text("limit", frame.right, frame.down(one.limit) - 4, 11, text_anchor="end", fill=FAINT))
    path = svg.path([np.concatenate([start, points])])
    drawn.append(svg.element("path", d=path, fill="none", stroke=colour, stroke_width=1.8))
    for place in one.alarms:
        x, y = frame.across(place), frame.down(float(one.score[place - 1]))
        drawn.append(svg.element("circle", cx=x, cy=y, r=4, fill=ALARM))
    drawn.append(line(frame.left, frame.bottom, frame.right, frame.bottom, FAINT))
    for at, words in marks_of(0, one.n).items():
        if at <= one.n:
            drawn.append(svg.text(words, frame.across(at), frame.bottom + 14, 11, text_anchor="middle", fill=FAINT))
    drawn.append(
        svg.text("operation", (frame.left + frame.right) / 2, height - 4, 11, text_anchor="middle", fill=FAINT)
    )
    drawn.append(svg.text(titled(one.surgeon), 4, 15, 13, fill=INK, font_weight=600))
    told = (
        f"{one.observed:g} of {one.expected:.1f} expected"
        if held.is_event
        else f"{one.observed:.0f}, {one.expected:.0f} expected"
    )
    drawn.append(svg.text(told, width - 8, 15, 12, text_anchor="end", fill=FAINT))
    alarms = f"{len(one.alarms)} alarms" if one.alarms else "no alarm"
    alt = f"{titled(one.surgeon)}: {one.n} operations, {told}, {alarms}"
    return Drawing(one.surgeon, one.surgeon, alt, svg.drawing(width, height, "".join(drawn), alt, FONT))


def funnel_plot(held: Funnel) -> Drawing:
    """Adjusted shares of the centres against their size, with exact limits."""
    most = max(
        [place.adjusted for place in held.places if math.isfinite(place.adjusted)] + [float(held.limits[:, 3].max())]
    )
    least = float(held.sizes[0])
    frame = Frame((0, float(held.sizes[-1]) * 1.02), (0, min(1.0, most * 1.06)), bottom=280)
    upward = {at: f"{100 * at:g} %" for at in marks_of(0, min(1.0, most * 1.06)) if at <= most * 1.06}
    across = {at: words for at, words in marks_of(0, frame.x[1]).items() if at <= frame.x[1]}
    drawn = [axes(frame, across, upward, ("Patients in the centre", f"{titled(named(held.outcome))}, adjusted"))]
    target = frame.down(held.target)
    drawn.append(line(frame.across(least), target, frame.right, target, INK, 1))
    for column, dash in ((0, ""), (1, ""), (2, "5 4"), (3, "5 4")):
        points = np.array(
            [
                [frame.across(float(n)), frame.down(float(v))]
                for n, v in zip(held.sizes, held.limits[:, column], strict=True)
            ]
        )
        more = {"stroke_dasharray": dash} if dash else {}
        drawn.append(svg.element("path", d=svg.path([points]), fill="none", stroke=FAINT, stroke_width=1.2, **more))
    for place in held.places:
        drawn.append(_place(place.centre, place.n, place.adjusted, place.side, frame))
    legend = svg.text(
        "solid 95 %, dashed 99.8 % of average centres", frame.right, 336, 13, text_anchor="end", fill=FAINT
    )
    outside = [place.centre for place in held.places if place.side != "within"]
    words = (
        f"{len(outside)} of {len(held.places)} centres outside the 95 % limits"
        + (f" ({', '.join(outside[:8])})" if outside else "")
        + f"; about {held.by_chance:.1f} would be by chance."
    )
    picture = svg.drawing(WIDTH, 346, "".join(drawn) + legend, words, FONT)
    return Drawing(held.outcome, titled(named(held.outcome)), words, picture, words)


def _place(name: str, n: int, value: float, side: str, frame: Frame) -> str:
    if not math.isfinite(value):
        return ""
    x, y = frame.across(n), frame.down(value)
    colour = MISS if side == "within" else ALARM
    drawn = svg.element(
        "circle", f"<title>{escape(name)}: {100 * value:.1f} % of {n}</title>", cx=x, cy=y, r=5, fill=colour
    )
    if side != "within":
        anchor = "end" if x > frame.right - 60 else "start"
        drawn += svg.text(name, x + (-9 if anchor == "end" else 9), y + 4, 12, text_anchor=anchor, fill=INK)
    return drawn
