"""Sacrum and ilium of one side as one bone, joined across the sacroiliac joint, as one screw meets them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.boxes import label_boxes
from keyhole.anatomy.model import Anatomy, Vertebra
from keyhole.errors import NotInScan
from keyhole.geometry import Box, Grid, LabelMap, Points, affine, bounding_box, distance_field
from keyhole.plan.screws.bone import (
    NEIGHBOUR,
    Bone,
    Mask,
    boundary_sd,
    coarse_of,
    depth_of,
    others,
    padded,
    solid,
)
from keyhole.plan.screws.place import SHALLOW
from keyhole.plan.screws.sizes import Trajectory
from keyhole.terms import SIDES, Tissue, tissue

S2AI = "S2AI"
"""What the place of such a screw is called among the vertebrae."""

SACRAL = ("vertebra/S1", "sacrum")

SACRUM, ILIUM, JOINT = 1, 2, 3
"""Values of `Pelvis.parts`."""

CLEFT = 6.0
"""Voxels between both bones whose distances to them add up to no more are the joint, mm [keyhole-choice]: on 1 mm
voxels a space of 5 mm; joints on CT are 0.8 to 4.4 mm wide [demir2007]."""

OPPOSITE = -0.5
"""Cosine of the directions to both bones: a voxel lies between them, not beside both, where they are 120 degrees apart
or more [keyhole-choice]."""

DORSAL = (-5.0, 45.0)
"""The sacrum's dorsal surface lies somewhere here, mm behind the middle of S1 [keyhole-choice]."""

ROOM = 14.0
"""Bone is looked at this near to any allowed axis, mm: the thickest shaft and the walls about it [keyhole-choice]."""

PAD = 2

STRIDE = 2
"""The depth that guides the search is taken at every so many voxels; what is judged and reported is exact."""


@dataclass(frozen=True, slots=True, eq=False)
class Pelvis:
    """`bone` of both, whose `parts` are told apart on its grid; `end` (n, 3) is where the scan ends in one of them."""

    bone: Bone
    parts: NDArray[np.uint8]
    end: Points


def pelvis(anatomy: Anatomy, side: str, trajectory: Trajectory, boxes: Mapping[str, Box] | None = None) -> Pelvis:
    """Sacrum and ilium of `side` with the joint between them; refused where the scan lacks one of them.

    The wall is all that lies outside both but the cleft between them: voxels that both bones face from opposite sides,
    whose distances to both add up to `CLEFT` at most, nerves and vessels left out.
    """
    known = label_boxes(anatomy.labels) if boxes is None else boxes
    frame = _frame(anatomy, side, known)
    box = _corridor(anatomy.labels, frame, side, trajectory)
    held = bounding_box(anatomy.labels.mask(*SACRAL, f"pelvis/{side}", box=box))
    if held is not None:
        box = _inside(box, held)
    labels = anatomy.labels.crop(box)
    sacrum, ilium = _one(labels, *SACRAL), _one(labels, f"pelvis/{side}")
    parts = sacrum * np.uint8(SACRUM)
    parts[ilium] = ILIUM
    parts[_cleft(labels, sacrum, ilium)] = JOINT
    grid, parts = padded(anatomy.labels, box, PAD), np.pad(parts, PAD)
    bone = _bone(anatomy, (frame, side), (parts, grid), labels, trajectory)
    return Pelvis(bone, parts, _end(anatomy.labels, box, sacrum | ilium))


def _frame(anatomy: Anatomy, side: str, boxes: Mapping[str, Box]) -> Vertebra:
    """The frame of S1; refused with what is missing."""
    missing = [key for key in ("sacrum", f"pelvis/{side}") if key not in boxes]
    if missing:
        raise NotInScan(
            f"an S2-alar-iliac screw on the {side} needs the sacrum below S1 and the ilium: no label of "
            f"{' and '.join(missing)}"
        )
    frame = anatomy.vertebrae.get("S1")
    if frame is None or frame.superior is None:
        raise NotInScan("an S2-alar-iliac screw is planned from the endplate of S1, which is not in the scan")
    return frame


