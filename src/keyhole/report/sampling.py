"""Values of an array between its voxels, for pictures: one pass over the samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Points, Volume
from keyhole.geometry._kernels import compiled

WIDE = 400_000
"""Voxels around a plane from which on it is sampled linearly: a cubic spline needs a wide copy of them."""

_MARGIN = 4  # voxels of the image around the samples, from which the spline is made
_EDGE = 12  # voxels by which its own edge is repeated, so that the spline does not swing there


def held(shape: tuple[int, ...], index: Points) -> NDArray[np.bool_]:
    """Whether each fractional `index` (..., 3) lies in a voxel of an array of `shape`; nan does not."""
    inside = np.empty(index.shape[:-1], dtype=np.bool_)
    _held(np.array(shape), index.reshape(-1, 3), inside.reshape(-1))
    return inside


@compiled()
def _held(shape: NDArray[np.int64], index: Points, inside: NDArray[np.bool_]) -> None:
    i, j, k = shape[0] - 0.5, shape[1] - 0.5, shape[2] - 0.5
    for n in range(len(index)):
        at = index[n]
        inside[n] = -0.5 <= at[0] <= i and -0.5 <= at[1] <= j and -0.5 <= at[2] <= k


def nearest(array: NDArray[Any], index: Points, outside: int) -> NDArray[np.int32]:
    """The whole number of `array` at the voxel nearest to each `index` (..., 3); `outside` beyond its voxels."""
    found = np.empty(index.shape[:-1], dtype=np.int32)
    _nearest(array, index.reshape(-1, 3), outside, found.reshape(-1))
    return found


@compiled()
def _nearest(array: NDArray[Any], index: Points, outside: int, found: NDArray[np.int32]) -> None:
    for n in range(len(index)):
        i, j, k = np.rint(index[n, 0]), np.rint(index[n, 1]), np.rint(index[n, 2])
        if 0 <= i < array.shape[0] and 0 <= j < array.shape[1] and 0 <= k < array.shape[2]:
            found[n] = array[int(i), int(j), int(k)]
        else:
            found[n] = outside


def linear(array: NDArray[Any], index: Points) -> NDArray[np.float32]:
    """Values of `array` at each `index` (..., 3) from the eight voxels around it, its edge repeated."""
    values = np.empty(index.shape[:-1], dtype=np.float32)
    _linear(array, index.reshape(-1, 3), values.reshape(-1))
    return values


@compiled()
def _linear(array: NDArray[Any], index: Points, values: NDArray[np.float32]) -> None:
    last_i, last_j, last_k = array.shape[0] - 1, array.shape[1] - 1, array.shape[2] - 1
    for n in range(len(index)):
        x, y, z = (
            min(max(index[n, 0], 0.0), last_i),
            min(max(index[n, 1], 0.0), last_j),
            min(max(index[n, 2], 0.0), last_k),
        )
        i, j, k = int(x), int(y), int(z)
        u, v, w = x - i, y - j, z - k
        right, below, beyond = min(i + 1, last_i), min(j + 1, last_j), min(k + 1, last_k)
        values[n] = (1 - u) * (
            (1 - v) * ((1 - w) * array[i, j, k] + w * array[i, j, beyond])
            + v * ((1 - w) * array[i, below, k] + w * array[i, below, beyond])
        ) + u * (
            (1 - v) * ((1 - w) * array[right, j, k] + w * array[right, j, beyond])
            + v * ((1 - w) * array[right, below, k] + w * array[right, below, beyond])
        )


def smooth(image: Volume, index: Points) -> NDArray[np.float32]:
    """Values of `image` at each `index` (rows, columns, 3) on a cubic spline; `linear` from `WIDE` voxels on."""
    from scipy.ndimage import spline_filter  # noqa: PLC0415  (heavy import)

    ends = np.array(image.array.shape)
    first, last = (np.array([end(index[..., axis]) for axis in range(3)]) for end in (np.min, np.max))
    low = np.clip(np.floor(first).astype(int) - _MARGIN, 0, ends - 1)
    high = np.clip(np.ceil(last).astype(int) + _MARGIN + 1, low + 1, ends)
    if np.prod(high - low) >= WIDE:
        return linear(image.array, index)
    part = image.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    spline = spline_filter(np.pad(part.astype(np.float32), _EDGE, mode="edge"), 3, mode="nearest")
    values = np.empty(index.shape[:-1], dtype=np.float32)
    _cubic(spline, (index - (low - _EDGE)).reshape(-1, 3), values.reshape(-1))
    return values


@compiled()
def _cubic(spline: Points, index: Points, values: NDArray[np.float32]) -> None:
    """Sums of the 64 coefficients of `spline` around each `index` (n, 3), its edge repeated."""
    at = np.empty((3, 4), dtype=np.int64)
    weights = np.empty((3, 4))
    for n in range(len(index)):
        for axis in range(3):
            last = spline.shape[axis] - 1
            x = min(max(index[n, axis], 0.0), float(last))
            start = int(x)
            u = x - start
            v = 1 - u
            weights[axis, 0] = v * v * v / 6
            weights[axis, 1] = (u * u * (u - 2) * 3 + 4) / 6
            weights[axis, 2] = (v * v * (v - 2) * 3 + 4) / 6
            weights[axis, 3] = 1 - weights[axis, 0] - weights[axis, 1] - weights[axis, 2]
            for tap in range(4):
                at[axis, tap] = min(max(start + tap - 1, 0), last)
        total = 0.0
        for a in range(4):
            for b in range(4):
                row = 0.0
                for c in range(4):
                    row += weights[2, c] * spline[at[0, a], at[1, b], at[2, c]]
                total += weights[0, a] * weights[1, b] * row
        values[n] = total
