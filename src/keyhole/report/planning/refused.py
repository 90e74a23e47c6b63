"""Where a refused approach is blocked, on slices of the image: its nearest miss and the structure in the way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import Rejected, TriedEntry
from keyhole.geometry import Points, Tube, unit
from keyhole.report import svg
from keyhole.report.slices import Picture, cased, contours, marks, ring, unseen, vertebra_names, words
from keyhole.report.views import (
    Axes,
    View,
    Way,
    across,
    along,
    axes_of,
    instrument,
    label_samples,
    outlines,
    quick_greys,
    section,
    shaft,
    silhouette,
)
from keyhole.report.wording import number, structure
from keyhole.terms import belongs

LONG, SQUARE = (480, 380), 380
"""Pictures along the tube (width, height) and the one across it, px."""

MARK = "#ff5a4f"
"""The structure in the way: filled, hatched and outlined."""

HATCH, STRIPE = 9, 3
"""Distance of the stripes that fill it, and their width, px."""

NOT_FEASIBLE = "NOT FEASIBLE"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The pictures of one refused corridor: what is in the way, in a sentence, and the groups outlined."""

    side: str
    said: str
    pictures: tuple[Picture, ...]
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """`way` is the corridor, `key` the structure, `at` (3,) where it reaches deepest into it, `lack` in words."""

    anatomy: Anatomy
    way: Way
    tried: TriedEntry
    key: str
    at: Points
    lack: str


def refusal(anatomy: Anatomy, refused: Rejected, level: str) -> Refusal | None:
    """Two planes along the refused corridor and one across it where it is blocked; None without such a corridor.

    A refusal for another reason (not labelled, the scan ends, the instrument does not reach) has no corridor to draw.
    """
    if refused.tried is None or refused.structure is None or refused.missing is None:
        return None
    way, key = _way(refused.tried), refused.structure
    part = instrument(way) if refused.tried.blocked == "instrument" else shaft(way)
    at = deepest(anatomy, key, part)
    if at is None or refused.missing.value is None:
        return None
    lack = f"{number(refused.missing.value, 'mm')} mm missing"
    scene = _Scene(anatomy, way, refused.tried, key, at, lack)
    axes = axes_of(anatomy, level)
    upper, lower = anatomy.pair(level)
    first, second = along(way, axes, LONG, (upper.centre + lower.centre) / 2)
    made = [_picture(scene, view, axes) for view in (first, second, across(at, way, axes, SQUARE))]
    what = f"{structure(key)} reaches {number(refused.missing.value, 'mm')} mm into the {refused.tried.blocked}"
    said = f"Nearest miss of all that were searched, {_size(refused.tried)}: {what}."
    groups = tuple(dict.fromkeys(name for picture in made for name in picture.groups))
    return Refusal(refused.side or "", said, tuple(made), groups)


def _way(tried: TriedEntry) -> Way:
    """Without a target the instrument ends where it begins, and is not drawn."""
    return Way(tried.entry, tried.dock, tried.target or tried.dock, tried.radius, tried.instrument_radius)


def _size(tried: TriedEntry) -> str:
    tube = f"a tube of {number(2 * tried.radius, 'mm')} mm outer diameter"
    if tried.target is None:
        return tube
    return f"{tube} with an instrument of {number(2 * tried.instrument_radius, 'mm')} mm"


def deepest(anatomy: Anatomy, key: str, part: Tube) -> Points | None:
    """The voxel of `key` (3,) LPS mm nearest to the axis of `part`; of those alike the first on its way; None if none.

    Voxels whose distance from the axis differs by less than half a voxel are alike.
    """
    labels = anatomy.labels
    pad = (part.radius + 4.0) / labels.grid.spacing
    index = labels.grid.index(np.stack([part.start, part.stop]))
    low = np.clip(np.floor(index.min(axis=0) - pad).astype(int), 0, labels.array.shape)
    high = np.clip(np.ceil(index.max(axis=0) + pad).astype(int) + 1, 0, labels.array.shape)
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    found = np.argwhere(labels.mask(key, box=box)) + low
    if not len(found):
        return None
    points = labels.grid.centres(found)
    gap = part.gap(points)
    alike = np.flatnonzero(gap <= gap.min() + float(labels.grid.spacing.min()) / 2)
    ahead = (points[alike] - part.start) @ (part.stop - part.start)
    return np.asarray(points[alike[int(ahead.argmin())]])


