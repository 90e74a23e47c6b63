"""The label map of a bare CT: bodies, discs, arches, sacrum, pelvis and ribs painted on the fine grid."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Box
from keyhole.segment.classical import posterior
from keyhole.segment.classical.body import fill, fill_gap
from keyhole.segment.classical.scene import UNSEEN
from keyhole.segment.classical.spine import Spine
from keyhole.segment.classical.stack import Stack
from keyhole.terms import in_key, level

PROCESS = 56.0
"""Half width, mm, of the lumbar vertebrae with their transverse processes [bare-ct-prototype: 30 to 58] ..."""

THORACIC = 30.0
"""... and of the thoracic ones, beyond which bone is rib [keyhole-choice]."""

CLOSING = 3
"""Radius, voxels, of the closing that fills the marrow of sacrum and pelvis [keyhole-choice]."""

MARROW = 150
"""Most voxels of 1 mm of a hole that is filled in a section of an arch; the canal has 200 or more [keyhole-choice]."""


class Sheet:
    """A label array that is painted on; the first structure to claim a voxel keeps it."""

    def __init__(
        self,
        shape: tuple[int, ...],
        labels: NDArray[np.uint16] | None = None,
        numbers: dict[str, int] | None = None,
    ) -> None:
        self.labels: NDArray[np.uint16] = np.zeros(shape, dtype=np.uint16) if labels is None else labels.copy()
        self.numbers: dict[str, int] = dict(numbers or {})

    def paint(self, key: str, box: Box, mask: NDArray[np.bool_]) -> None:
        """Give the free voxels of `mask` in `box` to `key`."""
        part = self.labels[box]
        free = mask & (part == 0)
        if free.any():
            part[free] = self.numbers.setdefault(key, len(self.numbers) + 1)

    @property
    def names(self) -> dict[int, str]:
        """Label -> key."""
        return {n: key for key, n in self.numbers.items()}


@dataclass(frozen=True, slots=True, eq=False)
class Solids:
    """What was cut out, still without names: bodies (the first may be None), discs, and the owners of other bone."""

    bodies: tuple[tuple[Box, NDArray[np.bool_]] | None, ...]
    discs: tuple[tuple[Box, NDArray[np.bool_]], ...]
    box: Box
    owner: NDArray[np.uint16]
    where: posterior.Places

    def reach(self) -> dict[int, tuple[float, float]]:
        """Reach of each vertebra's bone to the left and to the right of the canal, mm, by its place from the top."""
        found = {}
        for n in range(len(self.bodies)):
            aside = self.where.left[self.owner == n + 1]
            sides = [s[s > 0] for s in (aside, -aside)]
            if min(len(s) for s in sides) > 200:
                found[n] = float(np.percentile(sides[0], 99.7)), float(np.percentile(sides[1], 99.7))
        return found


def solids(spine: Spine, stack: Stack) -> Solids:
    """Bodies, discs and arches of the stack."""
    bodies: list[tuple[Box, NDArray[np.bool_]] | None] = [None]
    for one in (stack.top, *stack.bodies):
        if one is not None:
            box, mask = fill(one, spine.grid)
            bodies.append((box, mask & (spine.hu[box] != UNSEEN)))
    if stack.top is not None:
        bodies = bodies[1:]
    above = (stack.top, *stack.bodies[:-1])
    discs = [
        fill_gap(gap, upper, lower, spine.grid)
        for gap, upper, lower in zip(stack.gaps, above, stack.bodies, strict=True)
    ]
    box = posterior.box_of(spine.grid, spine.axis, 105, 60, 75)
    whole = np.zeros(spine.hu.shape, dtype=np.uint16)
    for n, found in enumerate(bodies):
        if found is not None:
            part = whole[found[0]]
            part[found[1] & (part == 0)] = n + 1
    gaps = np.zeros(spine.hu.shape, dtype=np.bool_)
    for at, mask in discs:
        gaps[at] |= mask & (whole[at] == 0)
    owner, where = posterior.arches(spine, stack, box, whole[box], gaps[box])
    return Solids(tuple(bodies), tuple(discs), box, owner, where)


