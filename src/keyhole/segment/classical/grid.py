"""The scan on the isotropic grids that the method works on: a coarse one to find the spine, a fine one for it."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.errors import InvalidInput
from keyhole.geometry import Grid, Volume, affine
from keyhole.segment.classical._kernels import resampled
from keyhole.segment.classical._resampling import along_axes
from keyhole.segment.classical.scene import UNSEEN

COARSE = 2.0
"""Voxel side, mm, of the grid on which canal and body are looked for [bare-ct-prototype]."""

FINE = 1.0
"""Voxel side, mm, of the grid on which everything else is done: Keyhole's own."""

MOST = 60_000_000
"""Voxels of a coarse grid beyond which a scan is no scan of one patient [keyhole-choice]."""


def whole_numbers(image: Volume) -> NDArray[np.int16]:
    """The image's array as int16 Hounsfield units, UNSEEN where it is nan or infinite."""
    array = image.array
    if array.dtype == np.int16:
        return np.asarray(array)
    out = np.empty(array.shape, dtype=np.int16)
    for n, part in enumerate(array):
        if np.issubdtype(array.dtype, np.floating):
            part = np.where(np.isfinite(part), part, UNSEEN)  # noqa: PLW2901
        out[n] = np.rint(np.clip(part, UNSEEN, 32767))
    return out


def working_grid(grid: Grid, step: float) -> Grid:
    """An isotropic grid over `grid` with axes near left, posterior, superior: its own axes, or LPS if it is sheared."""
    directions = grid.patient_from_index.matrix[:3, :3] / grid.spacing
    own = np.allclose(directions.T @ directions, np.eye(3), atol=1e-3)
    axes = _near_lps(directions) if own else np.eye(3)
    corners = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) + 0.5
    ends = grid.centres(corners * np.array(grid.shape) - 0.5) @ axes
    low, high = ends.min(axis=0), ends.max(axis=0)
    shape = np.maximum(1, np.ceil((high - low) / step - 1e-6)).astype(int)
    if not int(np.prod(shape)) * (step / COARSE) ** 3 <= MOST:
        raise InvalidInput(f"the scan spans {' x '.join(f'{d:.0f}' for d in high - low)} mm; a patient is smaller")
    start = (low + high) / 2 - (shape - 1) / 2 * step
    matrix = np.eye(4)
    matrix[:3, :3] = axes * step
    matrix[:3, 3] = axes @ start
    return Grid((int(shape[0]), int(shape[1]), int(shape[2])), affine(matrix))


def _near_lps(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The columns of `directions` permuted and flipped to lie closest to left, posterior, superior."""
    order = max(
        itertools.permutations(range(3)),
        key=lambda axes: round(sum(abs(float(directions[row, axis])) for row, axis in enumerate(axes)), 9),
    )
    columns = directions[:, list(order)]
    return np.asarray(columns * np.where(np.diag(columns) > 0, 1.0, -1.0))


def on_grid(array: NDArray[np.int16], source: Grid, grid: Grid) -> NDArray[np.int16]:
    """`array` (on `source`) on `grid`; averaged where the new voxels are larger."""
    between = source.patient_from_index.inverse @ grid.patient_from_index
    part = 2 if grid.spacing.min() > 1.4 * source.spacing.min() else 1
    to_index = np.round(between.matrix, 9)
    straight: NDArray[np.int16] | None = along_axes(array, to_index, grid.shape, part)
    if straight is not None:
        return straight
    out = np.empty(grid.shape, dtype=np.int16)
    resampled(np.ascontiguousarray(array), to_index, out, part)
    return out


def noise(array: NDArray[np.int16]) -> float:
    """Robust sd, HU, of an image's soft tissue by second differences along its first two axes, on a thinned copy."""
    thin = np.ascontiguousarray(array[:, :, :: max(1, array.shape[2] // 40)])
    calm = (thin > -150) & (thin < 300)
    found = []
    for axis in (0, 1):
        n = thin.shape[axis] - 2
        if n < 1:
            continue
        rows = [(slice(None),) * axis + (slice(s, s + n),) for s in range(3)]
        soft = calm[rows[0]] & calm[rows[1]] & calm[rows[2]]
        if soft.sum() > 1000:
            a, b, c = (thin[row][soft] for row in rows)  # within 450 of each other: no overflow
            found.append(float(np.median(np.abs(a - 2 * b + c))) / 0.6745 / np.sqrt(6.0))
    return float(min(found)) if found else 0.0


def smoothed(hu: NDArray[np.int16], sigma: float) -> NDArray[np.int16]:
    """A light gaussian of `sigma` voxels; UNSEEN stays UNSEEN and its rim takes the nearest seen values' mean."""
    if sigma <= 0:
        return hu
    unseen = hu == UNSEEN
    if unseen.any():
        hu = np.where(unseen, np.int16(-1000), hu)
    out = np.empty(hu.shape, dtype=np.int16)
    work = hu.astype(np.float32)
    ndimage.gaussian_filter(work, sigma, output=work, mode="nearest", truncate=3.0)
    np.rint(work, out=work)
    out[...] = work
    out[unseen] = UNSEEN
    return out


def taken(mask: NDArray[np.bool_], coarse: Grid, fine: Grid) -> NDArray[np.bool_]:
    """A mask on `coarse` as it looks on `fine`, which has the same axes."""
    between = np.round((coarse.patient_from_index.inverse @ fine.patient_from_index).matrix, 6)
    rows = [
        np.clip(np.rint(between[a, a] * np.arange(fine.shape[a]) + between[a, 3]), 0, mask.shape[a] - 1).astype(int)
        for a in range(3)
    ]
    return np.asarray(mask[np.ix_(*rows)])
