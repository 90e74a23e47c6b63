"""Skin and tissue classes inside the body, from the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.geometry import Grid, Points, Volume
from keyhole.geometry._kernels import compiled, prange
from keyhole.geometry.resample import resampled_whole

BODY = -300
"""HU above which a voxel may belong to the body [keyhole-choice]."""

SKIN = 2.0
"""Thickness of the skin, mm [keyhole-choice]."""

FAT = -190
"""Least HU of fat [fat-hu]; below it, inside the body, is gas [keyhole-choice]."""

MUSCLE = -29
"""Least HU of muscle, and so above fat's -30 [long2019, fat-hu]."""

BONE = 151
"""Least HU of unlabelled bone: above muscle's 150 [long2019]. Contrast medium is called so too."""

PADDING = -1500
"""HU at or below which a voxel was not measured: scanners pad outside their round field of view [keyhole-choice]."""

CLASSES = ("tissue/gas", "tissue/fat", "tissue/muscle", "tissue/bone", "tissue/skin")

_COARSE = 3.0  # mm, grid on which the table is told from the body
_TABLE = 6.0  # mm, radius of the opening that cuts the table off
_UNSEEN = -32768


@dataclass(frozen=True, slots=True, eq=False)
class Body:
    """Where the patient is: `mask`, the skin in it, and which voxels the image does not cover; and what is wrong."""

    mask: NDArray[np.bool_]
    skin: NDArray[np.bool_]
    caveats: tuple[str, ...]


def on_grid(image: Volume, grid: Grid) -> NDArray[np.int16]:
    """`image` on `grid` by trilinear interpolation, int16; the least int16 where the image does not reach."""
    return resampled_whole(image, grid, _UNSEEN)


def body_in(values: NDArray[np.int16], grid: Grid, axis: int, *, hounsfield: bool) -> Body:
    """The patient in an image on `grid`: the largest thing brighter than air, without table, gas in it included.

    On CT air ends at `BODY`; on MR at a tenth of the bright tissue's signal.

    Parameters
    ----------
    axis : the array's axis that runs closest along the spine: sections across it are closed by skin.
    hounsfield : whether `values` are Hounsfield units.
    """
    step = np.maximum(1, np.round(_COARSE / grid.spacing)).astype(int)
    coarse = values[:: step[0], :: step[1], :: step[2]]
    threshold = BODY if hounsfield else _mr_threshold(coarse)
    core = _trunk(coarse > threshold, tuple(grid.spacing * step), axis)
    mask, unseen = _fine(values, _zone(core), step, threshold, PADDING if hounsfield else _UNSEEN)
    return _with_skin(mask, unseen, grid, axis)


def _mr_threshold(coarse: NDArray[np.int16]) -> int:
    seen = coarse[coarse > _UNSEEN]
    return int(0.1 * float(np.percentile(seen, 95))) if len(seen) else 0


def _trunk(dense: NDArray[np.bool_], spacing: tuple[float, ...], axis: int) -> NDArray[np.bool_]:
    """The largest part of a coarse mask that an opening leaves in one piece, holes filled."""
    reach = max(1, round(_TABLE / min(spacing)))
    ball = _ball(reach)
    opened = ndimage.binary_opening(np.pad(dense, reach, mode="edge"), ball)[(slice(reach, -reach),) * 3]
    largest: NDArray[np.bool_] = cc3d.largest_k(opened.astype(np.uint8), k=1, connectivity=6) > 0
    kept = ndimage.binary_dilation(largest, ball, iterations=1) & dense
    return _filled(kept, axis)


def _ball(radius: int) -> NDArray[np.bool_]:
    i, j, k = np.indices((2 * radius + 1,) * 3) - radius
    return np.asarray(i**2 + j**2 + k**2 <= radius**2)