def painted(spine: Spine, stack: Stack, found: Solids) -> Sheet:
    """Every bone and disc of the named stack."""
    sheet = Sheet(spine.hu.shape)
    for name, body in zip(stack.names, found.bodies, strict=True):
        if body is not None:
            sheet.paint(f"vertebra/{name}/body", *body)
    for (upper, lower), disc in zip(itertools.pairwise(stack.names), found.discs, strict=True):
        sheet.paint(f"disc/{in_key(level(upper, lower))}", *disc)
    for n, name in enumerate(stack.names):
        mine = found.owner == n + 1
        if name == "S1":
            _paint_sacrum(sheet, found, mine)
        else:
            _paint_arch(sheet, found, name, mine)
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip = (found.owner == len(stack.names) + 1) & (sign * found.where.left > 0)
        _solid(sheet, found.box, f"pelvis/{side}", found.where.index[hip])
    return sheet


def _paint_arch(sheet: Sheet, found: Solids, name: str, mine: NDArray[np.bool_]) -> None:
    """The arch of `name`, and its ribs."""
    where = found.where
    near = mine & (np.abs(where.left) < (THORACIC if name.startswith("T") else PROCESS))
    _dot(sheet, found.box, f"vertebra/{name}/posterior", where.index[near], with_marrow=True)
    if not name.startswith("T"):
        return
    for side, sign in (("left", 1.0), ("right", -1.0)):
        rib = mine & ~near & (sign * where.left > 0)
        if rib.sum() > 300:
            _dot(sheet, found.box, f"rib/{name[1:]}/{side}", where.index[rib])


def _paint_sacrum(sheet: Sheet, found: Solids, mine: NDArray[np.bool_]) -> None:
    """The arch of S1 and the rest of the sacrum."""
    where, box = found.where, found.box
    arch = mine & (np.abs(where.left) < 32) & (where.back > -8) & (where.depth < 29)
    _dot(sheet, box, "vertebra/S1/posterior", where.index[arch])
    _solid(sheet, box, "sacrum", where.index[mine & ~arch])


def _dot(sheet: Sheet, box: Box, key: str, index: NDArray[np.int64], *, with_marrow: bool = False) -> None:
    if len(index):
        low, high = index.min(axis=0), index.max(axis=0) + 1
        inner = tuple(slice(b.start + int(a), b.start + int(c)) for b, a, c in zip(box, low, high, strict=True))
        mask = np.zeros(high - low, dtype=np.bool_)
        mask[tuple((index - low).T)] = True
        if with_marrow:
            mask |= _marrow(mask)
        sheet.paint(key, (inner[0], inner[1], inner[2]), mask)


def _marrow(arch: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Holes of an arch in its sections, as large as the marrow of a process can be; the canal is no hole of an arch."""
    holes = np.zeros_like(arch)
    for k in range(arch.shape[2]):
        parts, n = ndimage.label(ndimage.binary_fill_holes(arch[:, :, k]) & ~arch[:, :, k])
        if n:
            small = np.bincount(parts.ravel()) <= MARROW
            small[0] = False
            holes[:, :, k] = small[parts]
    return holes


def _solid(sheet: Sheet, box: Box, key: str, index: NDArray[np.int64]) -> None:
    """Paint a shell of bone with its marrow: closed, and its holes filled in every section."""
    if len(index) < 50:
        return
    low = np.maximum(index.min(axis=0) - CLOSING, 0)
    high = np.minimum(index.max(axis=0) + CLOSING + 1, [s.stop - s.start for s in box])
    mask = np.zeros(high - low, dtype=np.bool_)
    mask[tuple((index - low).T)] = True
    mask = _filled(mask)
    inner = tuple(slice(b.start + int(a), b.start + int(c)) for b, a, c in zip(box, low, high, strict=True))
    sheet.paint(key, (inner[0], inner[1], inner[2]), mask)


def _filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    import edt  # noqa: PLC0415  (heavy import)

    grown = edt.edt(np.ascontiguousarray(~mask), parallel=1) <= CLOSING
    closed = edt.edt(np.ascontiguousarray(grown), black_border=False, parallel=1) > CLOSING
    closed |= mask
    for k in range(closed.shape[2]):
        closed[:, :, k] = ndimage.binary_fill_holes(closed[:, :, k])
    return np.asarray(closed)
