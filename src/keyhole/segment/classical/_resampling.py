"""A scan brought to a grid with the same axes: one pass along each axis, plane by plane."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry._kernels import compiled, prange
from keyhole.imaging.sampling import PADDING
from keyhole.segment.classical.scene import UNSEEN

_SEEN = 0.999


def along_axes(array: NDArray[np.int16], to_index: NDArray[np.float64], shape: tuple[int, ...], part: int) -> Any:
    """`array` on a grid of `shape` whose axes are those of `array`, permuted or flipped; None where they are not.

    Each new voxel is the mean of `part`**3 trilinear samples; UNSEEN where one of them is not wholly seen.
    """
    used = np.abs(to_index[:3, :3]) > 1e-6
    if not (used.sum(axis=0) == 1).all() or not (used.sum(axis=1) == 1).all():
        return None
    order = [int(np.flatnonzero(used[:, axis])[0]) for axis in range(3)]  # the source's axis along each new one
    lines = [
        _line(to_index[order[a], a], to_index[order[a], 3], shape[a], array.shape[order[a]], part) for a in range(3)
    ]
    far = sorted(range(3), key=lambda a: -abs(array.strides[order[a]]))  # as it lies in memory: no copy of the scan
    turned = np.ascontiguousarray(array.transpose([order[a] for a in far]))
    out = np.empty([shape[a] for a in far], dtype=np.int16)
    _passed(turned, out, *lines[far[0]], *lines[far[1]], *lines[far[2]])
    return np.ascontiguousarray(out.transpose(np.argsort(far)))


def _line(
    step: float, start: float, n_new: int, n_old: int, part: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """First source index (n,) and weights (n, w) for each new voxel of one axis; a row of zeros where none is seen."""
    offsets = (np.arange(part) + 0.5) / part - 0.5
    at = step * (np.arange(n_new)[:, None] + offsets) + start
    inside = (at >= -0.5) & (at <= n_old - 0.5)
    at = np.clip(at, 0, n_old - 1)
    low = np.minimum(at.astype(np.int64), max(n_old - 2, 0))
    first = low.min(axis=1)
    weights = np.zeros((n_new, int((low.max(axis=1) - first).max()) + 2), dtype=np.float32)
    rows = np.arange(n_new)
    for p in range(part):
        share = np.where(inside[:, p], 1.0, 0.0)
        np.add.at(weights, (rows, low[:, p] - first), share * (1 - (at[:, p] - low[:, p])))
        np.add.at(weights, (rows, low[:, p] - first + 1), share * (at[:, p] - low[:, p]))
    total = weights.sum(axis=1, keepdims=True)
    return first, np.where(total >= 0.5 * part, weights / np.maximum(total, 1e-6), 0.0).astype(np.float32)


@compiled(parallel=True)
def _passed(
    array: NDArray[np.int16],
    out: NDArray[np.int16],
    first_k: Any,
    weight_k: Any,
    first_j: Any,
    weight_j: Any,
    first_i: Any,
    weight_i: Any,
) -> None:
    """Fill `out` (k, j, i) from `array` (k, j, i); UNSEEN where an unmeasured voxel or too little takes part."""
    _, nj, ni = array.shape
    for k in prange(out.shape[0]):
        plane, seen = np.zeros((nj, ni), dtype=np.float32), np.zeros((nj, ni), dtype=np.float32)
        for w in range(weight_k.shape[1]):
            if weight_k[k, w] > 0:
                _add_measured(array[first_k[k] + w], weight_k[k, w], plane, seen)
        row, known = np.empty(ni, dtype=np.float32), np.empty(ni, dtype=np.float32)
        for j in range(out.shape[1]):
            row[:], known[:] = 0, 0
            for w in range(weight_j.shape[1]):
                if weight_j[j, w] > 0:
                    _add(plane[first_j[j] + w], weight_j[j, w], row)
                    _add(seen[first_j[j] + w], weight_j[j, w], known)
            _gather(row, known, first_i, weight_i, out[k, j])


@compiled()
def _add_measured(values: Any, weight: Any, total: Any, seen: Any) -> None:
    """Add `weight` times a plane's values and its measured voxels."""
    for j in range(values.shape[0]):
        for i in range(values.shape[1]):
            h = values[j, i]
            total[j, i] += weight * h
            seen[j, i] += weight if h > PADDING else np.float32(0)


@compiled()
def _add(values: Any, weight: Any, total: Any) -> None:
    for i in range(len(values)):
        total[i] += weight * values[i]


@compiled()
def _gather(row: Any, known: Any, first: Any, weights: Any, out: Any) -> None:
    """One finished row; UNSEEN where it is not wholly known."""
    for i in range(len(out)):
        value, share = np.float32(0), np.float32(0)
        for w in range(weights.shape[1]):
            if weights[i, w] > 0:
                value += weights[i, w] * row[first[i] + w]
                share += weights[i, w] * known[first[i] + w]
        out[i] = np.int16(np.rint(value)) if share >= _SEEN else UNSEEN
