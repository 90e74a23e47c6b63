"""Planes through the patient, as pictures are taken of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry
from keyhole.casefile.values import Triple
from keyhole.geometry import LabelMap, Points, Tube, Volume, unit
from keyhole.report import sampling
from keyhole.report.palette import GROUPS, group_of

CT_WINDOW = (-160.0, 760.0)
"""HU shown as black and as white: soft tissue and bone in one picture."""


@dataclass(frozen=True, slots=True)
class Way:
    """A corridor that is drawn without being one of the plan: points LPS mm, radii mm."""

    entry: Triple
    dock: Triple
    target: Triple
    radius: float
    instrument_radius: float


Corridor = CandidateEntry | Way


@dataclass(frozen=True, slots=True, eq=False)
class Axes:
    """Orthonormal directions (3,) LPS of the level that is shown: the patient's left, posterior and up there."""

    left: Points
    posterior: Points
    up: Points

    def letters(self, direction: Points) -> str:
        """Where `direction` points in the patient: L, R, A, P, S, I, the larger component first, e.g. "LP"."""
        names = {
            "L": self.left,
            "R": -self.left,
            "P": self.posterior,
            "A": -self.posterior,
            "S": self.up,
            "I": -self.up,
        }
        shares = sorted(((float(unit(direction) @ axis), name) for name, axis in names.items()), reverse=True)
        return "".join(name for share, name in shares if share > 0.4)


def axes_of(anatomy: Anatomy, level: str) -> Axes:
    """The mean frame of the two vertebrae of `level`, made orthonormal."""
    upper, lower = anatomy.pair(level)
    up = unit(upper.up + lower.up)
    posterior = upper.posterior + lower.posterior
    posterior = unit(posterior - (posterior @ up) * up)
    return Axes(np.cross(posterior, up), posterior, up)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A rectangle in a plane: its centre (3,) LPS mm, unit directions to the picture's right and downwards, its size.

    `width` and `height` are picture units (px), `scale` px per mm. `axes` name the directions at the edges.
    """

    title: str
    centre: Points
    right: Points
    down: Points
    width: int
    height: int
    scale: float
    axes: Axes

    @property
    def normal(self) -> Points:
        """Unit direction away from the viewer."""
        (a, b, c), (x, y, z) = self.right.tolist(), self.down.tolist()
        return np.array([b * z - c * y, c * x - a * z, a * y - b * x])

    def points(self, step: float) -> Points:
        """(rows, columns, 3) LPS mm of samples every `step` px, at the middle of each."""
        across = (np.arange(0.5, self.width / step) * step - self.width / 2) / self.scale
        below = (np.arange(0.5, self.height / step) * step - self.height / 2) / self.scale
        return np.asarray(self.centre + below[:, None, None] * self.down + across[None, :, None] * self.right)

    def place(self, points: Points) -> Points:
        """(..., 2) picture coordinates, px from the upper left corner, of `points` (..., 3) dropped onto the plane."""
        away = np.asarray(points) - self.centre
        flat = np.stack([away @ self.right, away @ self.down], axis=-1)
        return np.asarray(flat * self.scale + np.array([self.width, self.height]) / 2)

    @property
    def edges(self) -> dict[str, str]:
        """The letters at the picture's left, right, top and bottom."""
        return {
            "left": self.axes.letters(-self.right),
            "right": self.axes.letters(self.right),
            "top": self.axes.letters(-self.down),
            "bottom": self.axes.letters(self.down),
        }


def shaft(candidate: Corridor) -> Tube:
    """The tube of a corridor, as DESIGN.md section 4 has it: its rounded tip ends at the dock."""
    entry, dock = np.array(candidate.entry), np.array(candidate.dock)
    length = float(np.linalg.norm(dock - entry))
    stop = entry + (dock - entry) * max(0.0, 1 - candidate.radius / length) if length > 0 else entry
    return Tube(entry, stop, candidate.radius)


def instrument(candidate: Corridor) -> Tube:
    """The thinner instrument of a corridor, from the dock to the target."""
    return Tube(np.array(candidate.dock), np.array(candidate.target), candidate.instrument_radius)


