"""The exact heights, density and pedicles of a phantom's vertebrae."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.phantom import _field
from keyhole.anatomy.phantom.model import Phantom, materials
from keyhole.anatomy.phantom.solids import MIDDLE, REACH
from keyhole.anatomy.phantom.truth.endplates import EVERYWHERE, Bone, TrueEndplate, bone_of
from keyhole.anatomy.phantom.truth.model import Plates, true
from keyhole.anatomy.phantom.vertebra import SIGNS, pedicle_x, pedicle_z
from keyhole.casefile import FindingEntry
from keyhole.geometry import Plane, Points, unit

PLACES = ("anterior", "middle", "posterior")
HALVINGS = 8
SOFT = 1.0  # mm, of the mean over the nearly shortest chords
WALL = 8.0, 6.0  # mm behind the body's posterior wall at which a pedicle's medial and lateral wall end
FAR = 22.0  # mm, longest half chord
BAND = np.array([-2.0, 0.0, 2.0])  # mm, of the slice in which a pedicle is measured
STEPS = ((8.0, 2.0), (4.0, 1.0))  # deg and mm between the chords of the first and of the second look
NEAR = 40.0  # mm from a pedicle: primitives farther away have no say


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A vertebra's frame in the phantom's: left is x; `up` the mean of both endplates' normals; and its endplates."""

    up: Points
    back: Points
    plates: tuple[TrueEndplate, TrueEndplate]


def vertebra_truth(body: Phantom, plates: Plates) -> Iterator[FindingEntry]:
    """Heights, their loss, density and pedicles of every lumbar vertebra."""
    lumbar = [name for name in plates.names if name[0] == "L"]
    frames = {name: _frame(plates, name) for name in lumbar}
    bones = {name: bone_of(body, name) for name in lumbar}
    heights = {name: {place: _height(bones[name], frames[name], place) for place in PLACES} for name in lumbar}
    spongy = materials(body.parameters, body.size)["bone"].ct
    for n, name in enumerate(lumbar):
        for place in PLACES:
            yield true(f"{place} vertebral height", name, heights[name][place], "mm")
        beside = [other for other in lumbar[max(0, n - 1) : n + 2] if other not in (name, "L5")]
        crush = [heights[other]["posterior"] for other in beside] if name != "L5" else []
        yield true("vertebral height loss", name, _loss(heights[name], crush), "%")
        yield true("vertebral density", name, spongy, "[hnsf'U]")
        if name == "L1":
            yield true("vertebral density for fusion", name, spongy, "[hnsf'U]")
        for side in ("left", "right"):
            yield from _pedicle(body, bones[name], (name, side), frames[name])


def _frame(plates: Plates, name: str) -> Frame:
    two = plates.of(name, +1), plates.of(name, -1)
    up = unit(two[0].plane.normal + two[1].plane.normal)
    back = unit(np.array([0.0, 1.0, 0.0]) - up[1] * up)
    return Frame(up, back, two)


def _loss(heights: dict[str, float], crush: list[float]) -> float:
    back = heights["posterior"]
    losses = [1 - heights["anterior"] / back, 1 - heights["middle"] / back]
    losses += [1 - back / float(np.mean(crush))] if crush else []
    return 100 * max(losses)


def _in(bone: Bone, points: Points, *, whole: bool) -> NDArray[np.bool_]:
    """Whether each of `points` (n, 3), phantom frame, lies in the body, or in the `whole` vertebra."""
    cloud = np.ascontiguousarray(points.reshape(-1, 3))
    numbers = np.ones(bone.n_parts, dtype=np.int64) if whole else (np.arange(bone.n_parts) == bone.part).astype(int)
    solids, boxes = np.array([[0, len(bone.rows)]]), np.array([EVERYWHERE])
    found = _field.labels_at(cloud, bone.rows, solids, boxes, numbers, bone.field)
    return np.asarray(found == 1).reshape(points.shape[:-1])


def _height(bone: Bone, frame: Frame, place: str) -> float:
    """Mean distance of both surfaces along `up` over the midline's slab at `place`."""
    top, low = frame.plates
    fronts = [plate.anterior @ frame.back for plate in frame.plates]
    backs = [plate.posterior @ frame.back for plate in frame.plates]
    at = {
        "anterior": max(fronts) + 4.0,
        "posterior": min(backs) - 4.0,
        "middle": (sum(fronts) + sum(backs)) / 4,
    }[place]
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(-5.0, 5.1), at + np.arange(-2.0, 2.1), indexing="ij"))
    flat = x[:, None] * np.array([1.0, 0.0, 0.0]) + y[:, None] * frame.back
    ends = [_surface(bone, flat, plate.plane, sense * frame.up) for plate, sense in ((top, 1.0), (low, -1.0))]
    return float((ends[0] + ends[1]).mean())


def _surface(bone: Bone, flat: Points, plane: Plane, outward: Points) -> Points:
    """How far along `outward` from each of `flat` (n, 3) the body ends near `plane`."""
    level = -plane.height(flat) / float(outward @ plane.normal)
    inner, outer = level - 6.0, level + 6.0
    for _ in range(HALVINGS + 3):
        middle = (inner + outer) / 2
        within = _in(bone, flat + middle[:, None] * outward, whole=False)
        inner, outer = np.where(within, middle, inner), np.where(within, outer, middle)
    return np.asarray((inner + outer) / 2)


