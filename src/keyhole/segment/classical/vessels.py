"""Aorta and vena cava by following a tube in front of the bodies; a vessel that is not sure is not named."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Box, Points, bounding_box
from keyhole.segment.classical.column import Column
from keyhole.segment.classical.scene import Found, Scene
from keyhole.segment.classical.soft import Coarse, on_scene

Mask = NDArray[np.bool_]

AORTA, CAVA = "vessel/aorta", "vessel/ivc"

SPAN = {AORTA: (-1.6, 3.1), CAVA: (0.4, 3.4)}
"""Vertebrae below L1's middle between which a tube is followed: above the fork, and the vena cava below the kidneys'
veins, where nothing of its size touches it [keyhole-choice]."""

ALIKE = (0.66, 1.6)
"""Radii relative to the tube's median between which it goes on [keyhole-choice]."""

USUAL = {AORTA: (9.0, 13.0), CAVA: (-20.0, 13.0)}
"""Usual place, mm to the left of the canal's middle, and its spread [keyhole-choice]."""

RADIUS = {AORTA: (6.0, 17.0), CAVA: (5.0, 16.0)}
"""Radii, mm, of a tube that may be the vessel [keyhole-choice]."""

BLOOD, ENHANCED = (12.0, 100.0), (125.0, 700.0)
"""HU of blood without and with contrast medium [keyhole-choice]."""

SURE = {AORTA: 0.60, CAVA: 0.66}
"""Least mean share of the ring around the tube that differs from what is in it; below, the vessel stays unknown
[keyhole-choice]."""

