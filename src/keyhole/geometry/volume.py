"""Arrays that know where in the patient they lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import FrameMismatch, InvalidInput
from keyhole.geometry.transform import INDEX, PATIENT, Transform

Box = tuple[slice, slice, slice]

SAME_GRID = 1e-3
"""Largest difference, mm, of any corner voxel between two grids that count as one."""


def affine(matrix: ArrayLike) -> Transform:
    """Patient LPS mm from voxel index, for a 4x4 `matrix`."""
    return Transform(PATIENT, INDEX, np.asarray(matrix, dtype=np.float64))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The voxels of an array without their values: `shape` and the map to the patient."""

    shape: tuple[int, int, int]
    patient_from_index: Transform

    def __post_init__(self) -> None:
        if len(self.shape) != 3 or not min(self.shape) >= 1:
            raise InvalidInput(f"a grid needs three axes of at least one voxel, got shape {self.shape}")
        at = self.patient_from_index
        if at.target != PATIENT or at.source != INDEX:
            raise FrameMismatch(f"a grid maps {INDEX} to {PATIENT}, got {at.source} to {at.target}")

    @property
    def spacing(self) -> NDArray[np.float64]:
        """(3,) distance between neighbouring voxel centres along i, j, k, mm."""
        return np.asarray(np.linalg.norm(self.patient_from_index.matrix[:3, :3], axis=0), dtype=np.float64)

    @property
    def voxel_volume(self) -> float:
        """Volume of one voxel, mm³."""
        return float(abs(np.linalg.det(self.patient_from_index.matrix[:3, :3])))

    @property
    def half_diagonal(self) -> float:
        """Largest distance from a voxel's centre to its corner, mm."""
        corners = np.array([[1, a, b] for a in (-1, 1) for b in (-1, 1)]) / 2
        return float(np.linalg.norm(self.patient_from_index.turn(corners), axis=1).max())

    @property
    def is_isotropic(self) -> bool:
        """True where the three spacings agree within 1 % and the axes are orthogonal."""
        columns = self.patient_from_index.matrix[:3, :3] / self.spacing
        orthogonal = np.allclose(columns.T @ columns, np.eye(3), atol=1e-3)
        return bool(orthogonal and np.ptp(self.spacing) <= 0.01 * self.spacing.min())

    def centres(self, index: ArrayLike) -> NDArray[np.float64]:
        """Patient LPS mm of voxel indices `index`, shape (..., 3)."""
        return self.patient_from_index.apply(index)

    def index(self, points: ArrayLike) -> NDArray[np.float64]:
        """Fractional voxel indices of `points`, shape (..., 3), patient LPS mm."""
        return self.patient_from_index.inverse.apply(points)

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """Whether each of `points`, shape (..., 3), LPS mm, lies in a voxel of the grid; nan does not."""
        index = self.index(points)
        return np.asarray(((index >= -0.5) & (index <= np.array(self.shape) - 0.5)).all(axis=-1))

    def crop(self, box: Box) -> Grid:
        """The part of the grid inside `box`, three slices with non-negative starts and stops and step 1."""
        start = [s.start for s in box]
        shape = tuple(s.stop - s.start for s in box)
        shift = np.eye(4)
        shift[:3, 3] = start
        return Grid((shape[0], shape[1], shape[2]), affine(self.patient_from_index.matrix @ shift))

    def is_same(self, other: Grid) -> bool:
        """True where both grids have the same voxels within `SAME_GRID` mm."""
        if self.shape != other.shape:
            return False
        corners = np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)]) * (np.array(self.shape) - 1)
        return bool(np.abs(self.centres(corners) - other.centres(corners)).max() <= SAME_GRID)


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    if array.ndim != 3:
        raise InvalidInput(f"an image needs three axes, got shape {array.shape}")
    view = array.view()
    view.flags.writeable = False
    return view


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """An image: `array` (i, j, k), read-only, and where its voxels lie."""

    array: NDArray[Any]
    patient_from_index: Transform

    def __post_init__(self) -> None:
        object.__setattr__(self, "array", _frozen(self.array))
        _ = self.grid  # checks the frames

    @property
    def grid(self) -> Grid:
        """The voxels without their values."""
        shape = self.array.shape
        return Grid((shape[0], shape[1], shape[2]), self.patient_from_index)

    def crop(self, box: Box) -> Volume:
        """The part inside `box`, without a copy."""
        return Volume(self.array[box], self.grid.crop(box).patient_from_index)


