"""Whether labels can be a patient's spine: what contradicts itself is refused, what is doubtful becomes a caveat."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.anatomy.spine import Bone
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import Box, LabelMap, Points, unit
from keyhole.terms import are_neighbours, rank

SPACING = (15.0, 60.0)
"""Distance of neighbouring vertebrae's middles, mm; outside it the labels are refused [keyhole-choice]."""

ONE_LEVEL = 50.0
"""Names that skip a vertebra need at least this distance, mm, or the numbering contradicts itself [keyhole-choice]."""

VOLUME = (8.0, 200.0)
"""Plausible volume of a vertebra, mL, body alone to whole bone; outside it a caveat [keyhole-choice]."""

ISLAND = 0.1
"""Share of the largest piece below which another piece of the same bone is dropped [keyhole-choice]."""

FRAGMENT = 0.4
"""Share of the median volume below which a vertebra at the edge of the scan is only a fragment [keyhole-choice]."""


SPECK = 0.05
"""Share of the median volume below which a vertebra is a fragment wherever it lies [keyhole-choice]."""


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Labels that passed: `array` without islands, per-key caveats, vertebrae cut by the scan, and mere fragments."""

    array: NDArray[np.uint16]
    caveats: Mapping[str, tuple[str, ...]]
    cut: frozenset[str]
    fragments: frozenset[str]


def check_labels(labels: LabelMap) -> Checked:
    """`labels` without islands, with what is cut by the field of view; refused if empty or without lumbar vertebra."""
    array = np.array(labels.array, dtype=np.uint16)
    boxes = ndimage.find_objects(array)
    if not boxes:
        raise ImplausibleAnatomy("the label map is empty: no voxel carries a label")
    names = _present(labels, boxes)
    if not any(name.startswith("L") for name in names):
        known = ", ".join(sorted(names, key=rank)) or "none"
        raise ImplausibleAnatomy(f"the labels hold no lumbar vertebra; vertebrae found: {known}")
    caveats: dict[str, list[str]] = {}
    volumes: dict[str, float] = {}
    cut: set[str] = set()
    for name in sorted(names, key=rank):
        box = _box(labels, f"vertebra/{name}", boxes)
        volumes[name] = _without_islands(labels, array, name, box, caveats)
        if any(s.start == 0 or s.stop == n for s, n in zip(box, array.shape, strict=True)):
            cut.add(name)
            caveats.setdefault(name, []).append("cut by the field of view")
    typical = float(np.median(list(volumes.values())))
    fragments = frozenset(
        name for name, volume in volumes.items() if volume < (FRAGMENT if name in cut else SPECK) * typical
    )
    for name in fragments:
        caveats.setdefault(name, []).append(f"only {volumes[name]:.1f} mL of it are in view: left as it is")
    for name, volume in volumes.items():
        if name not in cut and not VOLUME[0] <= volume <= VOLUME[1]:
            caveats.setdefault(name, []).append(
                f"volume {volume:.0f} mL, expected {VOLUME[0]:.0f} to {VOLUME[1]:.0f} mL: check the label"
            )
    return Checked(array, {name: tuple(text) for name, text in caveats.items()}, frozenset(cut), fragments)


def _present(labels: LabelMap, boxes: list[Box | None]) -> frozenset[str]:
    """Names of the vertebrae that have voxels."""
    held = {n + 1 for n, box in enumerate(boxes) if box is not None}
    return frozenset(
        key.split("/")[1] for n, key in labels.structures.items() if key.startswith("vertebra/") and n in held
    )


def _box(labels: LabelMap, prefix: str, boxes: list[Box | None]) -> Box:
    own = [box for n in labels.labels_of(prefix) if n <= len(boxes) and (box := boxes[n - 1]) is not None]
    spans = [slice(min(b[a].start for b in own), max(b[a].stop for b in own)) for a in range(3)]
    return spans[0], spans[1], spans[2]


def _without_islands(
    labels: LabelMap, array: NDArray[np.uint16], name: str, box: Box, caveats: dict[str, list[str]]
) -> float:
    """Clear the islands of one vertebra in `array`; its volume, mL."""
    mask = labels.mask(f"vertebra/{name}", box=box)
    pieces, n = cc3d.connected_components(mask.astype(np.uint8), connectivity=26, return_N=True)
    sizes = np.bincount(pieces.ravel())[1:]
    small = sizes < ISLAND * sizes.max()
    if small.any():
        gone = np.concatenate([[False], small])[pieces]
        array[box][gone] = 0
        caveats.setdefault(name, []).append(f"{int(small.sum())} islands of {int(sizes[small].sum())} voxels dropped")
    if name != "S1" and n - int(small.sum()) > 1:  # S1's arch hangs on the sacrum, not on its body
        caveats.setdefault(name, []).append(f"in {n - int(small.sum())} separate pieces: check the label")
    return float(sizes[~small].sum()) * labels.grid.voxel_volume / 1000


def check_row(found: Mapping[str, Bone]) -> tuple[str, ...]:
    """Caveats of the row of vertebrae; refused where order or spacing contradict the names."""
    names = list(found)
    caveats = []
    for a, b in itertools.pairwise(names):
        apart = float(np.linalg.norm(found[a].centre - found[b].centre))
        if not are_neighbours(a, b):
            if not apart >= ONE_LEVEL:
                raise ImplausibleAnatomy(
                    f"{a} and {b} lie {apart:.0f} mm apart, yet their names leave out a vertebra: the numbering skips"
                )
            caveats.append(f"no vertebra is labelled between {a} and {b}: there is no level there")
        elif not SPACING[0] <= apart <= SPACING[1]:
            raise ImplausibleAnatomy(
                f"{a} and {b} lie {apart:.0f} mm apart, neighbours are {SPACING[0]:.0f} to {SPACING[1]:.0f} mm apart"
            )
    for a, b, c in zip(names, names[1:], names[2:], strict=False):
        if not (found[b].centre - found[a].centre) @ (found[c].centre - found[b].centre) > 0:
            raise ImplausibleAnatomy(f"{a}, {b} and {c} do not follow each other along the spine: the order is wrong")
    return tuple(caveats)


def check_direction(labels: LabelMap, found: Mapping[str, Bone]) -> None:
    """Refuse names that run towards the head: by the sacrum where it is labelled, else by the scan's own axes."""
    names = list(found)
    if len(names) < 2:
        return
    first, last = found[names[0]], found[names[-1]]
    index = np.argwhere(np.isin(labels.array[::3, ::3, ::3], labels.labels_of("sacrum", "vertebra/S1", "pelvis")))
    if len(index) > 50:
        tail = labels.grid.centres(index * 3).mean(axis=0)
        near = np.linalg.norm(tail - last.centre) < np.linalg.norm(tail - first.centre)
        basis = "the sacrum and pelvis"
    else:
        near = (first.centre - last.centre)[2] > -0.5 * np.linalg.norm(first.centre - last.centre)
        basis = "the scan's own axes"
    if not near:
        raise ImplausibleAnatomy(
            f"{first.name} lies on the foot side of {last.name} by {basis}: the numbering runs upside down"
        )


