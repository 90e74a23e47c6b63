"""Labels in the margins of a picture, each tied to its place by a thin line, none over another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keyhole.report import svg

SIZE = 13.5
"""px of the labels' letters."""

LINE = 16.5
"""px from one label to the next."""

_LETTER = 0.58  # mean width of a letter, in units of its size
_MARGIN = 6.0
_GAP = 12.0  # px between words of the two columns at one height
_CLASH = 1e4  # cost of words over words, in px of movement
_TOP, _BOTTOM = 34.0, 40.0  # px kept free for the letters above, and for scale bar and letter below
_MIDDLE = 17.0  # px kept free above and below the letter at the middle of either side


@dataclass(frozen=True, slots=True)
class Callout:
    """What is written of the place (`x`, `y`), px, in `colour`."""

    words: str
    x: float
    y: float
    colour: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A callout with the end of its line, px; `anchor` is "start" at the left margin and "end" at the right one."""

    callout: Callout
    x: float
    y: float
    anchor: str


def arranged(callouts: Sequence[Callout], width: float, height: float) -> list[Placed]:
    """Every callout at the margin that is nearer, evened out between both, in the order of their heights.

    Words never lie over one another, nor over the letters of the patient's directions.
    """
    room = _slots(height)
    order = sorted(callouts, key=lambda one: (one.x, one.y, one.words))
    left = [one for one in order if one.x < width / 2]
    right = [one for one in order if one.x >= width / 2]
    while len(left) > max(len(right) + 1, 1) and (len(left) > len(room) or left[-1].x > width * 0.42):
        right.insert(0, left.pop())
    while len(right) > max(len(left) + 1, 1) and (len(right) > len(room) or right[0].x < width * 0.58):
        left.append(right.pop(0))
    one_side = _column(left[: len(room)], room, _MARGIN, "start", {})
    taken = {one.y: width - 2 * _MARGIN - _GAP - _length(one.callout.words) for one in one_side}
    return [*one_side, *_column(right[: len(room)], room, width - _MARGIN, "end", taken)]


def _slots(height: float) -> list[float]:
    """Baselines at which a label may stand, from the top."""
    count = int((height - _TOP - _BOTTOM) // LINE) + 1
    found = [_TOP + n * LINE for n in range(count)]
    return [y for y in found if not abs(y - SIZE / 2 - height / 2) < _MIDDLE]


def _length(words: str) -> float:
    """Width of `words`, px, about."""
    return len(words) * SIZE * _LETTER


def _column(
    members: Sequence[Callout], room: Sequence[float], x: float, anchor: str, free: Mapping[float, float]
) -> list[Placed]:
    """`members` at the slots of `room` that move them least in all, their order by height kept.

    `free` is the width, px, that the other column leaves at a slot.
    """
    order = sorted(members, key=lambda one: (one.y, one.x, one.words))
    infinity = float("inf")
    best = [[0.0] * (len(room) + 1)] + [[infinity] * (len(room) + 1) for _ in order]
    for n, one in enumerate(order, start=1):
        for k, y in enumerate(room, start=1):
            over = _CLASH if _length(one.words) > free.get(y, infinity) else 0.0
            best[n][k] = min(best[n][k - 1], best[n - 1][k - 1] + abs(y - SIZE / 3 - one.y) + over)
    placed, k = [], len(room)
    for n in range(len(order), 0, -1):
        while best[n][k - 1] == best[n][k]:
            k -= 1
        k -= 1
        placed.append(Placed(order[n - 1], x, room[k], anchor))
    return placed[::-1]


def drawn(placed: Sequence[Placed]) -> list[str]:
    """The lines, then the words over them, with a dark edge."""
    lines = []
    for one in placed:
        x, y = _edge(one)
        ends: dict[str, Any] = {"x1": x, "y1": y, "x2": one.callout.x, "y2": one.callout.y}
        lines += [
            svg.element("line", stroke="#000000", stroke_opacity=0.55, stroke_width=2.4, **ends),
            svg.element("line", stroke=one.callout.colour, stroke_width=0.9, stroke_opacity=0.9, **ends),
        ]
    return [*lines, *(_words(one) for one in placed)]


def _edge(one: Placed) -> tuple[float, float]:
    """The point of the words' box nearest to what they speak of."""
    length = _length(one.callout.words) + 3
    low, high = (one.x, one.x + length) if one.anchor == "start" else (one.x - length, one.x)
    top, bottom = one.y - 0.75 * SIZE, one.y + 0.2 * SIZE
    x = min(max(one.callout.x, low), high)
    aside = one.callout.x < low or one.callout.x > high
    return x, one.y - SIZE / 3 if aside else min(max(one.callout.y, top), bottom)


def _words(one: Placed) -> str:
    return svg.text(
        one.callout.words, one.x, one.y, SIZE,
        fill=one.callout.colour, stroke="#000000", stroke_width=2.4, stroke_linejoin="round", paint_order="stroke",
        text_anchor=one.anchor, font_weight=600,
    )  # fmt: skip
