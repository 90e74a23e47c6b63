"""The scan on the isotropic grids that the method works on: a coarse one to find the spine, a fine one for it."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from keyhole.errors import InvalidInput
from keyhole.geometry import Box, Grid, Volume, affine
from keyhole.segment.classical._kernels import resampled
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
    out = np.empty(grid.shape, dtype=np.int16)
    resampled(np.ascontiguousarray(array), np.round(between.matrix, 9), out, part)
    return out


def noise(hu: NDArray[np.int16], body: NDArray[np.bool_]) -> float:
    """Robust sd, HU, of the soft tissue of an image from its second differences along the first axis."""
    a, b, c = (hu[n : hu.shape[0] - 2 + n].astype(np.int32) for n in range(3))
    soft = body[1:-1] & (np.minimum(np.minimum(a, b), c) > -50) & (np.maximum(np.maximum(a, b), c) < 250)
    if soft.sum() < 1000:
        return 0.0
    second = np.abs(a - 2 * b + c)[soft]
    return float(np.median(second) / 0.6745 / np.sqrt(6.0))


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


def crop_grid(grid: Grid, box: Box) -> Grid:
    """The part of `grid` in `box`."""
    return grid.crop(box)