def _corridor(labels: LabelMap, frame: Vertebra, side: str, path: Trajectory) -> Box:
    """The box of voxels within `ROOM` of every axis that is allowed, clipped to the scan."""
    assert frame.superior is not None
    axes = np.stack([frame.toward(side), frame.posterior, frame.up])
    top = float((frame.superior.centre - frame.centre) @ frame.up)
    doors = np.array(list(itertools.product(path.beside, DORSAL, [top - depth for depth in path.below])))
    angles = np.deg2rad(list(itertools.product(*(np.linspace(*ends, 5) for ends in (path.medial, path.cranial)))))
    cosine = np.cos(angles[:, 1])
    ways = np.stack([-np.sin(angles[:, 0]) * cosine, -np.cos(angles[:, 0]) * cosine, np.sin(angles[:, 1])], axis=1)
    tips = (doors[:, None] + path.longest * ways).reshape(-1, 3)
    index = labels.grid.index(frame.centre + np.concatenate([doors, tips]) @ axes)
    room = ROOM / labels.grid.spacing
    low = np.clip(np.floor(index.min(axis=0) - room).astype(int), 0, np.array(labels.array.shape) - 1)
    high = np.clip(np.ceil(index.max(axis=0) + room).astype(int) + 1, low + 1, labels.array.shape)
    return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1])), slice(int(low[2]), int(high[2]))


def _inside(box: Box, part: Box) -> Box:
    """`part` of `box` in the voxels of the whole array."""
    first, second, third = (slice(b.start + p.start, b.start + p.stop) for b, p in zip(box, part, strict=True))
    return first, second, third


def _one(labels: LabelMap, *keys: str) -> Mask:
    """The largest piece at `keys`, its closed holes filled."""
    mask = labels.mask(*keys)
    box = bounding_box(mask)
    if box is not None:
        mask[box] = solid(mask[box])
    return mask


def _cleft(labels: LabelMap, sacrum: Mask, ilium: Mask) -> Mask:
    """The voxels of the joint between both bones."""
    found = np.zeros(sacrum.shape, dtype=np.bool_)
    room = int(np.ceil(CLEFT / labels.grid.spacing.min()))
    both = [bounding_box(mask, room) for mask in (sacrum, ilium)]
    if both[0] is None or both[1] is None:
        return found
    low, high = (
        [f(getattr(a, end), getattr(b, end)) for a, b in zip(*both, strict=True)]
        for f, end in ((max, "start"), (min, "stop"))
    )
    if not all(a < b for a, b in zip(low, high, strict=True)):
        return found
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    part = labels.crop(box)
    one, other = (distance_field(m[box], part.patient_from_index, signed=False).array for m in (sacrum, ilium))
    soft = ~part.mask(*(k for k in part.keys if tissue(k) in (Tissue.NERVE, Tissue.VESSEL)))
    found[box] = soft & (one > 0) & (other > 0) & (one + other <= CLEFT) & _between(one, other, part.grid)
    return found


def _between(one: NDArray[np.float32], other: NDArray[np.float32], grid: Grid) -> Mask:
    """Where both distances fall in opposite directions."""
    steps = tuple(float(s) for s in grid.spacing)
    a, b = (np.stack([np.gradient(field, step, axis=n) for n, step in enumerate(steps)]) for field in (one, other))
    size = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return np.asarray((a * b).sum(axis=0) < OPPOSITE * size)


def _bone(
    anatomy: Anatomy, at: tuple[Vertebra, str], held: tuple[NDArray[np.uint8], Grid], labels: LabelMap, path: Trajectory
) -> Bone:
    """Both bones as a `Bone` that is entered through the sacrum."""
    (frame, side), (parts, grid) = at, held
    keys = (*SACRAL, f"pelvis/{side}")
    mask = parts > 0
    half = _halved(grid)
    depth = depth_of(mask[::STRIDE, ::STRIDE, ::STRIDE], half)
    box = bounding_box(parts == SACRUM, 3) or (slice(0, 1),) * 3
    sacral = grid.crop(box)
    axes = np.stack([frame.toward(side), frame.posterior, frame.up])
    spread = _surface(frame, axes, grid.centres(np.argwhere(parts == SACRUM)), path) - SHALLOW
    about = frame.centre + np.array([np.mean(path.beside), spread, 0.0]) @ axes
    rim, behind = grid.centres(np.argwhere(_ring(mask))), others(_near(labels, about), SACRAL, frame, about)
    return Bone(
        frame, mask, grid, depth, rim, behind, "",
        {s: np.empty((0, 3)) for s in SIDES}, boundary_sd(anatomy, keys), coarse_of(labels),
        (depth_of(parts[box] == SACRUM, sacral), sacral), spread, S2AI, half,
    )  # fmt: skip


