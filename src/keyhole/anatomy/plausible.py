"""Whether the names fit the anatomy that they are given to: integers read by a wrong scheme contradict it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.spine import Bone
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import Box, LabelMap, Points
from keyhole.terms import are_neighbours, belongs

DOUBT = "the names of the levels are doubtful: "
"""How a caveat begins that says so."""

MOST_EXTENT = (140.0, 130.0, 95.0)
"""Largest extent of one thoracic or lumbar vertebra along its left, posterior and up, mm [keyhole-choice]."""

LUMBAR_STEP = (25.0, 28.0)
"""Median distance, mm, of neighbouring lumbar vertebrae's middles: below the first the names are refused, below the
second doubtful. The least median in the 138 complete lumbar spines of VerSe's centroid tables is 28.4, the median of
three thoracic steps is below 28.7 in 97.5 % [keyhole-choice]."""

LEAST_SACRUM = 55.0
"""Least length, mm, of a sacrum that lies wholly in view [keyhole-choice]."""

BALL = 7.0
"""Radius, mm, of the balls in which the next vertebra, and the disc between two, are looked for [keyhole-choice]."""

JOINED = 500.0
"""Least area, mm², on which S1 and the rest of the sacrum touch; 1,800 to 2,600 in the spines looked at, 0 where the
label is L6 [keyhole-choice]."""

ALONE = 30.0
"""Distance, mm, at which the neighbours of a lone vertebra are looked for [keyhole-choice]."""

HANGING = (1.0, 4.0)
"""Median height, mm, of the spinous processes' tips over their bodies' middles: above the first the names are doubtful,
above the second refused. In the spines looked at the tips lie 5 to 15 mm below [keyhole-choice]."""

THIN = 4
"""Every fourth voxel tells how far a bone extends."""

DISC_PLACE = (0.15, 0.85)
"""A disc's middle lies between these shares of the way from one vertebra's middle to the next [keyhole-choice]."""

_SPINE = ("vertebra", "sacrum", "disc", "canal", "root", "foramen", "tissue/fat", "tissue/skin", "tissue/muscle")
"""What may stand where the next vertebra or disc is, apart from nothing."""


def check_names(
    labels: LabelMap, found: Mapping[str, Bone], cut: frozenset[str], *, are_bodies: bool = False
) -> tuple[str, ...]:
    """Caveats on names that the anatomy casts doubt on; refused where it contradicts them.

    Parameters
    ----------
    found : the vertebrae in their row.
    cut : names of those that the scan's edge cuts.
    are_bodies : whether the labels are known to hold bodies alone.
    """
    boxes = label_boxes(labels)
    for name, bone in found.items():
        _check_one(labels, boxes, name, bone)
    if found and not are_bodies and all(not bone.arch.any() for name, bone in found.items() if name != "S1"):
        raise ImplausibleAnatomy(
            "the labels hold vertebral bodies without their arches, so the canal cannot be found; give a label file "
            "with whole vertebrae as well"
        )
    _check_line(labels, found)
    _check_discs(labels, boxes, found)
    _check_sacrum(labels, boxes)
    return (*_steps(found), *_upright(found, cut), *_first_sacral(labels, boxes, found), *_lonely(boxes, found))


def _check_one(labels: LabelMap, boxes: Mapping[str, Box], name: str, bone: Bone) -> None:
    """Refuse a vertebra larger than any, and bodies that enclose a canal."""
    if name == "S1":
        return
    extent = np.ptp(bone.local(bone.grid.centres(np.argwhere(bone.whole)[::THIN])), axis=0)
    for size, most, way in zip(extent, MOST_EXTENT, ("across", "from front to back", "along the spine"), strict=True):
        if not size <= most:
            raise ImplausibleAnatomy(
                f"{name} measures {size:.0f} mm {way}, a vertebra at most {most:.0f} mm: the label is not one vertebra"
            )
    parts = {key for key in boxes if belongs(key, f"vertebra/{name}")}
    if parts == {f"vertebra/{name}/body"} and bone.along is not None:
        raise ImplausibleAnatomy(
            f"{name} is labelled as a body alone, yet it encloses the canal: the labels are whole vertebrae"
        )


def _check_line(labels: LabelMap, found: Mapping[str, Bone]) -> None:
    """Refuse names of other organs where the next vertebra or the disc between two must be."""
    row = list(found.values())
    apart = [float(np.linalg.norm(a.centre - b.centre)) for a, b in itertools.pairwise(row)]
    step = float(np.median(apart)) if apart else ALONE
    first, last = row[0], row[-1]
    places = [
        (first.centre + step * first.up, f"above {first.name}"),
        *((last.centre - step * last.up, f"below {last.name}") for _ in range(last.name != "S1")),
        *(((a.centre + b.centre) / 2, f"between {a.name} and {b.name}") for a, b in itertools.pairwise(row)),
    ]
    for point, where in places:
        strange = _strange_at(labels, point)
        if strange:
            raise ImplausibleAnatomy(
                f"{where}, where the spine goes on, the labels hold {strange}: the integers belong to another scheme"
            )


def _strange_at(labels: LabelMap, point: Points) -> str:
    """The structure that fills most of a ball around `point` and cannot be there; empty where there is none."""
    index = labels.grid.index(point)
    reach = BALL / labels.grid.spacing
    low = np.maximum(0, np.ceil(index - reach)).astype(int)
    high = np.minimum(labels.array.shape, np.floor(index + reach).astype(int) + 1)
    if (low >= high).any():
        return ""
    box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
    at = np.indices(labels.array[box].shape).reshape(3, -1).T + low
    inside = np.linalg.norm((at - index) * labels.grid.spacing, axis=1) <= BALL
    values = labels.array[box].ravel()[inside]
    counts = np.bincount(values, minlength=1)
    top = int(np.argmax(counts))
    key = labels.structures.get(top, "")
    if not key or belongs(key, *_SPINE) or counts[top] < 0.5 * counts.sum():
        return ""
    return key


def _check_discs(labels: LabelMap, boxes: Mapping[str, Box], found: Mapping[str, Bone]) -> None:
    """Refuse discs that do not lie between the vertebrae that name them."""
    for key in sorted(boxes):
        parts = key.split("/")
        upper, _, lower = parts[1].partition("-") if parts[0] == "disc" and len(parts) == 2 else ("", "", "")
        if upper not in found or lower not in found:
            continue
        box = boxes[key]
        mask = labels.mask(key, box=box)
        if not mask.any():
            continue
        middle = labels.grid.crop(box).centres(np.argwhere(mask)).mean(axis=0)
        a, b = found[upper].centre, found[lower].centre
        share = float((middle - a) @ (b - a) / ((b - a) @ (b - a)))
        if not DISC_PLACE[0] <= share <= DISC_PLACE[1]:
            raise ImplausibleAnatomy(
                f"the disc {upper}/{lower} does not lie between {upper} and {lower}: discs and vertebrae are numbered "
                "differently"
            )


def _check_sacrum(labels: LabelMap, boxes: Mapping[str, Box]) -> None:
    """Refuse a sacrum that is no longer than a vertebra though the scan does not cut it."""
    box = union_box({key: one for key, one in boxes.items() if belongs(key, "sacrum")}, "sacrum")
    if box is None or _is_cut(box, labels):
        return
    points = labels.grid.crop(box).centres(np.argwhere(labels.mask("sacrum", box=box))[::THIN])
    if len(points) < 10:
        return
    length = float(np.ptp((points - points.mean(axis=0)) @ np.linalg.eigh(np.cov(points.T))[1][:, -1]))
    if not length >= LEAST_SACRUM:
        raise ImplausibleAnatomy(
            f"the sacrum measures {length:.0f} mm at its longest, a sacrum at least {LEAST_SACRUM:.0f} mm: the label "
            "is something else"
        )


def _is_cut(box: Box, labels: LabelMap) -> bool:
    return any(side.start <= 1 or side.stop >= n - 1 for side, n in zip(box, labels.array.shape, strict=True))


def _steps(found: Mapping[str, Bone]) -> tuple[str, ...]:
    """Doubt on lumbar names whose vertebrae stand as close as thoracic ones; refused where none ever does."""
    names = [name for name in found if name.startswith("L")]
    apart = _apart(found, names)
    if not apart:
        return ()
    step = float(np.median(apart))
    if len(apart) > 1 and not step >= LUMBAR_STEP[0]:
        raise ImplausibleAnatomy(
            f"{names[0]} to {names[-1]} lie {step:.0f} mm apart, lumbar vertebrae at least {LUMBAR_STEP[0]:.0f} mm: "
            "these are other vertebrae"
        )
    if step >= LUMBAR_STEP[1] - 3 * (len(apart) == 1):
        return ()
    return (
        f"{DOUBT}{names[0]} to {names[-1]} lie {step:.0f} mm apart, which is usual of thoracic vertebrae; lumbar ones "
        f"lie at least {LUMBAR_STEP[1]:.0f} mm apart",
    )


def _apart(found: Mapping[str, Bone], names: Sequence[str]) -> list[float]:
    """Distances of neighbouring middles, mm."""
    pairs = [(a, b) for a, b in itertools.pairwise(names) if are_neighbours(a, b)]
    return [float(np.linalg.norm(found[a].centre - found[b].centre)) for a, b in pairs]


def _upright(found: Mapping[str, Bone], cut: frozenset[str]) -> tuple[str, ...]:
    """Doubt where the spinous processes point to the head: they hang below their bodies' middles."""
    heights = []
    for name, bone in found.items():
        if name == "S1" or name in cut or bone.along is None:
            continue
        arch = bone.local(bone.grid.centres(np.argwhere(bone.arch)[::THIN]))
        if len(arch) < 30:
            continue
        tip = arch[arch[:, 1] >= np.percentile(arch[:, 1], 85)]
        heights.append(float(tip[:, 2].mean()))
    height = float(np.median(heights)) if len(heights) > 1 else 0.0
    if not height > HANGING[0]:
        return ()
    text = (
        f"the spinous processes point to what the names call the head, {height:.0f} mm above the bodies' middles: the "
        "numbering runs upside down"
    )
    if height > HANGING[1]:
        raise ImplausibleAnatomy(text)
    return (DOUBT + text,)


