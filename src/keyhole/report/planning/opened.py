"""The open operations of a plan on a slice: what each lays open, by its stated extent."""

from __future__ import annotations

from typing import Any

import numpy as np

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry, PlanRecord
from keyhole.geometry import Points, unit
from keyhole.plan.approaches import catalogue
from keyhole.report import svg
from keyhole.report.compare import title
from keyhole.report.opening import WAY, opened_at
from keyhole.report.planning.harmed import opens
from keyhole.report.slices import Picture, cased, contours, marks, unseen, vertebra_names
from keyhole.report.views import Axes, View, along, axes_of, contour_lines, outlines, quick_greys
from keyhole.report.wording import number

SIZE = (300, 260)
"""Width and height of a picture, px."""

STEP = 2.0


def open_pictures(plan: PlanRecord, anatomy: Anatomy) -> tuple[Picture, ...]:
    """One picture of each open operation, in the plane nearest axial: skin to the first bone, filled."""
    axes = axes_of(anatomy, plan.level)
    upper, lower = anatomy.pair(plan.level)
    middle = (upper.centre + lower.centre) / 2
    return tuple(_picture(one, along(one, axes, SIZE, middle)[0], anatomy) for one in opens(plan))


def _picture(one: CandidateEntry, view: View, anatomy: Anatomy) -> Picture:
    lines = _laid_open(one, view, anatomy)
    drawn = {name: found for name, found in outlines(view, anatomy.labels).items() if name not in ("muscle", "organ")}
    image = svg.data_uri(svg.png(quick_greys(view, anatomy)), "image/png")
    whole: dict[str, Any] = {"x": 0, "y": 0, "width": view.width, "height": view.height}
    way = svg.path(lines, closed=True)
    filled = svg.element("path", d=way, fill=WAY, fill_opacity=0.5, fill_rule="evenodd")
    layers = [
        unseen(view), svg.element("image", href=image, **whole), *contours(drawn),
        *([filled, *cased(way, 1.6)] if lines else []),
        *vertebra_names(anatomy, view), *marks(view),
    ]  # fmt: skip
    known = catalogue().get(one.approach)
    sides = f"{one.side} side" if known is not None and known.exposes == "one side" else "both sides"
    incision = "" if one.incision.value is None else f", incision {number(one.incision.value, 'mm')} mm"
    name, edges = title(one.approach), view.edges
    alt = (
        f"{name}: slice with {edges['left']} at the left and {edges['top']} at the top; filled: what is laid open from "
        f"the skin to the first bone, {sides}{incision}."
    )
    text = svg.drawing(view.width, view.height, "".join(layers), alt)
    caption = f"Laid open from the skin to the first bone: {sides}{incision}."
    return Picture(f"opened-{one.approach}", name, caption, alt, text, view.width, view.height, tuple(drawn))


def _laid_open(one: CandidateEntry, view: View, anatomy: Anatomy) -> list[Points]:
    """Outline of what is opened in the plane; of a one-sided operation from the midline to the side.

    Half the exposed width is what plan.json holds as the radius.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415  (heavy import)

    points = view.points(STEP)
    known = catalogue().get(one.approach)
    if known is not None and known.exposes == "one side":
        wide = one.model_copy(update={"radius": 2 * one.radius})
        opened = opened_at(anatomy, wide, points) & _beside(one, view.axes, points)
    else:
        opened = opened_at(anatomy, one, points)
    return contour_lines(gaussian_filter(opened.astype(np.float64), 0.8), 0.5, STEP) if opened.any() else []


def _beside(one: CandidateEntry, axes: Axes, points: Points) -> np.ndarray:
    """Which of `points` lie on the side that is operated on."""
    out = unit(np.array(one.entry) - np.array(one.dock))
    aside = axes.left - (axes.left @ out) * out
    sign = 1.0 if one.side == "left" else -1.0
    return np.asarray(sign * ((points - np.array(one.dock)) @ aside) >= 0)
