"""Surfaces of the structures in a label map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Box, LabelMap
from keyhole.geometry._kernels import compiled
from keyhole.report.glb import Surface
from keyhole.report.palette import Group, group, group_of

_BUDGET = {
    "vertebra": 7000,
    "facet": 1800,
    "pelvis": 8000,
    "rib": 2500,
    "disc": 2400,
    "herniation": 1500,
    "root": 1400,
    "sac": 5000,
    "canal": 4000,
    "flavum": 1200,
    "artery": 3000,
    "vein": 3000,
    "organ": 3500,
    "muscle": 4000,
    "skin": 12000,
}
"""Most triangles of one surface, by group; a page of some 60 surfaces then stays near 5 MB."""

COARSE = frozenset({"organ", "muscle", "pelvis", "rib"})
LARGE = 1_500_000
"""Every second voxel is taken for these groups, and for a structure whose box holds more voxels than `LARGE`."""

BLUR = 0.7
"""Gaussian sd in voxels before the surface is taken: rounds the voxel steps, keeps a 3 mm root."""


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One drawn structure: its surface, and the group that says how."""

    surface: Surface
    group: Group
    labels: tuple[int, ...]


def drawn(labels: LabelMap) -> dict[str, tuple[Group, tuple[int, ...]]]:
    """What gets a surface of its own: key -> its group and the integers it unites.

    A vertebra is one surface without its facets, which are one of their own; everything else is drawn as labelled.
    """
    found: dict[str, tuple[Group, list[int]]] = {}
    for label, key in sorted(labels.structures.items(), key=lambda item: item[1]):
        kind = group_of(key)
        if kind is None or kind.name == "skin":
            continue
        name = _united(key, kind)
        found.setdefault(name, (kind, []))[1].append(label)
    return {name: (kind, tuple(sorted(integers))) for name, (kind, integers) in found.items()}


def _united(key: str, kind: Group) -> str:
    parts = key.split("/")
    if kind.name == "vertebra":
        return "/".join(parts[:2])
    return "/".join([*parts[:2], "facet"]) if kind.name == "facet" else key


def parts(labels: LabelMap) -> Iterator[Part]:
    """The surfaces of every drawn structure, and the skin as the outside of the body; empty structures are left out."""
    wanted = drawn(labels)
    boxes = _boxes(labels.array, max([n for _, integers in wanted.values() for n in integers], default=0))
    for key, (kind, integers) in wanted.items():
        found = [boxes[n] for n in integers if n in boxes]
        if found:
            box = _around(found, labels.array.shape)
            part, stride = labels.crop(box), 2 if kind.name in COARSE or _voxels(box) > LARGE else 1
            sampled = part.array[::stride, ::stride, ::stride]
            made = surface(key, part, np.isin(sampled, integers), _BUDGET[kind.name], stride=stride)
            if made is not None:
                yield Part(made, kind, integers)
    body = surface("skin", labels, labels.array[::4, ::4, ::4] != 0, _BUDGET["skin"], stride=4)
    if body is not None:
        yield Part(body, group("skin"), ())


def _boxes(array: NDArray[Any], top: int) -> dict[int, Box]:
    """The smallest box around each label from 1 to `top` that has voxels."""
    low, high = np.full((top + 1, 3), max(array.shape)), np.full((top + 1, 3), -1)
    _widen(array, low, high)
    return {
        n: (slice(a, x + 1), slice(b, y + 1), slice(c, z + 1))
        for n, ((a, b, c), (x, y, z)) in enumerate(zip(low.tolist(), high.tolist(), strict=True))
        if n > 0 and x >= 0
    }


@compiled()
def _widen(array: NDArray[Any], low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Widen the boxes from `low` to `high` (labels, 3) to hold every voxel of their labels."""
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            before = 0
            for k in range(array.shape[2]):
                n = array[i, j, k]
                if n > 0 and n < len(low):
                    if n != before:
                        low[n, 0], high[n, 0] = min(low[n, 0], i), max(high[n, 0], i)
                        low[n, 1], high[n, 1] = min(low[n, 1], j), max(high[n, 1], j)
                        low[n, 2] = min(low[n, 2], k)
                    high[n, 2] = max(high[n, 2], k)
                before = n


def _voxels(box: Box) -> int:
    return int(np.prod([side.stop - side.start for side in box]))


def _around(boxes: list[Box], shape: tuple[int, ...]) -> Box:
    """The box around `boxes`, two voxels wider inside the array."""
    low = [max(0, min(box[axis].start for box in boxes) - 2) for axis in range(3)]
    high = [min(shape[axis], max(box[axis].stop for box in boxes) + 2) for axis in range(3)]
    return slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])


def surface(key: str, labels: LabelMap, mask: NDArray[np.bool_], budget: int, stride: int = 1) -> Surface | None:
    """The outside of `mask`, which holds every `stride`-th voxel of `labels`; None if nothing is left.

    Marching cubes at one half of the mask blurred by `BLUR` voxels: within about half a voxel of the voxels' own
    boundary, then thinned to about `budget` triangles. The scan's edge closes the surface.
    """
    from scipy.ndimage import gaussian_filter  # noqa: PLC0415
    from skimage.measure import marching_cubes  # noqa: PLC0415

    if not mask.any():
        return None
    field = np.pad(gaussian_filter(mask.astype(np.float32), BLUR), 1)
    if not field.max() > 0.5:
        field = np.pad(mask.astype(np.float32), 1)
    vertices, triangles, _, _ = marching_cubes(field, 0.5, gradient_direction="ascent")
    vertices, triangles = _simplified(vertices.astype(np.float32), triangles, budget)
    at = labels.patient_from_index
    points = at.apply((vertices.astype(np.float64) - 1) * stride)
    mirrored = np.linalg.det(at.matrix[:3, :3]) < 0
    faces = triangles[:, ::-1] if mirrored else triangles
    return Surface(key, points.astype(np.float32), np.ascontiguousarray(faces, dtype=np.uint32))


def _simplified(
    vertices: NDArray[np.float32], triangles: NDArray[np.int32], budget: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    if len(triangles) <= budget:
        return vertices, triangles
    import fast_simplification  # noqa: PLC0415

    simple, faces = fast_simplification.simplify(vertices, triangles, target_reduction=1 - budget / len(triangles))
    return np.asarray(simple, dtype=np.float32), np.asarray(faces, dtype=np.int32)
