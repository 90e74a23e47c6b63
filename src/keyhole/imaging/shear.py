"""A tilted scan brought to an upright grid, once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.geometry import Volume, affine
from keyhole.imaging.dicom_stack import normal_of


def upright(volume: Volume) -> Volume:
    """`volume`, whose slices are shifted against each other (gantry tilt), on perpendicular axes, float32.

    Rows, columns and slices keep their directions and distances; each slice is moved within its own plane, so values
    are mixed only between neighbours in a slice (bilinear, exact for linear change). What no slice shows is nan.
    """
    matrix = volume.patient_from_index.matrix
    across, down, step = (matrix[:3, n] for n in range(3))
    normal = normal_of(np.array([across, down]))
    if step @ normal < 0:
        normal = -normal
    straight = normal * float(step @ normal)
    frame = np.column_stack([across, down, straight])
    shift = np.linalg.solve(frame, step - straight)[:2]  # columns and rows that each slice lies off the one before
    n = volume.array.shape[2]
    low = np.floor(np.minimum(0, shift * (n - 1)) + 1e-9).astype(int)
    high = np.ceil(np.maximum(0, shift * (n - 1)) - 1e-9).astype(int)
    shape = (volume.array.shape[0] + high[0] - low[0], volume.array.shape[1] + high[1] - low[1], n)
    out = np.full(shape, np.nan, dtype=np.float32)
    for k in range(n):
        _place(volume.array[:, :, k], out[:, :, k], shift * k - low)
    upright_from_index = np.eye(4)
    upright_from_index[:3, :3] = frame
    upright_from_index[:3, 3] = matrix[:3, 3] + low[0] * across + low[1] * down
    return Volume(out, affine(upright_from_index))


def _place(one: NDArray[np.float32], out: NDArray[np.float32], at: NDArray[np.float64]) -> None:
    """Put `one` into `out` so that its first voxel lies at the fractional index `at`; voxels between are mixed."""
    whole = np.floor(np.round(at, 6)).astype(int)
    u, v = np.round(at - whole, 6)
    values = one.astype(np.float32)
    if u > 0:
        values = u * values[:-1] + (1 - u) * values[1:]
        whole[0] += 1
    if v > 0:
        values = v * values[:, :-1] + (1 - v) * values[:, 1:]
        whole[1] += 1
    out[whole[0] : whole[0] + values.shape[0], whole[1] : whole[1] + values.shape[1]] = values
