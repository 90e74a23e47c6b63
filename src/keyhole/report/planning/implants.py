"""Cages and screws on slices of the image, in planes that hold them, to scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import PlanRecord, ScrewEntry
from keyhole.casefile.realign import CageEntry, FusionEntry, MotionEntry
from keyhole.geometry import Points, Tube, unit
from keyhole.report import svg
from keyhole.report.compare import title
from keyhole.report.palette import group
from keyhole.report.slices import Picture, cased, contours, marks, unseen, vertebra_names
from keyhole.report.views import (
    Axes,
    View,
    Way,
    along,
    axes_of,
    contour_lines,
    label_samples,
    outlines,
    quick_greys,
    section,
    silhouette,
)
from keyhole.report.wording import number
from keyhole.terms import belongs

SIZE = (300, 260)
"""Width and height of a picture, px."""

FIELD = 90.0
"""Width that the pictures of a cage show, mm."""

FILL = "#ffd23f"
"""Cages and screws; their edges are white with a dark casing."""

STEP = 2.0


def cages(plan: PlanRecord, anatomy: Anatomy) -> tuple[Picture, ...]:
    """Two pictures of each cage of the plan: in its own axial plane, and upright through its middle."""
    if plan.fusion is None:
        return ()
    axes = axes_of(anatomy, plan.level)
    return tuple(one for entry in plan.fusion.entries for one in _cage(entry, anatomy, axes))


def _cage(entry: FusionEntry, anatomy: Anatomy, axes: Axes) -> tuple[Picture, Picture]:
    cage, scale = entry.cage, SIZE[0] / FIELD
    centre, up = np.array(cage.centre), unit(np.array(cage.up))
    right = unit(axes.left - (axes.left @ up) * up)
    name = title(entry.approach) if entry.approach else "no corridor"
    shift = 12 * axes.posterior
    flat = View("Axial", centre + shift - (shift @ up) * up, right, np.cross(up, right), *SIZE, scale, axes)
    upright = View("Sagittal", centre + shift - (shift @ axes.left) * axes.left, axes.posterior, -axes.up, *SIZE, scale,
                   axes)  # fmt: skip
    said = f"{number(cage.height, 'mm')} mm high, {number(cage.length, 'mm')} by {number(cage.width, 'mm')} mm"
    return (
        _drawn_cage(entry, flat, anatomy, (f"{name}: cage from above", f"In the plane of the cage, {said}.")),
        _drawn_cage(
            entry, upright, anatomy,
            (f"{name}: cage from the side", "Through its middle. Dashed: the vertebrae after realignment."),
        ),
    )  # fmt: skip


def _drawn_cage(entry: FusionEntry, view: View, anatomy: Anatomy, said: tuple[str, str]) -> Picture:
    field = _wedge(entry.cage, view.points(STEP))
    lines = contour_lines(field, 0.0, STEP) if field.min() < 0 < field.max() else []
    moved = [] if view.title == "Axial" else _moved(entry.motions, view, anatomy)
    way = svg.path(lines, closed=True)
    drawn = [*moved, svg.element("path", d=way, fill=FILL, fill_opacity=0.55), *cased(way, 1.8)] if lines else moved
    key = f"cage-{entry.approach or 'none'}-{view.title.lower()}"
    return _picture(anatomy, view, drawn, (key, *said), f"the cage of {entry.level} filled, to scale")


def _wedge(cage: CageEntry, points: Points) -> Points:
    """How far `points` (..., 3) lie outside the cage, about, mm; negative inside."""
    away = points - np.array(cage.centre)
    height = cage.height / 2 + (away @ np.array(cage.rise)) * np.tan(np.deg2rad(cage.angle / 2))
    sides = (
        np.abs(away @ np.array(cage.heading)) - cage.length / 2,
        np.abs(away @ np.array(cage.across)) - cage.width / 2,
        np.abs(away @ np.array(cage.up)) - height,
    )
    return np.asarray(np.max(sides, axis=0))


def _moved(motions: Sequence[MotionEntry], view: View, anatomy: Anatomy) -> list[str]:
    """The outlines of the vertebrae after realignment, dashed; nothing for one that does not move."""
    drawn: list[str] = []
    points = view.points(STEP)
    for motion in motions:
        before = np.linalg.inv(np.array(motion.matrix))
        if np.allclose(before, np.eye(4), atol=1e-6):
            continue
        keys = [n for n, key in anatomy.labels.structures.items() if belongs(key, f"vertebra/{motion.vertebra}")]
        mask = np.isin(label_samples(anatomy.labels, points @ before[:3, :3].T + before[:3, 3]), keys)
        if mask.any():
            lines = contour_lines(_smooth(mask), 0.5, STEP)
            drawn.extend(cased(svg.path(lines), 1.2, "4 4") if lines else [])
    return drawn


def _smooth(mask: np.ndarray) -> Points:
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415  (heavy import)

    return np.asarray(gaussian_filter(mask.astype(np.float64), 0.8))


def screws(plan: PlanRecord, anatomy: Anatomy) -> tuple[Picture, ...]:
    """Two pictures of each screw of the plan, in planes that hold its axis: nearest axial, and upright."""
    if plan.screws is None:
        return ()
    axes = axes_of(anatomy, plan.level)
    return tuple(one for screw in plan.screws.screws for one in _screw(screw, plan.screws.screws, anatomy, axes))


def _screw(screw: ScrewEntry, others: Sequence[ScrewEntry], anatomy: Anatomy, axes: Axes) -> list[Picture]:
    way = Way(screw.head, screw.tip, screw.tip, screw.radius, screw.radius)
    made = []
    for view, plane in zip(along(way, axes, SIZE, np.array(screw.tip)), ("nearest axial", "upright"), strict=True):
        drawn = [part for other in others for part in _shaft(other, view, is_own=other is screw)]
        name = f"{screw.vertebra} {screw.side}"
        key = f"screw-{screw.vertebra}-{screw.side}-{plane.replace(' ', '-')}"
        width, length = (number(q.value or 0.0, "mm") for q in (screw.diameter, screw.length))
        said = (key, f"{name}, {plane}", f"{width} by {length} mm; the plane holds its axis.")
        alt = f"the screw of {name}, {width} by {length} mm, filled, to scale"
        made.append(_picture(anatomy, view, drawn, said, alt))
    return made


def _shaft(screw: ScrewEntry, view: View, *, is_own: bool) -> list[str]:
    """The shaft where the plane cuts it, and of the screw that the plane is made for its head and its way in."""
    entry, tip = np.array(screw.entry), np.array(screw.tip)
    tube = Tube(entry, tip - screw.radius * unit(tip - entry), screw.radius)
    cut = section(tube, view)
    drawn = [svg.element("path", d=svg.path(cut), fill=FILL, fill_opacity=0.55), *cased(svg.path(cut), 1.6)]
    if not is_own:
        return drawn if cut else []
    head = Tube(np.array(screw.head), np.array(screw.head), screw.head_radius)
    drawn += cased(svg.path([silhouette(head, view)], closed=True), 1.4)
    if screw.skin is not None:
        drawn += cased(svg.path([view.place(np.array([screw.head, screw.skin]))]), 0.9, "5 4")
    return drawn


def _picture(anatomy: Anatomy, view: View, drawn: Sequence[str], said: tuple[str, str, str], shows: str) -> Picture:
    """A slice with outlines and `drawn`; `said` is its name, title and caption."""
    seen = {name: lines for name, lines in outlines(view, anatomy.labels).items() if name not in ("muscle", "organ")}
    image = svg.data_uri(svg.png(quick_greys(view, anatomy)), "image/png")
    whole: dict[str, Any] = {"x": 0, "y": 0, "width": view.width, "height": view.height}
    layers = [
        unseen(view), svg.element("image", href=image, **whole), *contours(seen), *drawn,
        *vertebra_names(anatomy, view), *marks(view),
    ]  # fmt: skip
    edges = view.edges
    outlined = ", ".join(group(name).title.lower() for name in seen) or "nothing"
    alt = (
        f"{said[1]}: slice with {edges['left']} at the left and {edges['top']} at the top, outlines of {outlined}, "
        f"and {shows}."
    )
    text = svg.drawing(view.width, view.height, "".join(layers), alt)
    return Picture(said[0], said[1], said[2], alt, text, view.width, view.height, tuple(seen))
