"""What a tube displaces, cuts or removes: displaced volume, not injury."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import LabelMap, Points, Tube
from keyhole.geometry._kernels import compiled, prange
from keyhole.plan.approaches import Approach
from keyhole.plan.site import Site, facet_keys
from keyhole.terms import Tissue, tissue

RAYS, RAY_STEP = 16, 1.5
"""Rays of the bundle that ranks corridors and their sampling, mm: mean error about 1 % [keyhole-prototype]."""

PARTS = 6
"""Points per voxel edge where the wall cuts a voxel, for the volumes that are reported."""

SUMS = (Tissue.MUSCLE, Tissue.FAT, Tissue.BONE)
"""Kinds whose burden is the sum over everything of the kind; every other burden key is a structure key."""

KINDS = {
    Tissue.SKIN: "cut",
    Tissue.FLAVUM: "cut",
    Tissue.FAT: "dilated",
    Tissue.MUSCLE: "dilated",
    Tissue.BONE: "removed",
    Tissue.DISC: "removed",
}
"""What a tube does to each kind of tissue."""


@compiled()
def _axis_square(p: Points, start: Points, along: Points, square: float) -> float:
    """Squared distance of `p` from the segment `start` + [0, 1] `along`."""
    dot = (p[0] - start[0]) * along[0] + (p[1] - start[1]) * along[1] + (p[2] - start[2]) * along[2]
    share = min(max(dot / square, 0.0), 1.0) if square > 0 else 0.0
    x = p[0] - start[0] - share * along[0]
    y = p[1] - start[1] - share * along[1]
    z = p[2] - start[2] - share * along[2]
    return float(x * x + y * y + z * z)


@compiled()
def _filled(
    labels: NDArray[np.uint16],
    low: NDArray[np.int64],
    matrix: Points,
    start: Points,
    along: Points,
    radius: float,
    shifts: Points,
    half: float,
) -> Points:
    """Voxels' worth of each label inside the capsule."""
    counts = np.zeros(int(labels.max()) + 1 if labels.size else 1)
    square = along[0] ** 2 + along[1] ** 2 + along[2] ** 2
    p, q = np.empty(3), np.empty(3)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            for k in range(labels.shape[2]):
                for a in range(3):
                    p[a] = (
                        matrix[a, 0] * (i + low[0])
                        + matrix[a, 1] * (j + low[1])
                        + matrix[a, 2] * (k + low[2])
                        + matrix[a, 3]
                    )
                d = np.sqrt(_axis_square(p, start, along, square))
                if d >= radius + half:
                    continue
                share = 1.0
                if d > radius - half:
                    inside = 0
                    for s in range(len(shifts)):
                        for a in range(3):
                            q[a] = p[a] + shifts[s, a]
                        if _axis_square(q, start, along, square) <= radius * radius:
                            inside += 1
                    share = inside / len(shifts)
                counts[labels[i, j, k]] += share
    return counts


def _inside(labels: LabelMap, tube: Tube) -> tuple[tuple[slice, ...], NDArray[np.int64]]:
    """The box of voxels that the capsule can touch."""
    grid = labels.grid
    reach = tube.radius + grid.half_diagonal
    low, high = np.minimum(tube.start, tube.stop) - reach, np.maximum(tube.start, tube.stop) + reach
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    index = grid.index(corners)
    first = np.clip(np.floor(index.min(axis=0)), 0, grid.shape).astype(np.int64)
    last = np.clip(np.ceil(index.max(axis=0)) + 1, 0, grid.shape).astype(np.int64)
    return tuple(slice(int(a), int(max(a, b))) for a, b in zip(first, last, strict=True)), first


def _shifts(labels: LabelMap, parts: int) -> Points:
    steps = (np.arange(parts) + 0.5) / parts - 0.5
    return labels.patient_from_index.turn(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3))


def volumes(labels: LabelMap, tube: Tube, parts: int = PARTS) -> dict[str, float]:
    """Volume of each structure inside `tube`, mL: whole voxels inside, and parts of those that the wall cuts.

    Voxels that the wall cuts are divided into `parts`³ points; label 0 (outside the body) is not counted.
    """
    box, first = _inside(labels, tube)
    counts = _filled(
        np.ascontiguousarray(labels.array[box], dtype=np.uint16), first, labels.patient_from_index.matrix,
        tube.start, tube.stop - tube.start, tube.radius, _shifts(labels, parts), labels.grid.half_diagonal,
    )  # fmt: skip
    scale = labels.grid.voxel_volume / 1000
    return {
        labels.structures[int(n)]: float(counts[n] * scale)
        for n in np.flatnonzero(counts)
        if int(n) in labels.structures
    }


