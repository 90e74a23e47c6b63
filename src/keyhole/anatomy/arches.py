"""The arch of a vertebra cut into pedicles, laminae, facets, transverse processes and spinous process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.spine import Bone
from keyhole.geometry import Box, Points, bounding_box
from keyhole.terms import SIDES

JOINT = 2.5
"""A facet's region is bone of either arch within this distance, mm, of both arches [keyhole-prototype] ..."""

DILATED = 3.0
"""... widened by this in bone, mm [keyhole-choice]."""

LAMINA = 5.0
"""Thickness of the lamina at the midline, mm; farther behind the canal is spinous process [keyhole-choice]."""

MIDLINE = 5.0
"""Half width, mm, of the midline in which touching bone is no facet joint [keyhole-choice]."""

WIDEST = 17.8
"""Width, mm, beyond which a pedicle at the canal's middle is its transverse process [pedicle-safe-zone]."""

PARTS = (
    *(f"pedicle/{side}" for side in SIDES),
    *(f"lamina/{side}" for side in SIDES),
    *(f"facet/superior/{side}" for side in SIDES),
    *(f"facet/inferior/{side}" for side in SIDES),
    *(f"transverse/{side}" for side in SIDES),
    "spinous",
)
"""Parts of a lumbar arch; in a split array n + 1 stands for PARTS[n]."""

FRONT = 255
"""In a split array: bone before the body's posterior wall, a spur of the body."""


@dataclass(frozen=True, slots=True)
class Pedicle:
    """One pedicle's isthmus in the vertebra's axes, mm from the body's centre; lateral counts away from the midline."""

    inner: float
    outer: float
    lower: float
    upper: float
    front: float  # posterior coordinate of the body's wall
    isthmus: float  # posterior coordinate of the narrowest section
    back: float  # posterior coordinate where lamina and facets begin

    @property
    def height(self) -> float:
        """Middle of the pedicle along up."""
        return (self.lower + self.upper) / 2

    @property
    def lateral(self) -> float:
        """Middle of the pedicle away from the midline."""
        return (self.inner + self.outer) / 2


def pedicle(bone: Bone, side: str) -> Pedicle | None:
    """The pedicle of `bone` on `side` by its narrowest section between body and canal's middle; None if unseen."""
    if bone.foramen is None:
        return None
    sign = 1.0 if side == "left" else -1.0
    middle = bone.local(bone.foramen[None])[0]
    points = bone.local(bone.grid.centres(np.argwhere(bone.arch)))
    body = bone.local(bone.grid.centres(np.argwhere(bone.body)))
    wall = float(np.percentile(body[np.abs(body[:, 0] - middle[0]) < 6][:, 1], 99))
    lateral = sign * (points[:, 0] - middle[0])
    tall = float(np.ptp(body[:, 2])) / 2
    held = (lateral > 4) & (lateral < 28) & (points[:, 1] > wall) & (np.abs(points[:, 2]) < tall + 4)
    at = wall + 0.55 * max(float(middle[1]) - wall, 4.0)
    section = held & (np.abs(points[:, 1] - at) <= 1.5)
    if section.sum() < 60:
        return None
    inner, outer = np.percentile(lateral[section], (3, 97))
    lower, upper = np.percentile(points[section, 2], (3, 97))
    top = float(np.percentile(body[:, 2], 98))  # what stands higher at the isthmus is the facet
    upper = min(upper, top - (2.0 if bone.name == "S1" else 1.0))
    outer = min(outer, inner + WIDEST)
    return Pedicle(float(inner), float(outer), float(lower), float(upper), wall, at, max(float(middle[1]), at + 1.0))


def joints(upper: Bone, lower: Bone) -> tuple[Box, NDArray[np.uint8]]:
    """Box in the working crop, and 1 where the upper, 2 where the lower arch belongs to a facet joint of theirs."""
    box = _meeting(upper.box, lower.box)
    spacing = upper.grid.spacing
    wholes = [_into(box, bone.box, bone.arch) for bone in (upper, lower)]
    found = np.zeros(wholes[0].shape, dtype=np.uint8)
    part = _shared(wholes, np.ceil((2 * JOINT + DILATED) / spacing).astype(int))
    if part is None:
        return box, found
    arches = [whole[part] for whole in wholes]
    near = _away(arches[0], spacing) <= JOINT
    near &= _away(arches[1], spacing) <= JOINT
    near &= _off_midline(
        upper, lower, [slice(b.start + p.start, b.start + p.stop) for b, p in zip(box, part, strict=True)]
    )
    if not near.any():
        return box, found
    reach = _away(near, spacing) <= DILATED
    for n, arch in enumerate(arches):
        found[part][arch & reach] = n + 1
    return box, found


