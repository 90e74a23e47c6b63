"""A flight down a corridor: what lies ahead of the tube's tip at each depth, drawn from the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Anatomy
from keyhole.casefile import CandidateEntry
from keyhole.geometry import LabelMap, Points, unit
from keyhole.geometry._kernels import compiled
from keyhole.report import svg
from keyhole.report.palette import GROUPS, group_of
from keyhole.report.slices import words
from keyhole.report.views import Axes, label_samples
from keyhole.report.wording import number, structure
from keyhole.terms import Tissue, tissue

FRAMES = 8
"""Pictures from the skin to the dock; the last stands at the dock and looks at the target."""

NEARER = 1.6
"""How much closer together the pictures lie near the dock; 1 spaces them evenly."""

SIZE = 132
"""Width and height of a frame, px."""

BEHIND, AHEAD = 34.0, 90.0
"""How far the eye is behind the tip and how far it sees beyond, mm."""

STEP = 0.6
"""Sampling of the lines of sight, mm."""

HAZE = 0.013
"""Share of the light that a millimetre of muscle takes: muscle ahead is seen as a haze, fat and skin not at all."""

CLEAR, MUSCLE = 0, 1
GROUND = (24.0, 22.0, 26.0)
SHADES = 20
"""Steps of brightness: fewer make smaller files."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of a flight: where the tip is, what is ahead, as words and as an SVG."""

    depth: str
    where: str
    alt: str
    svg: str


@dataclass(frozen=True, slots=True)
class Flight:
    """The pictures down one corridor, and the groups of structures seen on the way."""

    name: str
    frames: tuple[Frame, ...]
    groups: tuple[str, ...]


@compiled()
def _look(
    labels: NDArray[Any],
    table: NDArray[np.uint8],
    start: Points,
    rays: Points,
    far: float,
    step: float,
    found: NDArray[np.uint8],
    depth: NDArray[np.float32],
    haze: NDArray[np.float32],
) -> None:
    """First opaque class, its distance (mm) and the muscle before it (mm) along `rays` (rows, columns, 3).

    `table` gives the class of each label; `start` and `rays`, a step of 1 mm, are in voxels.
    """
    rows, columns = found.shape
    for y in range(rows):
        for x in range(columns):
            t, through = 0.0, 0.0
            while t < far:
                i = np.rint(start[y, x, 0] + t * rays[y, x, 0])
                j = np.rint(start[y, x, 1] + t * rays[y, x, 1])
                k = np.rint(start[y, x, 2] + t * rays[y, x, 2])
                if 0 <= i < labels.shape[0] and 0 <= j < labels.shape[1] and 0 <= k < labels.shape[2]:
                    kind = table[labels[int(i), int(j), int(k)]]
                    if kind > 1:
                        found[y, x] = kind
                        break
                    if kind == 1:
                        through += step
                t += step
            depth[y, x] = t
            haze[y, x] = through


def flight(anatomy: Anatomy, candidate: CandidateEntry, axes: Axes, colour: str) -> Flight:
    """The flight down the tube of `candidate`, seen along its axis, head up; the ring is the tube's wall at its tip."""
    entry, dock = np.array(candidate.entry), np.array(candidate.dock)
    near = _around(anatomy.labels, np.stack([entry, dock, np.array(candidate.target)]))
    table, groups = _classes(near)
    frames = []
    seen: set[int] = set()
    for share in 1 - (1 - np.linspace(0.0, 1.0, FRAMES)) ** NEARER:
        tip = entry + share * (dock - entry)
        pixels, kinds = _drawn(near, table, tip, unit(dock - entry), axes, candidate.radius)
        seen |= set(kinds)
        frames.append(_frame(near, candidate, tip, pixels, colour, axes))
    return Flight(candidate.approach, tuple(frames), tuple(groups[n] for n in sorted(seen) if n in groups))


def _around(labels: LabelMap, points: Points) -> LabelMap:
    """The part of `labels` that a flight along `points` can see."""
    index = labels.grid.index(points)
    room = AHEAD / labels.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room), 0, labels.array.shape).astype(int)
    high = np.clip(np.ceil(index.max(axis=0) + room) + 1, low + 1, labels.array.shape).astype(int)
    return labels.crop((slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])))


def _classes(labels: LabelMap) -> tuple[NDArray[np.uint8], Mapping[int, str]]:
    """Class of every label: clear, muscle, or 2 + the number of its group; and the names of the groups."""
    table = np.zeros(max([*labels.structures, int(labels.array.max())]) + 1, dtype=np.uint8)
    groups: dict[int, str] = {}
    for label, key in labels.structures.items():
        kind = group_of(key)
        if tissue(key) is Tissue.MUSCLE:
            table[label] = MUSCLE
        elif kind is not None and kind.name not in ("skin", "canal"):
            table[label] = 2 + GROUPS.index(kind)
            groups[int(table[label])] = kind.name
    return table, groups


def _drawn(
    labels: LabelMap, table: NDArray[np.uint8], tip: Points, along: Points, axes: Axes, radius: float
) -> tuple[NDArray[np.uint8], list[int]]:
    """Colours (rows, columns, 3) ahead of `tip`, and the classes seen."""
    right, down = _across(along, axes)
    half = field(radius) / 2
    at = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    offset = half * (at[None, :, None] * right + at[:, None, None] * down)
    rays = unit(BEHIND * along + offset)
    found = np.zeros((SIZE, SIZE), dtype=np.uint8)
    depth, haze = (np.zeros((SIZE, SIZE), dtype=np.float32) for _ in range(2))
    index_from_patient = labels.patient_from_index.inverse
    start, ways = index_from_patient.apply(tip + offset), index_from_patient.turn(rays)
    _look(labels.array, table, start, ways, AHEAD, STEP, found, depth, haze)
    return _shaded(found, depth, haze, half), [int(n) for n in np.unique(found) if n > MUSCLE]