def _lonely(boxes: Mapping[str, Box], found: Mapping[str, Bone]) -> tuple[str, ...]:
    """Doubt on the name of a vertebra that has nothing labelled beside it by which it could be counted."""
    if len(found) != 1 or any(belongs(key, "sacrum", "disc", "rib", "pelvis") for key in boxes):
        return ()
    return (f"{DOUBT}{next(iter(found))} stands alone: nothing labelled beside it speaks for or against its name",)


def _first_sacral(labels: LabelMap, boxes: Mapping[str, Box], found: Mapping[str, Bone]) -> tuple[str, ...]:
    """Doubt on S1 that does not join the sacrum: another label order calls L6 what this one calls S1."""
    box = union_box(boxes, "sacrum")
    s1 = found.get("S1")
    if box is None or s1 is None or "vertebra/S1" not in {"/".join(key.split("/")[:2]) for key in boxes}:
        return ()
    points = labels.grid.crop(box).centres(np.argwhere(labels.mask("sacrum", box=box)))
    below = points[(points - s1.centre) @ s1.up < 0]
    body = s1.grid.centres(np.argwhere(s1.body))
    if len(below) < 10 or len(body) < 10:
        return ()
    from scipy.spatial import cKDTree  # noqa: PLC0415  (heavy import)

    side = float(labels.grid.spacing.max())
    touching = cKDTree(below).query(body, distance_upper_bound=1.5 * side)[0] < np.inf
    area = float(touching.sum()) * side**2
    if area >= JOINED:
        return ()
    return (
        f"{DOUBT}S1 and the rest of the sacrum touch on {area:.0f} mm² only: S1 is lumbarised, or what is called S1 "
        "is L6",
    )
