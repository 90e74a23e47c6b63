"""Still pictures of the 3D view for paper: surfaces and tubes, shaded, in parallel projection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import PlanRecord
from keyhole.geometry import Points, Tube, unit
from keyhole.geometry._kernels import compiled
from keyhole.report import svg
from keyhole.report.compare import best
from keyhole.report.glb import Surface, normals
from keyhole.report.meshes import Part
from keyhole.report.palette import approach_colours
from keyhole.report.scene import middle
from keyhole.report.slices import Picture, marks
from keyhole.report.views import Axes, View, axes_of, instrument, shaft

SIZE = (420, 480)
FIELD = 220.0
"""Width of a still, mm."""

_FINE = 2  # samples per px and axis
_SIDES = 28  # of a tube that is drawn as a prism


@compiled()
def _fill(
    points: Points,
    faces: NDArray[np.uint32],
    depth: NDArray[np.float32],
    shade: NDArray[np.float32],
    owner: NDArray[np.uint8],
    number: int,
) -> None:
    """Draw triangles of `points` (x, y, depth, shade) where they are nearer than what is there."""
    rows, columns = depth.shape
    for n in range(len(faces)):
        a, b, c = faces[n, 0], faces[n, 1], faces[n, 2]
        ax, ay, bx, by = points[a, 0], points[a, 1], points[b, 0], points[b, 1]
        cx, cy = points[c, 0], points[c, 1]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        for y in range(max(0, int(np.ceil(min(ay, by, cy)))), min(rows - 1, int(np.floor(max(ay, by, cy)))) + 1):
            for x in range(max(0, int(np.ceil(min(ax, bx, cx)))), min(columns - 1, int(np.floor(max(ax, bx, cx)))) + 1):
                u = ((bx - x) * (cy - y) - (by - y) * (cx - x)) / area
                v = ((cx - x) * (ay - y) - (cy - y) * (ax - x)) / area
                w = 1 - u - v
                if u < 0 or v < 0 or w < 0:
                    continue
                z = u * points[a, 2] + v * points[b, 2] + w * points[c, 2]
                if z < depth[y, x]:
                    depth[y, x] = z
                    shade[y, x] = u * points[a, 3] + v * points[b, 3] + w * points[c, 3]
                    owner[y, x] = number


@compiled()
def _paint(owner: NDArray[np.uint8], shade: NDArray[np.float32], table: Points, shown: Points) -> None:
    """Colour of each sample: its owner's in `table`, shaded; row 0 of `table` where nobody owns it."""
    rows, columns = owner.shape
    for y in range(rows):
        for x in range(columns):
            light = shade[y, x] if owner[y, x] > 0 else 1.0
            for channel in range(3):
                shown[y, x, channel] = light * table[owner[y, x], channel]


@compiled()
def _average(shown: Points, made: NDArray[np.uint8]) -> None:
    """Mean of the samples of each px."""
    rows, columns, channels = made.shape
    for y in range(rows):
        for x in range(columns):
            for channel in range(channels):
                total = 0.0
                for row in range(_FINE * y, _FINE * (y + 1)):
                    for column in range(_FINE * x, _FINE * (x + 1)):
                        total += shown[row, column, channel]
                made[y, x, channel] = min(max(total / _FINE**2, 0.0), 255.0)


class _Canvas:
    """Depth, shade and owner of every sample of one view."""

    def __init__(self, view: View) -> None:
        size = (view.height * _FINE, view.width * _FINE)
        self.view = view
        self.depth = np.full(size, np.inf, dtype=np.float32)
        self.shade = np.zeros(size, dtype=np.float32)
        self.owner = np.zeros(size, dtype=np.uint8)

    def draw(self, solid: _Solid, number: int) -> None:
        """Add `solid` as owner `number`."""
        flat = self.view.place(solid.points) * _FINE - 0.5
        away = (solid.points - self.view.centre) @ self.view.normal
        light = unit(-self.view.normal - 0.35 * self.view.right - 0.5 * self.view.down)
        shades = 0.42 + 0.58 * np.clip(np.abs(solid.normals @ light), 0, 1)
        points = np.column_stack([flat, away, shades])
        _fill(points, solid.faces, self.depth, self.shade, self.owner, number)


@dataclass(frozen=True, slots=True, eq=False)
class _Solid:
    """A surface to be drawn from several sides: `points` and `normals` (n, 3), the `colour` of its `group`."""

    points: Points
    normals: Points
    faces: NDArray[np.uint32]
    group: str = ""
    colour: str = ""


def _solid(surface: Surface, group: str = "", colour: str = "") -> _Solid:
    points = surface.points.astype(np.float64)
    return _Solid(points, normals(points, surface.faces).astype(np.float64), surface.faces, group, colour)


def _solids(surfaces: Sequence[Part]) -> list[_Solid]:
    """The surfaces that are shown and hide what is behind them."""
    shown = [part for part in surfaces if part.group.shown and part.group.opacity == 1]
    return [_solid(part.surface, part.group.name, part.group.colour) for part in shown]


