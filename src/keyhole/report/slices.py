"""A corridor on slices of the patient's image: six pictures with outlines, the tube to scale, sides and a scale bar."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry, PortalEntry
from keyhole.geometry import Points
from keyhole.report import svg
from keyhole.report.compare import Closest, closest
from keyhole.report.palette import GROUPS, group
from keyhole.report.views import (
    Axes,
    Nearest,
    View,
    Way,
    across,
    along,
    axes_of,
    greys,
    instrument,
    nearest,
    orthogonal,
    outlines,
    section,
    shaft,
    silhouette,
)
from keyhole.report.wording import spread, structure

LARGE, SMALL = (640, 470), 310
"""Pictures along the tube (width, height) and the small ones (square), px; both fill a row of the page."""

FIELD = 120.0
"""Width of the axial, sagittal and coronal pictures, mm."""

_TUBE, _CASING = "#ffffff", "#000000"


@dataclass(frozen=True, slots=True)
class Picture:
    """One drawing: its file name without ending, title, caption, alternative text, size in px, and the groups drawn."""

    name: str
    title: str
    caption: str
    alt: str
    svg: str
    width: int
    height: int
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    anatomy: Anatomy
    candidate: CandidateEntry
    closest: Nearest | None
    said: str  # the closest structure and its clearance, in words


def pictures(anatomy: Anatomy, candidate: CandidateEntry, level: str) -> list[Picture]:
    """The six pictures of `candidate`: two planes along the tube, one down it; axial, sagittal, coronal of the level.

    The plane across the tube passes through the nearest point of the structure with the least clearance.
    """
    axes = axes_of(anatomy, level)
    upper, lower = anatomy.pair(level)
    target = np.array(candidate.target)
    tight = closest(candidate)
    found = nearest(candidate, tight.key, tight.to, anatomy.labels) if tight is not None else None
    scene = _Scene(anatomy, candidate, found, _said(tight))
    views = [*along(candidate, axes, LARGE, (upper.centre + lower.centre) / 2)]
    tightest = found.point if found is not None else np.array(candidate.dock)
    views.append(across(tightest, candidate, axes, SMALL))
    views.extend(orthogonal(target, axes, SMALL, FIELD))
    captions = _captions(scene, axes, tightest)
    return [_picture(scene, view, caption) for view, caption in zip(views, captions, strict=True)]


def _said(tight: Closest | None) -> str:
    """The closest structure and its clearance in words."""
    if tight is None or tight.clearance.value is None:
        return ""
    gap = spread(tight.clearance.value, tight.clearance.sd, tight.clearance.interval, tight.clearance.unit)
    return f"{structure(tight.key)}, {gap} mm from the {tight.to}"


def _captions(scene: _Scene, axes: Axes, tightest: Points) -> tuple[str, ...]:
    entry, dock = np.array(scene.candidate.entry), np.array(scene.candidate.dock)
    axis = (dock - entry) / max(float(np.linalg.norm(dock - entry)), 1e-9)
    tilt = abs(float(np.degrees(np.arcsin(np.clip(axis @ axes.up, -1, 1)))))
    depth = float((tightest - entry) @ axis)
    way = "cranial" if axis @ axes.up > 0 else "caudal"
    where = f"Across the axis {depth:.0f} mm from the skin, seen from the skin."
    return (
        f"The plane holds the tube's axis; it is tilted {tilt:.0f}° {way} from the level's axial plane.",
        "The plane holds the tube's axis and the cranial direction.",
        f"{where} Closest: {scene.said}." if scene.said else where,
        "Through the target, in the level's own plane.",
        "Through the target.",
        "Through the target, seen from the front.",
    )


def _picture(scene: _Scene, view: View, caption: str) -> Picture:
    drawn = outlines(view, scene.anatomy.labels)
    image = svg.data_uri(svg.png(greys(view, scene.anatomy)), "image/png")
    layers = [
        unseen(view),
        svg.element("image", href=image, x=0, y=0, width=view.width, height=view.height),
        *contours(drawn),
        *_corridor(scene.candidate, view),
        *_closest(scene, view),
        *vertebra_names(scene.anatomy, view),
        *marks(view),
    ]
    groups = tuple(kind.name for kind in GROUPS if kind.name in drawn)
    alt = _alt(scene.candidate, view, groups)
    name = view.title.lower().replace(",", "").replace(" ", "-")
    whole = svg.drawing(view.width, view.height, "".join(layers), alt)
    return Picture(name, view.title, caption, alt, whole, view.width, view.height, groups)


def _alt(candidate: CandidateEntry, view: View, groups: tuple[str, ...]) -> str:
    edges = view.edges
    seen = ", ".join(group(name).title.lower() for name in groups) or "no labelled structure"
    return (
        f"{view.title}: slice of the image with {edges['left']} at the left and {edges['top']} at the top of the "
        f"picture, outlines of {seen}, and the tube of radius {candidate.radius:g} mm to scale."
    )


def unseen(view: View) -> str:
    """The ground where the scan ends: hatched, so that unseen space is never taken for dark tissue."""
    return _hatched(view.width, view.height)


@cache
def _hatched(width: int, height: int) -> str:
    hatch = [np.array([[x, 0.0], [x - height, float(height)]]) for x in range(0, width + height, 14)]
    ground = svg.element("rect", fill="#ececec", width=width, height=height)
    return ground + svg.element("path", d=svg.path(hatch), stroke="#c8c8c8", stroke_width=1, fill="none")


def contours(drawn: Mapping[str, list[Points]]) -> list[str]:
    """The outlines of each group in its colour."""
    lines = []
    for kind in reversed(GROUPS):
        if kind.name in drawn:
            faint = kind.name in {"muscle", "organ", "canal"}
            lines.append(
                svg.element(
                    "path",
                    d=svg.path(drawn[kind.name]),
                    fill="none",
                    stroke=kind.line,
                    stroke_width=1.0 if faint else 1.7,
                    stroke_opacity=0.8 if faint else 1,
                    stroke_linejoin="round",
                )
            )
    return lines


def cased(data: str, width: float, dashes: str = "") -> list[str]:
    """A white line with a dark casing: legible on bone and on air."""
    common = {"d": data, "fill": "none", "stroke_linejoin": "round"} | ({"stroke_dasharray": dashes} if dashes else {})
    return [
        svg.element("path", stroke=_CASING, stroke_width=width + 2.2, stroke_opacity=0.75, **common),
        svg.element("path", stroke=_TUBE, stroke_width=width, **common),
    ]


def _corridor(candidate: CandidateEntry, view: View) -> list[str]:
    """The tube and its instrument: solid where the plane cuts them, dashed where they pass before or behind it."""
    drawn: list[str] = []
    for tube, width in ((instrument(candidate), 1.2), (shaft(candidate), 2.0)):
        cut = section(tube, view)
        holds_axis = float(np.abs((np.stack([tube.start, tube.stop]) - view.centre) @ view.normal).max()) < 0.1
        if not holds_axis:
            drawn.extend(cased(svg.path([silhouette(tube, view)], closed=True), 0.9, "5 4"))
        if cut:
            drawn.extend(cased(svg.path(cut), width))
    drawn.extend(part for portal in candidate.portals for part in _portal(portal, view))
    entry, target = view.place(np.array([candidate.entry, candidate.target]))
    ticks = [np.array([[-5.0, 0.0], [5.0, 0.0]]), np.array([[0.0, -5.0], [0.0, 5.0]])]
    return [*drawn, *cased(svg.path([line + target for line in ticks]), 1.4), *ring(entry, 3.0)]


def _portal(portal: PortalEntry, view: View) -> list[str]:
    """A further tube: its outline dropped onto the plane, what the plane cuts of it, and its name."""
    tube = shaft(Way(portal.entry, portal.dock, portal.dock, portal.radius, portal.radius))
    cut = section(tube, view)
    drawn = cased(svg.path([silhouette(tube, view)], closed=True), 0.9, "5 4")
    x, y = view.place(np.array(portal.entry))
    inside = 40 < x < view.width - 40 and 20 < y < view.height - 20
    named = [words(portal.role, float(x), float(y) - 10, "middle", 13)] if inside else []
    return [*drawn, *(cased(svg.path(cut), 2.0) if cut else []), *ring(np.array([x, y]), 3.0), *named]


def ring(at: Points, radius: float) -> list[str]:
    """A white ring with a dark casing around `at` (2,) px."""
    return [
        svg.element("circle", cx=at[0], cy=at[1], r=radius, fill="none", stroke=_CASING, stroke_width=3),
        svg.element("circle", cx=at[0], cy=at[1], r=radius, fill="none", stroke=_TUBE, stroke_width=1.4),
    ]


def _closest(scene: _Scene, view: View) -> list[str]:
    """A line from the wall to the nearest point of the closest structure, in planes that pass within 1.5 mm of it."""
    found = scene.closest
    if found is None or abs(float((found.point - view.centre) @ view.normal)) > 1.5:
        return []
    at, axis = view.place(np.stack([found.point, found.on_axis]))
    length = float(np.linalg.norm(at - axis))
    drawn = ring(at, 4.0)
    beside = abs(float((found.on_axis - view.centre) @ view.normal)) < 1.5
    if beside and length > found.radius * view.scale:
        wall = axis + (at - axis) * found.radius * view.scale / length
        drawn = [*cased(svg.path([np.stack([wall, at])]), 1.6), *drawn]
    return drawn


def words(said: str, x: float, y: float, anchor: str, size: float = 15, dark: bool = False) -> str:
    """White words with a dark edge, legible on any grey; `dark` the other way round."""
    ink, edge = ("#1c1c1c", "#ffffff") if dark else ("#ffffff", "#000000")
    return svg.text(
        said,
        x,
        y,
        size,
        fill=ink,
        stroke=edge,
        stroke_width=3,
        stroke_linejoin="round",
        paint_order="stroke",
        text_anchor=anchor,
        font_weight=600,
    )


def vertebra_names(anatomy: Anatomy, view: View) -> list[str]:
    """The names of the vertebrae whose bodies the plane meets."""
    named = []
    for name, vertebra in sorted(anatomy.vertebrae.items()):
        x, y = view.place(vertebra.centre)
        beside = abs(float((vertebra.centre - view.centre) @ view.normal))
        if beside < 9 and 24 < x < view.width - 24 and 30 < y < view.height - 30:
            named.append(words(name, float(x), float(y) + 5, "middle", 14))
    return named


def marks(view: View, dark: bool = False) -> list[str]:
    """The letters of the patient's directions at the four edges, and a scale bar; `dark` for a white ground."""
    width, height, edges = view.width, view.height, view.edges
    length = next((mm for mm in (50, 20, 10, 5) if mm * view.scale < 0.3 * width), 5)
    left, low, right = 14.0, height - 14.0, 14.0 + length * view.scale
    bar = svg.path([np.array([[left, low - 5], [left, low], [right, low], [right, low - 5]])])
    ink = [svg.element("path", d=bar, fill="none", stroke="#1c1c1c", stroke_width=1.8)]
    return [
        words(edges["left"], 8, height / 2 + 6, "start", 17, dark),
        words(edges["right"], width - 8, height / 2 + 6, "end", 17, dark),
        words(edges["top"], width / 2, 21, "middle", 17, dark),
        words(edges["bottom"], width / 2, height - 9, "middle", 17, dark),
        *(ink if dark else cased(bar, 1.8)),
        words(f"{length} mm", left + 2, low - 11, "start", 14, dark),
    ]
