"""Label maps that hold vertebral bodies or discs alone, as readers of MR draw them: what they allow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.landmarks import vertebrae
from keyhole.anatomy.model import Structure
from keyhole.anatomy.parts import body_of, has_ring
from keyhole.errors import ImplausibleAnatomy
from keyhole.geometry import Box, LabelMap, Points
from keyhole.terms import rank

BODIES = (
    "only vertebral bodies are labelled, without their arches: canal, foramina, facets and pedicles are unknown and "
    "nothing can be planned"
)
DISCS = "only discs are labelled: without vertebrae nothing but their volume is measured and nothing can be planned"
EITHER_SIDE = "bodies and discs alone do not show whether the left of the file is the patient's left"

S1 = "the label of the sacrum is no larger than the bodies above it: it was taken as the body of S1"

LARGER = 1.5
"""A sacrum that is at most this many times as large as a lumbar body is the body of S1 alone [keyhole-choice]."""

SHED = 0.15
"""Share of a bone that its thick middle may leave out for it to count as a body alone; an arch makes up half of a
vertebra [keyhole-choice]."""


def are_bodies(labels: LabelMap) -> bool:
    """Whether no vertebra of `labels` above the sacrum has an arch: parts named body, or bones that are body alone."""
    boxes = label_boxes(labels)
    names = sorted({key.split("/")[1] for key in boxes if key.startswith("vertebra/")} - {"S1"}, key=rank)
    order = sorted(names, key=lambda name: abs(names.index(name) - len(names) // 2))  # those at the ends may be cut
    return bool(names) and all(_is_body(labels, boxes, name) for name in order)


def _is_body(labels: LabelMap, boxes: Mapping[str, Box], name: str) -> bool:
    """Whether vertebra `name` is a body alone."""
    key = f"vertebra/{name}"
    parts = {one for one in boxes if one == key or one.startswith(f"{key}/")}
    if parts != {key}:
        return parts == {f"{key}/body"}
    box = union_box(boxes, key)
    mask = labels.mask(key, box=box)
    at = labels.grid.crop(box).patient_from_index if box is not None else labels.patient_from_index
    if np.count_nonzero(mask) < 100:
        return True
    if has_ring(mask, at):
        return False
    body = body_of(mask, at)
    return bool(np.count_nonzero(body) >= (1 - SHED) * np.count_nonzero(mask))


def as_bodies(
    labels: LabelMap, structures: Mapping[str, Structure]
) -> tuple[LabelMap, dict[str, Structure], dict[str, Points]]:
    """`labels` whose whole vertebrae are named the bodies that they are, and roughly posterior of each vertebra."""
    keys = {key: _body_key(key) for key in labels.structures.values()}
    known = {keys.get(key, key): replace(one, key=keys.get(key, key)) for key, one in structures.items()}
    if _is_small_sacrum(labels):
        keys["sacrum"] = "vertebra/S1/body"
        was = known.pop("sacrum", None)
        if was is not None:
            known["vertebra/S1/body"] = replace(was, key="vertebra/S1/body", caveats=(*was.caveats, S1))
    renamed = replace(labels, structures={n: keys[key] for n, key in labels.structures.items()})
    return renamed, known, {name: one.posterior for name, one in vertebrae(renamed).items()}


def _is_small_sacrum(labels: LabelMap) -> bool:
    """Whether what is called the sacrum is no larger than the bodies above it: then it is the first sacral body."""
    if not labels.labels_of("sacrum") or labels.labels_of("vertebra/S1"):
        return False
    counts = np.bincount(labels.array.ravel(), minlength=max(labels.structures) + 1)
    bodies = [counts[list(labels.labels_of(f"vertebra/{name}"))].sum() for name in ("L3", "L4", "L5")]
    held = [n for n in bodies if n > 0]
    return bool(held) and 0 < counts[list(labels.labels_of("sacrum"))].sum() <= LARGER * float(np.median(held))


def _body_key(key: str) -> str:
    return f"{key}/body" if key.startswith("vertebra/") and key.count("/") == 1 else key


def has_discs_alone(labels: LabelMap) -> bool:
    """Whether `labels` hold discs and no vertebra."""
    return bool(labels.labels_of("disc")) and not labels.labels_of("vertebra")


def check_discs(labels: LabelMap) -> tuple[str, ...]:
    """Caveats of discs alone; refused where their order along the spine contradicts their names."""
    boxes = label_boxes(labels)
    names = sorted({key.split("/")[1] for key in boxes if key.startswith("disc/")}, key=lambda n: rank(n.split("-")[0]))
    middles = {}
    for name in names:
        box = union_box(boxes, f"disc/{name}")
        if box is not None:
            index = np.argwhere(labels.mask(f"disc/{name}", box=box))
            middles[name] = labels.grid.crop(box).centres(index).mean(axis=0)
    for a, b, c in zip(names, names[1:], names[2:], strict=False):
        if not (middles[b] - middles[a]) @ (middles[c] - middles[b]) > 0:
            raise ImplausibleAnatomy(f"the discs {a}, {b} and {c} do not follow each other along the spine")
    for a, b in itertools.pairwise(names):
        if not np.linalg.norm(middles[b] - middles[a]) > 15.0:
            raise ImplausibleAnatomy(f"the discs {a} and {b} lie less than 15 mm apart: they are one disc")
    return DISCS, EITHER_SIDE
