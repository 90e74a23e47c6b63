"""Several label files as one partition: the first wins, parts refine wholes, and what is overruled is counted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes.levels import tell_levels
from keyhole.anatomy.schemes.model import Layer, NamedLabels
from keyhole.anatomy.schemes.tables import LEVEL, title
from keyhole.errors import InvalidInput, UnknownScheme
from keyhole.geometry import Box, Grid, LabelMap, affine
from keyhole.geometry.resample import labels_on_grid, reoriented
from keyhole.terms import belongs

FILLERS = ("tissue/fat", "tissue/muscle", "organ/abdominal_cavity", "organ/thoracic_cavity", "organ/mediastinum")
"""What fills the space between structures: everything that is finer wins over it, in whatever file it stands."""


SLAB = 32
"""Slices that are merged at a time: a large map needs no second one of indices."""


@dataclass(slots=True, eq=False)
class Merged:
    """The growing partition: voxels, key -> number, how each is known, and how many voxels were overruled by what."""

    array: NDArray[np.uint16]
    grid: Grid
    numbers: dict[str, int]
    structures: dict[str, Structure]
    overruled: dict[tuple[str, str], int]

    def number(self, one: Structure) -> int:
        """The number of the structure `one`, new if need be."""
        if one.key not in self.numbers:
            self.numbers[one.key] = len(self.numbers) + 1
            self.structures[one.key] = one
        return self.numbers[one.key]

    @property
    def view(self) -> LabelMap:
        """The partition as it is now."""
        return LabelMap(self.array, self.grid.patient_from_index, {n: key for key, n in self.numbers.items()})

    def mask(self, *prefixes: str, box: Box | None = None) -> NDArray[np.bool_]:
        """True at or below any of `prefixes`, in `box` or everywhere."""
        chosen = np.zeros(len(self.numbers) + 1, dtype=np.bool_)
        chosen[[n for key, n in self.numbers.items() if belongs(key, *prefixes)]] = True
        return np.asarray(chosen[self.array if box is None else self.array[box]])

    def paint(self, new: NDArray[np.uint16], box: Box | None = None) -> None:
        """Add the numbers `new`, 0 nothing, in `box`, where nothing stands or where they are a part of what does."""
        view = self.array if box is None else self.array[box]
        keys = {number: key for key, number in self.numbers.items()}
        for start in range(0, len(view), SLAB):
            self._paint(view[start : start + SLAB], new[start : start + SLAB], keys)

    def _paint(self, view: NDArray[np.uint16], new: NDArray[np.uint16], keys: Mapping[int, str]) -> None:
        at = np.nonzero((view > 0) & (new > 0) & (new != view))
        old, other = view[at], new[at]
        free = view == 0
        view[free] = new[free]
        if not len(old):
            return
        n = len(keys) + 1
        pair, where, count = np.unique(old.astype(np.int64) * n + other, return_inverse=True, return_counts=True)
        takes = np.zeros(len(pair), dtype=np.bool_)
        for place, code in enumerate(pair):
            was, now = keys[int(code) // n], keys[int(code) % n]
            takes[place] = belongs(now, was) or (belongs(was, *FILLERS) and not belongs(now, *FILLERS))
            if not takes[place] and not belongs(was, now) and not belongs(now, *FILLERS):
                self.overruled[was, now] = self.overruled.get((was, now), 0) + int(count[place])
        view[at] = np.where(takes[where.ravel()], other, old)


def one_partition(layers: Sequence[Layer]) -> NamedLabels:
    """All `layers` in one label map; a single file with a name for each of its integers keeps them."""
    kept = [_without_nameless(layer) for layer in layers]
    if len(kept) == 1 and _is_plain(kept[0]):
        return _as_it_is(kept[0])
    kept = _on_one_grid(kept)
    _distinct_within(kept)
    merged = Merged(np.zeros(kept[0].array.shape, dtype=np.uint16), kept[0].grid, {}, {}, {})
    for layer in kept:
        merged.paint(_renumbered(layer, merged))
    doubts = tell_levels(merged, kept)
    labels = _labels(merged)
    caveats = [c for layer in kept for c in layer.caveats] + doubts + _conflicts(merged, kept)
    evidence = tuple(dict.fromkeys(e for layer in kept for e in layer.evidence))
    structures = {key: merged.structures[key] for key in labels.keys}
    scheme = "+".join(dict.fromkeys(layer.scheme for layer in kept))
    return NamedLabels(labels, structures, scheme, _basis(kept), tuple(dict.fromkeys(caveats)), evidence=evidence)


def _basis(layers: Sequence[Layer]) -> str:
    """What the names rest on, each scheme once."""
    told = dict.fromkeys((layer.told, title(layer.scheme)) for layer in layers)
    return " and ".join(f"{words} ({scheme})" for words, scheme in told)


def _as_it_is(layer: Layer) -> NamedLabels:
    keys = {n: s.key for n, s in layer.structures.items()}
    labels = LabelMap(layer.array, layer.patient_from_index, keys)
    structures = {s.key: s for s in layer.structures.values()}
    return NamedLabels(labels, structures, layer.scheme, _basis([layer]), layer.caveats, evidence=layer.evidence)


def _is_plain(layer: Layer) -> bool:
    """Whether no level is missing; two labels of one name are refused."""
    _distinct_within([layer])
    keys = [s.key for s in layer.structures.values()]
    return not any(LEVEL in key for key in keys) and len(set(keys)) == len(keys) and _covers_all(layer)


def _covers_all(layer: Layer) -> bool:
    """Whether every integer in use has a structure: none was left out."""
    top = int(layer.array.max(initial=0))
    known = np.zeros(top + 1, dtype=np.bool_)
    known[[0, *(n for n in layer.structures if n <= top)]] = True
    return bool(known[layer.array].all())


def _distinct_within(layers: Sequence[Layer]) -> None:
    """Refuse a file that gives one name to two labels; body and border of one vertebra are one on purpose."""
    for layer in layers:
        seen: dict[str, int] = {}
        for n, one in layer.structures.items():
            if one.key in seen and not one.key.endswith("/body") and LEVEL not in one.key:
                raise UnknownScheme(
                    f"{layer.file}: labels {seen[one.key]} and {n} are both {one.key}; each needs its own name"
                )
            seen[one.key] = n


def _without_nameless(layer: Layer) -> Layer:
    """`layer` without the labels that are no structure, and a caveat that says so."""
    left = {n: s for n, s in layer.structures.items() if not s.key}
    if not left:
        return layer
    kept = {n: s for n, s in layer.structures.items() if s.key}
    if not kept:
        raise InvalidInput(f"{layer.file}: none of its labels outlines a structure ({title(layer.scheme)})")
    shown = ", ".join(str(n) for n in left)
    caveat = f"{layer.file}: labels {shown} outline no structure ({title(layer.scheme)}) and were left out"
    return replace(layer, structures=kept, caveats=(*layer.caveats, caveat))


def _on_one_grid(layers: Sequence[Layer]) -> list[Layer]:
    """Every layer on the first one's voxels, its axes along left, posterior, superior where they differ."""
    first = layers[0]
    if all(layer.grid.is_same(first.grid) for layer in layers):
        return list(layers)
    turned = [_turned(layer) for layer in layers]
    return [turned[0], *(_moved(layer, turned[0].grid) for layer in turned[1:])]