def burden(found: Mapping[str, float]) -> dict[str, float]:
    """ML by burden key, from volumes by structure key.

    `muscle`, `fat` and `bone` are sums over everything of that kind and always there; every other key is a structure
    key that holds all of its parts: ``muscle/psoas``, ``vertebra/L5``, ``vertebra/L5/facet``, ``tissue/skin``.
    """
    total = {kind.value: 0.0 for kind in SUMS}
    for key, volume in found.items():
        kind = tissue(key)
        if kind in SUMS:
            total[kind.value] += volume
        parts = key.split("/")
        for depth in (2, 3) if parts[0] in ("vertebra", "muscle") else (2,):
            name = "/".join(parts[:depth])
            if len(parts) >= depth:
                total[name] = total.get(name, 0.0) + volume
        if len(parts) == 1:
            total[key] = total.get(key, 0.0) + volume
    return {k: v for k, v in sorted(total.items()) if k in ("muscle", "fat", "bone") or v >= 0.0005}


def does(key: str) -> str:
    """What a tube does to the tissue of burden key `key`: cut, dilated or removed."""
    kind = Tissue(key) if key in ("muscle", "fat", "bone") else tissue(key)
    return KINDS.get(kind, "dilated")


def _classes(site: Site, approach: Approach) -> NDArray[np.uint8]:
    """0 outside, 1 tissue, 2 bone, 3 and 4 bone of the two parts of the facet of the side."""
    code = np.zeros(max(site.labels.structures, default=0) + 1, dtype=np.uint8)
    inferior, superior = facet_keys(site, site.frame.side)
    for n, key in site.labels.structures.items():
        code[n] = 2 if tissue(key) is Tissue.BONE else 1
    code[list(site.labels.labels_of(inferior))] = 3
    code[list(site.labels.labels_of(superior))] = 4
    return np.asarray(code[site.labels.array])


@compiled(parallel=True)
def _bundle(
    classes: NDArray[np.uint8],
    start: Points,
    along: Points,
    across: Points,
    length: Points,
    radius: Points,
    disc: Points,
) -> Points:
    """Mean share of each class over rays `disc` (n, 2) of each tube, times its length, mm: (tube, class)."""
    result = np.zeros((len(start), 5))
    for n in prange(len(start)):
        steps = max(1, int(np.ceil(length[n] / RAY_STEP)))
        step = length[n] / steps
        for r in range(len(disc)):
            u, v = disc[r, 0] * radius[n], disc[r, 1] * radius[n]
            for s in range(steps):
                t = (s + 0.5) * step
                i = round(start[n, 0] + u * across[n, 0, 0] + v * across[n, 1, 0] + t * along[n, 0])
                j = round(start[n, 1] + u * across[n, 0, 1] + v * across[n, 1, 1] + t * along[n, 1])
                k = round(start[n, 2] + u * across[n, 0, 2] + v * across[n, 1, 2] + t * along[n, 2])
                if 0 <= i < classes.shape[0] and 0 <= j < classes.shape[1] and 0 <= k < classes.shape[2]:
                    result[n, classes[i, j, k]] += step / len(disc)
    return result


def _sunflower(n: int) -> Points:
    """`n` points that share the unit disc evenly (n, 2), mirrored in pairs about the first axis."""
    half = n // 2
    r = np.sqrt((np.arange(half) + 0.5) / half)
    angle = np.mod(np.arange(half) * np.pi * (3 - np.sqrt(5)), np.pi)
    upper = np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1)
    return np.concatenate([upper, upper * [1, -1]])


def bundle(
    site: Site, approach: Approach, entry: Points, dock: Points, radius: Points
) -> tuple[Points, Points, Points]:
    """Tissue mL, bone mL and facet % inside each tube, by a bundle of rays: to rank, not to report."""
    grid = site.labels.grid
    out = entry - dock
    length = np.linalg.norm(out, axis=1)
    if not len(length):
        return length, length.copy(), length.copy()
    out /= length[:, None]
    one = np.cross(out, site.frame.lateral)
    one /= np.linalg.norm(one, axis=1)[:, None]
    two = np.cross(out, one)
    turn = grid.patient_from_index.inverse.turn
    start = dock + (radius / 3.0)[:, None] * out  # the rounded tip is a third of a radius shorter than a flat one
    lengths = _bundle(
        _classes(site, approach), grid.index(start), turn(out), np.stack([turn(two), turn(one)], axis=1),
        length - radius / 3.0, radius, _sunflower(RAYS),
    )  # fmt: skip
    ml = lengths * (np.pi * radius**2)[:, None] / 1000
    whole = site.volume(*facet_keys(site, site.frame.side))
    facet = 100 * ml[:, 3:].sum(axis=1) / whole if whole > 0 else np.zeros(len(ml))
    return ml[:, 1:].sum(axis=1), ml[:, 2:].sum(axis=1), facet