def _picture(scene: _Scene, view: View, axes: Axes) -> Picture:
    drawn = outlines(view, scene.anatomy.labels)
    image = svg.data_uri(svg.png(quick_greys(view, scene.anatomy)), "image/png")
    inside = _inside(scene, view)
    tint = svg.data_uri(svg.png(_tint(inside)), "image/png")
    whole: dict[str, Any] = {"x": 0, "y": 0, "width": view.width, "height": view.height}
    layers = [
        unseen(view),
        svg.element("image", href=image, **whole),
        *contours(drawn),
        svg.element("image", href=tint, **whole),
        *_tube(scene.way, view),
        *vertebra_names(scene.anatomy, view),
        *_named(scene, view, inside),
        *marks(view),
    ]
    caption, alt = _caption(scene, view, axes, inside), _alt(scene, view)
    name = f"refused-{view.title.lower().replace(',', '').replace(' ', '-')}"
    text = svg.drawing(view.width, view.height, "".join(layers), alt)
    return Picture(name, _title(view), caption, alt, text, view.width, view.height, tuple(drawn))


def _inside(scene: _Scene, view: View) -> NDArray[np.bool_]:
    """(rows, columns) of px where the plane meets the structure in the way."""
    labels = scene.anatomy.labels
    wanted = [n for n, key in labels.structures.items() if belongs(key, scene.key)]
    return np.isin(label_samples(labels, view.points(1.0)), wanted)


def _tint(inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Colour and opacity (rows, columns, 4): a veil over the structure, stripes in it, and its edge."""
    rows, columns = np.indices(inside.shape)
    stripes = (rows + columns) % HATCH < STRIPE
    rim = inside & ~_shrunk(inside)
    veil = np.where(rim, 255, np.where(stripes, 190, 64)) * inside
    colour = np.array([int(MARK[k : k + 2], 16) for k in (1, 3, 5)])
    return np.dstack([np.broadcast_to(colour, (*inside.shape, 3)) * inside[..., None], veil]).astype(np.uint8)


def _shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`inside` without the two px along its edge."""
    from scipy.ndimage import binary_erosion  # noqa: PLC0415  (heavy import)

    return np.asarray(binary_erosion(inside, iterations=2, border_value=1))


def _tube(way: Way, view: View) -> list[str]:
    """Tube and instrument, all of it dashed: where the plane cuts them bold, else the outline before or behind it."""
    drawn: list[str] = []
    parts = [(shaft(way), 2.2)]
    if way.target != way.dock:
        parts.insert(0, (instrument(way), 1.4))
    for part, width in parts:
        cut = section(part, view)
        drawn.extend(cased(svg.path(cut), width, "9 6") if cut else [])
        if not cut:
            drawn.extend(cased(svg.path([silhouette(part, view)], closed=True), 0.9, "2 5"))
    return drawn


def _named(scene: _Scene, view: View, inside: NDArray[np.bool_]) -> list[str]:
    """What it is and what is missing, tied to where the plane meets the structure, if it does."""
    said = [words(NOT_FEASIBLE, 10, 22, "start", 15)]
    if not inside.any():
        return said
    rows, columns = np.nonzero(inside)
    aim = view.place(scene.at)
    best = int(((columns + 0.5 - aim[0]) ** 2 + (rows + 0.5 - aim[1]) ** 2).argmin())
    at = np.array([columns[best] + 0.5, rows[best] + 0.5])
    name = f"{structure(scene.key)}: {scene.lack}"
    start = np.array([np.clip(at[0], 16.0, 7.0 * len(name)), 47.0])
    line = cased(svg.path([np.stack([start, at])]), 1.0)
    return [*line, *ring(at, 3.5), *said, words(name, 10, 41, "start", 14)]


def _title(view: View) -> str:
    return "Across the tube where it is blocked" if view.title == "Down the tube" else view.title


def _caption(scene: _Scene, view: View, axes: Axes, inside: NDArray[np.bool_]) -> str:
    """Where the plane lies, and that it passes the structure by if it does."""
    entry, dock = np.array(scene.way.entry), np.array(scene.way.dock)
    axis = unit(dock - entry)
    depth = float((scene.at - entry) @ axis)
    if view.title == "Down the tube":
        return f"{depth:.0f} mm from the skin along the axis, seen from the skin."
    tilt = float(np.degrees(np.arcsin(np.clip(axis @ axes.up, -1, 1))))
    way = "cranial" if tilt > 0 else "caudal"
    lies = "The plane holds the tube's axis"
    lies += f", tilted {abs(tilt):.0f}° {way}." if "axial" in view.title else " and the cranial direction."
    return lies if inside.any() else f"{lies} It passes {structure(scene.key)} by."


def _alt(scene: _Scene, view: View) -> str:
    edges = view.edges
    return (
        f"Not feasible. {_title(view)}: slice of the image with {edges['left']} at the left and {edges['top']} at the "
        f"top, the refused tube of radius {scene.way.radius:g} mm dashed and to scale, and {structure(scene.key)} "
        f"hatched, {scene.lack}."
    )
