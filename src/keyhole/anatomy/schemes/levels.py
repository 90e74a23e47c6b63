"""Labels that are one for all levels (`vertebrae_body`, `intervertebral_discs`), told apart by named vertebrae."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from keyhole.anatomy.boxes import label_boxes, union_box
from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes.model import Layer
from keyhole.anatomy.schemes.tables import LEVEL, title, vertebra_of
from keyhole.errors import UnknownScheme
from keyhole.geometry import Box, Grid, Points, bounding_box
from keyhole.terms import are_neighbours, rank

if TYPE_CHECKING:
    from keyhole.anatomy.schemes.merge import Merged

REACH = 4.0
"""A voxel that hangs on no named vertebra belongs to one at most this far away, mm [keyhole-choice]."""

BEYOND = 45.0
"""How far beyond the last named vertebra's middle a disc on the sacrum is looked for, mm [keyhole-choice]."""


def tell_levels(merged: Merged, layers: Sequence[Layer]) -> list[str]:
    """Paint the labels of `layers` that are one for all levels into `merged`; caveats on what found no level."""
    wanted = [(layer, n, s) for layer in layers for n, s in layer.structures.items() if LEVEL in s.key]
    if not wanted:
        return []
    names = sorted({name for key in label_boxes(merged.view) if (name := vertebra_of(key))}, key=rank)
    if not names:
        layer, n, _ = wanted[0]
        raise UnknownScheme(
            f"{layer.file}: label {n} of {title(layer.scheme)} is one for all levels; give a second label file that "
            "names the vertebrae, with --labels once more"
        )
    lost = [_tell(merged, names, layer, label, one) for layer, label, one in wanted]
    return [text for text in lost if text]


def _tell(merged: Merged, names: Sequence[str], layer: Layer, label: int, one: Structure) -> str:
    mask = layer.array == label
    box = bounding_box(mask, int(np.ceil(REACH / merged.grid.spacing.min())) + 1)
    if box is None:
        return ""
    part = mask[box]
    at = _disc_levels(merged, names, box, part) if one.key.startswith("disc") else _owners(merged, names, box, part)
    new = np.zeros(part.shape, dtype=np.uint16)
    caveat = "its level is that of the named vertebra it lies at"
    for number, level in enumerate(_levels(names) if one.key.startswith("disc") else names, 1):
        chosen = at == number
        if chosen.any():
            made = replace(one, key=one.key.replace(LEVEL, level), caveats=(*one.caveats, caveat))
            new[chosen] = merged.number(made)
    merged.paint(new, box)
    lost = int((part & (at == 0)).sum())
    return f"{layer.file}: {lost} voxels of label {label} lie at no named level and were left out" if lost else ""


def _levels(names: Sequence[str]) -> list[str]:
    """The pairs of neighbours in `names`, with the sacrum below a last lumbar vertebra, as they stand in keys."""
    row = [*names, "S1"] if names[-1] in ("L5", "L6") else list(names)
    return [f"{a}-{b}" for a, b in itertools.pairwise(row)]


def _owners(merged: Merged, names: Sequence[str], box: Box, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each voxel of `mask` the vertebra it lies in or next to: its place in `names` from 1, else 0."""
    lookup = np.zeros(len(merged.numbers) + 1, dtype=np.uint8)
    for key, n in merged.numbers.items():
        if vertebra_of(key) in names:
            lookup[n] = names.index(vertebra_of(key)) + 1
    inside = lookup[merged.array[box]]
    bare = mask & (inside == 0) & (merged.array[box] == 0)
    if bare.any() and inside.any():
        inside = _flooded(_nearest(inside, bare, merged.grid.spacing), bare)
    return np.where(mask, inside, 0).astype(np.uint8)


def _nearest(inside: NDArray[np.uint8], bare: NDArray[np.bool_], spacing: Points) -> NDArray[np.uint8]:
    """`inside` with the `bare` voxels that lie at most `REACH` from a named one."""
    rim = (inside > 0) & ~ndimage.binary_erosion(inside > 0)
    named, asked = np.argwhere(rim), np.argwhere(bare)
    apart, near = cKDTree(named * spacing).query(asked * spacing, distance_upper_bound=REACH)
    close = np.isfinite(apart)
    grown = inside.copy()
    grown[tuple(asked[close].T)] = inside[tuple(named[near[close]].T)]
    return grown


def _flooded(inside: NDArray[np.uint8], bare: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """`inside` grown through the `bare` voxels that hang on it: an arch comes to the body it grows from."""
    left = bounding_box(bare & (inside == 0), 1)
    if left is None:
        return inside
    from skimage.segmentation import watershed  # noqa: PLC0415  (heavy import)

    part = inside[left]
    flat = np.zeros(part.shape, dtype=np.uint8)
    part[...] = watershed(flat, part.astype(np.int32), mask=bare[left] | (part > 0))
    return inside


def _disc_levels(merged: Merged, names: Sequence[str], box: Box, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """For each voxel of `mask` its level: between which vertebrae's middles it lies along the spine, from 1."""
    middles = _row(merged, names)
    found = np.zeros(mask.shape, dtype=np.uint8)
    index = np.argwhere(mask)
    points = merged.grid.crop(box).centres(index)
    for number, (level, start, stop) in enumerate(zip(_levels(names), middles, middles[1:], strict=False), 1):
        a, b = level.split("-")
        if not are_neighbours(a, b):
            continue
        along = (points - start) @ (stop - start) / ((stop - start) @ (stop - start))
        aside = np.linalg.norm(points - start - along[:, None] * (stop - start), axis=1)
        chosen = index[(along > 0.1) & (along < 1.0) & (aside < 45)]
        found[tuple(chosen.T)] = number
    return found


def _row(merged: Merged, names: Sequence[str]) -> Points:
    """Middle of each named vertebra's body, and below a last lumbar vertebra a point in the sacrum's top."""
    from keyhole.anatomy.parts import core_of  # noqa: PLC0415  (a heavy library)

    boxes = label_boxes(merged.view)
    middles = []
    for name in names:
        box = union_box(boxes, f"vertebra/{name}")
        if box is not None:
            body, whole = (merged.mask(f"vertebra/{name}{part}", box=box) for part in ("/body", ""))
            middles.append(core_of(body if body.any() else whole, merged.grid.crop(box))[0])
    if names[-1] in ("L5", "L6"):
        middles.append(_sacral(merged, middles))
    return np.array(middles)


def _sacral(merged: Merged, middles: Sequence[Points]) -> Points:
    """A point in the sacrum as far below the last middle as a vertebra: towards the sacrum, else straight on."""
    last = middles[-1]
    box = union_box(label_boxes(merged.view), "sacrum")
    if box is None:
        return last + (last - middles[-2] if len(middles) > 1 else np.zeros(3))
    grid: Grid = merged.grid.crop(box)
    points = grid.centres(np.argwhere(merged.mask("sacrum", box=box))[::3])
    near = points[np.linalg.norm(points - last, axis=1) < BEYOND + 10]
    return np.asarray(near.mean(axis=0) if len(near) else points.mean(axis=0))
