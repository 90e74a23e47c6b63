"""What a tube displaces, cuts or removes: displaced volume, not injury."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from keyhole.casefile.harm import Does
from keyhole.geometry import Box, LabelMap, Points, Tube
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

KINDS: dict[Tissue, Does] = {
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
def _least(p: Points, starts: Points, alongs: Points, squares: Points, radii: Points) -> float:
    """Distance of `p` from the nearest wall of several capsules, negative inside one."""
    least = np.inf
    for n in range(len(starts)):
        least = min(least, np.sqrt(_axis_square(p, starts[n], alongs[n], squares[n])) - radii[n])
    return least


@compiled()
def _is_inside(p: Points, starts: Points, alongs: Points, squares: Points, radii: Points) -> bool:
    """Whether `p` lies in any of several capsules."""
    inside = False
    for n in range(len(starts)):
        inside = inside or _axis_square(p, starts[n], alongs[n], squares[n]) <= radii[n] * radii[n]
    return inside


@compiled()
def _share(
    p: Points, starts: Points, alongs: Points, squares: Points, radii: Points, shifts: Points, half: float
) -> float:
    """Share of the points at `p` + `shifts`, at most `half` away from `p`, inside any of several capsules."""
    inside = 0
    if len(starts) == 1 and squares[0] > 0:
        long = np.sqrt(squares[0])
        a, b, c = alongs[0, 0] / long, alongs[0, 1] / long, alongs[0, 2] / long
        u, v, w = p[0] - starts[0, 0], p[1] - starts[0, 1], p[2] - starts[0, 2]
        deep = u * a + v * b + w * c
        if half <= deep <= long - half:  # beside the shaft: only the way across it counts
            u, v, w = u - deep * a, v - deep * b, w - deep * c
            room = radii[0] ** 2 - (u * u + v * v + w * w)
            for s in range(len(shifts)):
                x, y, z = shifts[s, 0], shifts[s, 1], shifts[s, 2]
                on = x * a + y * b + z * c
                inside += 2 * (x * u + y * v + z * w) + x * x + y * y + z * z - on * on <= room
            return inside / len(shifts)
    q = np.empty(3)
    for s in range(len(shifts)):
        q[0], q[1], q[2] = p[0] + shifts[s, 0], p[1] + shifts[s, 1], p[2] + shifts[s, 2]
        inside += _is_inside(q, starts, alongs, squares, radii)
    return inside / len(shifts)


@compiled()
def _filled(
    labels: NDArray[np.uint16],
    matrix: Points,
    starts: Points,
    alongs: Points,
    radii: Points,
    shifts: Points,
    half: float,
    counted: NDArray[np.bool_],
) -> Points:
    """Voxels' worth of each label inside the union of capsules; voxels that are `counted` already are left out."""
    counts = np.zeros(int(labels.max()) + 1 if labels.size else 1)
    squares = alongs[:, 0] ** 2 + alongs[:, 1] ** 2 + alongs[:, 2] ** 2
    step = np.sqrt(matrix[0, 2] ** 2 + matrix[1, 2] ** 2 + matrix[2, 2] ** 2)
    p = np.empty(3)
    for i in range(labels.shape[0]):
        for j in range(labels.shape[1]):
            after = 0
            for k in range(labels.shape[2]):
                if k < after or (counted.size and counted[i, j, k]):
                    continue
                for a in range(3):
                    p[a] = matrix[a, 0] * i + matrix[a, 1] * j + matrix[a, 2] * k + matrix[a, 3]
                gap = _least(p, starts, alongs, squares, radii)
                if gap >= half:
                    after = k + int((gap - half) / step)  # the gap changes by at most 1 mm per mm
                    continue
                share = 1.0
                if gap > -half:
                    share = _share(p, starts, alongs, squares, radii, shifts, half)
                counts[labels[i, j, k]] += share
    return counts


def _inside(labels: LabelMap, tubes: Sequence[Tube]) -> Box:
    """The box of voxels that the capsules can touch."""
    grid = labels.grid
    ends = np.array([end for tube in tubes for end in (tube.start, tube.stop)])
    reach = np.repeat([tube.radius + grid.half_diagonal for tube in tubes], 2)[:, None]
    low, high = (ends - reach).min(axis=0), (ends + reach).max(axis=0)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    index = grid.index(corners)
    first = np.clip(np.floor(index.min(axis=0)), 0, grid.shape).astype(np.int64)
    last = np.clip(np.ceil(index.max(axis=0)) + 1, 0, grid.shape).astype(np.int64)
    i, j, k = (slice(int(a), int(max(a, b))) for a, b in zip(first, last, strict=True))
    return i, j, k


def _shifts(labels: LabelMap, parts: int) -> Points:
    steps = (np.arange(parts) + 0.5) / parts - 0.5
    return labels.patient_from_index.turn(np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(-1, 3))


def volumes(
    labels: LabelMap, tubes: Tube | Sequence[Tube], parts: int = PARTS, *, counted: NDArray[np.bool_] | None = None
) -> dict[str, float]:
    """Volume of each structure inside the union of `tubes`, mL: whole voxels inside, and parts of those a wall cuts.

    Voxels that a wall cuts are divided into `parts`³ points; label 0 (outside the body) is not counted, nor are the
    voxels in `counted`, an array like that of `labels`.
    """
    several = (tubes,) if isinstance(tubes, Tube) else tuple(tubes)
    if not several:
        return {}
    box = _inside(labels, several)
    if not all(s.stop > s.start for s in box):
        return {}
    skipped = np.zeros((0, 0, 0), dtype=np.bool_) if counted is None else np.ascontiguousarray(counted[box])
    counts = _filled(
        np.ascontiguousarray(labels.array[box], dtype=np.uint16), labels.grid.crop(box).patient_from_index.matrix,
        np.stack([t.start for t in several]), np.stack([t.stop - t.start for t in several]),
        np.array([t.radius for t in several]), _shifts(labels, parts), labels.grid.half_diagonal, skipped,
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


def does(key: str) -> Does:
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


def sunflower(n: int) -> Points:
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
    across = site.frame.lateral if approach.azimuth[1] < 80.0 else site.frame.up  # never along a tube
    one = np.cross(out, across)
    one /= np.linalg.norm(one, axis=1)[:, None]
    two = np.cross(out, one)
    turn = grid.patient_from_index.inverse.turn
    start = dock + (radius / 3.0)[:, None] * out  # the rounded tip is a third of a radius shorter than a flat one
    lengths = _bundle(
        _classes(site, approach), grid.index(start), turn(out), np.stack([turn(two), turn(one)], axis=1),
        length - radius / 3.0, radius, sunflower(RAYS),
    )  # fmt: skip
    ml = lengths * (np.pi * radius**2)[:, None] / 1000
    whole = site.volume(*facet_keys(site, site.frame.side))
    facet = 100 * ml[:, 3:].sum(axis=1) / whole if whole > 0 else np.zeros(len(ml))
    return ml[:, 1:].sum(axis=1), ml[:, 2:].sum(axis=1), facet
