"""Psoas and back muscles, and what lies in front of and beside the spine that nobody may touch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Box, Grid, affine, bounding_box
from keyhole.segment.classical.column import Column, column
from keyhole.segment.classical.scene import UNSEEN, Found, Scene

Mask = NDArray[np.bool_]

STEP = 2.0
"""Voxel side, mm, of the grid on which soft tissue is told apart [keyhole-choice]."""

LEAN = (-5.0, 135.0)
"""HU of muscle and organs without contrast medium, averaged over `STEP` [keyhole-choice, within long2019]."""

FATTY = -70.0
"""HU down to which a voxel enclosed by back muscle counts as one of its fatty streaks [keyhole-choice]."""

FAT = (-190.0, -25.0)
"""HU of fat, averaged over `STEP`: never part of `UNKNOWN` [fat-hu, widened for partial volume: keyhole-choice]."""

UNKNOWN = "organ/unknown"
"""Whatever is neither fat nor a structure found, in front of and beside the spine: bowel, kidney, vessel, ureter."""

UNKNOWN_CAVEAT = (
    "soft tissue in front of and beside the spine that a bare CT does not tell apart (bowel, kidneys, ureters, veins); "
    "treated as forbidden"
)

LATERAL, AHEAD, BEHIND = 95.0, 95.0, 85.0
"""Reach, mm from the canal's middle, of the part in which muscles are told apart [keyhole-choice]."""

CREST = 4.2
"""Vertebrae below L1 at which the iliac crests end the loins [keyhole-choice]."""

WALL = 14.0
"""Depth, mm, under the fat below the skin, of the trunk's wall where organs do not reach [keyhole-choice]."""

MIDLINE = 3.0
"""Half width, mm, of the ligaments between the spinous processes [keyhole-choice]."""

HULL = 12.0
"""Gaps up to twice as wide, mm, in the trunk's wall count as closed [keyhole-choice]."""

PSOAS_ASIDE = (4.0, 11.0, 16.0, 20.0, 20.0, 26.0, 32.0)
PSOAS_BEHIND = (-8.0, -16.0, -21.0, -31.0, -38.0, -57.0, -74.0)
"""Middle of the psoas at L1 to S2: mm beside the body's side, and behind the canal's middle [keyhole-choice]."""

PSOAS, PARASPINAL, ORGAN, REST = (1, 2), (3, 4), 5, 6
_KEYS = {
    1: "muscle/psoas/left",
    2: "muscle/psoas/right",
    3: "muscle/paraspinal/left",
    4: "muscle/paraspinal/right",
    ORGAN: UNKNOWN,
}


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """The scene on blocks of `factor` voxels: mean HU, what is held, where labelled bone or disc is, the body."""

    grid: Grid
    factor: int
    hu: NDArray[np.float32]
    seen: Mask
    bone: Mask
    body: Mask
    at: Column


def coarse(scene: Scene) -> Coarse | None:
    """The scene on a grid of `STEP` with the spine's sections; None where too little of the spine is known."""
    grid, factor = _blocked(scene.grid)
    at = column(scene, grid)
    if at is None:
        return None
    hu = np.asarray(scene.hu.array)
    seen, bone, body = _blocks(hu > UNSEEN, factor), _blocks(scene.labels > 0, factor), _blocks(scene.body, factor)
    return Coarse(grid, factor, _blocks(hu, factor), seen > 0.99, bone > 0.34, body > 0.5, at)


def soft_tissue(scene: Scene, view: Coarse, taken: Found | None = None) -> Found:
    """Psoas and paraspinal muscles of both sides, and everything else soft in front of and beside the spine.

    Muscles are told apart by a watershed on a coarse grid: it starts in the middle of each muscle, found by its place
    beside the spine, and stops at necks and at fat. Empty where too little of the spine is known to place them.

    Parameters
    ----------
    taken : structures of the scene's grid found before, such as vessels; they are left alone.
    """
    tubes = np.zeros_like(view.bone)
    for box, mask in (taken or {}).values():
        tubes |= _blocks(_whole(scene, box, mask), view.factor) > 0.4
    classes = _classes(view.at, (view.hu, view.seen & view.body, view.bone | tubes), view.at.place(), tubes)
    nowhere = (slice(0, 0), slice(0, 0), slice(0, 0))
    made = {key: on_scene(scene, nowhere, classes == n, view.factor) for n, key in _KEYS.items()}
    return {key: found for key, found in made.items() if found is not None}


