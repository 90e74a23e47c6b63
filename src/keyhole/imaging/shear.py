"""A tilted scan brought to an upright grid, once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InvalidInput
from keyhole.geometry import Volume, affine
from keyhole.imaging.dicom_stack import normal_of

MOST_MEMORY = 3 << 30
"""Bytes of the scan before and after together; more does not fit beside the rest."""


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
    low = [int(np.floor(min(0.0, s * (n - 1)) + 1e-9)) for s in shift]
    high = [int(np.ceil(max(0.0, s * (n - 1)) - 1e-9)) for s in shift]
    shape = (volume.array.shape[0] + high[0] - low[0], volume.array.shape[1] + high[1] - low[1], n)
    if volume.array.nbytes + 4 * int(np.prod(shape)) > MOST_MEMORY:
        raise InvalidInput(f"the tilted scan, upright, would have {' x '.join(map(str, shape))} voxels; crop it first")
    out = np.full(shape, np.nan, dtype=np.float32)
    for k in range(n):
        _place(volume.array[:, :, k], out[:, :, k], (shift * k - low).astype(np.float64))
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