def _prism(tube: Tube) -> Surface:
    """A tube as a closed prism with rounded ends."""
    axis = unit(tube.stop - tube.start) if tube.length > 0 else np.array([0.0, 0.0, 1.0])
    across = unit(np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))]))
    upward = np.cross(axis, across)
    turns = np.linspace(0, 2 * np.pi, _SIDES, endpoint=False)
    circle = np.cos(turns)[:, None] * across + np.sin(turns)[:, None] * upward
    bends = np.linspace(0, np.pi / 2, 6)
    rings = [(tube.start, -np.sin(b), np.cos(b)) for b in bends[::-1]]
    rings += [(tube.stop, np.sin(b), np.cos(b)) for b in bends]
    points = np.concatenate([end + tube.radius * (lift * axis + wide * circle) for end, lift, wide in rings])
    faces = []
    for ring in range(len(rings) - 1):
        for side in range(_SIDES):
            a, b = ring * _SIDES + side, ring * _SIDES + (side + 1) % _SIDES
            faces += [(a, b, b + _SIDES), (a, b + _SIDES, a + _SIDES)]
    return Surface("tube", points.astype(np.float32), np.array(faces, dtype=np.uint32))


def _views(centre: Points, axes: Axes, side: float) -> tuple[View, ...]:
    """From behind and above on the corridor's side, from behind, from that side."""
    toward = axes.left * side
    named = (
        ("Oblique", 0.8 * axes.posterior + 0.4 * axes.up + 0.7 * toward),
        ("From behind", axes.posterior),
        ("From the left" if side > 0 else "From the right", toward),
    )
    made = []
    for title, origin in named:
        away = -unit(origin)
        right = unit(np.cross(away, axes.up))
        made.append(View(title, centre, right, np.cross(away, right), *SIZE, SIZE[0] / FIELD, axes))
    return tuple(made)


def stills(surfaces: Sequence[Part], anatomy: Anatomy, plan: PlanRecord | None) -> tuple[Picture, ...]:
    """Three pictures of the shown structures and the best corridor of each approach; none without a level in view."""
    level = plan.level if plan is not None else next(iter(anatomy.levels), None)
    if level is None or not surfaces:
        return ()
    axes, centre = axes_of(anatomy, level), middle(anatomy, level)
    side = -1.0 if plan is not None and plan.side == "right" else 1.0
    solids = _solids(surfaces)
    return tuple(_still(view, solids, plan) for view in _views(centre, axes, side))


def _still(view: View, solids: Sequence[_Solid], plan: PlanRecord | None) -> Picture:
    shown, canvas, names = _lit(view, solids)
    if plan is not None:
        shown = _with_tubes(shown, canvas, plan)
    rows, columns = view.height, view.width
    image = svg.data_uri(svg.png(_coarse(shown, view)), "image/png")
    layers = [svg.element("image", href=image, x=0, y=0, width=columns, height=rows), *marks(view, dark=True)]
    edges = view.edges
    alt = f"{view.title}: the spine with the corridors, {edges['left']} at the left and {edges['top']} at the top."
    whole = svg.drawing(columns, rows, "".join(layers), alt)
    name = "still-" + view.title.lower().replace(" ", "-")
    return Picture(name, view.title, "", alt, whole, columns, rows, names)


def shaded(view: View, surfaces: Sequence[Part]) -> NDArray[np.uint8]:
    """(rows, columns, 3) colours of the shown structures as seen in `view`, without corridors."""
    return _coarse(_lit(view, _solids(surfaces))[0], view)


def _lit(view: View, solids: Sequence[_Solid]) -> tuple[NDArray[np.float64], _Canvas, tuple[str, ...]]:
    """Fine colours of the shown structures, the canvas they are on, and the names of their groups."""
    colours = {solid.group: solid.colour for solid in solids}
    names = tuple(colours)
    canvas = _Canvas(view)
    for solid in solids:
        canvas.draw(solid, names.index(solid.group) + 1)
    table = np.array([(255.0, 255.0, 255.0), *(_rgb(colours[name]) for name in names)])
    shown = np.empty((*canvas.owner.shape, 3))
    _paint(canvas.owner, canvas.shade, table, shown)
    return shown, canvas, names


def _coarse(shown: NDArray[np.float64], view: View) -> NDArray[np.uint8]:
    """`shown` with one sample a px."""
    made = np.empty((view.height, view.width, 3), dtype=np.uint8)
    _average(shown, made)
    return made


def _with_tubes(shown: NDArray[np.float64], below: _Canvas, plan: PlanRecord) -> NDArray[np.float64]:
    """`shown` with the tubes over it: clear where they are in front, faint where anatomy hides them."""
    chosen = best(plan)
    colours = approach_colours(tuple(candidate.approach for candidate in chosen))
    for candidate in chosen:
        canvas = _Canvas(below.view)
        canvas.draw(_solid(_prism(shaft(candidate))), 1)
        canvas.draw(_solid(_prism(instrument(candidate))), 1)
        colour = np.array(_rgb(colours[candidate.approach]))
        drawn = canvas.owner > 0
        share = np.where(canvas.depth[drawn] < below.depth[drawn], 0.72, 0.3)[:, None]
        shown[drawn] = shown[drawn] * (1 - share) + share * canvas.shade[drawn][:, None] * colour
    return shown


def _rgb(colour: str) -> tuple[float, float, float]:
    red, green, blue = (float(int(colour[n : n + 2], 16)) for n in (1, 3, 5))
    return red, green, blue
