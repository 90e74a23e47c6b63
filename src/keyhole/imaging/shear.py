"""Tilted and uneven scans brought to an upright, even grid, once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Volume, affine
from keyhole.imaging.dicom_stack import Stack, normal_of

MOST_MEMORY = 3 << 30
"""Bytes of the scan before and after together; more does not fit beside the rest."""

SAME = 1e-4
"""Heights closer than this share of a step are one: that slice is taken as it is."""


def upright(array: NDArray[Any], stack: Stack) -> Volume:
    """The slices `array` (column, row, place) of `stack` on one even, perpendicular grid, float32.

    Rows and columns keep their directions and distances. Each slice is moved within its own plane to where its header
    says (bilinear), and where the steps are uneven, slices of the even grid are mixed from the two beside them
    (linear); both are exact for linear change. What no slice shows, and what lies in a gap, is nan.
    """
    frame, starts = _frame(stack)
    shape, low = _shape(array, starts, stack.depth)
    out = np.full(shape, np.nan, dtype=np.float32)
    for k in range(stack.depth):
        sources = _sources(starts[:, 2], stack.places, k)
        parts = [
            np.float32(weight) * _moved(array[:, :, stack.places[n]], shape[:2], starts[n, :2] - low)
            for n, weight in sources
        ]
        if parts:
            out[:, :, k] = sum(parts[1:], parts[0])
    upright_from_index = np.eye(4)
    upright_from_index[:3, :3] = frame
    upright_from_index[:3, 3] = stack.positions[0] + frame[:, :2] @ low
    return Volume(out, affine(upright_from_index))


def _frame(stack: Stack) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Steps of the even grid, as columns, and where each slice begins, (n, 3) in those steps from the first slice."""
    across, down = stack.matrix[:3, 0], stack.matrix[:3, 1]
    normal = normal_of(np.array([across, down]))
    way = stack.positions[-1] - stack.positions[0]
    frame = np.column_stack([across, down, normal * float(way @ normal) / (stack.depth - 1)])
    return frame, np.round((stack.positions - stack.positions[0]) @ np.linalg.inv(frame).T, 9)


def _shape(
    array: NDArray[Any], starts: NDArray[np.float64], depth: int
) -> tuple[tuple[int, int, int], NDArray[np.int64]]:
    """Size of the grid that holds every slice, and its first column and row."""
    low = np.floor(starts[:, :2].min(axis=0) + 1e-6).astype(np.int64)
    high = np.ceil(starts[:, :2].max(axis=0) - 1e-6).astype(np.int64)
    columns, rows = (int(n) for n in np.array(array.shape[:2]) + high - low)
    if array.nbytes + 4 * columns * rows * depth > MOST_MEMORY:
        raise InvalidInput(f"the scan on an upright grid would have {columns} x {rows} x {depth} voxels; crop it first")
    return (columns, rows, depth), low


def _sources(heights: NDArray[np.float64], places: tuple[int, ...], k: int) -> list[tuple[int, float]]:
    """The slices that make slice `k` of the even grid, with their weights; none inside a gap."""
    above = int(np.searchsorted(heights, k - SAME))
    if above == len(heights) or above == 0 or abs(heights[above] - k) <= SAME:
        return [(min(above, len(heights) - 1), 1.0)]
    below = above - 1
    if places[above] - places[below] > 1:
        return []
    share = float((k - heights[below]) / (heights[above] - heights[below]))
    return [(below, 1 - share), (above, share)]


def _moved(one: NDArray[Any], shape: tuple[int, int], at: NDArray[np.float64]) -> NDArray[np.float32]:
    """`one` on a grid of `shape`, its first voxel at the fractional index `at`; voxels between are mixed."""
    whole = np.floor(np.round(at, 6)).astype(int)
    u, v = np.round(at - whole, 6)
    values = one.astype(np.float32)
    if u > 0:
        values = u * values[:-1] + (1 - u) * values[1:]
        whole[0] += 1
    if v > 0:
        values = v * values[:, :-1] + (1 - v) * values[:, 1:]
        whole[1] += 1
    out = np.full(shape, np.nan, dtype=np.float32)
    out[whole[0] : whole[0] + values.shape[0], whole[1] : whole[1] + values.shape[1]] = values
    return out