def along(candidate: Corridor, axes: Axes, size: tuple[int, int], middle: Points) -> tuple[View, View]:
    """Two planes that hold the tube's axis, at one scale: the one nearest the disc's plane, and the upright one.

    Both show the tube from the skin to the target, and `middle` (3,), the middle of the level.
    """
    axis = unit(np.array(candidate.dock) - np.array(candidate.entry))
    flat = _flat(axis, axes)
    upright = _upright(axis, axes)
    shown = np.array([candidate.entry, candidate.dock, candidate.target, middle])
    frames = [_fitted(shown, right, down, size) for right, down in (flat, upright)]
    scale = min(scale for _, scale in frames)
    titles = ("Along the tube, nearest axial", "Along the tube, upright")
    made = [
        View(title, _onto(centre, axis, right, down, candidate), right, down, *size, scale, axes)
        for title, (right, down), (centre, _) in zip(titles, (flat, upright), frames, strict=True)
    ]
    return made[0], made[1]


def _flat(axis: Points, axes: Axes) -> tuple[Points, Points]:
    """Right and down of the plane that holds `axis` and lies nearest the axial plane, patient's left to the right."""
    normal = axes.up - (axes.up @ axis) * axis
    normal = unit(normal) if np.linalg.norm(normal) > 0.2 else unit((axes.posterior @ axis) * axis - axes.posterior)
    right = unit(axes.left - (axes.left @ normal) * normal)
    return right, np.cross(normal, right)


def _upright(axis: Points, axes: Axes) -> tuple[Points, Points]:
    """Right and down of the plane that holds `axis` and the up direction; back of the patient to the right."""
    level = axis - (axis @ axes.up) * axes.up
    level = unit(level) if np.linalg.norm(level) > 0.2 else axes.posterior
    right = level if level @ axes.posterior >= 0 else -level
    normal = unit(np.cross(right, axes.up))
    normal = unit(normal - (normal @ axis) * axis)
    down = -unit(axes.up - (axes.up @ normal) * normal)
    return unit(right - (right @ normal) * normal - (right @ down) * down), down


def _fitted(shown: Points, right: Points, down: Points, size: tuple[int, int]) -> tuple[Points, float]:
    """Centre and largest scale at which `shown` fits `size` with room for the anatomy around it."""
    margin = np.array([26.0, 24.0])  # mm
    flat = np.stack([shown @ right, shown @ down], axis=-1)
    low, high = flat.min(axis=0) - margin, flat.max(axis=0) + margin
    middle = (low + high) / 2
    centre = shown[0] + (middle[0] - flat[0, 0]) * right + (middle[1] - flat[0, 1]) * down
    return centre, float((np.array(size) / (high - low)).min())


def _onto(centre: Points, axis: Points, right: Points, down: Points, candidate: Corridor) -> Points:
    """`centre` moved along the plane's normal until the plane holds the tube's axis."""
    normal = np.cross(right, down)
    return np.asarray(centre - ((centre - np.array(candidate.entry)) @ normal) * normal)


def orthogonal(centre: Points, axes: Axes, size: int, width_mm: float) -> tuple[View, View, View]:
    """Axial, sagittal and coronal planes of the level through `centre`, `width_mm` wide: radiological convention."""
    scale = size / width_mm
    return (
        View("Axial", centre, axes.left, axes.posterior, size, size, scale, axes),
        View("Sagittal", centre, axes.posterior, -axes.up, size, size, scale, axes),
        View("Coronal", centre, axes.left, -axes.up, size, size, scale, axes),
    )


def across(at: Points, candidate: Corridor, axes: Axes, size: int) -> View:
    """The plane across the tube that holds `at`, seen from the skin along the tube, head up."""
    axis = unit(np.array(candidate.dock) - np.array(candidate.entry))
    up = axes.up - (axes.up @ axis) * axis
    up = unit(up) if np.linalg.norm(up) > 0.2 else unit(-axes.posterior + (axes.posterior @ axis) * axis)
    width = max(44.0, 7 * candidate.radius)
    entry = np.array(candidate.entry)
    on_line = entry + float((at - entry) @ axis) * axis
    return View("Down the tube", (at + on_line) / 2, np.cross(axis, up), -up, size, size, size / width, axes)


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The structure with the least clearance: its nearest point (3,), the axis there, the tube's radius."""

    key: str
    point: Points
    on_axis: Points
    radius: float