def _halved(grid: Grid) -> Grid:
    """The grid of every `STRIDE`th voxel."""
    shape = tuple(-(-n // STRIDE) for n in grid.shape)
    scale = np.diag([STRIDE, STRIDE, STRIDE, 1.0])
    return Grid((shape[0], shape[1], shape[2]), affine(grid.patient_from_index.matrix @ scale))


def _ring(mask: Mask) -> Mask:
    """The voxels outside `mask` that share a face or an edge with it; `mask` has an empty border."""
    found = np.zeros_like(mask)
    inner = mask[1:-1, 1:-1, 1:-1]
    for shift in itertools.product((0, 1, 2), repeat=3):
        if 0 < sum(s != 1 for s in shift) < 3:
            box = tuple(slice(s, s + n) for s, n in zip(shift, inner.shape, strict=True))
            found[box] |= inner
    return np.asarray(found & ~mask)


def _near(labels: LabelMap, about: Points) -> LabelMap:
    """The part of `labels` within `NEIGHBOUR` of `about`."""
    index, room = labels.grid.index(about), NEIGHBOUR / labels.grid.spacing
    low = np.clip(np.floor(index - room).astype(int), 0, np.array(labels.array.shape) - 1)
    high = np.clip(np.ceil(index + room).astype(int) + 1, low + 1, labels.array.shape)
    return labels.crop((slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])))


def _surface(frame: Vertebra, axes: Points, points: Points, path: Trajectory) -> float:
    """How far behind the middle of S1 the sacrum's dorsal surface lies where it may be entered, mm: the median."""
    assert frame.superior is not None
    local = (points - frame.centre) @ axes.T
    top = float((frame.superior.centre - frame.centre) @ frame.up)
    inside = (local[:, 0] >= path.beside[0]) & (local[:, 0] <= path.beside[1])
    inside &= (top - local[:, 2] >= path.below[0]) & (top - local[:, 2] <= path.below[1])
    if not inside.any():
        raise NotInScan("an S2-alar-iliac screw enters the sacrum beside its foramina, where none of it is labelled")
    cells = np.floor(local[inside][:, [0, 2]] / 3.0).astype(int)
    _, which = np.unique(cells, axis=0, return_inverse=True)
    most = np.full(int(which.max()) + 1, -np.inf)
    np.maximum.at(most, which.ravel(), local[inside][:, 1])
    return float(np.median(most))


def _end(labels: LabelMap, box: Box, bony: Mask) -> Points:
    """Centres (n, 3) of the voxels of both bones inside `box` at the scan's end, LPS mm."""
    index = np.argwhere(bony) + [side.start for side in box]
    last = np.array(labels.array.shape) - 1
    return labels.grid.centres(index[((index == 0) | (index == last)).any(axis=1)])


def crossed(seen: Pelvis, entry: Points, tip: Points, step: float = 0.1) -> dict[str, float]:
    """How much of the axis from `entry` to `tip` runs in sacrum, joint and ilium, mm, by the voxels it lies in."""
    length = float(np.linalg.norm(tip - entry))
    along = np.arange(step / 2, length, step)
    points = entry + along[:, None] * (tip - entry) / length
    index = np.rint(seen.bone.grid.index(points)).astype(int)
    inside = ((index >= 0) & (index < np.array(seen.parts.shape))).all(axis=1)
    found = np.zeros(len(points), dtype=np.uint8)
    found[inside] = seen.parts[tuple(index[inside].T)]
    share = length / len(points)
    return {
        name: float((found == value).sum()) * share
        for name, value in (("sacrum", SACRUM), ("joint", JOINT), ("ilium", ILIUM))
    }