def _pedicle(
    body: Phantom, bone: Bone, which: tuple[str, Literal["left", "right"]], frame: Frame
) -> Iterator[FindingEntry]:
    """Width, height and angles of one pedicle: the shortest chord across, and its perpendicular."""
    name, side = which
    one = body.size.vertebrae[name]
    lateral = np.array([SIGNS[side], 0.0, 0.0])
    middle = bone.place.at(SIGNS[side] * pedicle_x(one), one.depth / 2 + 2.0, pedicle_z(one))
    wall = float(np.mean([plate.posterior @ frame.back for plate in frame.plates]))
    bone = _around(bone, middle)
    lean = flat = tall = 0.0
    width = height = 0.0
    for steps in STEPS:
        turn = np.radians(lean)
        back, up = np.cos(turn) * frame.back + np.sin(turn) * frame.up, np.cos(turn) * frame.up
        up = up - np.sin(turn) * frame.back
        flat, width, middle = _neck(bone, (middle, back, lateral, up), ((-8.0, 48.0), steps), (frame.back, wall))
        along = np.cos(np.radians(flat)) * frame.back + np.sin(np.radians(flat)) * lateral
        across = np.cos(np.radians(flat)) * lateral - np.sin(np.radians(flat)) * frame.back
        tall, height, middle = _neck(bone, (middle, along, frame.up, across), ((-32.0, 32.0), steps), None)
        lean = tall
    yield true("pedicle width", name, width, "mm", side)
    yield true("pedicle height", name, height, "mm", side)
    yield true("pedicle transverse angle", name, flat, "deg", side)
    yield true("pedicle sagittal angle", name, tall, "deg", side)


def _around(bone: Bone, point: Points) -> Bone:
    """`bone` with those of its primitives alone that may have a say near `point`."""
    off = np.abs(point - bone.rows[:, MIDDLE]) - bone.rows[:, REACH]
    return replace(bone, rows=np.ascontiguousarray(bone.rows[off.max(axis=1) < NEAR]))


def _neck(
    bone: Bone,
    at: tuple[Points, Points, Points, Points],
    tried: tuple[tuple[float, float], tuple[float, float]],
    limit: tuple[Points, float] | None,
) -> tuple[float, float, Points]:
    """Angle, length and middle of the shortest chord about a point."""
    (first, last), (turn_by, move_by) = tried
    angles, shifts = np.arange(first, last + 0.1, turn_by), np.arange(-4.0, 4.1, move_by)
    inner, outer = _chords(bone, at, angles, shifts)
    lengths = inner + outer
    if limit is not None:
        turn = np.radians(angles)[:, None]
        back, wall = limit
        start = at[0] @ back - wall + np.cos(turn) * shifts
        medial, lateral = (start + way * np.sin(turn) * np.minimum(end, FAR) for way, end in ((1, inner), (-1, outer)))
        lengths = np.where((medial <= WALL[0]) & (lateral <= WALL[1]), lengths, 10 * FAR)
    weight = np.exp(-(lengths - lengths.min()) / SOFT)
    weight /= weight.sum()
    angle, shift = float(weight.sum(axis=1) @ angles), float(weight.sum(axis=0) @ shifts)
    ends = _chords(bone, at, np.array([angle]), np.array([shift]))
    turn = np.radians(angle)
    along, across = np.cos(turn) * at[1] + np.sin(turn) * at[2], np.cos(turn) * at[2] - np.sin(turn) * at[1]
    near, far = float(ends[0][0, 0]), float(ends[1][0, 0])
    return angle, near + far, at[0] + shift * along + (far - near) / 2 * across


def _chords(
    bone: Bone, at: tuple[Points, Points, Points, Points], angles: Points, shifts: Points
) -> tuple[Points, Points]:
    """Mean over the band of how far the bone goes inwards and outwards, (angles, shifts); 5 `FAR` without an end."""
    point, back, side, normal = at
    turn = np.radians(angles)[:, None, None, None]
    along, across = np.cos(turn) * back + np.sin(turn) * side, np.cos(turn) * side - np.sin(turn) * back
    start = point + shifts[:, None, None] * along + BAND[:, None] * normal
    ways = np.broadcast_to(across, start.shape)
    found = []
    for way in (-ways, ways):
        steps = np.arange(0.0, FAR + 0.1, 2.0)
        inside = _in(bone, start[..., None, :] + steps[:, None] * way[..., None, :], whole=True)
        n = np.cumprod(inside, axis=-1).sum(axis=-1)
        low, high = 2.0 * (n - 1.0), 2.0 * n
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            within = _in(bone, start + middle[..., None] * way, whole=True)
            low, high = np.where(within, middle, low), np.where(within, high, middle)
        ended = (n > 0) & (n < len(steps))
        found.append(np.where(ended, (low + high) / 2, 5 * FAR).mean(axis=-1))
    return found[0], found[1]
