"""Ground of the report's drawings: a frame with axes, rows with intervals. Narrow, so that a phone can show them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from keyhole.report import svg
from keyhole.report.charts import ticks
from keyhole.report.palette import OPEN_COLOUR

INK, FAINT, RULE, SOFT = "#1c1c1c", "#5c5c5c", "#d4d4d4", "#eeeeec"
MISS, OPEN, ALARM = "#004488", OPEN_COLOUR, "#b3261e"
WIDTH = 480
FONT = "system-ui, sans-serif"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A drawing with its title, what it shows in words, and a line below it."""

    name: str
    title: str
    alt: str
    svg: str
    foot: str = ""


@dataclass(frozen=True, slots=True)
class Frame:
    """A plotting area in px and the ranges of its axes."""

    x: tuple[float, float]
    y: tuple[float, float]
    left: float = 62
    right: float = 462
    top: float = 14
    bottom: float = 290

    def across(self, value: float) -> float:
        """Place of `value`, kept within the area."""
        share = (value - self.x[0]) / (self.x[1] - self.x[0])
        return self.left + min(max(share, 0.0), 1.0) * (self.right - self.left)

    def down(self, value: float) -> float:
        """Height of `value`, kept within the area."""
        share = (value - self.y[0]) / (self.y[1] - self.y[0])
        return self.bottom - min(max(share, 0.0), 1.0) * (self.bottom - self.top)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: str = "") -> str:
    """A straight line."""
    more = {"stroke_dasharray": dash} if dash else {}
    return svg.element("line", x1=x1, y1=y1, x2=x2, y2=y2, stroke=colour, stroke_width=width, **more)


def axes(frame: Frame, across: Mapping[float, str], upward: Mapping[float, str], titles: tuple[str, str]) -> str:
    """Rules and words of both axes."""
    drawn = []
    for at, words in upward.items():
        y = frame.down(at)
        drawn.append(line(frame.left, y, frame.right, y, SOFT))
        drawn.append(svg.text(words, frame.left - 8, y + 5, 13, text_anchor="end", fill=FAINT))
    for at, words in across.items():
        x = frame.across(at)
        drawn.append(line(x, frame.bottom, x, frame.bottom + 5, FAINT))
        drawn.append(svg.text(words, x, frame.bottom + 19, 13, text_anchor="middle", fill=FAINT))
    drawn.append(line(frame.left, frame.bottom, frame.right, frame.bottom, FAINT, 1.2))
    middle = (frame.left + frame.right) / 2
    drawn.append(svg.text(titles[0], middle, frame.bottom + 38, 13, text_anchor="middle", fill=INK))
    height = (frame.top + frame.bottom) / 2
    turned = f"rotate(-90 15 {svg.short(height)})"
    drawn.append(svg.text(titles[1], 15, height, 13, text_anchor="middle", fill=INK, transform=turned))
    return "".join(drawn)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a forest: a heading alone, or a value with its interval and the words at the right."""

    label: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    words: str = ""
    is_main: bool = False
    is_heading: bool = False


def forest(rows: Sequence[Row], axis: str, sides: tuple[str, str]) -> str:
    """Rows with their intervals around the line of no difference; the label and the figures stand above each."""
    ends = [end for row in rows for end in (row.value, row.low, row.high) if math.isfinite(end)]
    marks = ticks(min([0.0, *ends]), max([0.0, *ends]))
    frame = Frame((marks[0], marks[-1]), (0, 1), left=14, right=WIDTH - 14)
    drawn, y, ground = [], 34.0, []
    for row in rows:
        if row.is_heading:
            drawn.append(svg.text(row.label, 14, y + 10, 14, fill=INK, font_weight=600))
            y += 24
            continue
        drawn.append(_row(row, frame, y))
        y += 40
    bottom = y + 2
    for at in marks:
        ground.append(line(frame.across(at), 26, frame.across(at), bottom, SOFT))
        ground.append(svg.text(_tick(at), frame.across(at), bottom + 18, 13, text_anchor="middle", fill=FAINT))
    ground.append(line(frame.across(0), 26, frame.across(0), bottom, INK, 1.2))
    heads = svg.text(sides[0], 14, 14, 13, fill=FAINT)
    heads += svg.text(sides[1], WIDTH - 14, 14, 13, fill=FAINT, text_anchor="end")
    foot = svg.text(axis, WIDTH / 2, bottom + 38, 13, text_anchor="middle", fill=INK)
    height = bottom + 48
    return svg.drawing(WIDTH, height, "".join(ground) + heads + "".join(drawn) + foot, _said(rows), FONT)


def _row(row: Row, frame: Frame, y: float) -> str:
    colour, weight = (MISS, 600) if row.is_main else (INK, 400)
    drawn = _plate(14, y, row.label) + svg.text(row.label, 14, y + 10, 13.5, fill=INK, font_weight=weight)
    drawn += _plate(WIDTH - 14 - _width(row.words), y, row.words)
    drawn += svg.text(row.words, WIDTH - 14, y + 10, 13.5, fill=INK, font_weight=weight, text_anchor="end")
    if not math.isfinite(row.value):
        return drawn
    at, size = y + 23, 5.0 if row.is_main else 4.0
    if math.isfinite(row.low) and math.isfinite(row.high):
        drawn += line(frame.across(row.low), at, frame.across(row.high), at, colour, 2.4 if row.is_main else 1.6)
    x = frame.across(row.value)
    return drawn + svg.element("rect", x=x - size, y=at - size, width=2 * size, height=2 * size, fill=colour)


def _width(words: str) -> float:
    """About the width of a line of words, px."""
    return 7.4 * len(words)


def _plate(x: float, y: float, words: str) -> str:
    """A white ground under words, so that no rule runs through them."""
    return svg.element("rect", x=x - 3, y=y - 3, width=_width(words) + 6, height=18, fill="#ffffff")


def _tick(at: float) -> str:
    return f"{at:g}".replace("-", "−")


def _said(rows: Sequence[Row]) -> str:
    return "; ".join(f"{row.label} {row.words}" for row in rows if not row.is_heading)


def key(entries: Sequence[tuple[str, str]], x: float, y: float, apart: float = 150) -> str:
    """A legend in one line: swatch and name each."""
    drawn = ""
    for n, (words, colour) in enumerate(entries):
        at = x + apart * n
        drawn += svg.element("rect", x=at, y=y - 10, width=12, height=12, fill=colour)
        drawn += svg.text(words, at + 18, y, 13, fill=INK)
    return drawn


def marks_of(low: float, high: float) -> dict[float, str]:
    """Round places on an axis with their words."""
    return {at: _tick(at) for at in ticks(low, high)}