def check_sides(labels: LabelMap, found: Mapping[str, Bone]) -> tuple[str, ...]:
    """Caveats of left and right; refused where labelled sides contradict the spine's own left (posterior x up).

    The spine knows its left without any label of a side: up runs along the levels, posterior from body to arch. A
    patient may lie as she likes; a mirrored label map shows itself.
    """
    middle, left = _spine_left(found)
    right_way: list[str] = []
    wrong_way: list[str] = []
    for pair, (at_left, at_right) in _pairs(labels).items():
        apart = float((at_left - at_right) @ left)
        if abs(apart) > 10.0:
            (right_way if apart > 0 else wrong_way).append(pair)
    if wrong_way and len(wrong_way) >= len(right_way):
        shown = ", ".join(sorted(wrong_way)[:4])
        raise ImplausibleAnatomy(
            f"left and right are exchanged: the labelled left of {shown} lies to the spine's right; "
            "the image or its labels are mirrored"
        )
    caveats = [f"left and right of {pair} contradict the spine's own left" for pair in sorted(wrong_way)]
    return (*caveats, *_situs(labels, middle, left))


def _spine_left(found: Mapping[str, Bone]) -> tuple[Points, Points]:
    """Middle of the spine (3,), and its own left as a unit vector, over all vertebrae."""
    row = list(found.values())
    return np.mean([b.centre for b in row], axis=0), unit(np.sum([b.left for b in row], axis=0))


def _pairs(labels: LabelMap) -> dict[str, tuple[Points, Points]]:
    """Centroids of the structures that are labelled on both sides, LPS mm."""
    keys = {key: n for n, key in labels.structures.items()}
    wanted = [key for key in keys if "left" in key.split("/") and _swapped(key) in keys]
    middles = _middles(labels)
    found = {}
    for key in wanted:
        at_left, at_right = middles.get(keys[key]), middles.get(keys[_swapped(key)])
        if at_left is not None and at_right is not None:
            found[key.replace("/left", "")] = (at_left, at_right)
    return found


def _middles(labels: LabelMap) -> dict[int, Points]:
    """Centroid of every label, LPS mm, from every third voxel."""
    coarse = labels.array[::3, ::3, ::3]
    index = np.argwhere(coarse)
    values = coarse[tuple(index.T)]
    count = np.bincount(values)
    sums = np.stack([np.bincount(values, index[:, a]) for a in range(3)], axis=1)
    return {n: labels.grid.centres(3 * sums[n] / count[n]) for n in labels.structures if n < len(count) and count[n]}


def _swapped(key: str) -> str:
    return "/".join("right" if part == "left" else part for part in key.split("/"))


def _situs(labels: LabelMap, middle: Points, left: Points) -> tuple[str, ...]:
    """A caveat where single organs lie on the unusual side: a mirrored patient, or mirrored data."""
    usual = {"organ/liver": -1, "organ/spleen": 1, "vessel/aorta": 1, "vessel/ivc": -1}
    middles = _middles(labels)
    numbers = {key: n for n, key in labels.structures.items() if n in middles}
    at = {key: float((middles[numbers[key]] - middle) @ left) for key in usual if key in numbers}
    odd = [key for key, side in usual.items() if key in at and key.startswith("organ") and at[key] * side < -20]
    if "vessel/aorta" in at and "vessel/ivc" in at and at["vessel/aorta"] < at["vessel/ivc"] - 10:
        odd.append("vessel/aorta")
    return (f"{', '.join(odd)} on the unusual side: situs inversus, or a mirrored scan",) if odd else ()