@dataclass(frozen=True, slots=True, eq=False)
class LabelMap:
    """One partition of space: `array` (i, j, k) of integers, each named by a structure key; 0 is nothing.

    A key belongs to every prefix of itself: ``mask("vertebra/L4")`` is the union of all of L4's parts. `drawn` is the
    spacing, mm, along i, j, k of the voxels on which the outlines were drawn, where that was another grid.
    """

    array: NDArray[Any]
    patient_from_index: Transform
    structures: Mapping[int, str] = field(default_factory=dict)
    drawn: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        if not np.issubdtype(self.array.dtype, np.integer):
            raise InvalidInput(f"a label map holds integers, got {self.array.dtype}")
        object.__setattr__(self, "array", _frozen(self.array))
        names = {int(label): str(key) for label, key in self.structures.items()}
        if 0 in names or len(set(names.values())) != len(names):
            raise InvalidInput("label 0 is nothing, and every other label needs a key of its own")
        object.__setattr__(self, "structures", names)
        _ = self.grid

    @property
    def grid(self) -> Grid:
        """The voxels without their labels."""
        shape = self.array.shape
        return Grid((shape[0], shape[1], shape[2]), self.patient_from_index)

    @property
    def drawn_grid(self) -> Grid:
        """Voxels as large as those on which outlines were drawn and so rounded to, along the same axes."""
        if self.drawn is None:
            return self.grid
        scale = np.array(self.drawn) / self.grid.spacing
        shape = np.maximum(np.rint(np.array(self.array.shape) / scale), 1).astype(int)
        coarser = np.diag([*scale, 1.0])
        coarser[:3, 3] = (scale - 1) / 2
        return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(self.patient_from_index.matrix @ coarser))

    @property
    def keys(self) -> tuple[str, ...]:
        """The structure keys, sorted."""
        return tuple(sorted(self.structures.values()))

    def labels_of(self, *prefixes: str) -> tuple[int, ...]:
        """The integers of every structure at or below any of `prefixes`, ascending; may be empty."""
        below = tuple(f"{p}/" for p in prefixes)
        return tuple(sorted(n for n, key in self.structures.items() if key in prefixes or key.startswith(below)))

    def mask(self, *prefixes: str, box: Box | None = None) -> NDArray[np.bool_]:
        """True in every voxel at or below any of `prefixes`, in the whole array or in `box`."""
        array = self.array if box is None else self.array[box]
        top = max([*self.structures, int(array.max(initial=0))])
        chosen = np.zeros(top + 1, dtype=np.bool_)
        chosen[list(self.labels_of(*prefixes))] = True
        return np.asarray(chosen[array])

    def crop(self, box: Box) -> LabelMap:
        """The part inside `box`, without a copy."""
        return LabelMap(self.array[box], self.grid.crop(box).patient_from_index, self.structures, self.drawn)


def bounding_box(mask: NDArray[np.bool_], margin: int = 0) -> Box | None:
    """The smallest box around every true voxel of `mask`, wider by `margin` voxels inside the array; None if empty."""
    slices: list[slice] = []
    for axis in range(3):
        along = mask.any(axis=tuple(a for a in range(3) if a != axis))
        if not along.any():
            return None
        found = np.flatnonzero(along)
        slices.append(slice(max(0, int(found[0]) - margin), min(mask.shape[axis], int(found[-1]) + 1 + margin)))
    return slices[0], slices[1], slices[2]
