"""The lines and outlines along which measures were taken, on slices of the image they came from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.casefile import DrawnEntry, FindingEntry
from keyhole.geometry import Points
from keyhole.report import callout, svg
from keyhole.report.norm import interval
from keyhole.report.planes import Panel, extra_panel, kambin_panels, level_panels, vertebra_panels
from keyhole.report.roster import kind, place
from keyhole.report.slices import Picture, contours, marks, unseen
from keyhole.report.views import outlines, quick_greys
from keyhole.report.wording import listed, number, with_unit
from keyhole.terms import rank

NEAR = 4.0
"""Greatest distance of any point of a shape from the plane on which it is painted, mm; dashed beyond half of it."""

MOST_EXTRA = 4
"""Planes of their own, at most, per level or vertebra, for shapes that lie in none of its pictures."""

COLOURS = ("#ffd92f", "#6cc1f0", "#ff9d5c", "#7fe0b0", "#f29ccb", "#c3b1ff", "#e8e8e8")
_OUTLINED = ("herniation", "sac", "root")


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of one level or vertebra, and the shapes that no picture shows.

    `is_first`: it belongs to what is asked or indicated, so it is shown before the others, and on paper.
    """

    name: str
    title: str
    flagged: bool
    is_first: bool
    pictures: tuple[Picture, ...]
    missing: str


@dataclass(frozen=True, slots=True, eq=False)
class _Shown:
    """One measure to be painted: its shapes (n, 3) LPS mm, its finding, its colour."""

    entry: DrawnEntry
    finding: FindingEntry
    lines: tuple[Points, ...]

    @property
    def points(self) -> Points:
        return np.concatenate(self.lines)


def galleries(
    anatomy: Anatomy,
    drawings: Sequence[DrawnEntry],
    findings: Sequence[FindingEntry],
    flagged: frozenset[str],
    asked: str = "",
) -> tuple[Gallery, ...]:
    """Pictures of every lumbar level and vertebra whose measures have shapes, cranial to caudal, levels first.

    `flagged` levels are indicated, `asked` is the level of the plan.
    """
    known = {(f.name, f.level, f.side): f for f in findings if f.value is not None}
    shown = [
        _Shown(entry, known[entry.name, entry.level, entry.side], tuple(np.array(s.points) for s in entry.shapes))
        for entry in drawings
        if (entry.name, entry.level, entry.side) in known and entry.shapes
    ]
    made = []
    for which in ("level", "vertebra"):
        members = [one for one in shown if kind(one.entry.name, one.entry.level) == which]
        for name in _ordered({str(one.entry.level) for one in members}):
            here = [one for one in members if one.entry.level == name]
            panels = _panels(anatomy, which, name, here)
            if panels:
                drawn, missing = _gallery(anatomy, name, here, panels)
                first = any(name == level or name in level.split("/") for level in (*flagged, asked))
                made.append(Gallery(name.replace("/", "-"), name, name in flagged, first, drawn, missing))
    return tuple(made)


def _ordered(names: set[str]) -> list[str]:
    """Lumbar levels and vertebrae, cranial to caudal."""
    return sorted((n for n in names if n[0] in "LS"), key=lambda name: rank(name.partition("/")[0]))


def _panels(anatomy: Anatomy, which: str, name: str, here: Sequence[_Shown]) -> list[Panel]:
    """The planes in which pictures of `name` are taken; none where its vertebrae are not in view."""
    if any(part not in anatomy.vertebrae for part in name.split("/")):
        return []
    if which == "vertebra":
        return vertebra_panels(anatomy.vertebrae[name], [one.points for one in here if "pedicle" in one.entry.name])
    pair: tuple[Vertebra, Vertebra] = anatomy.pair(name)
    holes, triangles = ({side: _of(here, side, what) for side in ("left", "right")} for what in ("foramen", "Kambin "))
    panels = level_panels(anatomy, pair, holes)
    return [*panels, *kambin_panels(panels[0], triangles, name)]


def _of(here: Sequence[_Shown], side: str, start: str) -> list[Points]:
    """The points of the measures of one side whose names begin with `start`, but for cannulas."""
    return [
        one.points
        for one in here
        if one.entry.side == side and one.entry.name.startswith(start) and "cannula" not in one.entry.name
    ]


def _gallery(
    anatomy: Anatomy, name: str, here: Sequence[_Shown], panels: list[Panel]
) -> tuple[tuple[Picture, ...], str]:
    """The pictures, and in words the shapes that no picture shows."""
    spread: dict[int, list[_Shown]] = {n: [] for n in range(len(panels))}
    left: list[_Shown] = []
    for one in sorted(here, key=lambda one: place(one.entry.name)[::2]):
        best = _nearest(one, panels)
        (left if best is None else spread[best]).append(one)
    for _ in range(MOST_EXTRA):
        if not left:
            break
        panel = extra_panel(panels[0], left[0].points, _place_words(left[0].entry), name)
        inside = [one for one in left if _fits(one, panel)]
        if not inside:
            break
        panels.append(panel)
        spread[len(panels) - 1] = inside
        left = [one for one in left if one not in inside]
    drawn = [
        _picture(anatomy, replace(panel, number=n), name, spread[n])
        for n, panel in enumerate(panels)
        if spread[n] or panel.always
    ]
    return tuple(drawn), listed([_place_words(one.entry) for one in left])


def _place_words(entry: DrawnEntry) -> str:
    return " ".join(filter(None, (entry.side, entry.name)))