def _shared(masks: Sequence[NDArray[np.bool_]], margin: NDArray[np.int_]) -> Box | None:
    """Where the boxes around both `masks`, each `margin` voxels wider, overlap: joints are nowhere else."""
    one, two = (bounding_box(mask) for mask in masks)
    if one is None or two is None:
        return None
    low = [max(a.start, b.start) - m for a, b, m in zip(one, two, margin, strict=True)]
    high = [min(a.stop, b.stop) + m for a, b, m in zip(one, two, margin, strict=True)]
    spans = [slice(max(0, a), min(n, b)) for a, b, n in zip(low, high, masks[0].shape, strict=True)]
    return (spans[0], spans[1], spans[2]) if all(s.stop > s.start for s in spans) else None


def _meeting(a: Box, b: Box) -> Box:
    """The box around `a` and `b`."""
    spans = [slice(min(x.start, y.start), max(x.stop, y.stop)) for x, y in zip(a, b, strict=True)]
    return spans[0], spans[1], spans[2]


def _into(box: Box, own: Box, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`mask`, given in the box `own`, in the larger `box`."""
    out = np.zeros([s.stop - s.start for s in box], dtype=np.bool_)
    out[tuple(slice(o.start - s.start, o.stop - s.start) for s, o in zip(box, own, strict=True))] = mask
    return out


def _away(mask: NDArray[np.bool_], spacing: Points) -> NDArray[Any]:
    import edt  # noqa: PLC0415  (heavy import)

    steps = tuple(float(s) for s in spacing)
    far: NDArray[Any] = edt.edt(np.ascontiguousarray(~mask), anisotropy=steps, parallel=1)
    return far


def _off_midline(upper: Bone, lower: Bone, box: Sequence[slice]) -> NDArray[np.bool_]:
    """Where in `box` the midsagittal planes of both bones are farther than `MIDLINE` away."""
    shift = [b.start - o.start for b, o in zip(box, upper.box, strict=True)]
    where = np.moveaxis(np.indices([s.stop - s.start for s in box]), 0, -1) + shift
    points = upper.grid.centres(where)
    off = np.ones(where.shape[:3], dtype=np.bool_)
    for bone in (upper, lower):
        middle = bone.centre if bone.foramen is None else bone.foramen
        off &= np.abs((points - middle) @ bone.left) > MIDLINE
    return off


def split(
    bone: Bone, pedicles: Sequence[Pedicle | None], above: NDArray[np.bool_], below: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The arch of `bone` by parts: n + 1 stands for PARTS[n], 0 for what is not arch.

    Planes of the vertebra's own axes, placed by its pedicles and canal, cut the arch; joints with the neighbours
    decide what is facet. Islands go to the part that they touch.

    Parameters
    ----------
    pedicles : its left and its right one.
    above, below : in the bone's box, its part of the facet joints with the neighbour above and below.
    """
    index = np.argwhere(bone.arch)
    if bone.foramen is None or any(p is None for p in pedicles) or not len(index):
        return np.zeros(bone.whole.shape, dtype=np.uint8)
    local = bone.local(bone.grid.centres(index))
    local[:, 0] -= bone.local(bone.foramen[None])[0, 0]
    number = np.zeros(len(index), dtype=np.uint8)
    roof = _roof(local, pedicles[0])
    foot = float(np.percentile(bone.local(bone.grid.centres(np.argwhere(bone.body)))[:, 2], 2))
    touching = above[tuple(index.T)], below[tuple(index.T)]
    for n, found in enumerate(pedicles):
        if found is None:
            continue
        mine = (local[:, 0] >= 0) == (n == 0)
        parts = _rules(np.abs(local[mine, 0]), local[mine], found, roof, foot)
        number[mine] = np.where(parts == FRONT, FRONT, parts + n)
        _joint(number, mine, touching, local, found, n)
    number[(np.abs(local[:, 0]) <= 7) & (local[:, 1] >= roof + LAMINA)] = PARTS.index("spinous") + 1
    out = np.zeros(bone.whole.shape, dtype=np.uint8)
    out[tuple(index.T)] = number
    return _tidied(out, bone)


def _roof(local: Points, found: Pedicle | None) -> float:
    """Posterior coordinate of the canal's back wall at the midline."""
    behind = local[(np.abs(local[:, 0]) <= 2) & (local[:, 1] > (found.back if found else 0) + 1)]
    if len(behind) < 5:
        return (found.back if found else 0.0) + 8
    _, place = np.unique(np.round(behind[:, 2]), return_inverse=True)
    first = np.full(place.max() + 1, np.inf)
    np.minimum.at(first, place.ravel(), behind[:, 1])
    return float(np.percentile(first, 30))


def _rules(lateral: Points, local: Points, found: Pedicle, roof: float, foot: float) -> NDArray[np.uint8]:
    """Part numbers (of the left side) by planes."""
    numbers = {part: PARTS.index(part) + 1 for part in PARTS}
    back, height = local[:, 1], local[:, 2]
    part = np.full(len(local), numbers["lamina/left"], dtype=np.uint8)
    part[(lateral > found.outer + 1.5) & (height > foot)] = numbers["transverse/left"]
    part[(back <= found.back) & (lateral > found.inner - 3) & (lateral <= found.outer + 1.5)] = numbers["pedicle/left"]
    above = (height > found.upper - 1) & (back > found.isthmus) & (lateral > found.inner - 4)
    part[above & (lateral < found.outer + 6)] = numbers["facet/superior/left"]
    part[(height < foot + 2) & (lateral > MIDLINE) & (back > found.isthmus)] = numbers["facet/inferior/left"]
    part[(lateral <= 14) & (back >= roof + 2 * LAMINA)] = numbers["spinous"]
    part[(back < found.front - 1) & ((lateral <= found.outer + 1.5) | (height <= foot))] = FRONT
    return part


def _joint(
    number: NDArray[np.uint8],
    mine: NDArray[np.bool_],
    touching: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    local: Points,
    found: Pedicle,
    side: int,
) -> None:
    """What belongs to a joint is facet, unless it is pedicle or too far off."""
    free = mine & (local[:, 1] > found.isthmus)
    up = touching[0] & free & (local[:, 2] > found.height - 4) & (np.abs(local[:, 0]) > found.inner - 4)
    down = touching[1] & free & (local[:, 2] < found.height)
    number[up & ~touching[1]] = PARTS.index("facet/superior/left") + 1 + side
    number[down] = PARTS.index("facet/inferior/left") + 1 + side


def _tidied(parts: NDArray[np.uint8], bone: Bone) -> NDArray[np.uint8]:
    """Every part in one piece: islands take the number of the nearest main piece."""
    box = bounding_box(parts > 0)
    if box is None:
        return parts
    out = np.zeros_like(parts)
    out[box] = _in_one_piece(np.ascontiguousarray(parts[box]), bone.grid.spacing)
    return out


def _in_one_piece(parts: NDArray[np.uint8], spacing: Points) -> NDArray[np.uint8]:
    import cc3d  # noqa: PLC0415  (heavy import)

    pieces = cc3d.connected_components(parts, connectivity=6)
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(len(sizes), dtype=np.uint8)
    owner[pieces.ravel()] = parts.ravel()
    main = np.zeros(len(sizes), dtype=np.bool_)
    main[owner == FRONT] = True
    for n in range(1, len(PARTS) + 1):
        own = np.flatnonzero(owner == n)
        if len(own):
            main[own[sizes[own].argmax()]] = True
    kept = np.where(main[pieces], parts, 0)
    if not kept.any():
        return parts
    near = ndimage.distance_transform_edt(kept == 0, sampling=spacing, return_distances=False, return_indices=True)
    return np.asarray(np.where(parts > 0, kept[tuple(near)], 0), dtype=np.uint8)
