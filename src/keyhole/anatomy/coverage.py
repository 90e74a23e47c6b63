"""What labels tell of an image: whole vertebrae, whether the sides fit, contrast medium, metal near levels."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.row import Row, row_of, vertebrae_in_view
from keyhole.casefile import QualityItem
from keyhole.geometry import Box, LabelMap, Points, Volume, unit
from keyhole.imaging.quality import METAL_HU
from keyhole.imaging.sampling import steps_of, thinned
from keyhole.imaging.sides import SIDES
from keyhole.terms import are_neighbours

COVERAGE = "whole lumbar vertebrae"
PHASE = "contrast phase"
NEAR_METAL = "metal near the lumbar spine"

USUAL = {"organ/liver": -1, "organ/gallbladder": -1, "organ/spleen": 1, "organ/stomach": 1}
"""Organs that lie to one side: 1 is the patient's left."""

ASIDE = 15.0
"""Distance from the spine's middle, mm, from which an organ lies to one side; half as much for aorta against IVC
[keyhole-choice]."""

ARTERIAL, ENHANCED = 60.0, 100.0
"""HU by which the aorta is brighter than the IVC in the arterial phase, and HU of blood with contrast medium
[keyhole-choice]."""

CLOSE = 30.0
"""Distance to a lumbar vertebra, mm, within which metal disturbs it [keyhole-choice]."""


def label_quality(
    labels: LabelMap, image: Volume | None, *, is_hu: bool, row: Row | None = None
) -> tuple[QualityItem, ...]:
    """What `labels` tell of the image they belong to, as items like those of the image's own quality.

    Parameters
    ----------
    is_hu : whether the image's values are Hounsfield units; contrast medium and metal are judged on those alone.
    row : the vertebrae of `labels` in their row, where they are known already.
    """
    boxes = label_boxes(labels)
    found = [_coverage(row or row_of(labels)), _sides(labels, boxes)]
    if image is not None and is_hu:
        found += [_phase(labels, boxes, image), *_metal(labels, boxes, image)]
    return tuple(found)


def caveats(items: Sequence[QualityItem]) -> tuple[str, ...]:
    """The consequences of `items` that the case carries from here on."""
    return tuple(
        f"{item.name}: {item.consequence}"
        for item in items
        if item.name in (SIDES, NEAR_METAL, PHASE) and item.verdict in ("limited", "unusable")
    )


def _item(name: str, value: float | str | None, unit: str, verdict: str, consequence: str) -> QualityItem:
    return QualityItem.model_validate(
        {"name": name, "value": value, "unit": unit, "verdict": verdict, "consequence": consequence}
    )


def _coverage(row: Row | None) -> QualityItem:
    in_view = vertebrae_in_view(row)
    whole = [name for name, cut in in_view if not cut and name.startswith("L")]
    cut = [name for name, is_cut in in_view if is_cut]
    both = [f"{a}/{b}" for a, b in itertools.pairwise(whole) if are_neighbours(a, b)]
    more = f"; cut by the label map's edge: {', '.join(cut)}" if cut else ""
    value = f"{', '.join(whole) or 'none'}{more}"
    if len(whole) >= 3:
        return _item(COVERAGE, value, "", "good", f"{', '.join(both)} can be measured in full")
    if both:
        text = f"only {', '.join(both)} can be measured in full, and the count rests on few vertebrae"
        return _item(COVERAGE, value, "", "limited", text)
    return _item(COVERAGE, value, "", "unusable", "no lumbar level has both its vertebrae whole in view")


def _sides(labels: LabelMap, boxes: Mapping[str, Box]) -> QualityItem:
    """Organs that lie to one side, against the spine's own left (posterior x up)."""
    frame = _spine_left(labels, boxes)
    if frame is None:
        text = "front and back of the spine could not be told apart from the labels"
        return _item(SIDES, "not visible", "", "unknown", text)
    middle, left = frame
    at = {key: _aside(labels, boxes, key, middle, left) for key in (*USUAL, "vessel/aorta", "vessel/ivc")}
    right_way: list[str] = []
    wrong_way: list[str] = []
    for key, sense in USUAL.items():
        place = at[key]
        if place is not None and abs(place) > ASIDE:
            (right_way if place * sense > 0 else wrong_way).append(_said(key, place))
    aorta, ivc = at["vessel/aorta"], at["vessel/ivc"]
    if aorta is not None and ivc is not None and abs(aorta - ivc) > ASIDE / 2:
        text = f"aorta {abs(aorta - ivc):.0f} mm {'left' if aorta > ivc else 'right'} of the IVC"
        (right_way if aorta > ivc else wrong_way).append(text)
    if not right_way and not wrong_way:
        text = "no organ that lies to one side is labelled: nothing says whether image and labels are mirrored"
        return _item(SIDES, "not visible", "", "unknown", text)
    value = "; ".join([*right_way, *wrong_way])
    if not wrong_way:
        return _item(SIDES, value, "", "good", "organs lie on their usual sides: nothing speaks for a mirror")
    text = (
        f"{'; '.join(wrong_way)}: image and labels are mirrored, or the patient has situs inversus; "
        "no side is to be trusted before a person has checked it"
    )
    return _item(SIDES, value, "", "limited" if right_way else "unusable", text)


def _said(key: str, place: float) -> str:
    return f"{key.split('/')[1]} {abs(place):.0f} mm to the {'left' if place > 0 else 'right'}"