# --- grids ---


def _blocked(grid: Grid) -> tuple[Grid, int]:
    """The grid of blocks of voxels about `STEP` mm wide, and how many voxels a block is wide."""
    factor = max(1, round(STEP / float(grid.spacing[0])))
    matrix = np.diag((factor, factor, factor, 1.0))
    matrix[:3, 3] = (factor - 1) / 2
    shape = tuple(max(1, n // factor) for n in grid.shape)
    return Grid((shape[0], shape[1], shape[2]), affine(grid.patient_from_index.matrix @ matrix)), factor


def _blocks(array: NDArray[Any], factor: int) -> NDArray[np.float32]:
    """Mean of every block of `factor` voxels along each axis."""
    if factor == 1:
        return array.astype(np.float32)
    shape = [n // factor for n in array.shape]
    cut = array[tuple(slice(0, n * factor) for n in shape)]
    total = np.zeros(shape, dtype=np.int32)
    for a in range(factor):
        for b in range(factor):
            for c in range(factor):
                total += cut[a::factor, b::factor, c::factor]
    return total.astype(np.float32) / np.float32(factor**3)


def _whole(scene: Scene, box: Box, mask: Mask) -> Mask:
    out = np.zeros(scene.grid.shape, dtype=np.bool_)
    out[box] = mask
    return out


def on_scene(scene: Scene, within: Box, mask: Mask, factor: int) -> tuple[Box, Mask] | None:
    """A coarse mask as one of the scene's grid, without labelled bone; None if empty.

    `within`: the box of the coarse grid that the mask covers.
    """
    found = bounding_box(mask)
    if found is None:
        return None
    fine: Mask = mask[found]
    for axis in range(3):
        fine = np.repeat(fine, factor, axis=axis)
    start = [(s.start + w.start) * factor for s, w in zip(found, within, strict=True)]
    box = tuple(slice(a, a + n) for a, n in zip(start, fine.shape, strict=True))
    where = (box[0], box[1], box[2])
    fine &= scene.labels[where] == 0
    return (where, fine) if fine.any() else None


# --- classes ---

Images = tuple[NDArray[np.float32], Mask, Mask]
Places = tuple[NDArray[np.float32], NDArray[np.float32]]


def _classes(at: Column, images: Images, place: Places, tubes: Mask) -> NDArray[np.uint8]:
    """The class of every coarse voxel: psoas, paraspinal, organ, rest; 0 elsewhere.

    What is thinner than two voxels is no organ, but the rim of a vessel in `tubes` is.
    """
    hu, inside, bone = images
    deep = _under_fat(hu, inside, at.grid)
    classes = _apart(at, images, place, deep)
    soft = inside & ~bone & ~((hu >= FAT[0]) & (hu <= FAT[1]))
    cavity = _cavity(at, place, deep)
    classes[soft & cavity & ((classes == 0) | (classes == ORGAN))] = ORGAN
    classes[(classes == ORGAN) & ~(soft & cavity)] = 0
    organ = ndimage.binary_opening((classes == ORGAN) | tubes, ndimage.generate_binary_structure(3, 1))
    classes[(classes == ORGAN) & ~organ] = 0
    return classes


def _under_fat(hu: NDArray[np.float32], inside: Mask, grid: Grid) -> NDArray[np.float32]:
    """Depth, mm, of every voxel under the outline of the trunk's muscles and bones, section by section; 0 outside."""
    import edt  # noqa: PLC0415  (heavy import)

    spacing = tuple(float(s) for s in grid.spacing)
    skin = edt.edt(np.ascontiguousarray(inside), anisotropy=spacing, black_border=False, parallel=2)
    firm = ((hu > LEAN[0]) | (hu < FAT[0])) & (skin > 6.0)
    hull = edt.edt(np.ascontiguousarray(~firm), anisotropy=spacing, black_border=False, parallel=2) <= HULL
    for k in range(hull.shape[2]):
        hull[:, :, k] = ndimage.binary_fill_holes(hull[:, :, k] | _rim(inside[:, :, k])) & inside[:, :, k]
    depth = edt.edt(np.ascontiguousarray(hull), anisotropy=spacing, black_border=False, parallel=2)
    return np.asarray(np.maximum(depth - HULL, 0.0), dtype=np.float32)


def _rim(inside: Mask) -> Mask:
    """The part of a plane's rim where the field of view cuts the body: what it encloses counts as inside."""
    rim = np.zeros_like(inside)
    rim[[0, -1], :], rim[:, [0, -1]] = inside[[0, -1], :], inside[:, [0, -1]]
    return rim


def _cavity(at: Column, place: Places, deep: NDArray[np.float32]) -> Mask:
    """Where organs may lie: in front of the transverse processes and the muscle between them and the loin."""
    u, v = np.abs(place[0]), place[1]
    aside, behind = at.tip[:, 0], at.tip[:, 1]
    beside = v < np.where(u > at.half + 3, at.rear - 4, (at.front + at.rear) / 2)
    loin = (u > aside + 2) & (v < behind - 10 + 0.15 * (u - aside)) & (at.count < CREST)
    return np.asarray((beside | loin) & (deep > WALL))


def _apart(at: Column, images: Images, place: Places, deep: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Watershed of the lean tissue near the spine."""
    from skimage.segmentation import watershed  # noqa: PLC0415  (heavy import)

    classes = np.zeros(at.grid.shape, dtype=np.uint8)
    near = (np.abs(place[0]) < LATERAL) & (place[1] > -AHEAD) & (place[1] < BEHIND)
    span = (at.count > -2.5) & (at.count < 6.3)
    box = bounding_box(near & span)
    if box is None:
        return classes
    hu, inside, bone = images[0][box], images[1][box], images[2][box]
    u, v = place[0][box], place[1][box]
    lean = inside & ~bone & (hu > LEAN[0]) & (hu < LEAN[1])
    width = _width(lean, at.grid)
    markers = _markers(at, box, (lean, width, deep[box]), (u, v))
    height = np.maximum(0.0, 60.0 - ndimage.gaussian_filter(hu, 0.6)) / 10.0 - np.minimum(width, 14.0)
    parts = watershed(height, markers, mask=lean | (markers > 0))
    parts = parts.astype(np.uint8)
    _bounded(parts, at, box, (u, v))
    _fill_streaks(parts, hu, (inside & ~bone, v), at)
    classes[box] = np.where(parts == REST, 0, parts)
    return classes


def _width(lean: Mask, grid: Grid) -> NDArray[np.float32]:
    import edt  # noqa: PLC0415  (heavy import)

    spacing = tuple(float(s) for s in grid.spacing)
    return np.asarray(edt.edt(np.ascontiguousarray(lean), anisotropy=spacing, black_border=False, parallel=2))


def _markers(at: Column, box: Box, images: tuple[Mask, Any, Any], place: Places) -> NDArray[np.int32]:
    """Where each muscle and everything else surely is."""
    lean, width, deep = images
    u, v = place
    count, half, front = at.count[box[2]], at.half[box[2]], at.front[box[2]]
    aside, behind = at.tip[box[2], 0], at.tip[box[2], 1]
    markers = np.zeros(lean.shape, dtype=np.int32)
    off = np.abs(u)
    wall = (deep < 6) & (v < behind) & (off > aside + 8)
    loin = (off > aside + 6) & (v < behind + 1) & (v > behind - 14) & (off > half + 34)
    markers[lean & (wall | loin)] = REST
    middle = half + np.interp(count, np.arange(7), PSOAS_ASIDE), np.interp(count, np.arange(7), PSOAS_BEHIND)
    ahead = (v < np.minimum(front - 8, middle[1] - np.where(count > 4.3, 36, 26))) | (
        (off < middle[0] - 24) & (v < front - 3)
    )
    away = (off > middle[0] + 34) & (v < behind - 16)
    markers[lean & (ahead | away) & (deep > WALL) & (width > 3)] = ORGAN
    for n, sign in zip(PARASPINAL, (1, -1), strict=True):
        core = (v > behind + 10) & (off < 52) & (off > 7) & (u * sign > 0) & (width > 5)
        markers[lean & core] = n
    for n, sign in zip(PSOAS, (1, -1), strict=True):
        core = _psoas_core((u * sign, v), width, middle, count)
        markers[core & lean] = n
    return markers


def _psoas_core(place: Places, width: Any, middle: tuple[Any, Any], count: Any) -> Mask:
    """The middle of one psoas: the thickest lean tissue near its usual place, plane by plane, in a smooth course."""
    u, v = place
    usual = np.exp(-0.5 * (((u - middle[0]) / 11.0) ** 2 + ((v - middle[1]) / 12.0) ** 2))
    usual = np.where((np.abs(u - middle[0]) < 20) & (np.abs(v - middle[1]) < 22), usual, 0.0)
    score = ndimage.gaussian_filter1d((np.minimum(width, 12.0) * usual).astype(np.float32), 2.5, axis=2)
    flat = score.reshape(-1, score.shape[2])
    best, peak = flat.argmax(axis=0), flat.max(axis=0)
    planes = np.arange(score.shape[2])
    mid = np.column_stack([p.reshape(-1, score.shape[2])[best, planes] for p in (u, v)])
    mid = ndimage.median_filter(mid, size=(9, 1), mode="nearest")
    known = (peak > 0.8) & (count > 0.3) & (count < 6.0)
    near = ((u - mid[:, 0]) ** 2 + (v - mid[:, 1]) ** 2 < 7.0**2) & known
    return np.asarray(near & (width >= 2.5))


def _bounded(parts: NDArray[np.uint8], at: Column, box: Box, place: Places) -> None:
    """Take away what lies outside the place of each muscle, and thin tongues."""
    u, v = np.abs(place[0]), place[1]
    count, half = at.count[box[2]], at.half[box[2]]
    aside, behind = at.tip[box[2], 0], at.tip[box[2], 1]
    middle = np.interp(count, np.arange(7), PSOAS_BEHIND)
    back = (v > behind + 2 + 0.25 * np.maximum(u - aside, 0)) | ((u < half + 4) & (v > 8))
    usual = half + np.interp(count, np.arange(7), PSOAS_ASIDE)
    beside = (np.abs(v - middle) < 24) & (v < at.rear[box[2]] + 7) & (u > np.maximum(usual - 18, half - 8))
    across = _ball2(max(1, round(4.0 / float(at.grid.spacing[0]))))
    muscle = np.isin(parts, PARASPINAL)
    parts[muscle] = np.where(place[0] > 0, *PARASPINAL)[muscle]
    parts[muscle & (u < MIDLINE)] = 0
    for n in (*PARASPINAL, *PSOAS):
        mask = parts == n
        kept = mask & (back if n in PARASPINAL else beside)
        if n in PSOAS:
            kept &= ndimage.binary_opening(kept, across)
        parts[mask & ~kept] = 0


def _ball2(radius: int) -> Mask:
    i, j = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return np.asarray(np.hypot(i, j) <= radius + 0.1)[:, :, None]


def _fill_streaks(parts: NDArray[np.uint8], hu: NDArray[np.float32], where: tuple[Mask, Any], at: Column) -> None:
    """Give fatty streaks that back muscle encloses to it."""
    free, _ = where
    reach = max(1, round(4.0 / float(at.grid.spacing[0])))
    disc = _ball2(reach)
    for n in PARASPINAL:
        box = bounding_box(parts == n, reach + 1)
        if box is None:
            continue
        closed = ndimage.binary_closing(parts[box] == n, disc)
        here = parts[box]
        here[closed & (here == 0) & free[box] & (hu[box] > FATTY)] = n