def _nearest(one: _Shown, panels: Sequence[Panel]) -> int | None:
    """The panel that holds the whole shape: one made for it, else the nearest; of two as near, the first."""
    fitting = [
        (not _place_words(one.entry).startswith(panel.prefers or ("\n",)), round(_distance(one, panel), 1), n)
        for n, panel in enumerate(panels)
        if _fits(one, panel)
    ]
    return min(fitting)[2] if fitting else None


def _distance(one: _Shown, panel: Panel) -> float:
    view = panel.view
    return float(np.abs((one.points - view.centre) @ view.normal).max())


def _fits(one: _Shown, panel: Panel) -> bool:
    flat = panel.view.place(one.points)
    held = bool((flat > 4).all() and (flat < (panel.view.width - 4, panel.view.height - 4)).all())
    return held and _distance(one, panel) <= NEAR and not one.entry.name.endswith(panel.shuns or ("\n",))


def _picture(anatomy: Anatomy, panel: Panel, name: str, shown: Sequence[_Shown]) -> Picture:
    view = panel.view
    image = svg.data_uri(svg.png(quick_greys(view, anatomy)), "image/png")
    seen = outlines(view, anatomy.labels, 3.0, only=_OUTLINED)
    names = list(dict.fromkeys(one.entry.name for one in shown))
    colours = {name: COLOURS[n % len(COLOURS)] for n, name in enumerate(names)}
    layers = [
        unseen(view),
        svg.element("image", href=image, x=0, y=0, width=view.width, height=view.height),
        svg.element("g", "".join(contours(seen)), opacity=0.55),
        *(part for one in shown for part in _shape(one, panel, colours[one.entry.name])),
        *callout.drawn(callout.arranged(_callouts(shown, panel, colours), view.width, view.height)),
        *marks(view),
    ]
    said = "; ".join(f"{_place_words(one.entry)} {_value(one.finding, True)}" for one in shown) or "no measure"
    alt = (
        f"{name}, {panel.title.lower()}: slice with {view.edges['left']} at the left and {view.edges['top']} at the "
        f"top of the picture, painted with {said}."
    )
    key = f"measured-{name.replace('/', '-')}-{panel.number}"
    whole = svg.drawing(view.width, view.height, "".join(layers), alt)
    return Picture(key, panel.title, panel.caption, alt, whole, view.width, view.height, tuple(seen))


def _shape(one: _Shown, panel: Panel, colour: str) -> Iterable[str]:
    """The lines of a measure, cased in black; dashed where they lie off the plane."""
    dashes = {"stroke_dasharray": "5 3"} if _distance(one, panel) > NEAR / 2 else {}
    for line, shape in zip(one.lines, one.entry.shapes, strict=True):
        flat = panel.view.place(line)
        common = {
            "d": svg.path([_thin(flat, shape.is_closed)], closed=shape.is_closed),
            "stroke_linejoin": "round",
            "stroke_linecap": "round",
        }
        fill = {"fill": colour, "fill_opacity": 0.06} if shape.is_closed else {"fill": "none"}
        yield svg.element("path", stroke="#000000", stroke_width=3.6, stroke_opacity=0.55, fill="none", **common)
        yield svg.element("path", stroke=colour, stroke_width=1.7, **fill, **common, **dashes)
        if not shape.is_closed:
            yield from (svg.element("circle", cx=x, cy=y, r=2.1, fill=colour) for x, y in (flat[0], flat[-1]))


def _thin(flat: Points, is_closed: bool) -> Points:
    """`flat` (n, 2) px without points that lie within a third of a px of the line through the others."""
    if len(flat) < 12:
        return flat
    if not is_closed:
        return simplified(flat, 0.3)
    return simplified(np.concatenate([flat, flat[:1]]), 0.3)[:-1]


def simplified(line: Points, tolerance: float) -> Points:
    """`line` (n, 2) with its ends and as few points between as keep every one left out within `tolerance` of it.

    Douglas and Peucker's way: the farthest from a chord is kept until none is farther than `tolerance`. Written out
    here because the same in scikit-image brings half a second of imports.
    """
    keep = np.zeros(len(line), dtype=np.bool_)
    keep[[0, -1]] = True
    open_ = [(0, len(line) - 1)]
    while open_:
        first, last = open_.pop()
        if last - first < 2:
            continue
        away, chord = line[first + 1 : last] - line[first], line[last] - line[first]
        share = np.clip(away @ chord / max(float(chord @ chord), 1e-12), 0.0, 1.0)
        gap = np.linalg.norm(away - share[:, None] * chord, axis=1)
        farthest = int(gap.argmax())
        if gap[farthest] > tolerance:
            middle = first + 1 + farthest
            keep[middle] = True
            open_ += [(first, middle), (middle, last)]
    return line[keep]


def _callouts(shown: Sequence[_Shown], panel: Panel, colours: dict[str, str]) -> list[callout.Callout]:
    """What is written of each measure, at the point of its shape that lies farthest to the side of its label."""
    made = []
    for one in shown:
        flat = panel.view.place(one.lines[0])
        if one.entry.shapes[0].is_closed:
            right = flat[:, 0].mean() >= panel.view.width / 2
            at = flat[int(flat[:, 0].argmax() if right else flat[:, 0].argmin())]
        else:
            at = (flat[0] + flat[-1]) / 2
        words = f"{place(one.entry.name).short or one.entry.name} {_value(one.finding, False)}"
        made.append(callout.Callout(words, float(at[0]), float(at[1]), colours[one.entry.name]))
    return made


def _value(found: FindingEntry, with_interval: bool) -> str:
    if found.value is None:
        return ""
    ends = interval(found) if with_interval else None
    span = f" ({number(ends[0], found.unit)} to {number(ends[1], found.unit)})" if ends else ""
    return with_unit(number(found.value, found.unit) + span, found.unit)