def _turned(layer: Layer) -> Layer:
    found = reoriented(LabelMap(layer.array, layer.patient_from_index))
    return replace(layer, array=found.array, patient_from_index=found.patient_from_index)


def _moved(layer: Layer, grid: Grid) -> Layer:
    """`layer` on `grid`: as it is, else smoothed onto it; axes that do not run along the first file's are refused."""
    if layer.grid.is_same(grid):
        return layer
    between = np.round((layer.grid.patient_from_index.inverse @ grid.patient_from_index).matrix, 4)
    if not np.allclose(between[:3, :3], np.diag(np.diag(between)[:3]), atol=1e-3):
        raise InvalidInput(
            f"{layer.file} does not lie along the voxels of the first label file; give label files of one image"
        )
    straight = affine(grid.patient_from_index.matrix @ np.linalg.inv(_diagonal(between)))
    found = labels_on_grid(LabelMap(layer.array, straight, {n: f"label/{n}" for n in layer.structures}), grid)
    caveat = f"{layer.file} has other voxels than the first label file; it was smoothed onto them"
    return replace(
        layer,
        array=found.array,
        patient_from_index=grid.patient_from_index,
        caveats=(*layer.caveats, caveat),
    )


def _diagonal(between: NDArray[np.float64]) -> NDArray[np.float64]:
    kept = np.diag(np.diag(between))
    kept[:3, 3] = between[:3, 3]
    return kept


def _renumbered(layer: Layer, merged: Merged) -> NDArray[np.uint16]:
    """The voxels of `layer` in the numbers of `merged`; labels for all levels at once stay out."""
    lookup = np.zeros(int(layer.array.max(initial=0)) + 1, dtype=np.uint16)
    for n, one in layer.structures.items():
        if LEVEL not in one.key and n < len(lookup):
            lookup[n] = merged.number(one)
    new: NDArray[np.uint16] = lookup[layer.array]
    return new


def _labels(merged: Merged) -> LabelMap:
    """The finished partition, without the names that lost all their voxels."""
    count = np.zeros(len(merged.numbers) + 1, dtype=np.int64)
    for slab in merged.array:
        count += np.bincount(slab.ravel(), minlength=len(count))
    names = {n: key for key, n in merged.numbers.items() if count[n]}
    array: NDArray[Any] = merged.array
    return LabelMap(array, merged.grid.patient_from_index, names)


def _conflicts(merged: Merged, layers: Sequence[Layer]) -> list[str]:
    """One caveat that counts the voxels on which files or masks disagree."""
    if not merged.overruled:
        return []
    total = sum(merged.overruled.values())
    worst = sorted(merged.overruled.items(), key=lambda item: (-item[1], item[0]))[:3]
    shown = ", ".join(f"{was} over {now} {count}" for (was, now), count in worst)
    files = list(dict.fromkeys(layer.file for layer in layers))
    where = f"{files[0]} wins over {', '.join(files[1:])}" if len(files) > 1 else f"the first mask of {files[0]} wins"
    return [f"label files disagree in {total} voxels, where {where} ({shown})"]
