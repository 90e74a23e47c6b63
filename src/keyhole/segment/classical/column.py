"""Where the spine's parts lie in every plane of a grid, for whatever is found by its place beside them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Grid, Points
from keyhole.segment.classical.scene import Scene
from keyhole.terms import belongs, rank

SPARSE = 3
"""Every so many voxels along each axis are looked at to place a vertebra."""

LEAST = 40
"""Voxels looked at below which a part has no place."""


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """The spine's sections by the planes of `grid` along its third axis.

    Arrays over the planes. `middle` (n, 2): index of the canal's middle; `left`, `back` (n, 2): unit vectors in the
    plane; `half`: the bodies' half width; `front`, `rear`: their ends along `back`; `tip` (n, 2): how far aside and
    behind the transverse processes' tips are; all in mm from the canal's middle. `count`: vertebrae below L1's middle
    (L5 is 4).
    """

    grid: Grid
    middle: Points
    left: Points
    back: Points
    half: Points
    front: Points
    rear: Points
    tip: Points
    count: Points

    def place(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """How far to the left of and behind the canal's middle every voxel of the grid lies, mm."""
        step = float(self.grid.spacing[0])
        i = np.arange(self.grid.shape[0])[:, None, None] - self.middle[:, 0]
        j = np.arange(self.grid.shape[1])[None, :, None] - self.middle[:, 1]
        u = step * (i * self.left[:, 0] + j * self.left[:, 1])
        v = step * (i * self.back[:, 0] + j * self.back[:, 1])
        return u.astype(np.float32), v.astype(np.float32)

    def point(self, plane: int, aside: float, behind: float) -> Points:
        """(3,) LPS mm of the place `aside` to the left and `behind` the canal's middle in `plane`."""
        flat = self.middle[plane] + (aside * self.left[plane] + behind * self.back[plane]) / self.grid.spacing[0]
        return self.grid.centres(np.array([*flat, plane]))


def column(scene: Scene, grid: Grid) -> Column | None:
    """The spine's sections on `grid`, whose axes are the scene's; None where fewer than two bodies are known."""
    turn = grid.patient_from_index.matrix[:3, :3] / grid.spacing
    line = grid.index(scene.canal.line)
    order = np.argsort(line[:, 2], kind="stable")
    planes = np.arange(grid.shape[2], dtype=np.float64)
    middle, left, back = (
        np.column_stack([np.interp(planes, line[order, 2], values[order, axis]) for axis in (0, 1)])
        for values in (line, scene.canal.left @ turn, scene.canal.posterior @ turn)
    )
    left, back = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (left, back))
    sparse = scene.labels[::SPARSE, ::SPARSE, ::SPARSE]
    found = [_section(scene, sparse, grid, name, (middle, left, back)) for name in _lumbar(scene)]
    rows = np.array([row for row in found if row])
    if len(rows) < 2:
        return None
    rows = rows[np.argsort(rows[:, 0])]
    half, front, rear, aside, behind = (np.interp(planes, rows[:, 0], rows[:, n]) for n in range(1, 6))
    count = _extended(planes, rows[:, 0], rows[:, 6])
    return Column(grid, middle, left, back, half, front, rear, np.column_stack([aside, behind]), count)


def _lumbar(scene: Scene) -> list[str]:
    """Vertebrae with a body, S1 aside."""
    names = {key.split("/")[1] for key in scene.names.values() if key.startswith("vertebra/") and key.endswith("/body")}
    return sorted(names - {"S1"}, key=rank)


def _section(
    scene: Scene, sparse: NDArray[np.uint16], grid: Grid, name: str, axes: tuple[Points, Points, Points]
) -> list[float]:
    """Plane of a body's middle, half width, front, rear, tip of the transverse processes (2), vertebrae below L1."""
    middle, left, back = axes
    key = f"vertebra/{name}"

    def places(numbers: list[int]) -> tuple[Points, Points, Points]:
        cells = SPARSE * np.argwhere(np.isin(sparse, numbers))
        index = grid.index(scene.grid.centres(cells))
        plane = np.clip(np.round(index[:, 2]).astype(int), 0, grid.shape[2] - 1)
        off = (index[:, :2] - middle[plane]) * grid.spacing[:2]
        return (off * left[plane]).sum(axis=1), (off * back[plane]).sum(axis=1), index[:, 2]

    u, v, z = places([n for n, k in scene.names.items() if k == f"{key}/body"])
    if len(u) < LEAST:
        return []
    wide, front, rear = np.percentile(u, [2, 98]), np.percentile(v, 3), np.percentile(v, 97)
    half = float(wide[1] - wide[0]) / 2
    tip = (half + 12.0, 3.0)
    a, b, _ = places([n for n, k in scene.names.items() if belongs(k, key) and k != f"{key}/body"])
    if len(a) >= LEAST:
        far = np.abs(a) >= np.percentile(np.abs(a), 97)
        tip = (float(np.percentile(np.abs(a), 98)), float(np.median(b[far])))
    return [float(np.mean(z)), half, float(front), float(rear), *tip, float(rank(name) - rank("L1"))]


def _extended(planes: Points, at: Points, values: Points) -> Points:
    """`values` at `at`, linearly between and beyond, at `planes`."""
    found = np.interp(planes, at, values)
    slope = (values[-1] - values[0]) / max(at[-1] - at[0], 1.0)
    found += slope * (np.minimum(planes - at[0], 0.0) + np.maximum(planes - at[-1], 0.0))
    return np.asarray(found)
