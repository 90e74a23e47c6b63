"""Frames and the affine maps between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keyhole.errors import FrameMismatch, InvalidInput


@dataclass(frozen=True, slots=True)
class Frame:
    """A coordinate system: its name and, where DICOM gives one, its frame-of-reference UID."""

    name: str
    uid: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.uid})" if self.uid else self.name


PATIENT = Frame("patient LPS mm")
"""Patient space: left, posterior, superior, mm, right-handed (DICOM's own)."""

INDEX = Frame("index")
"""Voxel indices i, j, k of one array; integer values are voxel centres."""


@dataclass(frozen=True, slots=True, eq=False)
class Transform:
    """An affine map of points from frame `source` to frame `target`.

    Name instances target_from_source; a chain then reads as it composes:
    ``patient_from_tool = patient_from_tracker @ tracker_from_tool``.
    """

    target: Frame
    source: Frame
    matrix: NDArray[np.float64]  # (4, 4) homogeneous

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (4, 4) or not np.array_equal(matrix[3], (0, 0, 0, 1)):
            raise InvalidInput(f"matrix must be 4x4 with last row 0 0 0 1, got {matrix.tolist()}")
        if not np.isfinite(matrix).all() or not abs(np.linalg.det(matrix[:3, :3])) > 1e-12:
            raise InvalidInput(f"matrix must be finite and invertible, got {matrix.tolist()}")
        matrix.flags.writeable = False
        object.__setattr__(self, "matrix", matrix)

    def __matmul__(self, other: Transform) -> Transform:
        if self.source != other.target:
            raise FrameMismatch(f"cannot chain: {self.source} is not {other.target}")
        return Transform(self.target, other.source, self.matrix @ other.matrix)

    def apply(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map `points`, shape (..., 3), from `source` to `target`."""
        mapped: NDArray[np.float64] = np.asarray(points, dtype=np.float64) @ self.matrix[:3, :3].T
        mapped += self.matrix[:3, 3]
        return mapped

    def turn(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """Map directions, shape (..., 3), from `source` to `target`: as `apply`, without the shift."""
        turned: NDArray[np.float64] = np.asarray(vectors) @ self.matrix[:3, :3].T
        return turned

    @property
    def inverse(self) -> Transform:
        """The map back from `target` to `source`."""
        return Transform(self.source, self.target, np.linalg.inv(self.matrix).astype(np.float64))