def field(radius: float) -> float:
    """Width of what a frame shows at the tip, mm."""
    return max(36.0, 5.0 * radius)


def _across(along: Points, axes: Axes) -> tuple[Points, Points]:
    """Right and down of the picture, seen along `along` with the patient's head up."""
    up = axes.up - (axes.up @ along) * along
    up = unit(up) if np.linalg.norm(up) > 0.2 else unit(-axes.posterior + (axes.posterior @ along) * along)
    return np.cross(along, up), -up


def _shaded(
    found: NDArray[np.uint8], depth: NDArray[np.float32], haze: NDArray[np.float32], half: float
) -> NDArray[np.uint8]:
    """Colours by group, lit from the eye: brightness by the slope of the smoothed depth, darker farther away."""
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415  (heavy import)

    table = np.zeros((256, 3))
    table[CLEAR] = GROUND
    for n, group in enumerate(GROUPS):
        table[2 + n] = [int(group.colour[k : k + 2], 16) for k in (1, 3, 5)]
    smooth = gaussian_filter(depth, 1.2)
    slope_y, slope_x = np.gradient(smooth, 2 * half / SIZE)
    facing = 1 / np.sqrt(1 + slope_x**2 + slope_y**2)
    light = (0.35 + 0.65 * facing) * (1.1 - 0.42 * depth / AHEAD)
    light = np.clip(np.round(light * SHADES) / SHADES, 0.15, 1.0)
    colour = np.where((found > MUSCLE)[..., None], table[found] * light[..., None], np.array(GROUND))
    muscle = np.array([int(next(g for g in GROUPS if g.name == "muscle").colour[k : k + 2], 16) for k in (1, 3, 5)])
    veil = np.round((1 - np.exp(-HAZE * haze)) * SHADES)[..., None] / SHADES
    return np.asarray(np.clip(colour * (1 - veil) + 0.62 * muscle * veil, 0, 255), dtype=np.uint8)


def _letters(along: Points, axes: Axes) -> tuple[list[str], str]:
    """Where the patient's directions lie at the edges of a frame, drawn and in words."""
    right, down = _across(along, axes)
    left, up = axes.letters(-right), axes.letters(-down)
    places = (
        (left, 3.0, 70.0, "start"),
        (axes.letters(right), SIZE - 3.0, 70.0, "end"),
        (up, SIZE / 2, 12.0, "middle"),
    )
    return [words(said, x, y, anchor, 11) for said, x, y, anchor in places], f"{left} at the left, {up} at the top"


def _frame(
    labels: LabelMap, candidate: CandidateEntry, tip: Points, pixels: NDArray[np.uint8], colour: str, axes: Axes
) -> Frame:
    depth = float(np.linalg.norm(tip - np.array(candidate.entry)))
    where, ahead = _met(labels, candidate, tip)
    said = f"{number(depth, 'mm')} mm"
    letters, sides = _letters(unit(np.array(candidate.dock) - np.array(candidate.entry)), axes)
    alt = f"Seen down the tube with its tip {said} from the skin, in {where}; next ahead on the axis: {ahead}; {sides}."
    ring = SIZE * candidate.radius / field(candidate.radius)
    middle = SIZE / 2
    layers = [
        svg.element("image", href=svg.data_uri(svg.png(pixels), "image/png"), x=0, y=0, width=SIZE, height=SIZE),
        svg.element("circle", cx=middle, cy=middle, r=ring, fill="none", stroke="#000", stroke_width=3.2),
        svg.element("circle", cx=middle, cy=middle, r=ring, fill="none", stroke=_light(colour), stroke_width=1.6),
        *letters,
    ]
    return Frame(said, f"in {where}; ahead: {ahead}", alt, svg.drawing(SIZE, SIZE, "".join(layers), alt))


def _light(colour: str) -> str:
    """A colour light enough to be seen on a dark picture."""
    parts = [int(colour[n : n + 2], 16) for n in (1, 3, 5)]
    return "#" + "".join(f"{round(p + (255 - p) * 0.55):02x}" for p in parts)


def _met(labels: LabelMap, candidate: CandidateEntry, tip: Points) -> tuple[str, str]:
    """What the middle of the tip lies in, and the next other structure on the way to dock and target."""
    entry, dock, target = (np.array(p) for p in (candidate.entry, candidate.dock, candidate.target))
    straight = tip + np.arange(0.0, max(float(np.linalg.norm(dock - tip)), 0.5), 0.5)[:, None] * unit(dock - entry)
    reach = float(np.linalg.norm(target - dock))
    beyond = dock + np.arange(0.0, reach, 0.5)[:, None] * (unit(target - dock) if reach > 0 else 0.0)
    codes = label_samples(labels, np.concatenate([straight, beyond]))
    names = [structure(labels.structures[int(c)]) if int(c) in labels.structures else "air" for c in codes]
    other = next((n for n, name in enumerate(names) if name not in (names[0], "air")), None)
    if other is None:
        return names[0], "nothing else before the target"
    return names[0], f"{names[other]}, {number(0.5 * other, 'mm')} mm on"
