"""A folder with one mask per structure, named by its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from keyhole.anatomy.model import Structure
from keyhole.anatomy.schemes.model import Layer, boundary_sd
from keyhole.anatomy.schemes.naming import by_any_name, is_key
from keyhole.anatomy.schemes.tables import KEYHOLE, TOTALSEGMENTATOR, Row, plain, table, title
from keyhole.errors import InvalidInput, UnknownScheme
from keyhole.geometry import Grid, Transform
from keyhole.imaging.nifti import read_nifti
from keyhole.terms import Origin

Mask = tuple[Row, NDArray[np.bool_]]


def mask_layers(folder: Path, files: Sequence[Path], scheme: str | None) -> list[Layer]:
    """The masks of `folder` as layers: overlapping voxels come to lie in different layers, so that they are counted.

    TotalSegmentator writes a file for each of its names, empty where there is nothing.
    """
    rows = {path: _row(path, scheme) for path in files}
    unknown = [path.name for path, row in rows.items() if row is None]
    if unknown:
        of = f"is a name of {title(scheme)}" if scheme else "is a name that any scheme gives"
        raise UnknownScheme(
            f"{folder}: the masks are named by their files, and not every name {of}: {', '.join(unknown[:5])}"
        )
    stack = MaskStack(folder.name)
    for path, row in rows.items():
        found = read_nifti(path)
        if row is not None and row.key:
            mask = found.volume.array > 0.5
            stack.add(row, mask, found.volume.grid, path.name)
    return stack.layers(scheme or TOTALSEGMENTATOR, "the masks' file names")


def _row(path: Path, scheme: str | None) -> Row | None:
    name = path.name.split(".nii")[0]
    if scheme in (None, KEYHOLE):
        if is_key(name.replace("__", "/")):
            return Row(None, name, name.replace("__", "/"), "")
        return by_any_name(name) if scheme is None else None
    return table(str(scheme)).by_name.get(plain(name))


class MaskStack:
    """Masks on one grid, packed into as few label arrays as their overlaps allow."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.grid: Grid | None = None
        self.arrays: list[NDArray[np.uint16]] = []
        self.rows: list[dict[int, Row]] = []

    def add(self, row: Row, mask: NDArray[np.bool_], grid: Grid, name: str) -> None:
        """Put `mask` where it overlaps nothing; what overlaps goes into the next array."""
        if self.grid is None:
            self.grid = grid
        elif not grid.is_same(self.grid):
            raise InvalidInput(f"{self.where}/{name} has other voxels than the other masks; give masks of one image")
        left = mask
        depth = 0
        while left.any():
            if depth == len(self.arrays):
                self.arrays.append(np.zeros(mask.shape, dtype=np.uint16))
                self.rows.append({})
            number = len(self.rows[depth]) + 1
            free = left & (self.arrays[depth] == 0)
            if free.any():
                self.arrays[depth][free] = number
                self.rows[depth][number] = row
                left = left & ~free
            depth += 1

    def layers(self, scheme: str, told: str) -> list[Layer]:
        """The layers; refused where every mask is empty."""
        if self.grid is None or not self.arrays:
            raise InvalidInput(f"{self.where}: all masks are empty")
        at: Transform = self.grid.patient_from_index
        sd = boundary_sd(self.grid.spacing)
        return [
            Layer(array, at, {n: _structure(row, self.where, scheme, sd) for n, row in rows.items()}, scheme,
                  self.where, told)
            for array, rows in zip(self.arrays, self.rows, strict=True)
        ]  # fmt: skip


def _structure(row: Row, file: str, scheme: str, sd: float) -> Structure:
    caveats = (row.caveat,) if row.caveat else ()
    return Structure(row.key, Origin.LABELLED, f"{file}, {title(scheme)}", sd, caveats)
