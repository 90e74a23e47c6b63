"""The small drawings inside the board of measures: a value over its norm, and a grade's probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keyhole.report import svg
from keyhole.report.norm import Bar

WIDTH, HEIGHT = 96, 11
BAND, DOT, OUTSIDE = "#cfe0d6", "#1c1c1c", "#b35900"
LIKELIEST, OTHERS = "#2f5a94", ("#dde4ee", "#b3c3da")


def band_svg(bar: Bar) -> str:
    """`bar` as a drawing: the norm as a pale band, the value as a dot with its interval; a diamond lies outside."""
    colour = OUTSIDE if bar.outside else DOT
    middle = HEIGHT / 2
    at, low, high = bar.value * WIDTH, bar.low * WIDTH, bar.high * WIDTH
    shapes = [
        svg.element("line", x1=0, y1=middle, x2=WIDTH, y2=middle, stroke="#d4d4d4", stroke_width=1),
        svg.element(
            "rect", x=bar.band_low * WIDTH, y=1, width=(bar.band_high - bar.band_low) * WIDTH, height=HEIGHT - 2,
            fill=BAND,
        ),
        svg.element("line", x1=low, y1=middle, x2=max(high, low + 0.5), y2=middle, stroke=colour, stroke_width=1.4),
        svg.element("path", d=_diamond(at, middle), fill=colour)
        if bar.outside
        else svg.element("circle", cx=at, cy=middle, r=3, fill=colour),
    ]  # fmt: skip
    return svg.drawing(WIDTH, HEIGHT, "".join(shapes), bar.said)


def _diamond(x: float, y: float, size: float = 4.2) -> str:
    return f"M{x:.1f} {y - size:.1f}L{x + size:.1f} {y:.1f}L{x:.1f} {y + size:.1f}L{x - size:.1f} {y:.1f}Z"


def chances_svg(chances: Sequence[tuple[str, float, str]], said: str) -> str:
    """The probabilities of a grade's classes as one bar of shares."""
    drawn, start = [], 0.0
    for _, share, colour in chances:
        if share >= 0.005:
            drawn.append(svg.element("rect", x=start, y=0, width=share * WIDTH, height=6, fill=colour))
        start += share * WIDTH
    edge = svg.element("rect", x=0.25, y=0.25, width=WIDTH - 0.5, height=5.5, fill="none", stroke="#8a8a8a")
    return svg.drawing(WIDTH, 6, "".join(drawn) + edge, said)


def shaded(chances: Mapping[str, float]) -> tuple[tuple[str, float, str], ...]:
    """Each class with its share and colour: the likeliest dark, the others pale, neighbours apart."""
    likeliest = max(chances, key=lambda name: chances[name], default="")
    return tuple(
        (name, share, LIKELIEST if name == likeliest else OTHERS[n % 2])
        for n, (name, share) in enumerate(chances.items())
    )
