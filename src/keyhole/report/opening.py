"""The opening on this patient's own anatomy, as a patient may read it: the planned way beside the open one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry
from keyhole.geometry import Points, unit
from keyhole.report import svg
from keyhole.report.meshes import Part
from keyhole.report.slices import cased, contours, unseen
from keyhole.report.still import shaded
from keyhole.report.views import (
    View,
    along,
    axes_of,
    contour_lines,
    greys,
    instrument,
    label_samples,
    outlines,
    section,
    shaft,
)
from keyhole.terms import belongs

SIZE = (460, 400)
SKIN_SIZE, SKIN_FIELD = (400, 400), 280.0  # px; mm across
WAY, CUT = "#ffd23f", "#e00000"
_BONE = ("vertebra", "sacrum", "tissue/bone", "pelvis", "rib")
_KEPT = ("canal", "root")


@dataclass(frozen=True, slots=True, eq=False)
class Opening:
    """Two drawings without words: a slice with the way in, and the bones from behind with the cut in the skin."""

    slice: str
    skin: str
    groups: tuple[str, ...]  # outlined in the slice


def openings(
    anatomy: Anatomy,
    surfaces: Sequence[Part],
    level: str,
    shown: Sequence[CandidateEntry],
    alts: Sequence[tuple[str, str]],
) -> tuple[Opening, ...]:
    """One opening for each of `shown`, all at one scale; `alts` say of each what its slice and its skin show.

    A tube is filled where its plane cuts it. The open way is what is opened in the plane: from the skin down to the
    first bone, between the lateral borders of the exposure, without bone, canal and roots.
    """
    axes = axes_of(anatomy, level)
    upper, lower = anatomy.pair(level)
    middle = (upper.centre + lower.centre) / 2
    views = [along(one, axes, SIZE, middle)[0] for one in shown]
    scale = min(view.scale for view in views)
    right = unit(np.cross(-axes.posterior, axes.up))
    behind = View("", middle, right, np.cross(-axes.posterior, right), *SKIN_SIZE, SKIN_SIZE[0] / SKIN_FIELD, axes)
    bones = svg.data_uri(svg.png(shaded(behind, surfaces)), "image/png")
    made = []
    for one, fitted, words in zip(shown, views, alts, strict=True):
        view = replace(fitted, scale=scale)
        drawn = outlines(view, anatomy.labels, only=_SHOWN)
        slice_ = _slice(anatomy, one, view, drawn, words[0])
        made.append(Opening(slice_, _skin(one, behind, bones, words[1]), tuple(drawn)))
    return tuple(made)


def _slice(anatomy: Anatomy, one: CandidateEntry, view: View, drawn: Mapping[str, list[Points]], alt: str) -> str:
    image = svg.data_uri(svg.png(greys(view, anatomy)), "image/png")
    way = svg.path(_way(anatomy, one, view), closed=True)
    layers = [
        unseen(view),
        svg.element("image", href=image, x=0, y=0, width=view.width, height=view.height),
        *contours(drawn),
        svg.element("path", d=way, fill=WAY, fill_opacity=0.6, fill_rule="evenodd"),
        *cased(way, 1.6),
    ]
    return svg.drawing(view.width, view.height, "".join(layers), alt)


_SHOWN = frozenset({"herniation", "disc", "root", "sac"})
"""Outlines that a patient is shown; bone is seen without one."""


def _way(anatomy: Anatomy, one: CandidateEntry, view: View) -> list[Points]:
    if not one.approach.startswith("open"):
        return [*section(shaft(one), view), *section(instrument(one), view)]
    step = 2.0
    opened = opened_at(anatomy, one, view.points(step))
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415

    return contour_lines(gaussian_filter(opened.astype(np.float64), 0.8), 0.5, step) if opened.any() else []


def opened_at(anatomy: Anatomy, one: CandidateEntry, points: Points) -> NDArray[np.bool_]:
    """Which of `points` (rows, columns, 3), the skin at the last row, the open way lays open."""
    entry, dock = np.array(one.entry), np.array(one.dock)
    depth = float(np.linalg.norm(dock - entry))
    axis = unit(dock - entry)
    along_axis = (points - entry) @ axis
    aside = np.linalg.norm(points - entry - along_axis[..., None] * axis, axis=-1)
    keys = anatomy.labels.structures
    table = np.zeros(max([*keys, 0]) + 2, dtype=np.uint8)  # 0 nothing, 1 soft, 2 bone, 3 canal and roots
    for label, key in keys.items():
        table[label + 1] = 2 if belongs(key, *_BONE) else 3 if belongs(key, *_KEPT) else 1
    table[1] = 0
    kind = table[label_samples(anatomy.labels, points) + 1]
    covered = np.maximum.accumulate((kind == 2)[::-1], axis=0)[::-1]
    return np.asarray((kind == 1) & ~covered & (aside <= one.radius) & (along_axis >= -5) & (along_axis <= depth))


def _skin(one: CandidateEntry, view: View, bones: str, alt: str) -> str:
    """The bones from behind, and the cut, upright through the entry, with a ring that leads the eye to it."""
    layers = [svg.element("image", href=bones, x=0, y=0, width=view.width, height=view.height)]
    if one.incision.value is not None:
        half = one.incision.value / 2 * view.axes.up
        ends = view.place(np.stack([np.array(one.entry) + half, np.array(one.entry) - half]))
        (x1, y1), (x2, y2) = ((svg.short(float(x)), svg.short(float(y))) for x, y in ends)
        common = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
        middle = ends.mean(axis=0)
        around = float(np.linalg.norm(ends[1] - ends[0])) / 2 + 12
        layers.append(svg.element("line", stroke="#ffffff", stroke_width=9, stroke_linecap="round", **common))
        layers.append(svg.element("line", stroke=CUT, stroke_width=5, **common))
        layers.append(
            svg.element("circle", cx=middle[0], cy=middle[1], r=around, fill="none", stroke=CUT, stroke_width=1.6)
        )
    return svg.drawing(view.width, view.height, "".join(layers), alt)