def _filled(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """`mask` with its holes filled in every section across `axis`: the back's hollow stays outside."""
    filled = np.moveaxis(mask.copy(), axis, 0)
    for n in range(len(filled)):
        filled[n] |= ndimage.binary_fill_holes(filled[n])
    return np.moveaxis(filled, 0, axis)


def _zone(core: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """2 inside the coarse body, 1 within a coarse voxel of its surface, 0 outside."""
    inner = ndimage.binary_erosion(core, _ball(1), border_value=True)
    return np.asarray(inner.astype(np.uint8) + ndimage.binary_dilation(core, _ball(1)).astype(np.uint8))


@compiled(parallel=True)
def _fine(values: Any, zone: Any, step: Any, threshold: int, unmeasured: int) -> Any:
    """The fine mask from the coarse body, and what is unseen: only near the surface are the `values` asked."""
    mask = np.empty(values.shape, dtype=np.bool_)
    unseen = np.empty(values.shape, dtype=np.bool_)
    for i in prange(values.shape[0]):
        for j in range(values.shape[1]):
            row, out, dark = values[i, j], mask[i, j], unseen[i, j]
            for k in range(len(row)):
                dark[k] = row[k] <= unmeasured
            for n, at in enumerate(zone[i // step[0], j // step[1]]):
                least = (32768, threshold, unmeasured)[at]
                for k in range(n * step[2], min((n + 1) * step[2], len(row))):
                    out[k] = row[k] > max(least, unmeasured)
    return mask, unseen


def _with_skin(mask: NDArray[np.bool_], unseen: NDArray[np.bool_], grid: Grid, axis: int) -> Body:
    """The body with its skin, which the edge of the image is not."""
    return Body(mask, near_outside(mask, unseen, grid.spacing, SKIN), _cut(mask, unseen, grid, axis))


def _cut(mask: NDArray[np.bool_], unseen: NDArray[np.bool_], grid: Grid, axis: int) -> tuple[str, ...]:
    """A caveat where the skin of some side lies outside the image."""
    faces = [(a, end) for a in range(3) if a != axis for end in (0, -1)]
    open_faces = [(a, end) for a, end in faces if float(mask.take(end, axis=a).mean()) > 0.02]
    names = sorted({("right", "left", "front", "back")[_side(grid, a, end)] for a, end in open_faces})
    caveats = [f"the body is cut by the field of view ({', '.join(names)}): no skin there"] if names else []
    if unseen.any() and bool((ndimage.binary_dilation(unseen[::2, ::2, ::2]) & mask[::2, ::2, ::2]).any()):
        caveats.append("part of the body lies outside the scanned field: unseen there")
    return tuple(caveats)


def _side(grid: Grid, axis: int, end: int) -> int:
    """0 right, 1 left, 2 front, 3 back: where the array's face at `end` of `axis` looks to."""
    column = grid.patient_from_index.matrix[:2, axis] * (1 if end else -1)
    most = int(np.argmax(np.abs(column)))
    return 2 * most + int(column[most] > 0)


def near_outside(
    mask: NDArray[np.bool_], unseen: NDArray[np.bool_], spacing: Points, depth: float
) -> NDArray[np.bool_]:
    """The voxels of `mask` whose middle lies within `depth` mm of that of a voxel neither in it nor `unseen`."""
    reach = np.floor(depth / spacing[:2]).astype(int)
    steps, runs = [], []
    for i in range(-reach[0], reach[0] + 1):
        for j in range(-reach[1], reach[1] + 1):
            left = depth**2 - (i * spacing[0]) ** 2 - (j * spacing[1]) ** 2
            if left >= 0:
                steps.append((i, j))
                runs.append(int(np.floor(np.sqrt(left) / spacing[2])))
    away = _runs(mask, unseen, max(runs) + 1)
    return np.asarray(_reached(mask, away, np.array(steps), np.array(runs)))


@compiled(parallel=True)
def _runs(mask: Any, unseen: Any, most: int) -> Any:
    """Steps along the last axis to the nearest voxel outside, `most` where it is further."""
    away = np.empty(mask.shape, dtype=np.uint8)
    ni, nj, nk = mask.shape
    for i in prange(ni):
        for j in range(nj):
            count = most
            for k in range(nk):
                count = 0 if not (mask[i, j, k] or unseen[i, j, k]) else min(count + 1, most)
                away[i, j, k] = count
            count = most
            for k in range(nk - 1, -1, -1):
                count = 0 if away[i, j, k] == 0 else min(count + 1, most)
                away[i, j, k] = min(away[i, j, k], count)
    return away


@compiled(parallel=True)
def _reached(mask: Any, away: Any, steps: Any, runs: Any) -> Any:
    """Where `mask` holds and some row at `steps` has its nearest outside voxel within its run."""
    found = np.zeros(mask.shape, dtype=np.bool_)
    ni, nj, nk = mask.shape
    for i in prange(ni):
        for n in range(len(steps)):
            a = i + steps[n, 0]
            if a < 0 or a >= ni:
                continue
            for j in range(max(0, -steps[n, 1]), min(nj, nj - steps[n, 1])):
                b, run = j + steps[n, 1], runs[n]
                for k in range(nk):
                    found[i, j, k] |= mask[i, j, k] & (away[a, b, k] <= run)
    return found


@compiled(parallel=True)
def class_free(labels: Any, hu: Any, mask: Any, skin: Any, numbers: Any) -> None:
    """Write into `labels`, where it is 0 and `mask` is true, the class of `hu`: gas, fat, muscle, bone or skin."""
    for i in prange(labels.shape[0]):
        for j in range(labels.shape[1]):
            for k in range(labels.shape[2]):
                if labels[i, j, k] != 0 or not mask[i, j, k]:
                    continue
                value = hu[i, j, k]
                if skin[i, j, k]:
                    labels[i, j, k] = numbers[4]
                elif numbers[2] == 0:
                    continue
                elif value < FAT:
                    labels[i, j, k] = numbers[0]
                elif value < MUSCLE:
                    labels[i, j, k] = numbers[1]
                elif value < BONE:
                    labels[i, j, k] = numbers[2]
                else:
                    labels[i, j, k] = numbers[3]