def nearest(candidate: Corridor, key: str, to: str, labels: LabelMap) -> Nearest | None:
    """Where the structure `key` comes nearest to the "tube" or "instrument"; None where it has none within 40 mm."""
    index = np.array([candidate.entry, candidate.dock, candidate.target])
    low = np.floor(labels.grid.index(index).min(axis=0) - 40 / labels.grid.spacing).astype(int)
    high = np.ceil(labels.grid.index(index).max(axis=0) + 40 / labels.grid.spacing).astype(int) + 1
    start, stop = np.clip(low, 0, labels.array.shape), np.clip(high, 0, labels.array.shape)
    box = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    found = np.argwhere(labels.mask(key, box=box)) + start
    if not len(found):
        return None
    points = labels.grid.centres(found)
    tube = instrument(candidate) if to == "instrument" else shaft(candidate)
    best = int(tube.gap(points).argmin())
    along_axis = tube.stop - tube.start
    share = np.clip((points[best] - tube.start) @ along_axis / max(float(along_axis @ along_axis), 1e-9), 0, 1)
    return Nearest(key, points[best], tube.start + share * along_axis, tube.radius)


def greys(view: View, anatomy: Anatomy) -> NDArray[np.uint8]:
    """(rows, columns, 2) grey and opacity 0 to 255, one sample per px; what the scan does not hold is transparent."""
    points = view.points(1.0)
    if anatomy.image is None:
        return _tissue_greys(points, anatomy.labels)
    index = anatomy.image.grid.index(points)
    shade = _shades(sampling.smooth(anatomy.image, index), anatomy.image, anatomy.modality)
    return _seen(shade, sampling.held(anatomy.image.array.shape, index))