RUN = 30.0
"""Least length, mm, of a tube that counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """A tube: planes of the grid (n,), middle in each (n, 2) index, radius (n,) mm and `clear` (n,), 0 to 1."""

    planes: NDArray[np.int64]
    middle: Points
    radius: Points
    clear: Points


def vessels(scene: Scene, view: Coarse) -> Found:
    """Aorta and inferior vena cava where a tube in front of the bodies is clear of its neighbours; else nothing.

    In every plane the middles of round things of the right size are candidates; the smoothest course through the
    clearest of them is the tube. It is kept where it is long enough, where its size and HU stay alike, and where the
    ring around it differs.
    """
    at = view.at
    box = _ahead(at, view.seen)
    if box is None:
        return {}
    smooth = ndimage.gaussian_filter(view.hu[box], 0.5)
    free = view.seen[box] & ~view.bone[box]
    made: dict[str, tuple[Box, Mask]] = {}
    for key in (AORTA, CAVA):
        for low, high in (ENHANCED, BLOOD):
            lumen = free & (smooth > low) & (smooth < high)
            found = _followed(at, box, key, (smooth, lumen))
            if found is not None:
                mask = _tube(found, lumen, box[2].start, float(view.grid.spacing[0]))
                free &= ~ndimage.binary_dilation(mask)
                fine = on_scene(scene, box, mask, view.factor)
                if fine is not None:
                    made[key] = fine
                break
    return made


def _ahead(at: Column, seen: Mask) -> Box | None:
    """The box in front of the bodies in which vessels run."""
    u, v = at.place()
    near = (
        (np.abs(u) < 55)
        & (v < at.front + 6)
        & (v > at.front - 55)
        & (at.count > SPAN[AORTA][0])
        & (at.count < SPAN[CAVA][1])
    )
    return bounding_box(near & seen)


def _followed(at: Column, box: Box, key: str, images: tuple[NDArray[np.float32], Mask]) -> Track | None:
    """The clearest smooth tube of the right size near the usual place of `key`; None where none is sure."""
    hu, lumen = images
    step = float(at.grid.spacing[0])
    first = box[2].start
    rows: list[Points] = []
    for k in range(lumen.shape[2]):
        plane = first + k
        if not (SPAN[key][0] <= at.count[plane] <= SPAN[key][1]):
            continue
        rows.extend(_candidates(at, box, key, (hu[:, :, k], lumen[:, :, k]), plane))
    if len(rows) < 8:
        return None
    track = _course(np.array(rows), step)
    return track if track is not None and _is_sure(track, key, step) else None


def _candidates(at: Column, box: Box, key: str, images: tuple[NDArray[np.float32], Mask], plane: int) -> list[Points]:
    """Rows (plane, i, j, radius, clear, HU, score) of round things in one plane."""
    import edt  # noqa: PLC0415  (heavy import)

    hu, lumen = images
    step = float(at.grid.spacing[0])
    width = edt.edt(np.ascontiguousarray(lumen), anisotropy=(step, step), black_border=False)
    peaks = (width == ndimage.maximum_filter(width, 3)) & (width >= RADIUS[key][0] - 1) & (width <= RADIUS[key][1])
    found = []
    for i, j in np.argwhere(peaks):
        off = (np.array([i + box[0].start, j + box[1].start]) - at.middle[plane]) * step
        u, v = float(off @ at.left[plane]), float(off @ at.back[plane])
        radius = float(width[i, j])
        if not (at.front[plane] - 3.2 * radius - 16 < v < at.front[plane] - 0.6 * radius):
            continue
        usual = np.exp(-0.5 * ((u - USUAL[key][0]) / USUAL[key][1]) ** 2)
        inside, ring = _ring(hu, (int(i), int(j)), radius / step)
        clear = float((np.abs(ring - np.median(inside)) > 35).mean()) if len(ring) else 0.0
        found.append(np.array([plane, i, j, radius, clear, np.median(inside), clear * usual]))
    return found


def _ring(hu: NDArray[np.float32], middle: tuple[int, int], radius: float) -> tuple[Points, Points]:
    """HU in the inner part of a circle and in the ring just outside of it; the radius in voxels."""
    reach = int(np.ceil(radius + 3))
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    far = np.hypot(i, j)
    a, b = i + middle[0], j + middle[1]
    here = (a >= 0) & (b >= 0) & (a < hu.shape[0]) & (b < hu.shape[1])
    inner, outer = here & (far <= max(1.0, 0.7 * radius)), here & (far > radius + 0.7) & (far <= radius + 2.3)
    return hu[a[inner], b[inner]].astype(np.float64), hu[a[outer], b[outer]].astype(np.float64)


def _course(rows: Points, step: float) -> Track | None:
    """The course with the largest sum of scores; neighbours in the chain lie at most three planes apart."""
    n = len(rows)
    best, before = rows[:, 6].copy(), np.full(n, -1)
    for b in range(n):
        gap = rows[b, 0] - rows[:b, 0]
        some = np.flatnonzero((gap >= 1) & (gap <= 3))
        if not len(some):
            continue
        aside = np.linalg.norm(rows[some, 1:3] - rows[b, 1:3], axis=1) * step / gap[some]
        size = np.abs(rows[some, 3] - rows[b, 3]) / np.maximum(rows[some, 3], 1.0)
        tone = np.abs(rows[some, 5] - rows[b, 5]) / 30.0
        cost = (aside / 3.0) ** 2 * 0.25 + size + 0.3 * tone + 0.3 * (gap[some] - 1)
        value = best[some] - cost
        top = int(np.argmax(value))
        if value[top] > 0:
            best[b] += value[top]
            before[b] = some[top]
    at = int(np.argmax(best))
    chain = []
    while at >= 0:
        chain.append(at)
        at = int(before[at])
    kept = _alike(rows[chain[::-1]])
    return Track(kept[:, 0].astype(np.int64), kept[:, 1:3], kept[:, 3], kept[:, 4]) if len(kept) > 2 else None


def _alike(rows: Points) -> Points:
    """The longest run of a course in which the radius stays near its median."""
    share = rows[:, 3] / np.median(rows[:, 3])
    runs, n = ndimage.label((share >= ALIKE[0]) & (share <= ALIKE[1]))
    sizes = np.bincount(runs, minlength=n + 1)[1:]
    return np.asarray(rows[runs == 1 + int(np.argmax(sizes))]) if n else rows[:0]


def _is_sure(track: Track, key: str, step: float) -> bool:
    """Whether a course is long, clear, and of one size."""
    length = float(track.planes[-1] - track.planes[0]) * step
    filled = len(track.planes) / (track.planes[-1] - track.planes[0] + 1)
    spread = float(np.std(track.radius) / np.mean(track.radius))
    low, high = RADIUS[key]
    fits = low <= float(np.median(track.radius)) <= high
    return bool(length >= RUN and filled > 0.7 and spread < 0.3 and fits and float(np.mean(track.clear)) >= SURE[key])


def _tube(track: Track, lumen: Mask, start: int, step: float) -> Mask:
    """What lies within the tube's radius of its middle, plane by plane; `start` is the plane of the box's first."""
    planes = np.arange(int(track.planes[0]), int(track.planes[-1]) + 1)
    radius = ndimage.median_filter(np.interp(planes, track.planes, track.radius), 7, mode="nearest")
    middle = np.column_stack([np.interp(planes, track.planes, track.middle[:, a]) for a in (0, 1)])
    middle = ndimage.gaussian_filter1d(middle, 1.5, axis=0, mode="nearest")
    out = np.zeros_like(lumen)
    i, j = np.indices(lumen.shape[:2])
    for plane, (a, b), r in zip(planes - start, middle, radius, strict=True):
        out[:, :, plane] = np.hypot(i - a, j - b) * step <= r + 0.3 * step
    return out
