"""The label map of a bare CT: bodies, discs, arches, sacrum, pelvis and ribs painted on the fine grid."""

from __future__ import annotations

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


def painted(spine: Spine, stack: Stack) -> Sheet:
    """Every bone and disc of the stack."""
    sheet = Sheet(spine.hu.shape)
    for name, one in zip(stack.names[1:], stack.bodies, strict=True):
        sheet.paint(f"vertebra/{name}/body", *fill(one, spine.grid))
    if stack.top is not None:
        box, mask = fill(stack.top, spine.grid)
        sheet.paint(f"vertebra/{stack.names[0]}/body", box, mask & (spine.hu[box] != UNSEEN))
    above = (stack.top, *stack.bodies[:-1])
    for n, (upper, lower) in enumerate(zip(stack.names[:-1], stack.names[1:], strict=True)):
        box, mask = fill_gap(stack.gaps[n], above[n], stack.bodies[n], spine.grid)
        sheet.paint(f"disc/{in_key(level(upper, lower))}", box, mask)
    _paint_arches(sheet, spine, stack)
    return sheet


def _paint_arches(sheet: Sheet, spine: Spine, stack: Stack) -> None:
    """Posterior elements, sacrum, pelvis and ribs."""
    box = posterior.box_of(spine.grid, spine.axis, 105, 60, 75)
    grown = posterior.arches(spine, stack, box, _seeds(sheet, stack, box), _discs(sheet, box))
    owner, where = grown
    for n, name in enumerate(stack.names):
        mine = owner == n + 1
        if name == "S1":
            _paint_sacrum(sheet, box, mine, where)
            continue
        limit = THORACIC if name.startswith("T") else PROCESS
        near = mine & (np.abs(where.left) < limit)
        _dot(sheet, box, f"vertebra/{name}/posterior", where.index[near])
        if name.startswith("T"):
            for side, sign in (("left", 1.0), ("right", -1.0)):
                rib = mine & ~near & (sign * where.left > 0)
                if rib.sum() > 300:
                    _dot(sheet, box, f"rib/{name[1:]}/{side}", where.index[rib])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        hip = (owner == len(stack.names) + 1) & (sign * where.left > 0)
        _solid(sheet, box, f"pelvis/{side}", where.index[hip])


def _seeds(sheet: Sheet, stack: Stack, box: Box) -> NDArray[np.uint16]:
    """Number of the vertebra, from the top and from 1, in the voxels of each body."""
    table = np.zeros(len(sheet.numbers) + 1, dtype=np.uint16)
    for n, name in enumerate(stack.names):
        table[sheet.numbers.get(f"vertebra/{name}/body", 0)] = n + 1
    table[0] = 0
    return np.asarray(table[sheet.labels[box]])


def _discs(sheet: Sheet, box: Box) -> NDArray[np.bool_]:
    chosen = [n for key, n in sheet.numbers.items() if key.startswith("disc/")]
    return np.asarray(np.isin(sheet.labels[box], chosen))


def _paint_sacrum(sheet: Sheet, box: Box, mine: NDArray[np.bool_], where: posterior.Places) -> None:
    arch = mine & (np.abs(where.left) < 32) & (where.back > -8) & (where.depth < 29)
    _dot(sheet, box, "vertebra/S1/posterior", where.index[arch])
    _solid(sheet, box, "sacrum", where.index[mine & ~arch])


def _dot(sheet: Sheet, box: Box, key: str, index: NDArray[np.int64]) -> None:
    if len(index):
        low, high = index.min(axis=0), index.max(axis=0) + 1
        inner = tuple(slice(b.start + int(a), b.start + int(c)) for b, a, c in zip(box, low, high, strict=True))
        mask = np.zeros(high - low, dtype=np.bool_)
        mask[tuple((index - low).T)] = True
        sheet.paint(key, (inner[0], inner[1], inner[2]), mask)


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