def quick_greys(view: View, anatomy: Anatomy, levels: int = 51) -> NDArray[np.uint8]:
    """As `greys` with a sample every 0.6 mm or 1.5 px and `levels` shades, for many small pictures."""
    points = view.points(max(1.5, 0.6 * view.scale))
    if anatomy.image is None:
        return _tissue_greys(points, anatomy.labels)
    index = anatomy.image.grid.index(points)
    coarse = 256 // levels
    shade = _shades(sampling.linear(anatomy.image.array, index), anatomy.image, anatomy.modality)
    return _seen(shade // coarse * coarse, sampling.held(anatomy.image.array.shape, index))


def _shades(values: NDArray[np.float32], image: Volume, modality: str) -> NDArray[np.float32]:
    """0 to 255 for `values` of `image`, black to white."""
    low, high = CT_WINDOW if modality == "CT" else _mr_window(image)
    return np.asarray(np.clip((values - low) / (high - low), 0, 1) * 255)


def _seen(shade: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Grey and opacity of `shade`, transparent where it is not `inside` the scan."""
    return np.stack([np.where(inside, shade, 0), np.where(inside, 255, 0)], axis=-1).astype(np.uint8)


def _mr_window(image: Volume) -> tuple[float, float]:
    low, high = np.percentile(image.array[::4, ::4, ::4], (1, 99.3))
    return float(low), float(max(high, low + 1e-6))


_TISSUE_GREY = {"tissue/fat": 60, "tissue/skin": 95, "tissue/gas": 0}
_GROUP_GREY = {"vertebra": 225, "pelvis": 215, "rib": 215, "facet": 235, "disc": 140, "sac": 120, "muscle": 110}


def _tissue_greys(points: Points, labels: LabelMap) -> NDArray[np.uint8]:
    """A grey per tissue where there is no image: the labels alone, drawn as such."""
    table = np.zeros(max([*labels.structures, 0]) + 1, dtype=np.uint8)
    for label, key in labels.structures.items():
        kind = group_of(key)
        table[label] = _TISSUE_GREY.get(key, _GROUP_GREY.get(kind.name if kind else "", 100))
    found = label_samples(labels, points)
    shade = np.where(found >= 0, table[np.maximum(found, 0)], 0)
    return np.stack([shade, np.where(found >= 0, 255, 0)], axis=-1).astype(np.uint8)


def label_samples(labels: LabelMap, points: Points) -> NDArray[np.int32]:
    """The label at each of `points` (..., 3), from the nearest voxel; -1 outside the scan."""
    return sampling.nearest(labels.array, labels.grid.index(points), -1)


def outlines(
    view: View, labels: LabelMap, step: float = 2.0, *, only: Collection[str] | None = None
) -> dict[str, list[Points]]:
    """Contours in picture px of each group of structures that meets the plane: group name -> lines (n, 2).

    Labels are sampled every `step` px, each group's mask is blurred by one sample and cut at one half. Given `only`,
    other groups are left out.
    """
    found = label_samples(labels, view.points(step))
    table = np.zeros(max([*labels.structures, 0]) + 2, dtype=np.uint8)
    for label, key in labels.structures.items():
        kind = group_of(key)
        wanted = kind is not None and kind.outlined and (only is None or kind.name in only)
        table[label + 1] = GROUPS.index(kind) + 1 if wanted else 0
    grouped = table[found + 1]
    made: dict[str, list[Points]] = {}
    for n in np.unique(grouped[grouped > 0]):
        lines = _contours(grouped == n, step)
        if lines:
            made[GROUPS[n - 1].name] = lines
    return made


def _contours(mask: NDArray[np.bool_], step: float) -> list[Points]:
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415

    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    top, left = max(0, rows[0] - 4), max(0, columns[0] - 4)
    part = mask[top : rows[-1] + 5, left : columns[-1] + 5].astype(np.float32)
    field = gaussian_filter(part, 1.0)
    return contour_lines(field, 0.5, step, (top, left))


def contour_lines(field: Points, at: float, step: float, corner: tuple[int, int] = (0, 0)) -> list[Points]:
    """Lines (n, 2) in px where `field`, sampled every `step` px from `corner` (row, column), crosses `at`."""
    from skimage.measure import find_contours  # noqa: PLC0415

    found = [_thinned(line) for line in find_contours(field, at) if len(line) >= 6]
    return [(line + np.array(corner) + 0.5)[:, ::-1] * step for line in found]


def _thinned(line: Points) -> Points:
    """`line` (n, 2) without those of every second points that lie within 0.1 sample of their neighbours' chord."""
    before, here, after = line[:-2:2], line[1:-1:2], line[2::2]
    count = min(len(before), len(here), len(after))
    chord = after[:count] - before[:count]
    away = here[:count] - before[:count]
    off = np.abs(chord[:, 0] * away[:, 1] - chord[:, 1] * away[:, 0])
    keep = np.ones(len(line), dtype=np.bool_)
    keep[1 : 2 * count : 2] = off > 0.1 * np.maximum(np.linalg.norm(chord, axis=1), 1e-9)
    return line[keep]


def section(tube: Tube, view: View, step: float = 2.0) -> list[Points]:
    """Where the plane cuts the wall of `tube`: lines (n, 2) in px; empty if it passes by."""
    field = tube.gap(view.points(step))
    return contour_lines(field, 0.0, step) if field.min() < 0 < field.max() else []


def silhouette(tube: Tube, view: View) -> Points:
    """The outline (n, 2) in px of `tube` dropped onto the plane."""
    turns = np.linspace(0, 2 * np.pi, 49)[:-1]
    circle = np.stack([np.cos(turns), np.sin(turns)], axis=-1) * tube.radius * view.scale
    ends = view.place(np.stack([tube.start, tube.stop]))
    cloud = (ends[:, None, :] + circle).reshape(-1, 2)
    if np.linalg.norm(ends[1] - ends[0]) < 1e-6:
        return np.asarray(ends[0] + circle)
    from scipy.spatial import ConvexHull  # noqa: PLC0415

    return np.asarray(cloud[ConvexHull(cloud).vertices])