def _spine_left(labels: LabelMap, boxes: Mapping[str, Box]) -> tuple[Points, Points] | None:
    """Middle of the lumbar spine and the unit vector to its left, from bodies, arches or canal; None without."""
    names = sorted({key.split("/")[1] for key in boxes if key.startswith("vertebra/L")})
    if len(names) < 2:
        return None
    wholes = [_centroid(labels, boxes, f"vertebra/{name}") for name in names]
    fronts = [_centroid(labels, boxes, f"vertebra/{name}/body") for name in names]
    canal = _cloud(labels, boxes, 2, "canal")
    if wholes[0] is None or wholes[-1] is None:
        return None
    up = unit(wholes[0] - wholes[-1])
    back = np.zeros(3)
    for whole, body in zip(wholes, fronts, strict=True):
        if whole is None:
            continue
        start = whole if body is None else body
        near = canal[np.abs((canal - start) @ up) < 8] if len(canal) else canal
        end = near.mean(axis=0) if len(near) > 20 else whole
        back = back + (end - start)
    back = back - (back @ up) * up
    if not np.linalg.norm(back) > 5:
        return None
    middles = [p for p in (*fronts, *wholes) if p is not None]
    return np.mean(middles, axis=0), unit(np.cross(unit(back), up))


def _aside(labels: LabelMap, boxes: Mapping[str, Box], key: str, middle: Points, left: Points) -> float | None:
    """How far `key` lies to the left of the spine, mm; None where it is not labelled."""
    centre = _centroid(labels, boxes, key)
    return None if centre is None else float((centre - middle) @ left)


def _centroid(labels: LabelMap, boxes: Mapping[str, Box], key: str) -> Points | None:
    cloud = _cloud(labels, boxes, 3, key)
    return cloud.mean(axis=0) if len(cloud) >= 5 else None


def _cloud(labels: LabelMap, boxes: Mapping[str, Box], stride: int, *prefixes: str) -> Points:
    """Every `stride`-th voxel centre at or below `prefixes`, (n, 3) LPS mm."""
    box = union_box(boxes, *prefixes)
    if box is None:
        return np.empty((0, 3))
    i, j, k = (slice(s.start, s.stop, stride) for s in box)
    index = np.argwhere(labels.mask(*prefixes, box=(i, j, k))) * stride + [s.start for s in box]
    return labels.grid.centres(index)


# --- values


def _phase(labels: LabelMap, boxes: Mapping[str, Box], image: Volume) -> QualityItem:
    """Whether blood holds contrast medium, from aorta and IVC.

    References
    ----------
    [totalsegmentator-phase] corrections of HU of bone for the phase.
    """
    blood = {key: _blood(labels, boxes, key, image) for key in ("vessel/aorta", "vessel/ivc")}
    aorta, ivc = blood["vessel/aorta"], blood["vessel/ivc"]
    if aorta is None:
        return _item(PHASE, "not visible", "", "unknown", "no aorta is labelled: contrast medium is not known")
    value = f"aorta {aorta:.0f} HU" + (f", IVC {ivc:.0f} HU" if ivc is not None else "")
    if aorta < ENHANCED and (ivc is None or ivc < ENHANCED):
        return _item(PHASE, value, "", "good", "without contrast medium: HU of bone are read as they are")
    arterial = ivc is not None and aorta - ivc > ARTERIAL
    name, shift = ("arterial", 20) if arterial else ("venous or mixed", 15)
    text = f"contrast medium ({name}, a guess): HU of bone read about {shift} HU higher"
    return _item(PHASE, value, "", "limited", text)


def _blood(labels: LabelMap, boxes: Mapping[str, Box], key: str, image: Volume) -> float | None:
    """Median HU inside a vessel, a voxel away from its wall."""
    box = union_box(boxes, key)
    if box is None:
        return None
    inner = ndimage.binary_erosion(labels.mask(key, box=box), iterations=2)
    points = labels.grid.crop(box).centres(np.argwhere(inner)[::7])
    index = np.rint(image.grid.index(points)).astype(np.int64)
    held = ((index >= 0) & (index < image.array.shape)).all(axis=1)
    if held.sum() < 20:
        return None
    values = image.array[tuple(index[held].T)]
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) >= 20 else None


def _metal(labels: LabelMap, boxes: Mapping[str, Box], image: Volume) -> list[QualityItem]:
    """Which lumbar vertebrae lie near metal; nothing where there is no metal."""
    seen = np.argwhere(_bright(image)) * np.array(steps_of(image, 1.5))
    if len(seen) < 5:
        return []
    tree = cKDTree(image.grid.centres(seen))
    names = sorted({key.split("/")[1] for key in boxes if key.startswith("vertebra/L")})
    gaps = {name: float(tree.query(_cloud(labels, boxes, 3, f"vertebra/{name}"))[0].min()) for name in names}
    near = [name for name, gap in gaps.items() if gap < CLOSE]
    least = min(gaps.values(), default=float("inf"))
    if not near:
        return [_item(NEAR_METAL, round(least), "mm", "good", "metal is in view, but away from the lumbar vertebrae")]
    text = f"{', '.join(near)} within {CLOSE:.0f} mm of metal: bone and canal there may be streaks, not anatomy"
    return [_item(NEAR_METAL, round(least), "mm", "limited", text)]


def _bright(image: Volume) -> NDArray[np.bool_]:
    return np.asarray(thinned(image, 1.5) > METAL_HU)
